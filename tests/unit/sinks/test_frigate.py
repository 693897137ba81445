"""Topics in Frigate's form: what its consumers read is there, says the truth, and goes when it should."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fakes import LOADED, MODEL, event, topics
from vigil.core.events import EventType, PathPoint
from vigil.core.types import (
    Action,
    CameraCommand,
    CameraGone,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    Detections,
    MotionChanged,
    Result,
    SnapshotTaken,
    Tuning,
)
from vigil.sinks.frigate.dialect import Frigate
from vigil.sinks.messages import Messages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vigil.core.events import Event
    from vigil.core.types import BusMessage
    from vigil.sinks.dialect import Message

ONLINE = CameraHealth("drive", CameraState.LIVE)
DRIVE = CameraIntroduced("drive", {"person": 0, "cell phone": 0}, {"gate": {"person": 0}})
NUMBER = (int, float)
AFTER: dict[str, type | tuple[type, ...]] = {
    "id": str,
    "camera": str,
    "frame_time": NUMBER,
    "snapshot": dict,
    "label": str,
    "sub_label": type(None),
    "top_score": NUMBER,
    "false_positive": bool,
    "start_time": NUMBER,
    "end_time": (*NUMBER, type(None)),
    "score": NUMBER,
    "box": list,
    "area": int,
    "ratio": NUMBER,
    "region": list,
    "current_zones": list,
    "entered_zones": list,
    "has_snapshot": bool,
    "has_clip": bool,
    "active": bool,
    "stationary": bool,
    "motionless_count": int,
    "position_changes": int,
}
"""What consumers find in `before` and `after`, and of which kind."""

SNAPSHOT = {"frame_time", "box", "area", "region", "score", "attributes"}
REVIEW = {"id", "camera", "start_time", "end_time", "severity", "thumb_path", "data"}


class Stage:
    """The dialect, and what a broker holds of what it said."""

    def __init__(self) -> None:
        messages = Messages("vigil", LOADED)
        self.dialect = Frigate(
            "frigate", lambda camera, name, payload: messages.command(f"vigil/{camera}/{name}/set", payload)
        )
        self.broker = topics(self.dialect.opening())
        self.said: list[Message] = []

    def tell(self, *messages: BusMessage) -> list[Message]:
        """Have things happen and return what is said of them."""
        said = [each for message in messages for each in self.dialect.take(message) if not each.stays]
        self.broker |= {message.topic: message.payload for message in said if message.retain}
        self.said += said
        return said

    def payloads(self, topic: str) -> list[Any]:
        """Return the JSON that was said on a topic."""
        return [json.loads(message.payload) for message in self.said if message.topic == topic]


@pytest.fixture
def stage() -> Stage:
    """Return a dialect that knows the camera `drive`, which is live."""
    made = Stage()
    made.tell(DRIVE, ONLINE)
    return made


def result(camera: CameraIntroduced = DRIVE, **changes: Any) -> Result:
    """Return a result with these counts and zones."""
    facts = {"counts": camera.counts, "zones": camera.zones, "totals": camera.totals, **changes}
    return Result(camera.camera, 1, 0.0, 1280, 720, MODEL, Detections.empty(), **facts)


def happening(kind: EventType = EventType.NEW, **changes: Any) -> Event:
    """Return an event with these facts."""
    return replace(event(kind), **changes)


def ended(**changes: Any) -> Event:
    """Return the end of an event."""
    return happening(EventType.END, end_time=9.0, **changes)


def test_camera_is_told_with_its_switches(stage: Stage) -> None:
    """Every topic of a camera is there from the start and retained: Frigate's are not, and wrong for it."""
    assert all(message.retain and message.qos == 1 for message in stage.said)
    assert stage.broker == {
        "frigate/available": b"online",
        "frigate/drive/person": b"0",
        "frigate/drive/cell_phone": b"0",
        "frigate/drive/all": b"0",
        "frigate/gate/person": b"0",
        "frigate/gate/all": b"0",
        "frigate/drive/enabled/state": b"ON",
        "frigate/drive/detect/state": b"ON",
        "frigate/drive/motion/state": b"ON",
        "frigate/drive/snapshots/state": b"ON",
        "frigate/drive/recordings/state": b"OFF",
        "frigate/drive/review_status": b"NONE",
        "frigate/drive/status/detect": b"online",
    }


def test_switches_follow_the_camera(stage: Stage) -> None:
    """What is switched in vigil shows in the switches, and motion is not its switch."""
    stage.tell(replace(DRIVE, tuning=Tuning(detect=False, motion=False)), MotionChanged("drive", on=True))
    stage.tell(CameraHealth("drive", CameraState.DISABLED))
    assert stage.broker["frigate/drive/detect/state"] == b"OFF"
    assert stage.broker["frigate/drive/motion/state"] == b"OFF"
    assert stage.broker["frigate/drive/motion"] == b"ON"
    assert stage.broker["frigate/drive/enabled/state"] == b"OFF"
    assert stage.broker["frigate/drive/status/detect"] == b"disabled"


def test_counts_are_said_when_they_change(stage: Stage) -> None:
    """A label's count and that of all, in the picture and in the zone, each once."""
    said = stage.tell(result(counts={"person": 2, "cell phone": 1}, zones={"gate": {"person": 1}}))
    assert topics(said) == {
        "frigate/drive/person": b"2",
        "frigate/drive/cell_phone": b"1",
        "frigate/drive/all": b"3",
        "frigate/gate/person": b"1",
        "frigate/gate/all": b"1",
    }
    assert stage.tell(result(counts={"person": 2, "cell phone": 1}, zones={"gate": {"person": 1}})) == []
    assert stage.tell(result(counts={"dog": 1})) == []


def test_zone_of_several_cameras_is_counted_together(stage: Stage) -> None:
    """Zones of one name are one place; one camera leaving takes its share with it."""
    door = CameraIntroduced("door", {"person": 0}, {"gate": {"person": 0, "car": 0}})
    stage.tell(door, CameraHealth("door", CameraState.LIVE))
    stage.tell(
        result(zones={"gate": {"person": 2}}),
        result(door, zones={"gate": {"person": 1, "car": 1}}),
    )
    assert (stage.broker["frigate/gate/person"], stage.broker["frigate/gate/all"]) == (b"3", b"4")
    stage.tell(CameraGone("drive"))
    assert (stage.broker["frigate/gate/person"], stage.broker["frigate/gate/all"]) == (b"1", b"2")


def test_zone_that_is_called_as_a_camera_gives_way(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """The camera's counts stand on the topics that both would have, and one line says so."""
    gate = CameraIntroduced("gate", {"dog": 0})
    stage.tell(gate, CameraHealth("gate", CameraState.LIVE), result(zones={"gate": {"person": 2}}))
    assert (stage.broker["frigate/gate/person"], stage.broker["frigate/gate/all"]) == (b"", b"0")
    stage.tell(result(gate, counts={"dog": 1}))
    assert (stage.broker["frigate/gate/dog"], stage.broker["frigate/gate/all"]) == (b"1", b"1")
    assert caplog.text.count("zone gate is called as a camera is") == 1
    stage.tell(CameraGone("gate"))
    assert (stage.broker["frigate/gate/dog"], stage.broker["frigate/gate/person"]) == (b"", b"2")


def test_camera_that_goes_away_sees_nobody(stage: Stage) -> None:
    """Its counts go to 0, and a result that comes late brings none back."""
    busy = result(counts={"person": 2, "cell phone": 0}, zones={"gate": {"person": 1}})
    stage.tell(busy, CameraHealth("drive", CameraState.OFFLINE, "ended"), busy)
    assert stage.broker["frigate/drive/person"] == stage.broker["frigate/gate/all"] == b"0"
    assert stage.broker["frigate/drive/status/detect"] == b"offline"
    assert stage.broker["frigate/drive/enabled/state"] == b"ON"


def test_events_have_what_consumers_read(stage: Stage) -> None:
    """Each message has the state before and after, with every key that Frigate documents, of its kind."""
    stage.tell(result(), happening(box=(10.2, 20, 30, 80)), ended(box=(10.2, 20, 30, 80)))
    said = [message for message in stage.said if message.topic == "frigate/events"]
    assert all((message.qos, message.retain, message.durable) == (1, False, True) for message in said)
    messages = stage.payloads("frigate/events")
    assert [message["type"] for message in messages] == ["new", "end"]
    for message in messages:
        assert set(message) == {"type", "before", "after"}
        for state in (message["before"], message["after"]):
            assert {key: type(state[key]) for key in AFTER if not isinstance(state[key], AFTER[key])} == {}
            assert set(state["snapshot"]) == SNAPSHOT
    after = messages[-1]["after"]
    assert (after["box"], after["area"], after["ratio"]) == ([10, 20, 30, 80], 1200, 0.33)
    assert after["region"] == [0, 0, 1280, 720]
    assert (after["end_time"], messages[0]["after"]["end_time"]) == (9.0, None)
    assert messages[-1]["before"] == messages[0]["after"]


def test_events_tell_what_changed(stage: Stage) -> None:
    """`before` is what was said last, and an object that stood still and moves has changed its position."""
    path = (PathPoint(5.0, 0.1, 0.2),)
    stage.tell(
        happening(),
        happening(EventType.UPDATE, stationary=True, zones=("gate",), entered_zones=("gate",)),
        happening(EventType.UPDATE, entered_zones=("gate",), path=path),
        ended(entered_zones=("gate",)),
    )
    messages = stage.payloads("frigate/events")
    after = [message["after"] for message in messages]
    assert [message["before"] for message in messages] == [after[0], *after[:-1]]
    assert [state["position_changes"] for state in after] == [1, 1, 2, 2]
    assert [state["active"] for state in after] == [True, False, True, True]
    assert [state["motionless_count"] for state in after] == [0, 1, 0, 0]
    assert [state["current_zones"] for state in after] == [[], ["gate"], [], []]
    assert after[3]["entered_zones"] == ["gate"]
    assert [state["frame_time"] for state in after] == [0.0, 0.0, 5.0, 9.0]


def test_snapshot_is_of_the_best_view(stage: Stage) -> None:
    """The box beside `snapshot` stays that of the highest score, and a higher one replaces it."""
    stage.tell(
        happening(score=0.6, top_score=0.6, box=(0, 0, 10, 10)),
        happening(EventType.UPDATE, score=0.5, top_score=0.6, box=(5, 5, 9, 9)),
        happening(EventType.UPDATE, score=0.8, top_score=0.8, box=(1, 1, 9, 9)),
    )
    best = [message["after"]["snapshot"]["box"] for message in stage.payloads("frigate/events")]
    assert best == [[0, 0, 10, 10], [0, 0, 10, 10], [1, 1, 9, 9]]


def test_picture_is_retained_and_told(stage: Stage) -> None:
    """The JPEG stands on the label's topic, and the event has a snapshot from then on."""
    picture = SnapshotTaken("drive", "cell phone", "01J", 3.5, b"jpeg")
    stage.tell(happening(label="cell phone"), picture, picture, ended(label="cell phone"))
    [first, *_] = [message for message in stage.said if message.topic == "frigate/drive/cell_phone/snapshot"]
    assert (first.payload, first.retain) == (b"jpeg", True)
    messages = stage.payloads("frigate/events")
    assert [message["type"] for message in messages] == ["new", "update", "end"]
    assert [message["after"]["has_snapshot"] for message in messages] == [False, True, True]
    assert messages[1]["before"]["has_snapshot"] is False
    assert messages[1]["after"]["snapshot"]["frame_time"] == 3.5


def test_picture_of_nobody_known_is_only_a_picture(stage: Stage) -> None:
    """One that comes after its event's end says nothing of events, one of a camera that is gone nothing."""
    said = stage.tell(SnapshotTaken("drive", "person", "gone", 3.5, b"jpeg"))
    assert {message.topic for message in said} == {"frigate/drive/person/snapshot"}
    assert stage.tell(SnapshotTaken("drive", "dog", "01J", 3.5, b"jpeg")) == []
    assert stage.tell(SnapshotTaken("cellar", "person", "01J", 3.5, b"jpeg")) == []


def test_pictures_that_are_not_wanted_are_taken_back(stage: Stage) -> None:
    """A reload that ends pictures, or a label, clears what was retained of them."""
    stage.tell(*(SnapshotTaken("drive", label, "01J", 1.0, b"jpeg") for label in ("person", "cell phone")))
    stage.tell(replace(DRIVE, counts={"person": 0}))
    assert stage.broker["frigate/drive/cell_phone/snapshot"] == b""
    assert stage.broker["frigate/drive/person/snapshot"] == b"jpeg"
    stage.tell(replace(DRIVE, snapshots=False))
    assert stage.broker["frigate/drive/person/snapshot"] == b""
    assert stage.broker["frigate/drive/snapshots/state"] == b"OFF"


def test_clip_switches_recordings_on(stage: Stage) -> None:
    """The switch tells that there are recordings once there is one."""
    stage.tell(happening(), ended(has_clip=True))
    assert stage.broker["frigate/drive/recordings/state"] == b"ON"


def faces(messages: Iterable[Message], zone: str) -> list[tuple[str, str, str, bytes]]:
    """Return whose faces a recogniser would look for: kind of message, id, camera, picture.

    It reads what double-take reads: id, label, camera, area and current zones of `after`, else of
    `before`, and pictures on `frigate/+/person/snapshot`.
    """
    pictures: dict[str, bytes] = {}
    found = []
    for message in messages:
        match message.topic.split("/"):
            case ["frigate", camera, "person", "snapshot"]:
                pictures[camera] = message.payload
            case ["frigate", "events"]:
                said = json.loads(message.payload)
                about = said["after"] or said["before"]
                near = about["area"] >= 100 and zone in about["current_zones"]
                if about["label"] == "person" and near and about["camera"] in pictures:
                    found.append((said["type"], about["id"], about["camera"], pictures[about["camera"]]))
            case _:
                pass
    return found


def test_recogniser_of_faces_finds_what_it_needs(stage: Stage) -> None:
    """Who is near enough and at the gate is looked for in the picture that came before."""
    far, near = (0, 0, 9, 9), (0, 0, 20, 40)
    stage.tell(
        happening(box=far),
        SnapshotTaken("drive", "person", "01J", 1.0, b"jpeg"),
        happening(EventType.UPDATE, box=near, zones=("gate",), entered_zones=("gate",)),
        happening(EventType.UPDATE, box=near, entered_zones=("gate",)),
        ended(box=near, zones=("gate",), entered_zones=("gate",)),
    )
    assert faces(stage.said, "gate") == [
        ("update", "01J", "drive", b"jpeg"),
        ("end", "01J", "drive", b"jpeg"),
    ]


def test_notification_is_sent_once_with_a_picture(stage: Stage) -> None:
    """Blueprints wait for the message whose `after` has a snapshot that `before` had not: there is one."""
    stage.tell(
        happening(),
        SnapshotTaken("drive", "person", "01J", 1.0, b"jpeg"),
        happening(EventType.UPDATE, has_snapshot=True),
        ended(has_snapshot=True),
    )
    messages = stage.payloads("frigate/events")
    first = [
        each for each in messages if each["after"]["has_snapshot"] and not each["before"]["has_snapshot"]
    ]
    assert [each["type"] for each in first] == ["update"]


def test_review_lasts_while_anything_moves(stage: Stage) -> None:
    """It begins with the first object, takes in others, gets more severe, and ends with the last of them."""
    stage.tell(
        happening(id="a", label="dog"),
        happening(EventType.UPDATE, id="a", label="dog"),
        happening(id="b", label="person", entered_zones=("gate",)),
        ended(id="a", label="dog"),
        ended(id="b", label="person", entered_zones=("gate",)),
    )
    messages = stage.payloads("frigate/reviews")
    assert [message["type"] for message in messages] == ["new", "update", "end"]
    assert [message["after"]["severity"] for message in messages] == ["detection", "alert", "alert"]
    assert len({message["after"]["id"] for message in messages}) == 1
    assert [message["before"] for message in messages[1:]] == [message["after"] for message in messages[:-1]]
    last = messages[-1]["after"]
    assert set(last) == REVIEW
    assert last["data"] == {
        "detections": ["a", "b"],
        "objects": ["dog", "person"],
        "sub_labels": [],
        "zones": ["gate"],
        "audio": [],
    }
    assert (last["start_time"], last["end_time"]) == (0.0, 9.0)


def test_review_status_follows_the_review(stage: Stage) -> None:
    """The camera's topic says whether anything goes on, and how severe it is."""
    seen = []
    for each in (
        happening(id="a", label="dog"),
        happening(id="b"),
        ended(id="b"),
        ended(id="a", label="dog"),
    ):
        stage.tell(each)
        seen.append(stage.broker["frigate/drive/review_status"])
    assert seen == [b"DETECTION", b"ALERT", b"ALERT", b"NONE"]


def test_parked_car_is_no_part_of_a_review(stage: Stage) -> None:
    """What stands still neither holds a review open nor joins one; driving off begins another."""
    parked: dict[str, Any] = {"id": "c", "label": "car", "stationary": True}
    stage.tell(happening(**parked))
    assert stage.payloads("frigate/reviews") == []
    stage.tell(happening(id="a"), happening(EventType.UPDATE, **parked), ended(id="a"))
    assert [each["after"]["data"]["objects"] for each in stage.payloads("frigate/reviews")] == [
        ["person"]
    ] * 2
    path = (PathPoint(20.0, 0.1, 0.2),)
    stage.tell(happening(EventType.UPDATE, id="c", label="car", path=path))
    stage.tell(happening(EventType.UPDATE, **parked, path=(PathPoint(25.0, 0.1, 0.2),)))
    [*_, began, stopped] = stage.payloads("frigate/reviews")
    assert (began["type"], began["after"]["start_time"]) == ("new", 20.0)
    assert (stopped["type"], stopped["after"]["end_time"]) == ("end", 25.0)


def test_camera_that_is_gone_leaves_nothing_behind(stage: Stage) -> None:
    """Every retained topic of a removed camera is cleared, its picture too, and no event is told of it."""
    stage.tell(
        MotionChanged("drive", on=True), happening(), SnapshotTaken("drive", "person", "01J", 1.0, b"jpeg")
    )
    stage.tell(ended(), CameraGone("drive"))
    assert {topic for topic, payload in stage.broker.items() if payload} == {"frigate/available"}
    assert stage.tell(result(), happening(), MotionChanged("drive", on=True)) == []


def test_goodbye_leaves_the_right_state_behind(stage: Stage) -> None:
    """Counts are at 0, motion is off, and `available` goes last."""
    stage.tell(
        result(counts={"person": 2, "cell phone": 0}, zones={"gate": {"person": 1}}),
        MotionChanged("drive", on=True),
    )
    said = list(stage.dialect.goodbye())
    left = topics(said)
    assert said[-1] == replace(said[-1], topic="frigate/available", payload=b"offline", retain=True)
    assert left["frigate/drive/person"] == left["frigate/drive/all"] == left["frigate/gate/person"] == b"0"
    assert left["frigate/drive/motion"] == b"OFF"
    assert left["frigate/drive/status/detect"] == b"offline"
    assert not [topic for topic in left if topic.endswith("/state")], "nobody switched anything"


def test_switches_are_vigils_own(stage: Stage) -> None:
    """What is set on Frigate's topics is the command that vigil's own topic would have given."""
    assert "frigate/+/detect/set" in stage.dialect.listens
    assert stage.dialect.hear("frigate/drive/enabled/set", b"OFF") == CameraCommand("drive", Action.DISABLE)
    assert stage.dialect.hear("frigate/drive/enabled/set", b"ON") == CameraCommand("drive", Action.ENABLE)
    assert stage.dialect.hear("vigil/drive/enabled/set", b"ON") is None
    assert stage.dialect.hear("frigate/drive/ptz", b"STOP") is None
    assert stage.dialect.hear("frigate/drive/snapshots/set", b"ON") is None


@pytest.mark.parametrize("switch", ["detect", "motion"])
def test_setting_is_read_as_vigils_own(switch: str) -> None:
    """Detection and motion are asked of vigil's own vocabulary under the same names."""
    asked = []

    def command(camera: str, setting: str, payload: bytes) -> CameraCommand:
        asked.append((camera, setting, payload))
        return CameraCommand(camera, Action.RESTART)

    dialect = Frigate("frigate", command)
    list(dialect.take(DRIVE))
    assert dialect.hear(f"frigate/drive/{switch}/set", b"OFF") == CameraCommand("drive", Action.RESTART)
    assert asked == [("drive", switch, b"OFF")]


@pytest.mark.parametrize(
    ("topic", "payload", "says"),
    [
        ("frigate/drive/enabled/set", b"on", "ON or OFF is wanted"),
        ("frigate/drive/snapshots/set", b"OFF", "snapshots cannot be switched over MQTT"),
        ("frigate/drive/recordings/set", b"ON", "recordings cannot be switched over MQTT"),
        ("frigate/cellar/enabled/set", b"ON", "there is no camera 'cellar'"),
    ],
)
def test_what_cannot_be_done_is_said(stage: Stage, topic: str, payload: bytes, says: str) -> None:
    """A command that makes no sense, or that vigil cannot fulfil, says why."""
    with pytest.raises(ValueError, match=says):
        stage.dialect.hear(topic, payload)


def test_setting_that_vigil_cannot_switch_is_said() -> None:
    """Where vigil's own vocabulary has no such command, nobody is left waiting."""
    dialect = Frigate("frigate", lambda *_asked: None)
    list(dialect.take(DRIVE))
    with pytest.raises(ValueError, match="motion cannot be switched"):
        dialect.hear("frigate/drive/motion/set", b"OFF")


def test_the_guide_has_every_topic(stage: Stage) -> None:
    """The table lists exactly what is said, with how it is retained and its quality of service."""
    stage.tell(
        MotionChanged("drive", on=True), happening(), SnapshotTaken("drive", "person", "01J", 1.0, b"x")
    )
    said = [*stage.dialect.opening(), *stage.said]
    rows = set()
    for message in said:
        topic = message.topic.replace("/drive", "/<camera>").replace("/gate", "/<zone>")
        topic = re.sub(r"/(person|cell_phone)\b", "/<label>", topic)
        topic = re.sub(r"/(enabled|detect|motion|snapshots|recordings)/state$", "/<switch>/state", topic)
        rows.add((topic, "yes" if message.retain else "no", str(message.qos)))
    page = (Path(__file__).parents[3] / "docs/guide/frigate.md").read_text(encoding="utf-8")
    listed = {
        (topic, retained, qos)
        for topics_of_row, retained, qos in re.findall(
            r"^\| (`frigate/.+?`) \| (yes|no) \| (\d) \|", page, re.MULTILINE
        )
        for topic in re.findall(r"`(\S+)`", topics_of_row)
    }
    assert listed == rows
    switches = {topic.split("/")[2] for topic in stage.dialect.listens}
    assert all(f"`{switch}`" in page for switch in switches)


def test_an_open_object_and_review_carry_what_ends_them(stage: Stage) -> None:
    """What is told of somebody who is there carries the end that a crash would leave untold."""
    path = (PathPoint(5.0, 0.5, 0.5), PathPoint(9.0, 0.5, 0.6))
    said = [each for each in stage.tell(happening(path=path)) if each.durable]
    assert {each.topic for each in said} == {"frigate/events", "frigate/reviews"}
    assert len({each.story for each in said}) == 2
    for each in said:
        told, last = json.loads(each.payload), json.loads(each.last_words or b"")
        assert last["before"] == told["after"]
        assert (last["type"], last["after"]["id"], last["after"]["end_time"]) == (
            "end",
            told["after"]["id"],
            9.0,
        )
    ends = [each for each in stage.tell(ended(path=path)) if each.durable]
    assert [each.story for each in ends] == [each.story for each in said]
    assert [each.last_words for each in ends] == [None, None]
