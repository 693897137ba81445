"""No frame costs a large piece of memory once vigil has found its feet: what is large is used again."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import av
import numpy as np

from tests.support.allocations import Allocations
from tests.support.fakes import FakeEngine
from tests.support.serving import service
from vigil.analytics.pipeline import Pipelines
from vigil.analytics.watch import Watch
from vigil.bench.overhead import _MODEL, _pipeline
from vigil.bench.publishing import publishing
from vigil.bench.walkers import Answers, Output, Picture
from vigil.config.analytics import MotionConfig
from vigil.core.types import MAIN_MODEL, Frame
from vigil.inference.engine import Output as OutputShape
from vigil.inference.engine import Weights
from vigil.inference.loop import InferenceLoop
from vigil.metrics import Metrics
from vigil.video.decode import Scalers, YuvImage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.bench.publishing import Publishing
    from vigil.core.types import Float32
    from vigil.inference.letterbox import Letterbox

CAMERAS, OBJECTS = 4, 10
PACE = 0.2
"""Seconds between two frames of a camera."""
LARGE = 4096
"""Bytes that a line may allocate for a frame."""
WARM, WATCHED = 25, 10
"""Frames of each camera before it is looked at, and while."""
REMAINS = {
    "analytics/sharpness.py:sharpness": "of an object that may be shown best: now and then on footage",
    "core/geometry.py:contain": "five arrays of a kilobyte in one line, together",
    "inference/boxes.py:ranked": "numpy's own three iterators, for ten rows as for hundreds",
    "inference/heads.py:decode": "the rows of what was found, and numpy's own iterator over them",
    "sinks/messages.py:_json": "orjson begins with a buffer and gives back what a message does not need",
}
"""What takes more all the same, and why it stays."""


class NullEngine(FakeEngine):
    """Answers at once what it was told to."""

    weights = Weights(_MODEL.name, _MODEL.names, _MODEL.stride, _MODEL.size, {})
    outputs: Sequence[OutputShape] = (OutputShape("output0", ("batch", 4 + len(_MODEL.names), "anchors")),)

    def __init__(self) -> None:
        super().__init__(max_batch=1)
        self.answer = np.empty(0, np.float32)

    def run(self, _batch: Float32) -> list[Float32]:
        """Answer."""
        return [self.answer]


class Street:
    """Cameras that see people walk, from the decoder to the broker; all of it in one thread."""

    def __init__(self, outlet: Publishing, metrics: Metrics) -> None:
        self._now = 0.0
        self._engine = NullEngine()
        pipelines = Pipelines(outlet._bus.publish_threadsafe)
        self._service = service(self._engine)
        self._loop = InferenceLoop({MAIN_MODEL: self._service}, pipelines, metrics)
        self._letterboxes: dict[str, Letterbox] = {}
        output, scalers = Output(), Scalers()
        self._answers = [Answers(OBJECTS, seed, output) for seed in range(CAMERAS)]
        luma = Picture().luma(1)
        moved = (np.roll(luma, 40 * step, axis=1) for step in range(4))
        self._images = [YuvImage(av.VideoFrame.from_ndarray(each, "gray"), scalers) for each in moved]
        self._watches = []
        for name in names():
            pipeline = _pipeline(name, metrics)
            watch = Watch(self._loop, pipeline._metrics, lambda _on: None, lambda: self._now)
            watch.settle(MotionConfig(), gate=False, fps=1 / PACE)
            self._loop.set_camera(name, fps=1e6, weight=1, floor=0.1)
            pipelines.add(name, pipeline, watch)
            self._watches.append(watch)

    async def pass_by(self, first: int, count: int) -> None:
        """Take so many frames of each camera all the way."""
        for number in range(first, first + count):
            self._now = number * PACE
            for camera, name in enumerate(names()):
                self._engine.answer = self._answers[camera].at(self._now)
                self._watches[camera].offer(
                    Frame(name, number, self._now, None, self._images[number % len(self._images)])
                )
                self._infer()
                await asyncio.sleep(0.001)

    def _infer(self) -> None:
        """Do as a worker does."""
        [pool] = self._loop._pools
        batch = self._loop.next_batch(pool, threading.Event())
        assert batch is not None
        assert pool._first(self._service, self._letterboxes, [batch]) == []


def names() -> list[str]:
    """Return the cameras' names."""
    return [f"camera_{number}" for number in range(CAMERAS)]


async def watch_street(allocations: Allocations) -> int:
    """Watch what frames allocate; returns how many messages went to the broker meanwhile."""
    metrics = Metrics()
    states = {name: _pipeline(name, Metrics()).state for name in names()}
    async with publishing(states, metrics) as outlet:
        street = Street(outlet, metrics)
        await street.pass_by(0, WARM)
        before = outlet.arrived
        with allocations.watched():
            await street.pass_by(WARM, WATCHED)
        return outlet.arrived - before


def test_no_frame_allocates_much() -> None:
    """In steady state no line, from motion to the socket, takes 4 KB for each frame, but for known ones."""
    found = Allocations(LARGE)
    arrived = asyncio.run(watch_street(found))
    assert arrived >= CAMERAS * WATCHED, "frames came to nothing"
    often = {line for line, times in found.lines.items() if times > CAMERAS * WATCHED / 5}
    ours = {line for line in often if not line.startswith("bench/")}
    assert {line for line in ours if line.rpartition(":")[0] not in REMAINS} == set()


def test_large_allocation_is_seen() -> None:
    """A line of vigil's that takes more for a moment only is found, with the function that it stands in."""
    found = Allocations(LARGE)
    with found.watched():
        Picture().to_bgr()
    assert any(line.startswith("bench/walkers.py:to_bgr:") for line in found.lines)
