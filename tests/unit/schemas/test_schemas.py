"""Schemas, topics, the AsyncAPI document and the reference page: they agree with the code and each other."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from tests.support.contract import manner, problem, problems
from tests.support.fakes import LOADED, MODEL, boxes, event
from vigil.cli import cli
from vigil.core.events import Crossings, EventType, Totals
from vigil.core.types import (
    CameraGone,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    CameraStats,
    Detections,
    LiveView,
    Loaded,
    MotionChanged,
    ProfileChanged,
    Result,
    SnapshotTaken,
    StatsReport,
    Tuning,
)
from vigil.schemas.asyncapi import asyncapi
from vigil.schemas.payloads import PAYLOADS, event_schema
from vigil.schemas.reference import tables
from vigil.schemas.topics import TOPICS, mqtt_schema, topic_of
from vigil.sinks.messages import Messages
from vigil.sinks.native import Native

if TYPE_CHECKING:
    from vigil.core.types import BusMessage

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "mqtt.md"
JPEG = b"\xff\xd8\xff\xd9"
COUNTS = {"person": 1, "cell phone": 0}
BUS: list[BusMessage] = [
    CameraIntroduced(
        "drive",
        COUNTS,
        {"gate": COUNTS},
        Totals({"entry": {"cell phone": Crossings(2, 1)}}),
        Tuning(fps=0.00001),
    ),
    CameraHealth("drive", CameraState.CONNECTING),
    CameraHealth("drive", CameraState.LIVE),
    MotionChanged("drive", on=True),
    ProfileChanged("night", ("night",)),
    ProfileChanged(None, ()),
    *(event(kind) for kind in EventType),
    SnapshotTaken("drive", "cell phone", "01J", 1700000000.5, JPEG),
    LiveView("drive", JPEG),
    StatsReport(
        1.5,
        4.2,
        60.0,
        {
            "drive": CameraStats(25.0, 4.2, 5.0, 0.07, 0.09, "h264", 1280, 720),
            "door": CameraStats(0.0, 0.0, 5.0, None, None, "", 0, 0),
        },
    ),
    Result(
        "drive",
        1,
        1700000000.5,
        640,
        480,
        MODEL,
        boxes((1.4, 2.6, 30, 40, 0.87654, 2), (-1, 0, 3, 4, 1, 0)),
        {"person": 12, "cell phone": 0},
        (("gate",), ()),
    ),
]


def said(prefix: str = "vigil") -> dict[str, list[bytes]]:
    """Return all that vigil says of everything that can happen."""
    models = {**LOADED, "small": Loaded("other", "fake cpu", "asked for")}
    native = Native(Messages(prefix, models))
    messages = list(native.opening())
    for happening in BUS:
        messages += native.take(happening)
        if isinstance(happening, Result):
            messages += native.frame(happening)
    messages += [*native.goodbye(), *native.take(CameraGone("drive"))]
    heard: dict[str, list[bytes]] = {}
    for message in messages:
        heard.setdefault(message.topic, []).append(message.payload)
    return heard


def test_all_that_is_said_fits_its_schema() -> None:
    """Whatever happens, each message has a known topic and a payload that validates."""
    assert problems(said()) == []


def test_every_topic_is_said() -> None:
    """No topic stands in the table that nobody publishes."""
    used = {topic_of(name.removeprefix("vigil/")) for name in said()}
    assert {topic for topic in TOPICS if not topic.asked} == used


def test_topics_are_said_as_the_table_says() -> None:
    """Retention and quality of service of each message are those of its topic."""
    native = Native(Messages("vigil", LOADED))
    for happening in BUS:
        told = [*native.take(happening), *(native.frame(happening) if isinstance(happening, Result) else ())]
        for message in told:
            topic = topic_of(message.topic.removeprefix("vigil/"))
            assert topic is not None
            assert (message.retain, message.qos) == (topic.retained, topic.qos), message.topic


@pytest.mark.parametrize(
    ("name", "payload", "wrong"),
    [
        ("vigil/drive/mood", b"good", "no such topic is known"),
        ("vigil/drive/objects/person", b"-1", "does not match"),
        ("vigil/drive/objects/person", b"\xff", "no text/plain"),
        ("vigil/drive/objects", b'{"person":0}', "less than the minimum"),
        ("vigil/drive/motion", b"on", "is not one of"),
        ("vigil/drive/motion/state", b"1", "is not one of"),
        ("vigil/drive/fps/state", b"nan", "does not match"),
        ("vigil/drive/events", b"{}", "'id' is a required property"),
        ("vigil/drive/events", b"", "no application/json"),
        ("vigil/drive/detections", b'{"surprise": 1}', "Additional properties are not allowed"),
        ("vigil/drive/person/snapshot", b"GIF89a", "no JPEG"),
    ],
)
def test_what_does_not_fit_is_told(name: str, payload: bytes, wrong: str) -> None:
    """The check that integration tests rely on sees wrong topics, words, numbers, keys and pictures."""
    assert wrong in problem(name, payload)


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("vigil/drive/objects/person", b""),
        ("vigil/drive/fps/set", b"whatever"),
        ("homeassistant/status", b"online"),
        ("vigil/drive/person/snapshot", b"\xff\xd8\xff\xd9"),
        ("vigil/drive/objects/snapshot", b"3"),
    ],
)
def test_what_fits_is_not_told(name: str, payload: bytes) -> None:
    """Topics taken back, what others ask and say, pictures, and labels with odd names are fine."""
    assert problem(name, payload) == ""


@pytest.mark.parametrize(
    ("name", "qos", "retained", "wrong"),
    [
        ("vigil/drive/events", 1, False, ""),
        ("vigil/drive/events", 1, True, "is retained"),
        ("vigil/drive/events", 0, False, "came with QoS 0, not 1"),
        ("vigil/status", 1, True, ""),
        ("vigil/info", 1, False, ""),
        ("vigil/drive/fps/set", 0, False, ""),
        ("homeassistant/status", 0, True, ""),
    ],
)
def test_manner_is_checked(name: str, qos: int, retained: bool, wrong: str) -> None:  # noqa: FBT001 -- parametrized
    """The check sees what is retained and must not be, and a wrong quality of service."""
    assert wrong in manner(name, qos, retained=retained)
    assert bool(manner(name, qos, retained=retained)) is bool(wrong)


@pytest.mark.parametrize("name", PAYLOADS)
def test_schemas_are_schemas(name: str) -> None:
    """Each is a valid schema of the dialect, and says what it and each of its keys mean."""
    Draft202012Validator.check_schema(PAYLOADS[name])
    assert PAYLOADS[name]["description"].endswith(".")
    for key, part in PAYLOADS[name].get("properties", {}).items():
        assert part["description"].endswith("."), key


def test_event_with_a_path_and_an_id_of_its_message_is_one() -> None:
    """Points of the path are triples, and the outbox may add its key."""
    payload = json.loads(Messages("vigil", LOADED).event(event()).payload)
    payload |= {"path": [[1.0, 0.5, 0.5]], "message_id": "x"}
    check = Draft202012Validator(event_schema())
    assert list(check.iter_errors(payload)) == []
    assert list(check.iter_errors(payload | {"path": [[1.0, 0.5]]})) != []


def _refs(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = [part["$ref"]] if "$ref" in part else []
        return own + [ref for value in part.values() for ref in _refs(value)]
    return [ref for value in part for ref in _refs(value)] if isinstance(part, list) else []


@pytest.mark.parametrize("document", [asyncapi("home/vigil"), mqtt_schema()], ids=["asyncapi", "mqtt"])
def test_references_lead_somewhere(document: dict[str, Any]) -> None:
    """Each `$ref` names a place of the same document."""
    for ref in _refs(document):
        place = document
        for key in ref.removeprefix("#/").split("/"):
            place = place[key]


def test_asyncapi_follows_its_rules() -> None:
    """Addresses have their parameters, ids their letters, and each operation a message of its channel."""
    document = asyncapi("home/vigil")
    assert document["asyncapi"] == "3.0.0"
    assert set(document["info"]) >= {"title", "version"}
    for name, channel in document["channels"].items():
        assert re.fullmatch(r"[\w.-]+", name)
        parameters = re.findall(r"{(\w+)}", channel["address"])
        assert list(channel.get("parameters", {})) == parameters
        assert ("parameters" in channel) is bool(parameters)
        assert channel["address"].startswith("home/vigil/")
    for name, operation in document["operations"].items():
        assert operation["action"] == ("receive" if name.endswith("_set") else "send")
        (message,) = operation["messages"]
        assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
    assert len(document["channels"]) == len(TOPICS)


@pytest.mark.parametrize("what", ["mqtt", "events", "asyncapi", "config"])
def test_schemas_are_printed(what: str) -> None:
    """Each can be had on the command line as JSON; another word is told what there is."""
    printed = CliRunner().invoke(cli, ["schema", what])
    assert printed.exit_code == 0
    assert {"$schema", "asyncapi"} & set(json.loads(printed.stdout))
    wrong = CliRunner().invoke(cli, ["schema", "mood"])
    assert wrong.exit_code != 0


@pytest.mark.parametrize("name", tables())
def test_the_page_has_every_table(name: str) -> None:
    """The tables on the page are the ones made from the schemas."""
    assert tables()[name] in PAGE.read_text(encoding="utf-8"), (
        "put in what `python -m vigil.schemas.reference` prints"
    )


def test_empty_frame_fits() -> None:
    """A frame without boxes is a message as well."""
    empty = Messages("vigil", LOADED).detections(Result("drive", 1, 0.0, 1, 1, MODEL, Detections.empty(), {}))
    assert problem(empty.topic, empty.payload) == ""
