"""Counts on real footage against what people counted: lines, parked vehicles, empty stretches.

The detector's boxes are recorded (`tests/fixtures/footage_detections.json`), so that everything behind it can
be held against the truth in seconds, with the settings that a user gets without writing any.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.assets import asset
from tests.support.fakes import FakeImage
from tests.support.footage_truth import seen, truth
from vigil.analytics.filters import class_filter
from vigil.analytics.pipeline import CameraPipeline, Pipelines
from vigil.analytics.scene import Rules
from vigil.config.analytics import LineConfig, TrackingConfig
from vigil.config.model import DetectConfig
from vigil.core.events import Event, EventType
from vigil.core.types import Detections, Frame, Model, Result
from vigil.inference.labels import COCO_80
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.footage_truth import Seen
    from vigil.core.types import BusMessage

MODEL = Model("yolo11n", COCO_80, stride=32, size=640)
SIZES = {
    "one-by-one-person-detection.mp4": (768, 432),
    "vtest.avi": (768, 576),
    "traffic.mp4": (960, 540),
}
VEHICLES = ["car", "truck", "bus"]


def replayed(clip: str, classes: list[str], every: int) -> list[BusMessage]:
    """Return all that is told of a clip when each `every`-th of its ten pictures a second is looked at."""
    return told_of(clip, classes, seen(clip)[::every])


def told_of(clip: str, classes: list[str], pictures: Sequence[Seen]) -> list[BusMessage]:
    """Return all that is told when these pictures of a clip are looked at."""
    lines = {
        name: LineConfig.model_validate({"from": line["from"], "to": line["to"]})
        for name, line in truth(clip)["lines"].items()
    }
    told: list[BusMessage] = []
    pipelines = Pipelines(told.extend)
    wanted = class_filter("cam", DetectConfig(classes=classes), 0.5, MODEL)
    bits = random.Random(1).getrandbits  # noqa: S311 -- the same ids in each run
    metrics = Metrics().add_camera("cam")
    rules = Rules(TrackingConfig(), {}, lines)
    pipelines.add("cam", CameraPipeline("cam", MODEL, wanted, rules, metrics, bits))
    image = FakeImage(*SIZES[clip])
    for number, picture in enumerate(pictures):
        scale = np.array([image.width, image.height] * 2, np.float32)
        ids = np.array([COCO_80.index(label) for label in picture.labels], np.int32)
        found = Detections.untracked(picture.boxes * scale, picture.confidence.copy(), ids)
        pipelines.handle([Frame("cam", number, picture.pts, picture.pts, image)], [found])
    told += pipelines.forget("cam", pictures[-1].pts)
    return told


def crossings(told: Sequence[BusMessage], line: str) -> tuple[int, int]:
    """Return how many crossed a line, to the right or down, and to the left or up, in the picture."""
    totals = [message for message in told if isinstance(message, Result)][-1].totals.lines[line]
    # A line that is drawn downwards has its own left on the picture's right.
    return sum(each.outwards for each in totals.values()), sum(each.inwards for each in totals.values())


def begun(told: Sequence[BusMessage]) -> list[Event]:
    """Return the events that began."""
    return [message for message in told if isinstance(message, Event) and message.type is EventType.NEW]


@pytest.mark.parametrize("every", [1, 2])
def test_people_of_the_person_clip_are_counted_exactly(every: int) -> None:
    """Six people leave to the right, one after another, at 10 and at 5 detections/s."""
    clip = "one-by-one-person-detection.mp4"
    line = truth(clip)["lines"]["exit"]
    told = replayed(clip, ["person"], every)
    assert crossings(told, "exit") == (len(line["right"]), len(line["left"]))


@pytest.mark.parametrize("every", [1, 2])
def test_nobody_is_told_of_empty_stretches(every: int) -> None:
    """Each event of the person clip begins while somebody is there, and there is one for each."""
    clip = "one-by-one-person-detection.mp4"
    visible = truth(clip)["visible"]
    starts = [event.start_time for event in begun(replayed(clip, ["person"], every))]
    assert all(any(first - 0.2 <= at <= last for first, last in visible) for at in starts)
    assert len(starts) == len(visible)


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("line", ["path", "road"])
def test_walkers_of_vtest_are_counted_within_a_tenth(line: str, every: int) -> None:
    """Both lines' totals, each way together, are within 10 % of what a person counts."""
    labelled = truth("vtest.avi")["lines"][line]
    right, left = crossings(replayed("vtest.avi", ["person"], every), line)
    of = f"right {right} of {len(labelled['right'])}, left {left} of {len(labelled['left'])}"
    print(f"\n{line} at {10 / every:g}/s: {of}")
    people = len(labelled["right"]) + len(labelled["left"])
    assert abs(right + left - people) <= 0.1 * people


@pytest.mark.parametrize("every", [1, 2])
def test_parked_vehicles_are_one_event_each(every: int) -> None:
    """However many people walk past them, the van and the car of vtest begin one event each."""
    told = begun(replayed("vtest.avi", ["person", *VEHICLES], every))
    vehicles = [event for event in told if event.label in VEHICLES]
    for parked in truth("vtest.avi")["parked"]:
        left, top, right, bottom = parked["box"]
        centre = (left + right) / 2 * 768, (top + bottom) / 2 * 576
        there = [
            event.start_time
            for event in vehicles
            if event.box[0] <= centre[0] <= event.box[2] and event.box[1] <= centre[1] <= event.box[3]
        ]
        assert len(there) == 1, (parked["what"], there)


@pytest.mark.parametrize(("rate", "phase"), [(30, 0), (15, 0), (15, 1), (10, 0), (10, 1), (10, 2)])
def test_vehicles_of_the_motorway_are_counted_within_a_tenth(rate: int, phase: int) -> None:
    """At 10 detections/s and more, whichever pictures they are, the line across the lanes is within 10 %."""
    pictures = seen("traffic.mp4", faster=True)[phase :: 30 // rate]
    assert_lanes(told_of("traffic.mp4", VEHICLES, pictures))


def test_vehicles_of_the_motorway_are_counted_as_cameras_are_looked_at() -> None:
    """The line across the lanes is within 10 % on the pictures that a rate of 10/s takes."""
    assert_lanes(replayed("traffic.mp4", VEHICLES, 1))


def assert_lanes(told: Sequence[BusMessage]) -> None:
    """Compare the line's total with what a person counts."""
    labelled = truth("traffic.mp4")["lines"]["lanes"]
    counted, vehicles = sum(crossings(told, "lanes")), len(labelled["down"]) + len(labelled["up"])
    print(f"\nlanes: {counted} of {vehicles}")
    assert abs(counted - vehicles) <= 0.1 * vehicles


@pytest.mark.parametrize("clip", ["vtest.avi", "traffic.mp4"])
def test_two_replays_tell_the_same(clip: str) -> None:
    """The events of two runs are the same to the last digit."""
    first, second = (
        [repr(message) for message in replayed(clip, ["person", *VEHICLES], 1) if isinstance(message, Event)]
        for _ in range(2)
    )
    assert first == second
    assert first


def test_replay_of_the_person_clip_counts_as_people_do(tmp_path: Path) -> None:
    """`vigil replay` with real inference counts the six who leave, one event each, and draws a copy."""
    clip = asset("clips/one-by-one-person-detection.mp4")
    if clip is None:
        pytest.skip("VIGIL_ASSETS has no one-by-one-person-detection.mp4")
    config = tmp_path / "vigil.yaml"
    config.write_text(
        "cameras: {cam: {url: rtsp://10.0.0.5/s, detect: {fps: 5, classes: [person]},"
        " lines: {exit: {from: [0.75, 0.3], to: [0.75, 1]}}}}"
    )
    command = [sys.executable, "-m", "vigil", "replay", str(clip), "-c", str(config)]
    drawn = [*command, "--annotate", str(tmp_path / "out.mp4")]
    text = subprocess.run(drawn, check=True, capture_output=True, text=True).stdout
    assert "line exit person in 0, out 6" in " ".join(text.split())
    assert (tmp_path / "out.mp4").stat().st_size > 100_000
    text = subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout
    events = [json.loads(line) for line in text.splitlines()]
    assert {event["video"] for event in events} == {str(clip)}
    assert [event["type"] for event in events].count("new") == 6
    assert [event["type"] for event in events].count("end") == 6


def test_replays_of_the_command_line_are_byte_identical(tmp_path: Path) -> None:
    """Two clips in one call with real inference print the same bytes in each run; ids are unique."""
    cuts = [cut(clip, 10, tmp_path) for clip in ("one-by-one-person-detection.mp4", "vtest.avi")]
    config = tmp_path / "vigil.yaml"
    config.write_text(
        "model: {size: 320, confidence: 0.3}\n"
        "cameras: {cam: {url: rtsp://10.0.0.5/s, detect: {fps: 5, classes: [person]}}}\n"
    )
    command = [sys.executable, "-m", "vigil", "replay", *cuts, "-c", str(config), "--json"]
    first, second = (subprocess.run(command, check=True, capture_output=True).stdout for _ in range(2))
    assert first == second
    events = [json.loads(line) for line in first.splitlines()]
    assert {event["video"] for event in events} == set(cuts)
    recordings = {event["id"]: set[str]() for event in events}
    for event in events:
        recordings[event["id"]].add(event["video"])
    assert all(len(videos) == 1 for videos in recordings.values())


def cut(clip: str, seconds: int, folder: Path) -> str:
    """Return the path of a clip's beginning."""
    source = asset(f"clips/{clip}")
    if source is None:
        pytest.skip(f"VIGIL_ASSETS has no {clip}")
    target = folder / f"{source.stem}.mkv"
    options = ["-t", str(seconds), "-an", "-c", "copy"]
    command = ["ffmpeg", "-v", "error", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True)
    return str(target)
