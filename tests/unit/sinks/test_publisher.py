"""The MQTT sink against a session that only notes, in virtual time: what is said, when, and what again."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import MODEL, boxes, event, topics
from vigil.core.events import Crossings, EventType, Totals
from vigil.core.types import (
    CameraHealth,
    CameraIntroduced,
    CameraState,
    Condition,
    MotionChanged,
    Result,
)
from vigil.sinks.wire import BrokerError, RivalError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vigil.sinks.dialect import Message

from tests.support.publishing import (
    CONNECTING,
    MESSAGES,
    OFFLINE,
    ONLINE,
    Stage,
    health,
    introduced,
    result,
    settings,
)

pytestmark = pytest.mark.looptime


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
