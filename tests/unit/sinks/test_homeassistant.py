"""What Home Assistant finds: entities, what they show and depend on, and that they go when they should."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.discovery import Registry, available, state
from tests.support.fakes import LOADED, MODEL, event
from vigil.config.integrations import HomeAssistantConfig
from vigil.core.events import Crossings, Totals
from vigil.core.types import (
    CameraGone,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    CameraStats,
    Condition,
    Detections,
    MotionChanged,
    ProfileChanged,
    Result,
    StatsReport,
)
from vigil.schemas.topics import topic_of
from vigil.sinks.dialect import SayAgain
from vigil.sinks.homeassistant.dialect import HomeAssistant
from vigil.sinks.homeassistant.entities import MANY
from vigil.sinks.homeassistant.naming import ident, slug, title
from vigil.sinks.messages import Messages
from vigil.sinks.native import Native

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vigil.core.types import BusMessage
    from vigil.sinks.dialect import Message
    from vigil.sinks.homeassistant.dialect import Told

MODES = ("device", "entity")
ONLINE = CameraHealth("drive", CameraState.LIVE)
DRIVE = CameraIntroduced(
    "drive",
    {"person": 0, "cell phone": 0},
    {"gate": {"person": 0}},
    Totals({"entry": {"person": Crossings(3, 1)}}),
)
ALWAYS = {
    *("status", "state", "problem", "motion", "events"),
    *("enabled", "detect", "motion_switch", "confidence", "fps"),
    *("capture_fps", "inference_fps", "latency", "codec"),
}
PERSON = ALWAYS | {"objects_person", "occupancy_person", "image_person"}
EIGHTY = [f"thing {number}" for number in range(80)]


class Home:
    """vigil's own topics and Home Assistant's, what a broker holds of both, and what Home Assistant knows."""

    def __init__(
        self,
        *,
        told: dict[str, Told] | None = None,
        registry: Registry | None = None,
        cameras: Iterable[str] = ("drive",),
        prefix: str = "vigil",
        **options: Any,
    ) -> None:
        """`told` and `registry` are what an earlier run left."""
        self.told: dict[str, Told] = {} if told is None else told
        self.registry = registry or Registry()
        self.broker: dict[str, bytes] = {}
        self.native = Native(Messages(prefix, LOADED))
        config = HomeAssistantConfig.model_validate(options)
        self.dialect = HomeAssistant(config, prefix, list(cameras), self.told)
        self._hear(self.native.opening())
        self._hear(self.dialect.opening())
        self.tell(ProfileChanged(None))

    def tell(self, *messages: BusMessage) -> list[Message]:
        """Have things happen and return what Home Assistant is told of them."""
        said = []
        for message in messages:
            self._hear(self.native.take(message))
            said += self._hear(self.dialect.take(message))
        return said

    def again(self, **options: Any) -> Home:
        """Return the same home after a restart of vigil."""
        return Home(told=self.told, registry=self.registry, **options)

    def keys(self, device: str = "vigil_drive") -> set[str]:
        """Return the keys of a device's entities."""
        return set(self.registry.of(device))

    def shown(self, key: str, device: str = "vigil_drive") -> str:
        """Return the state of an entity, after what the broker holds."""
        options = self.registry.of(device)[key]
        return state(options, self.broker[options["state_topic"]])

    def available(self, device: str = "vigil_drive") -> set[str]:
        """Return the keys of the entities that are available."""
        return {key for key, each in self.registry.of(device).items() if available(each, self.broker)}

    def _hear(self, messages: Iterable[Message]) -> list[Message]:
        said = list(messages)
        self.broker |= {message.topic: message.payload for message in said if message.retain}
        self.registry.hear(said)
        return said


def counted(camera: CameraIntroduced, **changes: Any) -> Result:
    """Return a result of a camera that has these counts, zones or totals now."""
    facts = {"counts": camera.counts, "zones": camera.zones, "totals": camera.totals, **changes}
    return Result(camera.camera, 1, 0.0, 640, 480, MODEL, Detections.empty(), **facts)


@pytest.mark.parametrize("mode", MODES)
def test_camera_has_its_entities(mode: str) -> None:
    """A camera has what every camera has, and what there is of each label, zone and line."""
    home = Home(mode=mode)
    home.tell(DRIVE)
    assert home.keys() == ALWAYS | {
        *("objects_person", "occupancy_person", "objects_cell_phone", "occupancy_cell_phone"),
        *("image_person", "image_cell_phone"),
        *("zone_gate_OF_objects_person", "zone_gate_OF_occupancy_person"),
        *("line_entry_OF_in_person", "line_entry_OF_out_person"),
    }
    assert home.keys("vigil") == {"status", "model", "engine", "saturation", "inferences"}


def test_device_mode_is_one_message() -> None:
    """A camera is announced by one retained message, linked to vigil's own device, with its origin."""
    home = Home()
    [said] = home.tell(DRIVE)
    assert (said.topic, said.retain, said.qos) == ("homeassistant/device/vigil_drive/config", True, 1)
    payload = json.loads(said.payload)
    assert payload["dev"] == {
        "ids": ["vigil_drive"],
        "name": "Drive",
        "mf": "vigil",
        "mdl": "Camera",
        "via_device": "vigil",
    }
    assert payload["o"]["name"] == "vigil"
    assert payload["avty_mode"] == "all"
    assert json.loads(home.broker["homeassistant/device/vigil/config"])["dev"]["ids"] == ["vigil"]


def test_entity_mode_is_one_message_each() -> None:
    """Before 2024.11 each entity has a topic of its own, under the same node and object."""
    home = Home(mode="entity")
    said = home.tell(DRIVE)
    topics = {message.topic for message in said}
    assert "homeassistant/sensor/vigil_drive/zone_gate_OF_objects_person/config" in topics
    assert len(topics) == len(said) == len(home.keys())
    assert not [topic for topic in topics if "/device/" in topic]


LABELS = st.text(min_size=1, max_size=12).filter(lambda text: not set(text) & set("+#\x00"))
NAMES = st.from_regex(r"[a-z0-9_-]{1,12}", fullmatch=True)
COUNTS = st.dictionaries(LABELS, st.integers(0, 3), max_size=14)
CAMERAS = st.builds(
    CameraIntroduced,
    NAMES,
    COUNTS,
    st.dictionaries(NAMES, COUNTS, max_size=3),
    st.builds(
        Totals, st.dictionaries(NAMES, st.dictionaries(LABELS, st.builds(Crossings), max_size=3), max_size=3)
    ),
)


@settings(deadline=None, max_examples=40)
@given(
    cameras=st.lists(CAMERAS, max_size=3, unique_by=lambda camera: camera.camera),
    mode=st.sampled_from(MODES),
    prefix=st.sampled_from(["vigil", "home/vigil", "häuschen"]),
    profiles=st.lists(NAMES, max_size=2, unique=True),
)
def test_every_message_keeps_the_rules(
    cameras: list[CameraIntroduced], mode: str, prefix: str, profiles: list[str]
) -> None:
    """Whatever cameras, zones and labels are called, Home Assistant takes each message, and no two clash."""
    home = Home(cameras=[each.camera for each in cameras], prefix=prefix, mode=mode)
    for camera in cameras:
        home.tell(camera)
        distinct = {label.replace(" ", "_").replace("/", "_") for label in camera.counts}
        images = {key for key in home.keys(f"{ident(prefix)}_{camera.camera}") if key.startswith("image_")}
        assert len(images) == len(distinct) or len(camera.counts) > MANY
    home.tell(ProfileChanged(None, tuple(profiles)))


@settings(deadline=None, max_examples=40)
@given(first=CAMERAS, second=CAMERAS, modes=st.tuples(st.sampled_from(MODES), st.sampled_from(MODES)))
def test_a_restart_leaves_nothing_of_before(
    first: CameraIntroduced, second: CameraIntroduced, modes: tuple[str, str]
) -> None:
    """However cameras, labels and the mode change while vigil is away, only what there is now stays."""
    before = Home(cameras=[first.camera], mode=modes[0])
    before.tell(first)
    after = before.again(cameras=[second.camera], mode=modes[1])
    after.tell(second)
    fresh = Home(cameras=[second.camera], mode=modes[1], told=dict(after.told))
    fresh.tell(second)
    assert set(after.registry.entities) == set(fresh.registry.entities)


def test_counts_and_occupancy_are_shown() -> None:
    """The templates make of vigil's own messages what Home Assistant shows."""
    home = Home()
    home.tell(DRIVE, ONLINE, MotionChanged("drive", on=True))
    assert (home.shown("objects_person"), home.shown("occupancy_person")) == ("0", "OFF")
    home.tell(counted(DRIVE, counts={"person": 2, "cell phone": 0}, zones={"gate": {"person": 1}}))
    assert (home.shown("objects_person"), home.shown("occupancy_person")) == ("2", "ON")
    assert home.shown("zone_gate_OF_occupancy_person") == "ON"
    assert home.shown("occupancy_cell_phone") == "OFF"
    assert (home.shown("line_entry_OF_in_person"), home.shown("line_entry_OF_out_person")) == ("3", "1")
    assert (home.shown("status"), home.shown("motion"), home.shown("enabled")) == ("ON", "ON", "ON")
    assert (home.shown("problem"), home.shown("state")) == ("OFF", "live")
    home.tell(CameraHealth("drive", CameraState.LIVE, condition=Condition.FROZEN))
    assert home.shown("problem") == "ON"
    home.tell(CameraHealth("drive", CameraState.DISABLED))
    assert (home.shown("status"), home.shown("state"), home.shown("enabled")) == ("OFF", "disabled", "OFF")
    assert home.shown("occupancy_person") == "OFF"
    assert (home.shown("status", "vigil"), home.shown("model", "vigil")) == ("ON", "fake")


def test_numbers_of_the_daemon_and_of_cameras_are_shown() -> None:
    """Rates and latencies come from the report; what a camera has not, or is not in it, is unknown."""
    home = Home(cameras=("drive", "door"))
    home.tell(DRIVE, CameraIntroduced("door", {}), CameraIntroduced("attic", {}))
    cameras = {
        "drive": CameraStats(25.04, 4.96, 5.0, 0.05, 0.1234, "h264", 1280, 720),
        "door": CameraStats(0.0, 0.0, 5.0, None, None, "", 0, 0),
    }
    home.tell(StatsReport(0.4321, 14.56, 3600.0, cameras))
    keys = ("capture_fps", "inference_fps", "latency", "codec")
    assert [home.shown(key) for key in keys] == ["25.0", "5.0", "123.0", "h264"]
    assert [home.shown(key, "vigil_door") for key in keys] == ["0.0", "0.0", "None", "None"]
    assert [home.shown(key, "vigil_attic") for key in keys] == ["None"] * 4
    assert [home.shown(key, "vigil") for key in ("saturation", "inferences")] == ["43.2", "14.6"]


def test_events_have_the_form_that_home_assistant_asks_for() -> None:
    """The template turns an event into JSON with `event_type`, one of those that were announced."""
    home = Home()
    home.tell(DRIVE)
    options = home.registry.of("vigil_drive")["events"]
    [said] = home.native.take(event())
    assert said.topic == options["state_topic"]
    attributes = json.loads(state(options, said.payload))
    assert attributes.pop("event_type") in options["event_types"]
    whole = json.loads(said.payload)
    assert attributes == {key: whole[key] for key in attributes}
    assert {"id", "label", "zones", "end_time"} <= set(attributes)


AWAY_TOO = {
    *("status", "state", "events", "enabled", "detect", "motion_switch", "confidence", "fps"),
    *("line_entry_OF_in_person", "line_entry_OF_out_person"),
    *("image_person", "image_cell_phone"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("away", [CameraState.OFFLINE, CameraState.DISABLED, CameraState.CONNECTING])
def test_camera_that_is_away_is_unavailable_but_for_its_switches(mode: str, away: CameraState) -> None:
    """Nobody is seen by a camera that does not see; that it is away, and its settings, are still there."""
    home = Home(mode=mode)
    home.tell(DRIVE, ONLINE)
    assert home.available() == home.keys()
    home.tell(CameraHealth("drive", away))
    assert home.available() == AWAY_TOO
    home.tell(ONLINE)
    assert home.available() == home.keys()


@pytest.mark.parametrize("mode", MODES)
def test_nothing_but_its_connection_is_available_without_vigil(mode: str) -> None:
    """The last will takes every entity with it, whatever the broker has kept of counts."""
    home = Home(mode=mode)
    home.tell(DRIVE, ONLINE, counted(DRIVE, counts={"person": 2, "cell phone": 0}))
    assert home.available("vigil") == home.keys("vigil")
    home.broker["vigil/status"] = b"offline"
    assert home.available() == set()
    assert home.available("vigil") == {"status"}
    assert home.shown("status", "vigil") == "OFF"


@pytest.mark.parametrize("mode", MODES)
def test_what_leaves_the_configuration_leaves_home_assistant(mode: str) -> None:
    """A label, a zone and a line that a reload removes are gone, and come back with the next."""
    home = Home(mode=mode)
    home.tell(DRIVE)
    whole = home.keys()
    home.tell(CameraIntroduced("drive", {"person": 0}))
    assert home.keys() == PERSON
    home.tell(DRIVE)
    assert home.keys() == whole


@pytest.mark.parametrize("mode", MODES)
def test_camera_that_is_gone_takes_its_device_with_it(mode: str) -> None:
    """An empty retained message on each of its topics; the next start knows nothing of it."""
    home = Home(mode=mode)
    home.tell(DRIVE, CameraIntroduced("door", {"car": 0}))
    said = home.tell(CameraGone("drive"))
    assert {message.payload for message in said} == {b""}
    assert all(message.retain for message in said)
    assert home.keys() == set()
    assert home.keys("vigil_door") >= ALWAYS
    assert {told.device for told in home.told.values()} == {"vigil", "vigil_door"}


def test_removal_stays_in_the_message_until_vigil_starts_again() -> None:
    """A Home Assistant that was away for a while hears of it too; the next start leaves it out."""
    home = Home()
    home.tell(DRIVE)
    [said] = home.tell(CameraIntroduced("drive", {"person": 0}))
    assert json.loads(said.payload)["cmps"]["objects_cell_phone"] == {"p": "sensor"}
    after = home.again()
    [said] = after.tell(CameraIntroduced("drive", {"person": 0}))
    assert "objects_cell_phone" not in json.loads(said.payload)["cmps"]


@pytest.mark.parametrize("mode", MODES)
def test_what_left_while_vigil_was_away_is_taken_back(mode: str) -> None:
    """What an earlier run announced is remembered: a zone and a camera that are in the file no more go."""
    before = Home(mode=mode, cameras=("drive", "door"))
    before.tell(DRIVE, CameraIntroduced("door", {"car": 0}))
    after = before.again(mode=mode)
    assert after.keys("vigil_door") == set()
    after.tell(CameraIntroduced("drive", {"person": 0}))
    assert after.keys() == PERSON


@pytest.mark.parametrize(("first", "second"), [MODES, MODES[::-1]])
def test_mode_is_changed(first: str, second: str) -> None:
    """What the other mode announced is taken back before the same entities are announced anew."""
    before = Home(mode=first)
    before.tell(DRIVE)
    whole = before.keys()
    after = before.again(mode=second)
    assert after.keys() == after.keys("vigil") - after.keys("vigil") == set()
    after.tell(DRIVE)
    assert after.keys() == whole
    assert {"/device/" in topic for topic in after.told} == {second == "device"}


def test_prefix_is_changed() -> None:
    """What was said under another discovery prefix is taken back."""
    before = Home()
    before.tell(DRIVE)
    after = before.again(discovery_prefix="ha")
    assert {topic for topic, payload in after.broker.items() if payload == b""} == {
        "homeassistant/device/vigil/config",
        "homeassistant/device/vigil_drive/config",
    }
    assert after.dialect.listens == ["ha/status"]


@pytest.mark.parametrize("mode", MODES)
def test_discovery_that_is_switched_off_takes_all_back(mode: str) -> None:
    """Home Assistant is told of nothing any more, and nothing stays of what it was told."""
    before = Home(mode=mode)
    before.tell(DRIVE)
    after = before.again(mode=mode, discovery=False)
    assert after.tell(DRIVE, CameraGone("drive")) == []
    assert (after.registry.entities, after.told, after.dialect.listens) == ({}, {}, [])


def test_home_assistant_that_starts_is_told_everything() -> None:
    """Its birth message has everything retained said again; its last will does not."""
    dialect = Home().dialect
    assert dialect.listens == ["homeassistant/status"]
    assert dialect.hear("homeassistant/status", b"online") == SayAgain()
    assert dialect.hear("homeassistant/status", b"offline") is None
    assert dialect.hear("vigil/status", b"online") is None


@pytest.mark.parametrize("mode", MODES)
def test_of_many_labels_only_those_that_were_seen_are_announced(mode: str) -> None:
    """Eighty classes do not flood anybody: each comes with the first of its kind, and then stays."""
    many = dict.fromkeys(EIGHTY, 0)
    totals = Totals({"entry": {label: Crossings() for label in EIGHTY}})
    camera = CameraIntroduced("drive", many, {"gate": many}, totals)
    home = Home(mode=mode)
    home.tell(camera, ONLINE)
    assert home.keys() == ALWAYS
    assert home.tell(counted(camera, counts=dict(many))) == []
    home.tell(counted(camera, counts={**many, "thing 7": 1}, zones={"gate": {**many, "thing 7": 1}}))
    home.tell(
        counted(camera, totals=Totals({"entry": {**totals.lines["entry"], "thing 9": Crossings(0, 1)}}))
    )
    seen = ALWAYS | {
        *("objects_thing_7", "occupancy_thing_7", "image_thing_7"),
        *("zone_gate_OF_objects_thing_7", "zone_gate_OF_occupancy_thing_7"),
        *("line_entry_OF_in_thing_9", "line_entry_OF_out_thing_9"),
    }
    assert home.keys() == seen
    after = home.again(mode=mode)
    after.tell(camera)
    assert after.keys() == seen


def test_result_of_other_labels_announces_nothing() -> None:
    """A result from before a reload, or of a camera that is gone, brings no entity."""
    many = dict.fromkeys(EIGHTY, 0)
    camera = CameraIntroduced("drive", many)
    home = Home()
    home.tell(camera)
    other = {f"other {number}": 1 for number in range(80)}
    assert home.tell(counted(camera, counts=other)) == []
    home.tell(CameraGone("drive"))
    assert home.tell(counted(camera, counts={**many, "thing 1": 1})) == []


@pytest.mark.parametrize("mode", MODES)
def test_pictures_have_entities_where_there_are_any(mode: str) -> None:
    """Each label's latest picture is announced unless there are none, the live one where it is asked for."""
    home = Home(mode=mode)
    home.tell(replace(DRIVE, live=True))
    entities = home.registry.of("vigil_drive")
    assert entities["image_cell_phone"]["image_topic"] == "vigil/drive/cell_phone/snapshot"
    assert entities["image_cell_phone"]["content_type"] == "image/jpeg"
    assert entities["live"]["topic"] == "vigil/drive/live"
    after = home.again(mode=mode, live_images=False)
    after.tell(replace(DRIVE, live=True, snapshots=False))
    assert {key for key in after.keys() if key.startswith(("live", "image"))} == set()  # noqa: SIM118 -- a method of the test's own


def test_profiles_are_a_select() -> None:
    """Where there are profiles they can be chosen, with the clock and none of them; else nothing is there."""
    home = Home()
    home.tell(ProfileChanged("night", ("night", "holiday")))
    options = home.registry.of("vigil")["profile"]
    assert options["options"] == ["auto", "none", "night", "holiday"]
    assert (options["state_topic"], options["command_topic"]) == ("vigil/profile/state", "vigil/profile/set")
    assert home.shown("profile", "vigil") == "night"
    home.tell(ProfileChanged(None, ()))
    assert "profile" not in home.registry.of("vigil")


@pytest.mark.parametrize(
    ("key", "platform", "topic"),
    [
        ("enabled", "switch", "enabled"),
        ("detect", "switch", "detect"),
        ("motion_switch", "switch", "motion"),
        ("confidence", "number", "confidence"),
        ("fps", "number", "fps"),
    ],
)
def test_settings_command_their_topics(key: str, platform: str, topic: str) -> None:
    """Each switch and number sets the setting whose state it shows."""
    home = Home(mode="entity")
    home.tell(DRIVE)
    options = home.registry.entities["vigil_drive", platform, key]
    assert options["command_topic"] == f"vigil/drive/{topic}/set"
    assert options["state_topic"] == f"vigil/drive/{topic}/state"


def test_noise_is_disabled_and_not_shown_among_the_rest() -> None:
    """The codec is off by default; what tells of the technology stands under diagnostics."""
    home = Home()
    home.tell(DRIVE)
    entities = home.registry.of("vigil_drive")
    assert [key for key, each in entities.items() if not each.get("enabled_by_default", True)] == ["codec"]
    assert {key for key, each in entities.items() if each.get("entity_category") == "diagnostic"} == {
        *("status", "state", "problem", "capture_fps", "inference_fps", "latency", "codec"),
    }
    totals = {key: each.get("state_class") for key, each in entities.items() if key.startswith("line_")}
    assert set(totals.values()) == {"total_increasing"}


def test_a_large_camera_is_a_message_that_every_broker_takes() -> None:
    """Eight classes, six zones, four lines and all pictures keep well under the tightest limit: 128 KB."""
    labels = ["person", "car", "dog", "cat", "truck", "bicycle", "motorcycle", "bus"]
    counts = dict.fromkeys(labels, 0)
    lines = {f"line-{number}": {label: Crossings() for label in labels} for number in range(4)}
    camera = CameraIntroduced(
        "front-door", counts, {f"zone-{number}": counts for number in range(6)}, Totals(lines)
    )
    home = Home(cameras=["front-door"])
    home.tell(camera)
    payload = home.broker["homeassistant/device/vigil_front-door/config"]
    assert len(home.keys("vigil_front-door")) == len(ALWAYS) + 184
    assert len(payload) < 80_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [("front-door", "Front door"), ("drive_2", "Drive 2"), ("-", "-"), ("a", "A")],
)
def test_names_are_written_for_people(name: str, expected: str) -> None:
    """A camera's name becomes a device's, without the marks that names of the configuration need."""
    assert title(name) == expected


@given(st.text(max_size=20), st.text(max_size=20))
def test_identifiers_are_accepted_and_tell_texts_apart(one: str, other: str) -> None:
    """Home Assistant takes every identifier, and two texts have two; the part of an entity id is a slug."""
    assert set(ident(one)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
    assert ident(one)
    assert (ident(one) == ident(other)) == (one == other)
    assert set(slug(one)) <= set("abcdefghijklmnopqrstuvwxyz0123456789_")


def test_the_guide_names_entities_that_exist() -> None:
    """Each entity id of the guide's camera is one that the camera gets, and each platform is shown."""
    home = Home()
    home.tell(replace(DRIVE, live=True))
    ids = {each["default_entity_id"] for each in home.registry.of("vigil_drive").values()}
    page = (Path(__file__).parents[3] / "docs/guide/home-assistant.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b[a-z_]+\.drive_\w+", page))
    assert named <= ids
    assert {entity.partition(".")[0] for entity in named} == {entity.partition(".")[0] for entity in ids}


def test_entities_read_and_command_topics_of_vigils_own() -> None:
    """What an entity reads is said, retained but for events and live pictures; what it sets is heard."""
    home = Home()
    home.tell(replace(DRIVE, live=True), ProfileChanged(None, ("night",)))
    for options in home.registry.entities.values():
        for option, topic in options.items():
            if not option.endswith("topic"):
                continue
            described = topic_of(topic.removeprefix("vigil/"))
            assert described is not None, topic
            assert described.asked == (option == "command_topic"), topic
            passing = options["default_entity_id"] in {"event.drive_object", "camera.drive_live"}
            assert described.asked or described.retained == (not passing), topic
    assert [home.shown(key) for key in ("detect", "motion_switch", "confidence", "fps")] == [
        *("ON", "ON", "0.5", "5"),
    ]
