"""A real broker, and a subscriber that keeps what vigil publishes per frame."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from vigil.bench.daemon import free_port
from vigil.errors import CannotStartError
from vigil.sinks.broker import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_LISTENS_WITHIN = 15.0
_PAUSE = 0.05
TOPICS = "vigil/+/detections"


@dataclass(frozen=True, slots=True)
class Heard:
    """One frame's result as a subscriber has it; Unix seconds, boxes `x1 y1 x2 y2` in frame pixels."""

    camera: str
    captured_at: float
    published_at: float
    heard_at: float
    boxes: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker that runs."""

    name: str
    port: int


@asynccontextmanager
async def broker() -> AsyncIterator[Broker]:
    """Run mosquitto, or vigil's embedded broker where that is not installed, in a process of its own."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    port = free_port()
    if program is None:
        embedded = EmbeddedBroker("127.0.0.1", port)
        await embedded.start()
        try:
            yield Broker("embedded", port)
        finally:
            await embedded.stop()
        return
    with tempfile.TemporaryDirectory(prefix="vigil-bench-") as folder:
        configuration = Path(folder, "mosquitto.conf")
        text = f"listener {port} 127.0.0.1\nallow_anonymous true\n"
        await asyncio.to_thread(configuration.write_text, text, "utf-8")
        process = await asyncio.create_subprocess_exec(
            program, "-c", str(configuration), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _listening(port)
            yield Broker("mosquitto", port)
        finally:
            process.terminate()
            await process.wait()


@asynccontextmanager
async def subscribed(port: int) -> AsyncIterator[list[Heard]]:
    """Give a list that grows with every frame's result; its entries come from a thread, in order."""
    heard: list[Heard] = []

    def remember(_client: Client, _data: Any, message: MQTTMessage) -> None:
        heard.append(read(bytes(message.payload), time.time()))

    client = Client(CallbackAPIVersion.VERSION2)
    client.on_message = remember
    client.on_connect = lambda connected, *_rest: connected.subscribe(TOPICS, qos=0)
    await asyncio.to_thread(client.connect, "127.0.0.1", port)
    client.loop_start()
    try:
        yield heard
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)


def read(payload: bytes, now: float) -> Heard:
    """Return what a message on `<camera>/detections` says."""
    said = json.loads(payload)
    corners = (found["bbox"] for found in said["detections"])
    boxes = tuple((box["x1"], box["y1"], box["x2"], box["y2"]) for box in corners)
    return Heard(said["camera"], said["captured_at"], said["published_at"], now, boxes)


async def _listening(port: int) -> None:
    try:
        async with asyncio.timeout(_LISTENS_WITHIN):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    await asyncio.sleep(_PAUSE)
                    continue
                writer.close()
                return
    except TimeoutError:
        raise CannotStartError(f"mosquitto does not listen on port {port}") from None
