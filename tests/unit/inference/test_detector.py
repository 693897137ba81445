"""The detector: frames of any size in, boxes in each frame's own pixels out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.fakes import FakeEngine, FakeImage
from vigil.errors import CannotStartError
from vigil.inference.detector import Detector

if TYPE_CHECKING:
    from vigil.core.types import Float32


def test_boxes_come_back_in_frame_pixels() -> None:
    """A box of 64 input pixels in the middle of 384x640 is one of 128 in the middle of a 1280x720 frame."""
    detector = Detector(FakeEngine(), size=640, iou=0.7)
    (found,) = detector.detect(detector.letterbox(), [FakeImage(1280, 720)], [0.5], (384, 640))
    assert found.xyxy.tolist() == [[576, 296, 704, 424]]
    assert found.confidence.tolist() == [pytest.approx(0.9)]
    assert (found.class_id.tolist(), found.tracker_id.tolist()) == ([0], [-1])


def test_each_image_of_a_batch_has_its_own_pixels_and_floor() -> None:
    """Frames of two sizes and floors in one batch: each box in its frame's pixels, none under its floor."""
    detector = Detector(FakeEngine(), size=640, iou=0.7)
    images = [FakeImage(1280, 720), FakeImage(640, 360), FakeImage(640, 360)]
    large, small, none = detector.detect(detector.letterbox(), images, [0.5, 0.5, 0.95], (384, 640))
    assert large.xyxy.tolist() == [[576, 296, 704, 424]]
    assert small.xyxy.tolist() == [[288, 148, 352, 212]]
    assert len(none) == 0


def test_engine_sees_the_pictures() -> None:
    """What the engine gets is the pictures in their order on grey, one tensor for all."""
    seen: list[Float32] = []

    def answer(batch: Float32) -> Float32:
        seen.append(batch.copy())
        return np.zeros((len(batch), 7, 3), np.float32)

    detector = Detector(FakeEngine(answer), size=640, iou=0.7)
    detector.detect(detector.letterbox(), [FakeImage(value=0.1), FakeImage(value=0.9)], [0.5] * 2, (384, 640))
    assert seen[0].shape == (2, 3, 384, 640)
    assert seen[0][:, 0, 192, 320].tolist() == [pytest.approx(0.1), pytest.approx(0.9)]


def test_fixed_input_wins_over_the_aspect_ratio() -> None:
    """A static export is fed its only size, whatever the frame's shape; others follow the frame."""
    fixed = Detector(FakeEngine(fixed_shape=(416, 416)), size=640, iou=0.7)
    free = Detector(FakeEngine(), size=320, iou=0.7)
    assert fixed.shape_of(1920, 1080) == (416, 416)
    assert free.shape_of(1920, 1080) == (192, 320)


def test_warm_up_runs_the_usual_shape_once() -> None:
    """Warming up runs one batch of one in the shape of a 16:9 camera."""
    engine = FakeEngine()
    Detector(engine, size=640, iou=0.7).warm_up()
    assert engine.batches == [(1, 3, 384, 640)]


def test_unreadable_engine_cannot_start() -> None:
    """An engine whose output is no known head is refused when the detector is made."""
    engine = FakeEngine()
    engine.outputs = [(1, 2, 3, 4)]
    with pytest.raises(CannotStartError):
        Detector(engine, size=640, iou=0.7)
