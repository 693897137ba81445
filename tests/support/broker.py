"""A real mosquitto, and a subscriber that remembers what it was told."""

from __future__ import annotations

import asyncio
import json
import shutil
import tempfile
import threading
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.contract import Manner, problems
from tests.support.daemon import free_port
from tests.support.fakes import PATIENCE
from tests.support.ports import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable


@asynccontextmanager
async def mosquitto(port: int | None = None, *settings: str, killed: bool = False) -> AsyncIterator[int]:
    """Run a mosquitto, without persistence unless the lines of `settings` want it; gives its port.

    At the end it is asked to stop, or `killed`. `settings` come after the listener's line. It drops nothing
    for a subscriber that is slow, as these tests' own is beside vigil.
    """
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    port = port or free_port()
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "mosquitto.conf")
        anyone = () if "allow_anonymous false" in settings else ("allow_anonymous true",)
        lines = (f"listener {port} 127.0.0.1", *anyone, "max_queued_messages 0", *settings)
        configuration.write_text("\n".join(lines) + "\n")
        process = await asyncio.create_subprocess_exec(
            program, "-c", str(configuration), stderr=asyncio.subprocess.DEVNULL
        )
        try:
            await listening(port)
            yield port
        finally:
            process.kill() if killed else process.terminate()
            await process.wait()


@dataclass
class Recorder:
    """What a subscriber to everything has heard, by topic, in order."""

    heard: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    retained: set[str] = field(default_factory=set)
    manners: set[Manner] = field(default_factory=set)

    def last(self, topic: str) -> bytes | None:
        """Return the latest payload of a topic."""
        return self.heard[topic][-1] if self.heard.get(topic) else None

    def objects(self, topic: str) -> list[Any]:
        """Return the JSON payloads of a topic."""
        return [json.loads(payload) for payload in list(self.heard.get(topic, []))]

    async def until(self, condition: Callable[[], object], *, within: float = 20.0) -> None:
        """Wait until a condition holds; fails with what was heard."""
        try:
            async with asyncio.timeout(within):
                while not condition():
                    await asyncio.sleep(0.02)
        except TimeoutError:
            latest = {topic: payloads[-1][:80] for topic, payloads in self.heard.items() if payloads}
            raise AssertionError(f"not within {within} s; heard last: {latest}") from None


@asynccontextmanager
async def recorder(
    port: int, topics: str = "#", login: tuple[str, str] | None = None, *, name: str = ""
) -> AsyncIterator[Recorder]:
    """Subscribe to a broker on 127.0.0.1; fails at the end for what vigil must not say.

    One with a `name` gets later what it misses while it is away.
    """
    heard, subscribed = Recorder(), threading.Event()

    def remember(_client: Client, _data: Any, message: MQTTMessage) -> None:
        heard.heard[message.topic].append(bytes(message.payload))
        heard.manners.add(Manner(message.topic, message.qos, message.retain))
        if message.retain:
            heard.retained.add(message.topic)

    client = Client(CallbackAPIVersion.VERSION2, client_id=name, clean_session=not name)
    client.on_message = remember
    if login is not None:
        client.username_pw_set(*login)
    # Again on every connect, so that a broker's restart does not make the recorder deaf.
    client.on_connect = lambda connected, *_rest: connected.subscribe(topics, qos=1)
    client.on_subscribe = lambda *_granted: subscribed.set()
    client.reconnect_delay_set(1, 1)
    await asyncio.to_thread(client.connect, "127.0.0.1", port)
    client.loop_start()
    try:
        assert await asyncio.to_thread(subscribed.wait, PATIENCE), "the recorder may not subscribe"
        yield heard
    finally:
        client.disconnect()
        await asyncio.to_thread(client.loop_stop)
    # Not reached when the test has failed already: its own reason is the better one.
    wrong = await asyncio.to_thread(problems, dict(heard.heard), set(heard.manners))
    assert not wrong, "\n".join(wrong[:10])


def begun_and_ended(frigate: Recorder, topic: str) -> bool:
    """Tell whether there were stories in Frigate's form, and each has a beginning and an end.

    What a killed vigil had sent and not yet noted as received comes twice.
    """
    told = {(each["after"]["id"], each["type"]) for each in frigate.objects(topic)}
    begun = {story for story, kind in told if kind == "new"}
    return bool(begun) and begun == {story for story, kind in told if kind == "end"}
