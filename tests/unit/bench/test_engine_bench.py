"""The bench of engines: its arithmetic, and cameras that are never without a frame."""

from __future__ import annotations

import time

import pytest

from tests.support.fakes import FakeEngine, FakeImage, boxes
from vigil.bench.engine import Cameras, Turn, figures
from vigil.core.types import MAIN_MODEL
from vigil.inference.detector import Detector
from vigil.inference.loop import InferenceLoop
from vigil.inference.service import Service
from vigil.metrics import Metrics


def service(workers: int = 2, max_batch: int = 4) -> Service:
    """Return a service around a fake engine."""
    detector = Detector(FakeEngine(workers=workers, max_batch=max_batch), size=640, iou=0.7)
    return Service(detector, workers, max_batch, 30.0, lambda: detector)


def test_ratio_is_the_median_of_turns_taken_in_pairs() -> None:
    """A machine that is slow for one pair of turns does not change the ratio."""
    bare = [Turn(100, 1.0, 0.5), Turn(20, 1.0, 0.1), Turn(100, 1.0, 0.5)]
    loop = [Turn(90, 1.0, 0.54), Turn(18, 1.0, 0.108), Turn(90, 1.0, 0.54)]
    found = figures(service(), bare, loop)
    assert found.ratio_to_bare == pytest.approx(0.9)
    assert found.images_per_second == 90
    assert found.bare_images_per_second == 100
    assert found.cpu_ms_per_image == pytest.approx(6.0)
    assert found.bare_cpu_ms_per_image == pytest.approx(5.0)
    assert (found.batch, found.workers, found.engine) == (4, 2, "fake cpu")


def test_turn_without_images_costs_no_division() -> None:
    """A turn in which nothing came back has a rate of 0."""
    assert Turn(0, 2.0, 1.0).rate == 0
    assert Turn(0, 2.0, 1.0).cpu_ms == 1000.0


def test_cameras_always_have_the_next_frame() -> None:
    """Each camera offers a frame at first, and the next one whenever one came back."""
    cameras = Cameras(FakeImage())
    loop = InferenceLoop({MAIN_MODEL: service()}, cameras, Metrics())
    cameras.connect(loop, 3)
    batch = loop._schedule.take(time.monotonic(), {MAIN_MODEL: 4})
    assert batch is not None
    assert [frame.seq for frame in batch.frames] == [1, 1, 1]
    cameras.handle(batch.camera_frames, [boxes()] * 3)
    loop._schedule.done(batch)
    following = loop._schedule.take(time.monotonic(), {MAIN_MODEL: 4})
    assert following is not None
    assert [frame.seq for frame in following.frames] == [2, 2, 2]
    assert cameras.inferred == 3
