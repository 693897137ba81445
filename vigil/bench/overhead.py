"""What vigil's own Python costs per inferred frame, stage by stage, beside decoder, scaling and engine.

The real parts are called in the order of a frame's way with the answer of an engine that costs nothing:
cameras with so many objects each that walk, three zones, two lines; what comes of it is published, to a
broker that keeps nothing. The engine takes one frame at a time, as on a CPU, or so many as a device would.
CPU time of the calling thread. What happens now and then counts too: each stage is what a frame took on
average in the median second.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vigil.analytics.filters import class_filter
from vigil.analytics.pipeline import CameraPipeline
from vigil.analytics.scene import Rules
from vigil.analytics.tracker import Tracker
from vigil.bench.motion import measure_motion
from vigil.bench.publishing import publishing
from vigil.bench.tracking import measure_tracker
from vigil.bench.walkers import CLASSES, HEIGHT, SHAPE, WIDTH, Answers, Distances, Picture
from vigil.config.analytics import LineConfig, TrackingConfig, ZoneConfig
from vigil.config.model import DetectConfig
from vigil.core.types import MAIN_MODEL, Frame, Model
from vigil.inference.heads import DistanceHead
from vigil.inference.letterbox import place, to_frame
from vigil.inference.schedule import Schedule
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vigil.bench.publishing import Publishing
    from vigil.core.types import BusMessage, Detections

STAGES = ("schedule", "head", "filter", "tracker", "scene", "encode", "publish")
_PACE = 0.2
_SECOND = 5
"""Frames of a camera in a second; the first one is warming up."""
_MODEL = Model("null", tuple(f"class {number}" for number in range(CLASSES)), stride=32, size=640)


@dataclass(frozen=True, slots=True)
class Overhead:
    """CPU milliseconds per frame: of every stage, and of tracking and motion by themselves.

    `stages_ms` are amortised over `batch` frames, `tracker_ms` over a batch of 32 cameras.
    """

    cameras: int
    objects: int
    batch: int
    stages_ms: dict[str, float]
    tracker_ms: float
    motion_ms: float

    @property
    def python_ms(self) -> float:
        """All stages together."""
        return sum(self.stages_ms.values())


@dataclass(slots=True)
class _Stopwatch:
    """CPU times of stages, in nanoseconds, one value per batch; so many batches have all cameras in turn."""

    cameras: int
    batches: int
    spent: dict[str, list[int]] = field(default_factory=lambda: {stage: [] for stage in STAGES})

    _start: int = 0

    def start(self) -> None:
        """Begin to time what comes now."""
        self._start = time.thread_time_ns()

    def stop(self, stage: str) -> None:
        """Note what passed since as a stage's, and begin anew."""
        now = time.thread_time_ns()
        self.note(stage, now - self._start)
        self._start = time.thread_time_ns()

    def note(self, stage: str, spent: int) -> None:
        """Note nanoseconds as a stage's."""
        self.spent[stage].append(spent)

    def medians(self) -> dict[str, float]:
        """Return milliseconds per stage and frame in the median second, the first one left out."""
        return {stage: self._median(spent) / 1e6 for stage, spent in self.spent.items()}

    def _median(self, spent: list[int]) -> float:
        second = _SECOND * self.batches
        seconds = (spent[first : first + second] for first in range(second, len(spent), second))
        return statistics.median(sum(each) / (_SECOND * self.cameras) for each in seconds)


def measure_overhead(
    cameras: int = 16,
    objects: int = 10,
    batch: int = 1,
    seconds: int = 12,
    tick: Callable[[], None] = lambda: None,
) -> Overhead:
    """Measure so many cameras with so many objects over `seconds`, 2 at least; `tick` is called per frame.

    The engine answers for `batch` frames at a time, of that many cameras.
    """
    watch = _Stopwatch(cameras, math.ceil(cameras / batch))
    bench = _Bench(cameras, objects, batch, watch)
    asyncio.run(bench.run(seconds * _SECOND, tick))
    return Overhead(
        cameras,
        objects,
        batch,
        watch.medians(),
        measure_tracker(32, objects).frame_ms,
        measure_motion().lively_ms,
    )


class _Bench:
    """Everything between an engine's answer and the broker, for several cameras."""

    def __init__(self, cameras: int, objects: int, batch: int, watch: _Stopwatch) -> None:
        self._watch = watch
        self._batch = batch
        self._head = DistanceHead(0.7)  # what YOLOs have on a CPU
        self._floors = np.full(batch, 0.1, np.float32)
        self._schedule = Schedule(lambda _model, _width, _height: SHAPE)
        self._placement = place(WIDTH, HEIGHT, SHAPE)
        self._tracker = Tracker()
        self._picture = Picture()
        self._names = [f"camera_{number}" for number in range(cameras)]
        self._output = Distances(batch)
        self._answers = [Answers(objects, seed, self._output, seed % batch) for seed in range(cameras)]
        self._metrics = Metrics()
        self._pipelines = {name: _pipeline(name, self._metrics) for name in self._names}
        for name in self._names:
            self._schedule.add(name, model=MAIN_MODEL, fps=1 / _PACE, weight=1, floor=0.1, now=0.0)

    async def run(self, frames: int, tick: Callable[[], None]) -> None:
        """Take so many frames of each camera all the way."""
        states = {name: pipeline.state for name, pipeline in self._pipelines.items()}
        async with publishing(states, self._metrics) as outlet:
            for number in range(frames):
                told = [(len(cameras), self.one(cameras, number)) for cameras in self._batches()]
                for count, messages in told:
                    await self._published(outlet, messages, count)
                tick()

    def _batches(self) -> list[range]:
        """Return the numbers of the cameras of each batch."""
        every = range(len(self._names))
        return [every[first : first + self._batch] for first in every[:: self._batch]]

    def one(self, cameras: Sequence[int], number: int) -> list[BusMessage]:
        """Take one frame of each of these cameras as far as the bus; returns what is to be published."""
        watch, now, count = self._watch, number * _PACE, len(cameras)
        frames = [Frame(self._names[camera], number, now, None, self._picture) for camera in cameras]
        for camera in cameras:
            self._answers[camera].at(now)
        watch.start()
        for frame in frames:
            self._schedule.offer(frame, now)
        batch = self._schedule.take(now, {MAIN_MODEL: count})
        if batch is not None:
            self._schedule.done(batch, 0.001)
        self._metrics.inferred(count, 0.001, [frame.camera for frame in frames])
        watch.stop("schedule")
        found = self._head.decode([self._output.now[:count]], self._floors[:count], SHAPE)
        for each in found:
            each.xyxy[:] = to_frame(each.xyxy, self._placement, WIDTH, HEIGHT)
        watch.stop("head")
        return self._told(frames, found)

    def _told(self, frames: Sequence[Frame], found: Sequence[Detections]) -> list[BusMessage]:
        watch, pipelines = self._watch, [self._pipelines[frame.camera] for frame in frames]
        admitted = [
            pipeline.admit(frame, each)
            for pipeline, frame, each in zip(pipelines, frames, found, strict=True)
        ]
        watch.stop("filter")
        names, times = [frame.camera for frame in frames], [frame.captured_at for frame in frames]
        tracks = self._tracker.update(names, times, admitted)
        watch.stop("tracker")
        told: list[BusMessage] = []
        for pipeline, frame, boxes, theirs in zip(pipelines, frames, admitted, tracks, strict=True):
            result, scene = pipeline.result(frame, boxes, theirs)
            told += [result, *scene.events]
        watch.stop("scene")
        return told

    async def _published(self, outlet: Publishing, messages: Sequence[BusMessage], frames: int) -> None:
        """Publish what a batch of so many frames has to say."""
        spent = await outlet.publish(messages, frames)
        self._watch.note("encode", spent.encode)
        self._watch.note("publish", spent.publish)


def _pipeline(name: str, metrics: Metrics) -> CameraPipeline:
    zones = {
        f"zone_{n}": ZoneConfig.model_validate(
            {"polygon": [[n / 4, 0.2], [n / 4 + 0.3, 0.1], [n / 4 + 0.35, 0.6], [n / 4, 0.9]]}
        )
        for n in range(3)
    }
    lines = {
        f"line_{n}": LineConfig.model_validate({"from": [0.3 + n / 3, 0.1], "to": [0.3 + n / 3, 0.9]})
        for n in range(2)
    }
    wanted = class_filter(name, DetectConfig(classes=["class 0"]), 0.5, _MODEL)
    series = metrics.add_camera(name)
    rules = Rules(TrackingConfig(), zones, lines)
    bits = random.Random(name).getrandbits  # noqa: S311 -- ids of a bench
    pipeline = CameraPipeline(name, _MODEL, wanted, rules, series, bits)
    state = pipeline.state
    series.aim(5.0, state.counts, state.zones, state.totals)
    return pipeline
