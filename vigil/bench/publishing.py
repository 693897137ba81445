"""Publishing as vigil does it, to a broker that thanks for everything and keeps nothing.

The real bus, dialect, publisher and session, in an event loop of their own, with all that it does until the
broker has answered. Not counted are what the broker does, and what a loop costs that waits for nothing.
"""

from __future__ import annotations

import asyncio
import socket
import statistics
import threading
import time
from collections import deque
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from vigil.aio.bus import Bus
from vigil.config.mqtt import MqttConfig
from vigil.core.types import MAIN_MODEL, CameraHealth, CameraIntroduced, CameraState, Loaded
from vigil.sinks.messages import Messages
from vigil.sinks.native import Native
from vigil.sinks.publisher import MqttPublisher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from vigil.analytics.scene import SceneResult
    from vigil.core.types import BusMessage, Result
    from vigil.metrics import Metrics
    from vigil.sinks.dialect import Message

_CONNECT, _PUBLISH, _SUBSCRIBE = 0x10, 0x30, 0x80
_TURN = 0.0005
"""Seconds that the broker gets to answer what a frame has to say."""
_IDLE_TURNS = 25
"""Turns with nothing to say of which the median is subtracted: a single one may be held up by others."""


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU nanoseconds that messages took: to be put into words, and all the rest until they are sent."""

    encode: int
    publish: int


class Publishing:
    """A publisher that is connected."""

    def __init__(self, bus: Bus[BusMessage], dialect: _TimedNative, broker: NullBroker) -> None:
        self._bus = bus
        self._dialect = dialect
        self._broker = broker
        self._idle: deque[int] = deque(maxlen=_IDLE_TURNS)

    @property
    def arrived(self) -> int:
        """How many messages the broker was sent."""
        return self._broker.arrived

    async def publish(self, messages: Sequence[BusMessage], frames: int = 1) -> Spent:
        """Hand what so many frames have to say over as a worker does, and wait until it is answered."""
        seconds = _TURN * frames
        for _ in range(1 if self._idle else _IDLE_TURNS):
            self._idle.append(await self._turn((), seconds))
        self._dialect.spent = 0
        busy = await self._turn(messages, seconds)
        return Spent(self._dialect.spent, busy - self._dialect.spent - round(statistics.median(self._idle)))

    async def _turn(self, messages: Sequence[BusMessage], seconds: float) -> int:
        """Return the CPU nanoseconds that this thread takes while these messages go out."""
        begun = time.thread_time_ns()
        if messages:
            self._bus.publish_threadsafe(messages)
        await asyncio.sleep(seconds)
        return time.thread_time_ns() - begun


class _TimedNative(Native):
    """vigil's own topics, and how long it took to fill them."""

    spent = 0

    def take(self, message: BusMessage) -> Iterable[Message]:
        """Do as it does."""
        begun = time.thread_time_ns()
        said = super().take(message)
        self.spent += time.thread_time_ns() - begun
        return said

    def frame(self, result: Result) -> Iterable[Message]:
        """Do as it does."""
        begun = time.thread_time_ns()
        said = super().frame(result)
        self.spent += time.thread_time_ns() - begun
        return said


@asynccontextmanager
async def publishing(cameras: Mapping[str, SceneResult], metrics: Metrics) -> AsyncIterator[Publishing]:
    """Publish for these cameras, which are live and report what these results have."""
    bus: Bus[BusMessage] = Bus()
    with NullBroker() as broker, bus.subscription("mqtt") as subscription:
        messages = Messages("vigil", {MAIN_MODEL: Loaded("null", "null", "a bench")})
        will, dialect = messages.daemon_status(online=False), _TimedNative(messages)
        publisher = MqttPublisher(
            MqttConfig(), broker.address, will, [dialect], subscription, metrics, lambda _command: None
        )
        running = asyncio.create_task(publisher.run(), name="mqtt")
        for name, state in cameras.items():
            introduced = CameraIntroduced(name, state.counts, state.zones, state.totals)
            bus.publish([introduced, CameraHealth(name, CameraState.LIVE)])
        await broker.greeted()
        yield Publishing(bus, dialect, broker)
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


class NullBroker:
    """Accepts one client on a free port of this machine, acknowledges what it says, and forgets it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self.arrived = 0
        self._thread = threading.Thread(target=self._serve, name="null-broker", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._listener.close()
        self._thread.join(1)

    async def greeted(self) -> None:
        """Wait until a client is connected and has said something."""
        while not self.arrived:  # noqa: ASYNC110 -- a thread counts them, once in a bench
            await asyncio.sleep(0.01)

    def _serve(self) -> None:
        with suppress(OSError, EOFError):
            client, _address = self._listener.accept()
            with client, client.makefile("rb") as said:
                while True:
                    kind, body = _packet(said.read)
                    client.sendall(self._answer(kind, body))

    def _answer(self, kind: int, body: bytes) -> bytes:
        """Return what MQTT 3.1.1 has for an answer, nothing to a message that wants none."""
        if kind & 0xF0 == _CONNECT:
            return b"\x20\x02\x00\x00"
        if kind & 0xF0 == _SUBSCRIBE:
            return b"\x90\x03" + body[:2] + b"\x01"
        if kind & 0xF0 != _PUBLISH:
            return b""
        self.arrived += 1
        topic = int.from_bytes(body[:2])
        return b"\x40\x02" + body[2 + topic : 4 + topic] if kind & 0x06 else b""


def _packet(read: Callable[[int], bytes]) -> tuple[int, bytes]:
    """Return the next packet's first byte and what follows its length; raises `EOFError` at the end."""
    kind = _byte(read)
    length = shift = 0
    while True:
        digit = _byte(read)
        length |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:  # noqa: PLR2004 -- the last byte of a length
            return kind, read(length)


def _byte(read: Callable[[int], bytes]) -> int:
    if not (byte := read(1)):
        raise EOFError
    return byte[0]
