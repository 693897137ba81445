"""What tracking costs: CPU time of one update, in a scene that is the same on every run."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.analytics.tracker import Tracker
from vigil.core.types import Detections

if TYPE_CHECKING:
    from collections.abc import Iterator

_WIDTH, _HEIGHT = 1920, 1080
_PACE = 0.1
"""Seconds between two frames of a camera."""
_MISSED = 0.05
_WARM_UP = 10


@dataclass(frozen=True, slots=True)
class TrackingCost:
    """The median CPU milliseconds of an update of all cameras, and its share for one camera's frame."""

    cameras: int
    objects: int
    update_ms: float

    @property
    def frame_ms(self) -> float:
        """CPU milliseconds per camera and frame."""
        return self.update_ms / self.cameras


def measure_tracker(cameras: int, objects: int, frames: int = 200) -> TrackingCost:
    """Measure vigil's tracker over batches with one frame of each camera; `frames` is at least 1."""
    tracker = Tracker()
    names = [f"camera_{number}" for number in range(cameras)]
    batches = zip(*(_scene(objects, frames, seed) for seed in range(cameras)), strict=True)
    costs = []
    for number, found in enumerate(batches):
        start = time.thread_time_ns()
        tracker.update(names, [number * _PACE] * cameras, found)
        costs.append(time.thread_time_ns() - start)
    return TrackingCost(cameras, objects, _median_ms(costs))


def measure_bytetrack(objects: int, frames: int = 200) -> TrackingCost:
    """Measure the ByteTrack of `trackers` on the first camera alone; `ImportError` where it is missing."""
    import supervision  # noqa: PLC0415 -- a peer, which only this comparison needs
    from trackers import ByteTrackTracker  # noqa: PLC0415 -- as above

    tracker = ByteTrackTracker(frame_rate=1 / _PACE)
    costs = []
    for found in _scene(objects, frames, seed=0):
        boxes = supervision.Detections(found.xyxy, confidence=found.confidence, class_id=found.class_id)
        start = time.thread_time_ns()
        tracker.update(boxes)
        costs.append(time.thread_time_ns() - start)
    return TrackingCost(1, objects, _median_ms(costs))


def _median_ms(costs: list[int]) -> float:
    return statistics.median(costs[_WARM_UP:]) / 1e6


def _scene(objects: int, frames: int, seed: int) -> Iterator[Detections]:
    """Yield what a detector finds of people-sized boxes that walk, at 10 frames/s, each missed at times."""
    rng = np.random.default_rng(seed)
    start = rng.uniform(0, (_WIDTH, _HEIGHT), (objects, 2))
    velocity = rng.normal(0, 60, (objects, 2))
    size = rng.uniform((40, 90), (90, 220), (objects, 2))
    for number in range(frames + _WARM_UP):
        corner = (start + velocity * number * _PACE) % (_WIDTH, _HEIGHT) + rng.normal(0, 2, (objects, 2))
        seen = rng.random(objects) >= _MISSED
        xyxy = np.concatenate([corner, corner + size], axis=1)[seen].astype(np.float32)
        score = np.clip(rng.normal(0.75, 0.15, len(xyxy)), 0.1, 1.0).astype(np.float32)
        yield Detections.untracked(xyxy, score, np.zeros(len(xyxy), np.int32))
