"""The MQTT sink against a session that only notes, in virtual time: what is said, when, and what again."""

from __future__ import annotations

import asyncio
import json
import logging
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import LOADED, MODEL, boxes, event, topics
from vigil.aio.bus import Bus
from vigil.config.mqtt import MqttConfig
from vigil.core.events import Crossings, EventType, Totals
from vigil.core.types import (
    Action,
    BusMessage,
    CameraCommand,
    CameraGone,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    Condition,
    LiveView,
    MotionChanged,
    ProfileChanged,
    ProfileCommand,
    Result,
    Setting,
    SettingCommand,
    SnapshotTaken,
    StatsReport,
    Tuning,
)
from vigil.metrics import Metrics
from vigil.sinks.dialect import Message
from vigil.sinks.journal import Limits
from vigil.sinks.messages import Messages
from vigil.sinks.native import Native
from vigil.sinks.outbox import AtOnce, Outbox
from vigil.sinks.publisher import MqttPublisher
from vigil.sinks.wire import BrokerError, RivalError, UnknownVersionError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from vigil.core.types import Command
    from vigil.sinks.dialect import Dialect

pytestmark = pytest.mark.looptime

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


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a publisher that is not connected yet."""
    return Stage(monkeypatch)


def health(state: str, reason: str = "", picture: str = "ok") -> bytes:
    """Return the details that are told of a camera."""
    return json.dumps({"state": state, "reason": reason, "picture": picture}, separators=(",", ":")).encode()


def result(people: int, *, phones: int = 0, seq: int = 1) -> Result:
    """Return a result of the camera `drive` with confirmed counts."""
    found = boxes((1, 2, 3, 4, 0.9, 0))
    return Result("drive", seq, 0.0, 1280, 720, MODEL, found, {"person": people, "cell phone": phones})


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
            "vigil/drive/health": health("connecting"),
            "vigil/drive/enabled/state": b"ON",
            "vigil/drive/objects": b"{}",
            "vigil/drive/objects/person": b"0",
            "vigil/drive/objects/cell_phone": b"0",
            **settings("drive"),
            "vigil/attic/status": b"disabled",
            "vigil/attic/health": health("disabled"),
            "vigil/attic/enabled/state": b"OFF",
            "vigil/attic/objects": b"{}",
            "vigil/attic/objects/person": b"0",
            **settings("attic"),
        }
        assert stage.value("mqtt_connected") == 1


async def test_vigil_is_there_when_all_else_is_said(stage: Stage) -> None:
    """A broker that holds the counts of before a crash hears the right ones before it hears `online`."""
    async with stage.playing():
        assert stage.sessions[0].said[-1] == MESSAGES.daemon_status(online=True)


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
        assert topics(said) == {"vigil/drive/status": b"online", "vigil/drive/health": health("live")}
        assert len(said) == 2


async def test_camera_that_goes_away_sees_nobody(stage: Stage) -> None:
    """Offline takes every count of the camera to 0, and the state goes with it."""
    async with stage.playing():
        await stage.tell(ONLINE, result(2, phones=1))
        assert topics(await stage.tell(OFFLINE)) == {
            "vigil/drive/status": b"offline",
            "vigil/drive/health": health("offline", "ended"),
            "vigil/drive/objects": b"{}",
            "vigil/drive/objects/person": b"0",
            "vigil/drive/objects/cell_phone": b"0",
        }


async def test_picture_that_shows_nothing_leaves_the_camera_online(stage: Stage) -> None:
    """A black picture is told in the details alone: the camera is there, and its counts stay."""
    black = CameraHealth("drive", CameraState.LIVE, condition=Condition.BLACK)
    async with stage.playing():
        await stage.tell(ONLINE, result(2))
        assert topics(await stage.tell(black)) == {"vigil/drive/health": health("live", picture="black")}


async def test_switch_follows_the_camera(stage: Stage) -> None:
    """A camera that is disabled says so, its switch goes to OFF, and both come back with it."""
    async with stage.playing():
        await stage.tell(ONLINE)
        off = topics(await stage.tell(CameraHealth("drive", CameraState.DISABLED)))
        assert (off["vigil/drive/status"], off["vigil/drive/enabled/state"]) == (b"disabled", b"OFF")
        on = topics(await stage.tell(CONNECTING))
        assert (on["vigil/drive/status"], on["vigil/drive/enabled/state"]) == (b"offline", b"ON")


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
    assert said["vigil/drive/health"] == health("offline", "stopped")
    assert said["vigil/drive/objects"] == b"{}"
    assert said["vigil/drive/objects/person"] == b"0"
    assert not [topic for topic in said if topic.endswith("/enabled/state")], "nobody switched a camera"
    assert said["vigil/drive/motion"] == b"OFF"
    assert all(message.retain for message in session.said[before:])
    assert session.drained_for is not None
    assert session.drained_for <= 5
    assert session.closed


ZONED = CameraIntroduced(
    "drive",
    {"person": 1},
    {"gate": {"person": 1}},
    Totals({"entry": {"person": Crossings(3, 1)}}),
)


async def test_zones_lines_and_motion_are_retained(stage: Stage) -> None:
    """What a camera is introduced with is said as it stands, and motion follows."""
    async with stage.playing():
        said = await stage.tell(ZONED, MotionChanged("drive", on=True))
        assert all(message.retain for message in said)
        told = topics(said)
        assert told["vigil/drive/zones/gate/person"] == b"1"
        assert told["vigil/drive/lines/entry/person"] == b'{"in":3,"out":1}'
        assert told["vigil/drive/motion"] == b"ON"


async def test_only_changed_zones_and_lines_are_said(stage: Stage) -> None:
    """A result says what it changed, and a result of other zones changes nothing."""
    async with stage.playing():
        await stage.tell(ZONED, ONLINE)
        found, counts = boxes((1, 2, 3, 4, 0.9, 0)), {"person": 1}
        size = ("drive", 1, 0.0, 1280, 720, MODEL, found, counts, [("gate",)])
        moved = Totals({"entry": {"person": Crossings(4, 1)}})
        said = topics(await stage.tell(Result(*size, {"gate": {"person": 2}}, moved)))
        assert json.loads(said.pop("vigil/drive/detections"))["detections"][0]["zones"] == ["gate"]
        assert said == {
            "vigil/drive/zones/gate/person": b"2",
            "vigil/drive/lines/entry/person": b'{"in":4,"out":1}',
        }
        stale = topics(await stage.tell(Result(*size, {"door": {"person": 5}}, Totals())))
        assert set(stale) == {"vigil/drive/detections"}


async def test_zones_empty_and_lines_stay_when_a_camera_goes_away(stage: Stage) -> None:
    """Nobody is in the zones of a camera that does not see; what was counted is not undone."""
    async with stage.playing():
        await stage.tell(ZONED, ONLINE)
        said = topics(await stage.tell(OFFLINE))
        assert said["vigil/drive/zones/gate/person"] == b"0"
        assert "vigil/drive/lines/entry/person" not in said


async def test_zones_and_lines_that_are_gone_are_taken_back(stage: Stage) -> None:
    """A camera that is introduced without them leaves no such topic behind."""
    async with stage.playing():
        await stage.tell(ZONED)
        said = topics(await stage.tell(introduced("drive", "person")))
        assert said["vigil/drive/zones/gate/person"] == said["vigil/drive/lines/entry/person"] == b""


async def test_events_are_said_once_and_not_retained(stage: Stage) -> None:
    """An event is a message of its own; one of a camera that is gone is not said."""
    async with stage.playing():
        (said,) = await stage.tell(event())
        assert (said.topic, said.qos, said.retain) == ("vigil/drive/events", 1, False)
        assert json.loads(said.payload)["type"] == "new"
        assert await stage.tell(event(camera="cellar"), MotionChanged("cellar", on=True)) == []


async def test_events_wait_for_the_broker(stage: Stage) -> None:
    """What happens while the broker is away is said after the state when it is back, in order, and once."""
    async with stage.playing():
        await stage.tell(ONLINE, event())
        stage.sessions[0].lose()
        await asyncio.sleep(0.1)
        await stage.tell(event(EventType.UPDATE), event(EventType.END))
        await asyncio.sleep(60)
        assert kinds(stage.sessions[0].said) == ["new"]
        said = stage.sessions[1].said
        assert kinds(said) == ["update", "end"]
        assert [message.topic for message in said[-2:]] == ["vigil/drive/events"] * 2
        assert stage.value("mqtt_dropped_total", reason="disconnected") == 0


async def test_unanswered_events_are_said_again(stage: Stage) -> None:
    """An event that the broker never acknowledged is said again, just as it was, on the next connection."""
    async with stage.playing():
        stage.sessions[0].mute = True
        (first,) = await stage.tell(event())
        stage.sessions[0].lose()
        await asyncio.sleep(60)
        assert stage.sessions[1].said[-1] == first
        assert stage.value("outbox_pending") == 0


def kinds(messages: Iterable[Message]) -> list[str]:
    """Return the types of the events among messages."""
    return [json.loads(each.payload)["type"] for each in messages if each.topic.endswith("/events")]


class Leftovers(Outbox):
    """An outbox in memory whose broker was left with topics by an earlier start."""

    def __init__(self, *topics: str) -> None:
        super().__init__(None, Limits(size=10**6, age=3600.0), Metrics(), AtOnce)
        self.start()
        for topic in topics:
            self.said("broker:1883", topic)


async def test_what_an_earlier_start_said_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once all has been said, retained topics that nobody says any more are cleared, and then forgotten."""
    left = Leftovers("vigil/cellar/status", "old/drive/status", "vigil/drive/status")
    stage = Stage(monkeypatch, left)
    async with stage.playing():
        assert {topic for topic, payload in topics(stage.sessions[0].said).items() if not payload} == set()
        stage.publisher.announced()
        await asyncio.sleep(0.1)
        said = topics(stage.sessions[0].said)
        assert said["vigil/cellar/status"] == said["old/drive/status"] == b""
        assert said["vigil/drive/status"] == b"offline"
        known = await left.topics("broker:1883")
        assert "vigil/drive/objects/person" in known, "the next start has to know"
        assert not known & {"vigil/cellar/status", "old/drive/status"}


async def test_nothing_is_taken_back_before_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Topics of cameras that are still to be told of on the bus are not cleared."""
    stage = Stage(monkeypatch, Leftovers("vigil/attic/status", "vigil/cellar/status"))
    stage.publisher.announced()
    async with stage.playing():
        said = [message for message in stage.sessions[0].said if not message.payload]
        assert [message.topic for message in said] == ["vigil/cellar/status"]


async def test_broker_that_is_away_hears_later_what_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leftover stays known until a broker has acknowledged that it is gone."""
    left = Leftovers("vigil/cellar/status")
    stage = Stage(monkeypatch, left)
    async with stage.playing():
        stage.sessions[0].mute = True
        stage.publisher.announced()
        await asyncio.sleep(0.1)
        assert "vigil/cellar/status" in await left.topics("broker:1883")
        stage.sessions[0].lose()
        await asyncio.sleep(60)
        assert topics(stage.sessions[1].said)["vigil/cellar/status"] == b""
        assert "vigil/cellar/status" not in await left.topics("broker:1883")


class Careful(Native):
    """A vocabulary with a topic that is said rarely and right for longer than vigil runs."""

    def opening(self) -> list[Message]:
        """Leave a picture from before this start where it is."""
        return [*super().opening(), Message("vigil/drive/picture", b"", retain=True, stays=True)]


async def test_what_stays_is_not_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic of which a dialect says that it stays is neither said nor cleared."""
    left = Leftovers("vigil/drive/picture")
    stage = Stage(monkeypatch, left, Careful(MESSAGES))
    async with stage.playing():
        stage.publisher.announced()
        await asyncio.sleep(1)
    assert "vigil/drive/picture" not in topics(stage.sessions[0].said)


async def test_name_stays_over_connections(stage: Stage) -> None:
    """Every connection has the same name, so that a broker ends an old one before its will can do harm."""
    async with stage.playing():
        stage.sessions[0].lose()
        await asyncio.sleep(60)
    (first, again) = stage.names
    assert first == again == (first[0], "5")
    assert first[0].startswith("vigil-")


async def test_broker_of_another_version_is_spoken_to_in_it(stage: Stage) -> None:
    """A broker that does not know MQTT 5 is asked with 3.1.1 at once, without a line in the log."""
    stage.unknown = True
    async with stage.playing():
        assert [protocol for _name, protocol in stage.names] == ["5", "3.1.1"]
        assert [session.closed for session in stage.sessions] == [True, False]
        assert stage.value("mqtt_connected") == 1


@pytest.mark.parametrize("farewell", [RivalError("another"), BrokerError("closed")])
async def test_rival_of_the_same_name_is_one_line(
    stage: Stage, caplog: pytest.LogCaptureFixture, farewell: BrokerError
) -> None:
    """Somebody who takes the name over and over is told once, with the key to change, and tried rarely.

    A broker of MQTT 3.1.1 gives no reason: three short connections in a row are one.
    """
    caplog.set_level(logging.INFO)

    async def fight() -> None:
        while True:
            await asyncio.sleep(0.5)
            stage.sessions[-1].farewell = farewell
            stage.sessions[-1].lose()

    async with stage.playing():
        fighting = asyncio.ensure_future(fight())
        await asyncio.sleep(1800)
        fighting.cancel()
    assert len(stage.sessions) < 40
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    rivals = [line for line in told if "another" in line]
    assert len(rivals) == 1
    assert len(caplog.records) <= 6


async def test_last_words_of_the_others_come_before_the_goodbye(stage: Stage) -> None:
    """Ends of events that were told while vigil stopped still reach the broker, before `offline`."""
    async with stage.playing():
        await stage.tell(ONLINE, result(2))
        session = stage.sessions[0]
        before = len(session.said)
        stage.bus.publish([event(EventType.END)])
    said = [message.topic for message in session.said[before:]]
    assert said.index("vigil/drive/events") < said.index("vigil/status")


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


async def test_new_labels_replace_the_old_ones(stage: Stage) -> None:
    """When a camera reports other labels, those that are gone are taken back and the new ones begin at 0."""
    async with stage.playing():
        await stage.tell(ONLINE, result(2, phones=1))
        said = await stage.tell(introduced("drive", "person", "car"))
        assert all(message.retain for message in said)
        assert topics(said) == {
            "vigil/drive/objects/cell_phone": b"",
            "vigil/drive/objects": b"{}",
            "vigil/drive/objects/person": b"0",
            "vigil/drive/objects/car": b"0",
        }


async def test_same_labels_again_start_at_nought(stage: Stage) -> None:
    """A camera that is introduced again takes nothing back."""
    async with stage.playing():
        await stage.tell(ONLINE, result(1))
        said = topics(await stage.tell(introduced("drive", *LABELS["drive"])))
        assert said == {"vigil/drive/objects": b"{}", "vigil/drive/objects/person": b"0"}


async def test_label_that_comes_back_is_said_again(stage: Stage) -> None:
    """What was taken back is there again once the camera reports it again."""
    async with stage.playing():
        await stage.tell(ONLINE, introduced("drive", "person"))
        said = topics(await stage.tell(introduced("drive", *LABELS["drive"])))
        assert said == {"vigil/drive/objects/cell_phone": b"0"}


async def test_new_camera_is_told_with_the_others(stage: Stage) -> None:
    """A camera that is added while vigil runs appears with all its topics, and in what runs here."""
    async with stage.playing():
        stage.metrics.add_camera("door")
        said = topics(
            await stage.tell(introduced("door", "car"), CameraHealth("door", CameraState.CONNECTING))
        )
        assert json.loads(said.pop("vigil/info"))["cameras"] == ["drive", "attic", "door"]
        assert said == {
            "vigil/door/objects": b"{}",
            "vigil/door/objects/car": b"0",
            "vigil/door/status": b"offline",
            "vigil/door/health": health("connecting"),
            "vigil/door/enabled/state": b"ON",
            **settings("door"),
        }


DRIVE_TOPICS = {
    *settings("drive"),
    "vigil/drive/motion",
    "vigil/drive/status",
    "vigil/drive/health",
    "vigil/drive/enabled/state",
    "vigil/drive/objects",
    "vigil/drive/objects/person",
    "vigil/drive/objects/cell_phone",
}


async def test_camera_that_is_gone_leaves_nothing_behind(stage: Stage) -> None:
    """Every retained topic of a removed camera gets an empty retained message, which clears it."""
    async with stage.playing():
        await stage.tell(ONLINE, result(1))
        said = await stage.tell(CameraGone("drive"))
        assert all(message.retain for message in said)
        told = topics(said)
        assert json.loads(told.pop("vigil/info"))["cameras"] == ["attic"]
        assert told == dict.fromkeys(DRIVE_TOPICS, b"")
        assert await stage.tell(result(3)) == []
        before = len(stage.sessions[0].said)
    goodbye = {message.topic for message in stage.sessions[0].said[before:]}
    assert "vigil/attic/status" in goodbye
    assert not goodbye & DRIVE_TOPICS


async def test_camera_that_went_while_nobody_listened_is_cleared_later(stage: Stage) -> None:
    """A broker that was away while a camera was removed is told so at the next connect."""
    async with stage.playing():
        await stage.tell(ONLINE, result(1))
        stage.sessions[0].lose()
        await asyncio.sleep(0.1)
        await stage.tell(CameraGone("drive"))
        await asyncio.sleep(60)
        said = topics(stage.sessions[1].said)
        assert {topic for topic in said if topic.startswith("vigil/drive/")} == DRIVE_TOPICS
        assert {said[topic] for topic in DRIVE_TOPICS} == {b""}


async def test_last_result_of_a_removed_camera_harms_nobody(stage: Stage) -> None:
    """A result that waits in the queue while its camera's metrics go is told, or not, and vigil goes on."""
    async with stage.playing():
        await stage.tell(ONLINE)
        stage.metrics.remove_camera("drive")
        await stage.tell(result(1), CameraGone("drive"))
        assert (
            topics(await stage.tell(CameraHealth("attic", CameraState.LIVE)))["vigil/attic/status"]
            == b"online"
        )


async def test_result_of_old_labels_brings_none_back(stage: Stage) -> None:
    """A result that was under way when the labels changed does not bring a label back that was taken back."""
    async with stage.playing():
        await stage.tell(ONLINE, result(1, phones=1))
        await stage.tell(introduced("drive", "person"))
        late = topics(await stage.tell(result(1, phones=1)))
        assert "vigil/drive/objects/cell_phone" not in late


async def test_switch_on_mqtt_reaches_the_camera(stage: Stage) -> None:
    """The session asks for the switches' topics, on every connect, and each switch is handed on."""
    async with stage.playing():
        stage.hear("vigil/drive/enabled/set", b"OFF")
        stage.hear("vigil/attic/enabled/set", b"ON")
        stage.sessions[0].lose()
        await asyncio.sleep(60)
        words = ("enabled", "detect", "motion", "confidence", "fps")
        wanted = [*(f"vigil/+/{word}/set" for word in words), "vigil/profile/set"]
        assert [session.wanted for session in stage.sessions] == [wanted] * 2
    assert stage.commands == [
        CameraCommand("drive", Action.DISABLE),
        CameraCommand("attic", Action.ENABLE),
    ]


async def test_profiles_of_the_file_stand_in_what_runs_here(stage: Stage) -> None:
    """What can be chosen is told with what is in force, and again when only that changes."""
    async with stage.playing():
        for profiles in (("night",), ("night", "away")):
            said = topics(await stage.tell(ProfileChanged(None, profiles)))
            assert json.loads(said["vigil/info"])["profiles"] == [*profiles]


async def test_stats_are_retained(stage: Stage) -> None:
    """A report takes the place of the one before it, and a new connection hears the last."""
    async with stage.playing():
        for saturation in (0.5, 0.75):
            said = topics(await stage.tell(StatsReport(saturation, 0.0, 60.0, {})))
            assert json.loads(said["vigil/stats"])["saturation"] == saturation
        stage.sessions[0].lose()
        await asyncio.sleep(60)
        assert json.loads(topics(stage.sessions[1].said)["vigil/stats"])["saturation"] == 0.75


async def test_settings_are_asked_for_and_told(stage: Stage) -> None:
    """A wish for a setting is handed on with its type; what is in force is retained, and said once."""
    async with stage.playing():
        stage.hear("vigil/drive/detect/set", b"OFF")
        stage.hear("vigil/attic/fps/set", b"2.5")
        tuned = replace(introduced("drive", "person", "cell phone"), tuning=Tuning(detect=False, fps=12.5))
        said = await stage.tell(tuned)
        assert topics(said) == {"vigil/drive/detect/state": b"OFF", "vigil/drive/fps/state": b"12.5"}
        assert all(message.retain and message.qos == 1 for message in said)
    assert stage.commands == [
        SettingCommand("drive", Setting.DETECT, value=False),
        SettingCommand("attic", Setting.FPS, 2.5),
    ]


async def test_profile_is_asked_for_and_told(stage: Stage) -> None:
    """A wish for a profile is handed on; the one in force is retained and said again on the next connect."""
    async with stage.playing():
        stage.hear("vigil/profile/set", b"night")
        said = topics(await stage.tell(ProfileChanged("night")))
        assert said["vigil/profile/state"] == b"night"
        stage.sessions[0].lose()
        await asyncio.sleep(60)
        assert topics(stage.sessions[1].said)["vigil/profile/state"] == b"night"
    assert stage.commands == [ProfileCommand("night")]


@pytest.mark.parametrize(
    ("topic", "payload", "says"),
    [
        ("vigil/drive/enabled/set", b"maybe", "b'maybe': ON or OFF is wanted"),
        ("vigil/drive/enabled/set", b"x" * 100_000, "ON or OFF is wanted"),
        ("vigil/cellar/enabled/set", b"OFF", "there is no camera 'cellar'"),
        ("vigil/cellar/fps/set", b"5", "there is no camera 'cellar'"),
        ("vigil/drive/detect/set", b"off", "b'off': ON or OFF is wanted"),
        ("vigil/drive/motion/set", b"1", "b'1': ON or OFF is wanted"),
        ("vigil/drive/fps/set", b"fast", "b'fast': a number above 0 up to 60 is wanted"),
        ("vigil/drive/fps/set", b"0", "a number above 0 up to 60 is wanted"),
        ("vigil/drive/confidence/set", b"nan", "b'nan': a number from 0.01 to 1 is wanted"),
        ("vigil/drive/confidence/set", b"50", "b'50': a number from 0.01 to 1 is wanted"),
    ],
)
async def test_malformed_command_is_a_line_and_nothing_else(
    stage: Stage, caplog: pytest.LogCaptureFixture, topic: str, payload: bytes, says: str
) -> None:
    """A command that makes no sense, or names nobody, is one short line in the log and changes nothing."""
    async with stage.playing():
        before = len(stage.sessions[0].said)
        stage.hear(topic, payload)
        await asyncio.sleep(1)
        assert len(stage.sessions[0].said) == before
        assert not stage.sessions[0].closed
    assert stage.commands == []
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert says in record.getMessage()
    assert len(record.getMessage()) < 200


def taken(label: str = "person", camera: str = "drive") -> SnapshotTaken:
    """Return a picture of an event."""
    return SnapshotTaken(camera, label, "01J", 0.0, b"jpeg")


async def test_snapshots_are_retained_until_their_label_goes(stage: Stage) -> None:
    """The latest picture of each label is kept and said again; it goes with its label, or with the camera."""
    async with stage.playing():
        said = await stage.tell(taken(), taken("cell phone"), taken("dog"), taken(camera="cellar"))
        assert [(each.topic, each.retain, each.qos) for each in said] == [
            ("vigil/drive/person/snapshot", True, 0),
            ("vigil/drive/cell_phone/snapshot", True, 0),
        ]
        stage.sessions[0].lose()
        await asyncio.sleep(60)
        assert topics(stage.sessions[1].said)["vigil/drive/person/snapshot"] == b"jpeg"
        fewer = topics(await stage.tell(introduced("drive", "person")))
        assert fewer["vigil/drive/cell_phone/snapshot"] == b""
        assert "vigil/drive/person/snapshot" not in fewer
        gone = topics(await stage.tell(CameraGone("drive")))
        assert gone["vigil/drive/person/snapshot"] == b""


async def test_live_pictures_are_for_who_listens_now(stage: Stage) -> None:
    """What a camera sees is not retained, and nothing is said of a camera that is gone."""
    async with stage.playing():
        (said,) = await stage.tell(LiveView("drive", b"jpeg"), LiveView("cellar", b"jpeg"))
        assert (said.topic, said.payload, said.retain) == ("vigil/drive/live", b"jpeg", False)
