"""A publisher on a stage: a bus to tell it things, and sessions that only note what it says."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.fakes import LOADED, MODEL, boxes
from vigil.aio.bus import Bus
from vigil.config.mqtt import MqttConfig
from vigil.core.types import BusMessage, CameraHealth, CameraIntroduced, CameraState, Result
from vigil.metrics import Metrics
from vigil.sinks.dialect import Message
from vigil.sinks.messages import Messages
from vigil.sinks.native import Native
from vigil.sinks.publisher import MqttPublisher
from vigil.sinks.wire import BrokerError, UnknownVersionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import pytest

    from vigil.core.types import Command
    from vigil.sinks.dialect import Dialect
    from vigil.sinks.outbox import Outbox

MESSAGES = Messages("vigil", LOADED)

LABELS = {"drive": ("person", "cell phone"), "attic": ("person",)}
CONNECTING = CameraHealth("drive", CameraState.CONNECTING)
ONLINE = CameraHealth("drive", CameraState.LIVE)
OFFLINE = CameraHealth("drive", CameraState.OFFLINE, "ended")


class FakeSession:
    """A connection that notes what it is given."""

    def __init__(self, will: Message, hear: Callable[[Message], None], *, refuses: bool = False) -> None:
        self.will = will
        self.hear = hear
        self.wanted: list[str] = []
        self.said: list[Message] = []
        self.closed = False
        self.mute = False
        self.unknown = False
        self.farewell = BrokerError("the connection is lost")
        self.drained_for: float | None = None
        self._refuses = refuses
        self._lost = asyncio.Event()

    async def open(self) -> None:
        """Connect, or not."""
        await asyncio.sleep(0.01)
        if self.unknown:
            raise UnknownVersionError("what is that?")
        if self._refuses:
            raise BrokerError("refused")

    def subscribe(self, topic_filter: str) -> None:
        """Note."""
        self.wanted.append(topic_filter)

    def publish(self, message: Message, done: Callable[[], None] | None = None) -> None:
        """Note; it is acknowledged at once, unless the broker is `mute`."""
        assert not self.closed, f"{message} was published after the end"
        self.said.append(message)
        if done is not None and not self.mute:
            done()

    def publish_threadsafe(self, message: Message, done: Callable[[], None] | None = None) -> None:
        """Note, as what is published on the loop."""
        self.publish(message, done)

    def publish_frame(self, message: Message) -> None:
        """Note."""
        self.publish(message)

    async def lost(self) -> BrokerError:
        """Wait for `lose`."""
        await self._lost.wait()
        return self.farewell

    def lose(self) -> None:
        """Lose the connection."""
        self._lost.set()

    async def drained(self, patience: float) -> None:
        """Note how patient the publisher is."""
        self.drained_for = patience

    async def close(self) -> None:
        """Note."""
        self.closed = True


def settings(camera: str) -> dict[str, bytes]:
    """Return what is said of the settings of a camera that has the defaults."""
    values = {"detect": b"ON", "motion": b"ON", "confidence": b"0.5", "fps": b"5"}
    return {f"vigil/{camera}/{word}/state": value for word, value in values.items()}


def introduced(camera: str, *labels: str) -> CameraIntroduced:
    """Return what is told of a camera that reports these labels and sees nobody."""
    return CameraIntroduced(camera, dict.fromkeys(labels, 0))


class Stage:
    """A publisher for the cameras `drive` (people and phones) and `attic` (disabled)."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        outbox: Outbox | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        self.unknown = False
        self.sessions: list[FakeSession] = []
        self.commands: list[Command] = []
        self.refusals = 0
        self.names: list[tuple[str, str]] = []
        self.metrics = Metrics()
        self.bus: Bus[BusMessage] = Bus()
        monkeypatch.setattr("vigil.sinks.publisher.Session", self._session)
        self.publisher = MqttPublisher(
            MqttConfig(host="broker"),
            ("broker", 1883),
            MESSAGES.daemon_status(online=False),
            [dialect or Native(MESSAGES)],
            self.bus.subscribe("mqtt"),
            self.metrics,
            self.commands.append,
            outbox,
        )
        for camera, labels in LABELS.items():
            self.metrics.add_camera(camera)
            self.bus.publish([introduced(camera, *labels)])
        self.bus.publish([CONNECTING, CameraHealth("attic", CameraState.DISABLED)])

    @asynccontextmanager
    async def playing(self) -> AsyncIterator[None]:
        """Run the publisher, connected."""
        task = asyncio.ensure_future(self.publisher.run())
        await asyncio.sleep(1)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def tell(self, *messages: BusMessage) -> list[Message]:
        """Publish on the bus and return what the current session said of it."""
        session = self.sessions[-1]
        before = len(session.said)
        self.bus.publish(messages)
        await asyncio.sleep(0.1)
        return session.said[before:]

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.metrics.registry.get_sample_value(f"vigil_{name}", labels)

    def hear(self, topic: str, payload: bytes) -> None:
        """Have the current session hear a message."""
        self.sessions[-1].hear(Message(topic, payload))

    def _session(
        self,
        settings: MqttConfig,
        address: tuple[str, int],
        will: Message,
        metrics: Metrics,
        on_message: Callable[[Message], None],
        **who: str,
    ) -> FakeSession:
        self.names.append((who["client_id"], who["protocol"]))
        assert (settings.host, address, metrics) == ("broker", ("broker", 1883), self.metrics)
        self.sessions.append(FakeSession(will, on_message, refuses=len(self.sessions) < self.refusals))
        self.sessions[-1].unknown = self.unknown and who["protocol"] == "5"
        return self.sessions[-1]


def health(state: str, reason: str = "", picture: str = "ok") -> bytes:
    """Return the details that are told of a camera."""
    return json.dumps({"state": state, "reason": reason, "picture": picture}, separators=(",", ":")).encode()


def result(people: int, *, phones: int = 0, seq: int = 1) -> Result:
    """Return a result of the camera `drive` with confirmed counts."""
    found = boxes((1, 2, 3, 4, 0.9, 0))
    return Result("drive", seq, 0.0, 1280, 720, MODEL, found, {"person": people, "cell phone": phones})
