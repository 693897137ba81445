"""Recordings taken for cameras: what each sees, and what analytics make of a way of looking at it."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from vigil.analytics.filters import class_filter
from vigil.analytics.interest import interest_of
from vigil.analytics.motion import MotionDetector, stride_of
from vigil.analytics.pipeline import CameraPipeline
from vigil.analytics.scene import Rules
from vigil.analytics.tracker import Tracker
from vigil.config.analytics import LineConfig, TrackingConfig
from vigil.config.model import DetectConfig
from vigil.core.events import Crossings, EventType
from vigil.core.types import Detections
from vigil.metrics import Metrics
from vigil.offline import pictures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vigil.analytics.tracks import Tracks
    from vigil.core.interest import Interest
    from vigil.core.types import Float32, Frame, Image
    from vigil.inference.attention import Attention
    from vigil.inference.detector import Detector

LOOKS = 10
"""Looks for motion per second."""
_CONFIDENCE = 0.5
_LINES = {
    "across": LineConfig.model_validate({"from": [0.5, 0.0], "to": [0.5, 1.0]}),
    "along": LineConfig.model_validate({"from": [0.0, 0.5], "to": [1.0, 0.5]}),
}


class Camera:
    """One camera's feed, and what is known of its picture."""

    def __init__(self, name: str, feed: Iterator[tuple[int, Image]], attention: Attention) -> None:
        self.name = name
        self.feed = feed
        self.attention = attention
        self.moving: list[Float32] = []
        self.tracks: Tracks | None = None
        self.reference = Detections.empty()
        self._motion = MotionDetector()

    def look(self, image: Image, now: float) -> None:
        """Look for motion."""
        boxes = self._motion.look(image.luma(stride_of(image.width, image.height)), now).boxes
        self.moving.append(boxes * np.array([image.width, image.height] * 2, np.float32))

    def interest(self, tracker: Tracker, now: float) -> Interest:
        """Return what is of interest in its picture."""
        moving = np.concatenate(self.moving)
        self.moving.clear()
        return interest_of(self.tracks, tracker.predict(self.name, now), moving, now)


class Side:
    """What comes of one way of looking: tracks, events and line totals of all cameras."""

    def __init__(self, detector: Detector, names: Sequence[str]) -> None:
        self.tracker = Tracker()
        self.begun: Counter[tuple[str, str]] = Counter()
        self._pipelines = {}
        bits = random.Random(0).getrandbits  # noqa: S311 -- ids of events that nobody sees
        for name in names:
            wanted = class_filter(name, DetectConfig(), _CONFIDENCE, detector.model)
            rules = Rules(TrackingConfig(), {}, _LINES)
            series = Metrics().add_camera(name)
            pipeline = CameraPipeline(name, detector.model, wanted, rules, series, bits)
            self._pipelines[name] = pipeline
            self.tracker.set_camera(name, pipeline.tracker_settings)

    def take(self, frame: Frame, found: Detections) -> tuple[Detections, Tracks]:
        """Follow a frame; return what is reported of it, and its tracks."""
        pipeline = self._pipelines[frame.camera]
        admitted = pipeline.admit(frame, found)
        (tracks,) = self.tracker.update([frame.camera], [frame.captured_at], [admitted])
        result, scene = pipeline.result(frame, admitted, tracks)
        self.begun.update(
            (frame.camera, event.label) for event in scene.events if event.type is EventType.NEW
        )
        return result.detections, tracks

    def crossings(self) -> dict[tuple[str, str, str], object]:
        """Return the totals of every camera's lines by label."""
        return {
            (name, line, label): crossings
            for name, pipeline in self._pipelines.items()
            for line, labels in pipeline.state.totals.lines.items()
            for label, crossings in labels.items()
            if crossings != Crossings()
        }


def copied(found: Detections) -> Detections:
    """Return boxes that whoever takes them may write to."""
    return Detections.untracked(found.xyxy.copy(), found.confidence.copy(), found.class_id.copy())


def facts(path: Path) -> tuple[Image, int, float]:
    """Return a recording's first picture, how many it has, and how many per second."""
    first: Image | None = None
    count, last = 0, 0.0
    for count, each in enumerate(pictures(path), 1):  # noqa: B007 -- the last one counts
        first = first or each.image
        last = each.pts or 0.0
    assert first is not None  # noqa: S101 -- `pictures` raises where there are none
    return first, count, (count - 1) / last if last else float(LOOKS)


def feed(path: Path, offset: int, step: int, count: int) -> Iterator[tuple[int, Image]]:
    """Yield the number and the image of every `step`-th frame from `offset` on."""
    stream = enumerate(each.image for each in pictures(path))
    return itertools.islice(stream, offset, offset + step * count, step)
