"""README and docs say what the code does: configurations load, links lead somewhere, names exist."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import typer
from aiohttp import web

from tests.support.fakes import LOADED, event
from vigil.cli import cli
from vigil.config.address import SCHEMES, scheme_of
from vigil.config.load import load
from vigil.config.model import HttpConfig
from vigil.core.events import Crossings, EventType, Totals
from vigil.core.types import (
    Action,
    CameraCommand,
    CameraHealth,
    CameraState,
    CameraStats,
    CameraStatus,
    CameraView,
    Condition,
    Detections,
    LiveView,
    Model,
    ProfileView,
    Result,
    StatsReport,
    Tuning,
)
from vigil.metrics import Metrics
from vigil.metrics.camera import CAPTURE_FAILURES, FRAME_DROPS
from vigil.metrics.reference import table
from vigil.sinks.messages import Messages
from vigil.video.photo import ArrayImage
from vigil.web.server import application

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vigil.config.model import CameraConfig
    from vigil.core.types import Image, ProfileCommand, SettingCommand

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs/guide/cameras.md"
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/**/*.md")])
ENVIRON = dict.fromkeys(("DRIVE_PASSWORD", "CAMERA_PASSWORD", "MQTT_PASSWORD"), "x")
MODEL = Model("yolo11n", ("person", "cell phone"), stride=32, size=640)
REPORT = StatsReport(0.4, 5.0, 60.0, {"drive": CameraStats(25.0, 5.0, 5.0, 0.07, 0.09, "h264", 1280, 720)})
HEALTHY = CameraHealth("drive", CameraState.LIVE)

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, language: str) -> list[str]:
    """Return the page's fenced blocks of a language."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [text for named, text in fenced if named == language]


def code_words(page: Path) -> set[str]:
    """Return every single word that the page sets as code."""
    return set(re.findall(r"`(\w+)`", page.read_text(encoding="utf-8")))


def first_column(page: Path, heading: str) -> list[str]:
    """Return the words in the first column of the table under a column heading, in the table's order."""
    table_of = re.search(
        rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", page.read_text("utf-8"), re.MULTILINE
    )
    assert table_of, f"{page.name} has no table of each {heading}"
    return re.findall(r"^\| `(\w+)`", table_of[1], re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """Yield the words of every command line in the page's shell blocks."""
    for block in [*blocks(page, "sh"), *blocks(page, "")]:
        for line in block.splitlines():
            yield re.sub(r"\s+(#|  ).*", "", line).split()


def anchor(heading: str) -> str:
    """Return the anchor that a heading gets."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


class StillDaemon:
    """A `vigil.web.daemon.Daemon` without cameras that never moves: enough to ask for its routes."""

    model = MODEL
    default_confidence = 0.5

    def trouble(self) -> str:
        """Return nothing: all is well."""
        return ""

    def ready(self) -> bool:
        """Tell that it is."""
        return True

    async def metrics(self) -> bytes:
        """Return no series."""
        return b""

    async def cameras(self) -> list[CameraView]:
        """Return none."""
        return []

    async def snapshot(self, camera: str) -> bytes | None:
        """Know no camera."""
        raise KeyError(camera)

    async def command(self, command: CameraCommand | SettingCommand) -> None:
        """Know no camera."""
        raise KeyError(command.camera)

    async def reload(self) -> str:
        """Change nothing."""
        return ""

    def profile(self) -> ProfileView:
        """Return that there is none."""
        return ProfileView(None, "auto", (), None)

    async def choose_profile(self, command: ProfileCommand) -> ProfileView:
        """Know no profile."""
        raise KeyError(command.wanted)

    async def decode(self, data: bytes) -> Image:
        """Return a black pixel for anything."""
        return ArrayImage(np.zeros((1, 1, 3), np.uint8) * len(data))

    async def detect(self, image: Image, confidence: float) -> Detections:
        """Find nothing."""
        _ = image, confidence
        return Detections.empty()


@each_page
def test_configurations_load(page: Path, tmp_path: Path) -> None:
    """Every YAML block that is a configuration of vigil is a valid one, with its variables set."""
    for block in blocks(page, "yaml"):
        if not block.startswith(("# prometheus.yml", "# configuration.yaml of Home Assistant")):
            (tmp_path / "vigil.yaml").write_text(block, encoding="utf-8")
            load(tmp_path / "vigil.yaml", ENVIRON)


@each_page
def test_json_examples_are_json(page: Path) -> None:
    """What is shown as JSON can be parsed."""
    for block in blocks(page, "json"):
        json.loads(block)


@each_page
def test_links_lead_somewhere(page: Path) -> None:
    """A relative link names a file of the checkout, and its anchor a heading there."""
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in link:
            name, _, fragment = link.partition("#")
            target = page if not name else (page.parent / name).resolve()
            assert target.exists(), link
            if fragment:
                headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
                assert fragment in map(anchor, headings), link


@each_page
def test_commands_exist(page: Path) -> None:
    """Each `vigil …` and `make …` in a shell block is a command or a target, with its options."""
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in commands(page):
        if words[:1] == ["make"]:
            assert words[1] in targets, words
        if words[:1] == ["vigil"]:
            command: typer.core.TyperGroup | typer.core.TyperCommand = typer.main.get_command(cli)  # type: ignore[assignment]  # typed as click's base class
            for word in words[1:]:
                if isinstance(command, typer.core.TyperGroup):
                    assert word in command.commands, words
                    command = command.commands[word]  # type: ignore[assignment]  # as above
            known = {option for parameter in command.params for option in parameter.opts}
            assert {word for word in words if word.startswith("-")} <= known, words


@each_page
def test_series_exist(page: Path) -> None:
    """A Prometheus series that a page names is one that vigil exports."""
    known = set(re.findall(r"`(vigil_\w+)`", table()))
    named = re.findall(r"\bvigil_\w+", page.read_text(encoding="utf-8"))
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in named} <= known


def test_the_metrics_page_has_every_series() -> None:
    """The table on the page is the one made from the code."""
    page = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8")
    assert table() in page, "put in what `python -m vigil.metrics.reference` prints"


def test_the_metrics_page_has_every_reason() -> None:
    """The values that a `reason` label can have are all listed."""
    metrics = Metrics()
    metrics.add_camera("drive")
    reasons = set(re.findall(r'reason="(\w+)"', metrics.render().decode()))
    assert {*FRAME_DROPS, *CAPTURE_FAILURES} <= reasons
    listed = (ROOT / "docs/reference/metrics.md").read_text(encoding="utf-8").partition("## Reasons")[2]
    assert reasons <= set(re.findall(r"`(\w+)`", listed))


async def test_the_http_page_has_every_route() -> None:
    """The page lists exactly the requests that are answered."""
    routes = application(StillDaemon(), HttpConfig()).router.routes()
    served = {
        f"{route.method} {route.resource.canonical.replace('{action}', action)}"
        for route in routes
        if isinstance(route.resource, web.Resource) and route.method != "HEAD"
        for action in Action
    }
    page = (ROOT / "docs/reference/http.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([A-Z]+ \S+)` \|", page, re.MULTILINE)) == served


@pytest.mark.parametrize("values", [CAPTURE_FAILURES, CameraState, CameraStatus, Condition])
def test_the_http_page_has_every_value(values: Iterable[str]) -> None:
    """Every value that `reason`, `state`, `status` and `condition` of a camera can have is listed there."""
    assert set(values) <= code_words(ROOT / "docs/reference/http.md")


def test_the_http_page_shows_a_camera() -> None:
    """The example of a camera has the keys of the real answer."""
    shown = [json.loads(block) for block in blocks(ROOT / "docs/reference/http.md", "json")]
    [camera] = [example for example in shown if "address" in example]
    assert list(camera) == [field.name for field in fields(CameraView)]


@pytest.mark.parametrize(
    ("heading", "values"), [("state", CameraState), ("reason", CAPTURE_FAILURES), ("condition", Condition)]
)
def test_the_guide_explains_every_value(heading: str, values: Iterable[str]) -> None:
    """Each state, reason and condition has one row that says what to do; none is left of one that is gone."""
    assert sorted(first_column(GUIDE, heading)) == sorted(values)


def test_the_guide_has_every_kind_of_source(tmp_path: Path) -> None:
    """There is an example of each scheme, of plain paths and devices, of snapshots and of OpenCV."""
    cameras: list[CameraConfig] = []
    for block in blocks(GUIDE, "yaml"):
        (tmp_path / "vigil.yaml").write_text(block, encoding="utf-8")
        cameras += load(tmp_path / "vigil.yaml", ENVIRON).cameras.values()
    # `file:` is the same as a plain path, whose scheme is `None`.
    assert {scheme_of(camera.url) for camera in cameras} == {*SCHEMES, None} - {"file"}
    assert any(camera.url == "/dev/video0" for camera in cameras)
    assert any(
        camera.snapshot_interval and camera.snapshot_interval < camera.read_timeout for camera in cameras
    )
    assert {camera.url.isdigit() for camera in cameras if camera.backend == "opencv"} == {True, False}


@pytest.mark.parametrize("page", ["design/architecture.md", "reference/mqtt.md", "reference/metrics.md"])
def test_pages_name_every_state(page: str) -> None:
    """Where states are listed, none is missing."""
    assert set(CameraState) <= code_words(ROOT / "docs" / page)


def test_the_mqtt_page_has_every_topic() -> None:
    """The table lists exactly what is published, with how it is retained and its quality of service."""
    messages = Messages("vigil", LOADED)
    result = Result("drive", 1, 0.0, 640, 480, MODEL, Detections.empty(), {"person": 1})
    said = [
        messages.daemon_status(online=True),
        messages.info(["drive"]),
        messages.stats(REPORT),
        messages.profile("night"),
        *messages.camera_health(HEALTHY),
        *messages.settings("drive", Tuning()),
        messages.detections(result),
        *messages.objects("drive", {"person": 1}),
        *messages.zones("drive", {"gate": {"person": 1}}),
        *messages.lines("drive", Totals({"entry": {"person": Crossings(2, 1)}})),
        messages.motion("drive", on=True),
        messages.event(event()),
        messages.snapshot("drive", "person", b""),
        messages.live(LiveView("drive", b"")),
    ]
    rows = set()
    for message in said:
        topic = message.topic.replace("drive", "<camera>").replace("person", "<label>")
        topic = topic.replace("gate", "<zone>").replace("entry", "<line>")
        rows.add((topic, "yes" if message.retain else "no", str(message.qos)))
    page = (ROOT / "docs/reference/mqtt.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(vigil/\S+)` \| (\w+) \| (\d) \|", page, re.MULTILINE)) == rows
    heard = [*(topic.replace("+", "<camera>") for topic in messages.commands), messages.profile_command]
    assert re.findall(r"^\| `(vigil/\S+/set)` \|", page, re.MULTILINE) == heard
    assert messages.command(heard[0], b"OFF") == CameraCommand("<camera>", Action.DISABLE)


def test_the_mqtt_page_shows_the_payload_of_detections() -> None:
    """The example has the keys of the real message, at both levels."""
    box = Detections.untracked(
        np.array([[1, 2, 3, 4]], np.float32), np.array([0.5], np.float32), np.array([0], np.int32)
    )
    said = json.loads(
        Messages("vigil", LOADED).detections(Result("drive", 1, 0.0, 640, 480, MODEL, box, {})).payload
    )
    [shown] = [example for example in mqtt_examples() if "detections" in example]
    assert list(shown) == list(said)
    assert list(shown["detections"][0]) == list(said["detections"][0])


def test_the_mqtt_page_shows_the_payload_of_health() -> None:
    """The example has the keys of the real message, and the page the values they can have."""
    said = next(
        message for message in Messages("vigil", LOADED).camera_health(HEALTHY) if "health" in message.topic
    )
    [shown] = [example for example in mqtt_examples() if "state" in example]
    assert list(shown) == list(json.loads(said.payload))
    assert {*CameraStatus, *Condition} <= code_words(ROOT / "docs/reference/mqtt.md")


def test_the_mqtt_page_shows_the_payload_of_stats() -> None:
    """The example has the keys of the real message, at both levels."""
    said = json.loads(Messages("vigil", LOADED).stats(REPORT).payload)
    [shown] = [example for example in mqtt_examples() if "saturation" in example]
    assert list(shown) == list(said)
    assert list(shown["cameras"]["drive"]) == list(said["cameras"]["drive"])


def test_the_mqtt_page_shows_the_payload_of_events() -> None:
    """The example has the keys of the real message, and the page every type."""
    said = json.loads(Messages("vigil", LOADED).event(event()).payload)
    [shown] = [example for example in mqtt_examples() if "top_score" in example]
    assert list(shown) == list(said)
    assert set(EventType) <= code_words(ROOT / "docs/reference/mqtt.md")


def mqtt_examples() -> list[dict[str, Any]]:
    """Return the payloads that the MQTT page shows."""
    return [json.loads(block) for block in blocks(ROOT / "docs/reference/mqtt.md", "json")]
