"""Frames in a GPU's memory: which are detected there, and what happens when that fails."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.fakes import FakeEngine, FakeImage, boxes
from vigil.core.types import Colour
from vigil.inference.detector import Detector
from vigil.inference.engine import EngineError, EngineMemoryError
from vigil.inference.heads import RawHead

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Detections, Float32
    from vigil.inference.heads import Head
    from vigil.inference.nv12 import Canvas, Planes

SHAPE = (384, 640)
CONFIDENCE_THERE = 0.75


class FakePlanes(FakeImage):
    """A picture in a GPU's memory; its planes are words."""

    colour = Colour()

    def __init__(self, device: str = "cuda:0", width: int = 1280, height: int = 720) -> None:
        super().__init__(width, height)
        self.device = device

    def planes(self) -> tuple[str, str]:
        """Return them."""
        return "luma", "chroma"


class PlanesFake(FakeEngine):
    """An engine that finds the same person in every frame that it is given as planes."""

    device = "cuda:0"

    def __init__(self, *, takes: bool = True, fails: Exception | None = None) -> None:
        super().__init__(max_batch=8)
        self.takes_planes = takes
        self.fails = fails
        self.given: list[tuple[Sequence[Planes], Canvas, Head, Float32]] = []

    def detect_planes(
        self, frames: Sequence[Planes], canvas: Canvas, head: Head, floors: Float32
    ) -> list[Detections]:
        """Note what comes, and find or fail."""
        self.given.append((frames, canvas, head, floors))
        if self.fails is not None:
            raise self.fails
        return [boxes((64, 36, 128, 72, CONFIDENCE_THERE, 0)) for _ in frames]


def detect(
    engine: FakeEngine, images: Sequence[FakeImage], floors: Sequence[float] | None = None
) -> list[float]:
    """Return the confidence of each image's box, which tells where it was found."""
    detector = Detector(engine, size=640, iou=0.6)
    return confidences(detector, images, floors)


def confidences(
    detector: Detector, images: Sequence[FakeImage], floors: Sequence[float] | None = None
) -> list[float]:
    """Return the confidence of each image's one box."""
    found = detector.detect(detector.letterbox(), images, floors or [0.5] * len(images), SHAPE)
    assert [len(each) for each in found] == [1] * len(images)
    return [round(float(each.confidence[0]), 2) for each in found]


def test_planes_go_to_the_engine_where_they_are() -> None:
    """Nothing is converted on the CPU; boxes come back in the frame's own pixels."""
    engine, image = PlanesFake(), FakePlanes()
    detector = Detector(engine, size=640, iou=0.6)
    (found,) = detector.detect(detector.letterbox(), [image], [0.5], SHAPE)
    (frames, canvas, head, floors) = engine.given[0]
    assert (frames[0].luma, frames[0].chroma) == ("luma", "chroma")
    assert (frames[0].width, frames[0].height) == (1280, 720)
    assert canvas.shape == SHAPE
    assert head == RawHead(0.6)
    assert floors.dtype == np.float32
    assert floors.tolist() == [0.5]
    assert found.xyxy.tolist() == [[128, 48, 256, 120]]  # scaled by two, 12 rows of grey above
    assert (image.writes, engine.batches) == (0, [])


def test_a_mixed_batch_keeps_its_order() -> None:
    """Frames of the GPU are found there and the others on the usual way, each with its own floor."""
    engine = PlanesFake()
    images = [FakeImage(), FakePlanes(), FakeImage(), FakePlanes()]
    assert detect(engine, images, [0.1, 0.2, 0.3, 0.4]) == [0.9, 0.75, 0.9, 0.75]
    np.testing.assert_allclose(engine.given[0][3], [0.2, 0.4])
    assert engine.batches == [(2, 3, *SHAPE)]


@pytest.mark.parametrize(
    ("engine", "image"),
    [
        (PlanesFake(), FakePlanes("cuda:1")),
        (PlanesFake(takes=False), FakePlanes()),
        (FakeEngine(), FakePlanes()),
        (PlanesFake(), FakeImage()),
    ],
    ids=["of another GPU", "failed its trial", "takes none", "of the CPU"],
)
def test_others_go_the_usual_way(engine: FakeEngine, image: FakeImage) -> None:
    """A frame of another GPU's memory, or for an engine that cannot take it, is fetched and converted."""
    assert detect(engine, [image]) == [0.9]
    assert image.writes == 1


def test_a_failure_ends_that_way_for_good(caplog: pytest.LogCaptureFixture) -> None:
    """The batch is not lost, one line says what happened, and it is not tried again."""
    engine = PlanesFake(fails=EngineError("no kernel image"))
    detector = Detector(engine, size=640, iou=0.6)
    with caplog.at_level(logging.WARNING):
        assert confidences(detector, [FakePlanes(), FakeImage()]) == [0.9, 0.9]
        assert confidences(detector, [FakePlanes()]) == [0.9]
    assert len(engine.given) == 1
    assert caplog.messages == ["frames are fetched from cuda:0 from now on: no kernel image"]


def test_no_memory_is_for_the_pool_to_answer() -> None:
    """A batch that is too large is told so, and that way stays open for a smaller one."""
    engine = PlanesFake(fails=EngineMemoryError("out of memory"))
    detector = Detector(engine, size=640, iou=0.6)
    with pytest.raises(EngineMemoryError):
        confidences(detector, [FakePlanes()])
    engine.fails = None
    assert confidences(detector, [FakePlanes()]) == [0.75]
