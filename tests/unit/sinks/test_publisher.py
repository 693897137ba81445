"""The MQTT sink against a session that only notes, in virtual time: what is said, when, and what again."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import MODEL, boxes, topics
from vigil.aio.bus import Bus
from vigil.config.model import MqttConfig
from vigil.core.types import BusMessage, CameraStatus, Result, StatusChange
from vigil.metrics import Metrics
from vigil.sinks.messages import Messages
from vigil.sinks.mqtt import BrokerError
from vigil.sinks.publisher import MqttPublisher

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vigil.sinks.messages import Message

pytestmark = pytest.mark.looptime


class FakeSession:
    """A connection that notes what it is given."""

    def __init__(self, will: Message, *, refuses: bool = False) -> None:
        self.will = will
        self.said: list[Message] = []
        self.closed = False
        self.drained_for: float | None = None
        self._refuses = refuses
        self._lost = asyncio.Event()

    async def open(self) -> None:
        """Connect, or not."""
        await asyncio.sleep(0.01)
        if self._refuses:
            raise BrokerError("refused")

    def publish(self, message: Message) -> None:
        """Note."""
        assert not self.closed, f"{message} was published after the end"
        self.said.append(message)

    async def lost(self) -> None:
        """Wait for `lose`."""
        await self._lost.wait()

    def lose(self) -> None:
        """Lose the connection."""
        self._lost.set()

    async def drained(self, patience: float) -> None:
        """Note how patient the publisher is."""
        self.drained_for = patience

    async def close(self) -> None:
        """Note."""
        self.closed = True


class Stage:
    """A publisher for the cameras `drive` (people and phones) and `attic` (disabled)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sessions: list[FakeSession] = []
        self.refusals = 0
        self.metrics = Metrics()
        self.bus: Bus[BusMessage] = Bus()
        monkeypatch.setattr("vigil.sinks.publisher.Session", self._session)
        self.publisher = MqttPublisher(
            MqttConfig(host="broker"),
            ("broker", 1883),
            Messages("vigil", MODEL, "fake cpu"),
            self.bus.subscribe("mqtt"),
            self.metrics,
        )
        statuses = {"drive": CameraStatus.OFFLINE, "attic": CameraStatus.DISABLED}
        labels = {"drive": ["person", "cell phone"], "attic": ["person"]}
        for camera, reported in labels.items():
            self.metrics.add_camera(camera, reported, 5.0)
        self.publisher.introduce(statuses, labels)

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

    def _session(
        self, settings: MqttConfig, host: str, port: int, will: Message, metrics: Metrics
    ) -> FakeSession:
        assert (settings.host, host, port, metrics) == ("broker", "broker", 1883, self.metrics)
        self.sessions.append(FakeSession(will, refuses=len(self.sessions) < self.refusals))
        return self.sessions[-1]


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a publisher that is not connected yet."""
    return Stage(monkeypatch)


ONLINE = StatusChange("drive", CameraStatus.ONLINE)
OFFLINE = StatusChange("drive", CameraStatus.OFFLINE, "ended")


def result(people: int, *, phones: int = 0, seq: int = 1) -> Result:
    """Return a result of the camera `drive` with confirmed counts."""
    found = boxes((1, 2, 3, 4, 0.9, 0))
    return Result("drive", seq, 0.0, 1280, 720, found, {"person": people, "cell phone": phones})


async def test_everything_retained_is_said_on_connect(stage: Stage) -> None:
    """The first thing a broker hears is the whole state: who is there, and every count at 0."""
    async with stage.playing():
        said = stage.sessions[0].said
        assert all(message.retain for message in said)
        info = json.loads(topics(said).pop("vigil/info"))
        assert info["cameras"] == ["drive", "attic"]
        assert {topic: payload for topic, payload in topics(said).items() if topic != "vigil/info"} == {
            "vigil/status": b"online",
            "vigil/drive/status": b"offline",
            "vigil/drive/objects": b"{}",
            "vigil/drive/objects/person": b"0",
            "vigil/drive/objects/cell_phone": b"0",
            "vigil/attic/status": b"disabled",
            "vigil/attic/objects": b"{}",
            "vigil/attic/objects/person": b"0",
        }
        assert stage.value("mqtt_connected") == 1


async def test_last_will_says_offline(stage: Stage) -> None:
    """If vigil vanishes, the broker says so: retained and certain."""
    async with stage.playing():
        will = stage.sessions[0].will
        assert (will.topic, will.payload, will.qos, will.retain) == ("vigil/status", b"offline", 1, True)


async def test_detections_are_said_for_every_result(stage: Stage) -> None:
    """Each inferred frame is a message, and the way to it is measured."""
    async with stage.playing():
        await stage.tell(ONLINE)
        for seq in (1, 2):
            said = await stage.tell(result(0, seq=seq))
            assert [json.loads(message.payload)["seq"] for message in said] == [seq]
        assert stage.value("capture_to_publish_seconds_count", camera="drive") == 2


async def test_only_changed_counts_are_said(stage: Stage) -> None:
    """A count that changes is said once, with the object of all counts; what stays is not repeated."""
    async with stage.playing():
        await stage.tell(ONLINE)
        said = topics(await stage.tell(result(1), result(1), result(1)))
        del said["vigil/drive/detections"]
        assert said == {"vigil/drive/objects": b'{"person":1}', "vigil/drive/objects/person": b"1"}
        repeated = await stage.tell(result(1), result(1))
        assert {message.topic for message in repeated} == {"vigil/drive/detections"}
        gone = topics(await stage.tell(result(0, phones=1)))
        assert (gone["vigil/drive/objects/person"], gone["vigil/drive/objects/cell_phone"]) == (b"0", b"1")


async def test_status_is_said_when_it_changes(stage: Stage) -> None:
    """Online is said once, however often it is told."""
    async with stage.playing():
        said = await stage.tell(ONLINE, ONLINE)
        assert topics(said) == {"vigil/drive/status": b"online"}
        assert len(said) == 1


async def test_camera_that_goes_away_sees_nobody(stage: Stage) -> None:
    """Offline takes every count of the camera to 0, and the state goes with it."""
    async with stage.playing():
        await stage.tell(ONLINE, result(2, phones=1))
        assert topics(await stage.tell(OFFLINE)) == {
            "vigil/drive/status": b"offline",
            "vigil/drive/objects": b"{}",
            "vigil/drive/objects/person": b"0",
            "vigil/drive/objects/cell_phone": b"0",
        }


async def test_late_result_brings_no_counts_back(stage: Stage) -> None:
    """A frame that was still in flight when its camera went away changes no count; a live camera's does."""
    async with stage.playing():
        await stage.tell(ONLINE, result(2), OFFLINE)
        late = await stage.tell(result(2))
        assert {message.topic for message in late} <= {"vigil/drive/detections"}
        back = topics(await stage.tell(ONLINE, result(2)))
        assert back["vigil/drive/objects/person"] == b"2"


async def test_state_is_said_again_on_reconnect(stage: Stage) -> None:
    """A new connection hears the state of now, changes while nobody listened included."""
    async with stage.playing():
        await stage.tell(ONLINE, result(1))
        stage.sessions[0].lose()
        await asyncio.sleep(0.1)
        assert stage.sessions[0].closed
        assert stage.value("mqtt_connected") == 0
        await stage.tell(result(3))
        await asyncio.sleep(60)
        said = topics(stage.sessions[1].said)
        assert said["vigil/status"] == b"online"
        assert said["vigil/drive/status"] == b"online"
        assert said["vigil/drive/objects/person"] == b"3"
        assert "vigil/drive/detections" not in said
        assert stage.value("mqtt_connected") == 1
        assert stage.value("mqtt_dropped_total", reason="disconnected") == 1


async def test_absent_broker_is_one_line(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A broker that is away for a while is complained of once, tried again, and each session closed."""
    stage.refusals = 5
    async with stage.playing():
        await asyncio.sleep(300)
        assert [session.closed for session in stage.sessions] == [True] * 5 + [False]
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 1


async def test_goodbye_leaves_the_right_state_behind(stage: Stage) -> None:
    """On a clean stop counts go to 0, cameras and vigil to offline, all of it drained before the end."""
    async with stage.playing():
        await stage.tell(ONLINE, result(2))
        session = stage.sessions[0]
        before = len(session.said)
    said = topics(session.said[before:])
    assert said["vigil/status"] == b"offline"
    assert session.said[-1].topic == "vigil/status"
    assert said["vigil/drive/status"] == b"offline"
    assert said["vigil/drive/objects"] == b"{}"
    assert said["vigil/drive/objects/person"] == b"0"
    assert all(message.retain for message in session.said[before:])
    assert session.drained_for is not None
    assert session.drained_for <= 5
    assert session.closed


async def test_goodbye_without_a_broker_is_short(stage: Stage) -> None:
    """Stopping while the broker is away needs nobody."""
    stage.refusals = 1000
    loop = asyncio.get_running_loop()
    async with stage.playing():
        await asyncio.sleep(5)
        started = loop.time()
    assert loop.time() - started < 1


async def test_stopping_while_connecting_leaves_no_session_open(stage: Stage) -> None:
    """A connection that is being made when vigil stops is ended too."""
    task = asyncio.ensure_future(stage.publisher.run())
    await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task])
    assert [session.closed for session in stage.sessions] == [True]
