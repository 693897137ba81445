"""The detector: frames of any size in, boxes in each frame's own pixels out."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.fakes import MODEL, FakeEngine, FakeImage
from vigil.errors import CannotStartError
from vigil.inference.detector import Detector
from vigil.inference.engine import Output
from vigil.inference.heads import cell_count

if TYPE_CHECKING:
    from pathlib import Path

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


def test_fixed_input_is_filled() -> None:
    """On a static export's only size a frame is as large as will go, whatever `size` says."""
    detector = Detector(FakeEngine(fixed_shape=(640, 640)), size=320, iou=0.7)
    (found,) = detector.detect(detector.letterbox(), [FakeImage(1280, 720)], [0.5], (640, 640))
    assert found.xyxy.tolist() == [[576, 296, 704, 424]]


def test_only_a_cpu_that_takes_any_shape_gains_from_smaller_inputs() -> None:
    """Devices prepare for each shape; a static export has one."""
    device = FakeEngine()
    device.device = "cuda:0"
    assert Detector(FakeEngine(), size=640, iou=0.7).crops
    assert not Detector(device, size=640, iou=0.7).crops
    assert not Detector(FakeEngine(fixed_shape=(640, 640)), size=640, iou=0.7).crops


@pytest.mark.parametrize("boxes", [300, 100, "boxes"])
def test_a_head_that_chooses_its_boxes_needs_as_many_cells(boxes: int | str) -> None:
    """Its network takes the best of all cells, 300 if it does not say, and fails where there are fewer."""
    engine = FakeEngine()
    engine.outputs = (Output("output0", ("batch", boxes, 6)),)
    least = Detector(engine, size=640, iou=0.7).least_pixels
    assert cell_count((32, math.ceil(least / 32 / 32) * 32)) >= (boxes if isinstance(boxes, int) else 300)
    assert Detector(FakeEngine(), size=640, iou=0.7).least_pixels == 1


def test_warm_up_runs_the_usual_shape_once() -> None:
    """Warming up runs one batch of one in the shape of a 16:9 camera."""
    engine = FakeEngine()
    Detector(engine, size=640, iou=0.7).warm_up()
    assert engine.batches == [(1, 3, 384, 640)]


def test_unreadable_engine_cannot_start() -> None:
    """An engine whose output is no known head is refused when the detector is made."""
    engine = FakeEngine()
    engine.outputs = [Output("output0", (1, 2, 3, 4))]
    with pytest.raises(CannotStartError):
        Detector(engine, size=640, iou=0.7)


def test_model_is_what_the_weights_say() -> None:
    """Name, class names, stride and size are those of the weights."""
    assert Detector(FakeEngine(), size=640, iou=0.7).model == MODEL


def test_labels_of_the_configuration_go_first(tmp_path: Path) -> None:
    """A file of names renames the classes of the weights; one of another length cannot start."""
    labels = tmp_path / "labels.txt"
    labels.write_text("Mensch\nAuto\nHandy\n")
    assert Detector(FakeEngine(), size=640, iou=0.7, labels=labels).model.names == ("Mensch", "Auto", "Handy")
    labels.write_text("Mensch\n")
    with pytest.raises(CannotStartError, match="3 classes and there are 1 class names"):
        Detector(FakeEngine(), size=640, iou=0.7, labels=labels)


def test_stretched_models_are_fed_squares() -> None:
    """A DETR's box in fractions of its square input is in each frame's own pixels, all of the frame used."""
    engine = FakeEngine(lambda batch: np.full((len(batch), 300, 7), 0.5, np.float32))
    engine.outputs = [Output("output0", ("batch", 300, 7))]
    detector = Detector(engine, size=320, iou=0.7)
    shape = detector.shape_of(1280, 720)
    assert shape == (320, 320)
    (found,) = detector.detect(detector.letterbox(), [FakeImage(1280, 720)], [0.4], shape)
    assert found.xyxy[0].tolist() == [320, 180, 960, 540]


def test_batch_is_halved_down_to_one() -> None:
    """A batch that is too large for the device is halved until single images are left."""
    detector = Detector(FakeEngine(max_batch=5), size=640, iou=0.7)
    limits = [detector.batch_limit]
    while detector.halve_batch(detector.batch_limit):
        limits.append(detector.batch_limit)
    assert limits == [5, 2, 1]
    assert detector.batch_limit == 1


def test_batch_that_was_smaller_than_the_limit_halves_that() -> None:
    """What is halved is what was tried; a failure that comes in late, of more than that, changes nothing."""
    detector = Detector(FakeEngine(max_batch=16), size=640, iou=0.7)
    assert detector.halve_batch(4)
    assert detector.batch_limit == 2
    assert detector.halve_batch(16)
    assert detector.batch_limit == 2
    assert not detector.halve_batch(1)
