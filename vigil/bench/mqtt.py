"""How many messages a second go to a real broker, and what each costs this process, its encoding included.

Three ways, in turns: frames' detections (quality of service 0), the same when the broker has to say that it
has each (1), and events by way of the outbox, each committed to SQLite before it is sent (1). CPU time is
that of the whole process: loop and outbox together.
"""

from __future__ import annotations

import asyncio
import dataclasses
import shutil
import socket
import statistics
import tempfile
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vigil.config.mqtt import MqttConfig
from vigil.core.events import Event, EventType, PathPoint
from vigil.core.types import MAIN_MODEL, Detections, Loaded, Model, Result
from vigil.errors import CannotStartError
from vigil.metrics import Metrics
from vigil.sinks.messages import Messages
from vigil.sinks.mqtt import Session
from vigil.sinks.outbox import Outbox, limits_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from vigil.sinks.dialect import Message

WAYS = ("qos0", "qos1", "outbox")
_MODEL = Model("null", ("person",), stride=32, size=640)
_MESSAGES = Messages("bench", {MAIN_MODEL: Loaded("null", "null", "")})
_ABREAST = 400
"""Messages under way at a time: a burst of a household's cameras."""
_BURST = 50
_STUCK = 120.0


@dataclass(frozen=True, slots=True)
class Figures:
    """How one way did."""

    messages_per_second: float
    cpu_us_per_message: float
    payload_bytes: int


async def measure_mqtt(
    broker: tuple[str, int] | None, protocol: str, messages: int, rounds: int, tick: Callable[[], None]
) -> dict[str, Figures]:
    """Measure against a broker, or a mosquitto that is started for it, every way in each round; medians.

    Raises `CannotStartError` without a mosquitto, `BrokerError` without a broker.
    """
    found: dict[str, list[Figures]] = {way: [] for way in WAYS}
    async with _mosquitto() if broker is None else _given(broker) as address:
        for _ in range(rounds):
            for way in WAYS:
                found[way].append(await _measure(address, protocol, messages, way))
                tick()
    return {
        way: Figures(
            statistics.median(each.messages_per_second for each in rows),
            statistics.median(each.cpu_us_per_message for each in rows),
            rows[0].payload_bytes,
        )
        for way, rows in found.items()
    }


async def _measure(address: tuple[str, int], protocol: str, count: int, way: str) -> Figures:
    settings = MqttConfig.model_validate({"host": address[0], "protocol": protocol})
    metrics, will = Metrics(), _MESSAGES.daemon_status(online=False)
    session = Session(
        settings, address, will, metrics, lambda _message: None, client_id="vigil-bench", protocol=protocol
    )
    with tempfile.TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder, "outbox.db"), limits_of(settings), metrics)
        outbox.start()
        try:
            await session.open()
            lane = _Lane(session, outbox, way)
            wall, cpu = time.perf_counter(), time.process_time()
            async with asyncio.timeout(_STUCK):
                size = await lane.send(count)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        finally:
            await outbox.close()
            await session.close()
    return Figures(count / wall, cpu / count * 1e6, size)


class _Lane:
    """Sends messages in one of the ways, so many abreast, and counts those that have arrived."""

    def __init__(self, session: Session, outbox: Outbox, way: str) -> None:
        self._session, self._outbox, self._way = session, outbox, way
        self._arrived = 0
        outbox.attach(self._forward)

    async def send(self, count: int) -> int:
        """Send messages and wait until all have arrived; returns the bytes of a payload."""
        size = 0
        for number in range(count):
            size = self._send(number)
            if number % _BURST == 0:
                await self._until(number - _ABREAST)
        await self._until(count)
        return size

    def _send(self, number: int) -> int:
        if self._way == "outbox":
            message = _MESSAGES.event(_event(number))
            self._outbox.put(message)
        else:
            message = _MESSAGES.detections(_result(number))
            if self._way == "qos1":
                message = dataclasses.replace(message, qos=1)
            self._session.publish(message, self._arrive)
        return len(message.payload)

    def _forward(self, message: Message, done: Callable[[], None]) -> None:
        def arrived() -> None:
            done()
            self._arrive()

        self._session.publish_threadsafe(message, arrived)

    def _arrive(self) -> None:
        self._arrived += 1

    async def _until(self, count: int) -> None:
        """Give others a turn, and wait until so many have arrived."""
        await asyncio.sleep(0)
        while self._arrived < count:  # noqa: ASYNC110 -- a wake-up of the loop for each would be measured too
            await asyncio.sleep(0.001)


def _result(number: int) -> Result:
    found = Detections.untracked(
        np.array([[410.2, 122.3, 538.4, 604.5]], np.float32),
        np.array([0.8412], np.float32),
        np.array([0], np.int32),
    )
    return Result("drive", number, 1767225600.1234, 1280, 720, _MODEL, found, {"person": 1})


def _event(number: int) -> Event:
    start = 1767225600.1234
    path = (PathPoint(start, 0.9799, 0.6636),)
    box = (712.0, 266.0, 750.0, 366.0)
    return Event(
        f"{number:026}",
        EventType.END,
        "drive",
        "person",
        0.8,
        0.8,
        start,
        start,
        box,
        (),
        (),
        False,
        path,
        17,
    )


@asynccontextmanager
async def _given(broker: tuple[str, int]) -> AsyncIterator[tuple[str, int]]:
    yield broker


@asynccontextmanager
async def _mosquitto() -> AsyncIterator[tuple[str, int]]:
    """Run a mosquitto for the time being."""
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        raise CannotStartError(
            "there is no mosquitto to measure with: install it, or name a broker by --host"
        )
    with socket.socket() as probe, tempfile.TemporaryDirectory() as folder:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
        probe.close()
        settings = Path(folder, "mosquitto.conf")
        settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")  # noqa: ASYNC240 -- before anything is measured
        process = await asyncio.create_subprocess_exec(
            program, "-c", str(settings), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await _listening(port)
            yield "127.0.0.1", port
        finally:
            process.terminate()
            await process.wait()


async def _listening(port: int) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
