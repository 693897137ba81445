"""A GPU's part between decoder and boxes, computed by torch on the CPU and held against the CPU's own way."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from tests.support.assets import photograph, weights
from tests.support.planes import picture, planes_of
from vigil.config.model import ModelConfig
from vigil.core.types import PlanarImage
from vigil.inference.backends.planes import TorchArrays, agrees, complete, detections, pick
from vigil.inference.backends.ultralytics import UltralyticsEngine
from vigil.inference.detector import Detector
from vigil.inference.heads import RawHead
from vigil.inference.letterbox import RF_DETR, ULTRALYTICS, YOLOX, Letterbox, Preparation
from vigil.inference.nv12 import Canvas, fill
from vigil.inference.store import Store
from vigil.video.decode import NvImage, Scalers
from vigil.video.upload import decode_picture

if TYPE_CHECKING:
    from vigil.core.types import Detections, Float32, Image

CPU = torch.device("cpu")
SHAPE = (384, 640)
# yolov8n, which needs suppression, is in no registry as a wheel: it is tested where the file is at hand.
MODELS = ["yolo26n", *(["yolov8n"] if Store(os.environ).locate("yolov8n") else [])]


@pytest.mark.parametrize("preparation", [ULTRALYTICS, YOLOX, RF_DETR])
@pytest.mark.parametrize(("dtype", "mean", "worst"), [(torch.float32, 0.6, 16), (torch.float16, 0.7, 16)])
def test_letterbox_agrees_with_swscale(
    preparation: Preparation, dtype: Any, mean: float, worst: float
) -> None:
    """The two are half a step of 8 bits apart on average, and 99 of 100 values within 1.6 steps."""
    images = [picture(1280, 720, 1), picture(640, 480, 2, colorspace=1, color_range=2), picture(1280, 720, 3)]
    theirs, _ = Letterbox(3, preparation).fill(images, SHAPE)
    ours = torch.empty(3, 3, *SHAPE, dtype=dtype).contiguous(memory_format=torch.channels_last)
    frames = [planes_of(image, SHAPE, preparation) for image in images]
    fill(ours, frames, Canvas(SHAPE, preparation), TorchArrays(torch, CPU, dtype))
    step = preparation.white / 255 / min(preparation.std)
    off = np.abs(ours.float().numpy() - theirs) / step
    assert off.mean() <= mean
    assert np.quantile(off, 0.99) <= 1.6
    assert off.max() <= worst


def raw(
    rng: np.random.Generator, crowd: int, images: int = 3, classes: int = 5, anchors: int = 400
) -> Float32:
    """Return a raw output in which so many anchors per image are boxes that lie in heaps."""
    output = np.zeros((images, 4 + classes, anchors), np.float32)
    heaps = rng.uniform(0, 600, (8, 2))
    for image in range(images):
        where = rng.choice(anchors, crowd, replace=False)
        output[image, :2, where] = heaps[rng.integers(0, 8, crowd)] + rng.normal(0, 12, (crowd, 2))
        output[image, 2:4, where] = rng.uniform(30, 90, (crowd, 2))
        scores = rng.uniform(0, 1, (crowd, classes)).astype(np.float32)
        output[image, 4:, where] = np.round(scores, 2)  # so that some are equal
    return output


def picked(output: Float32, floors: Float32, iou: float) -> Float32:
    """Pick on the device, which is the CPU here."""
    with torch.inference_mode():
        found: Float32 = pick(torch, torch.from_numpy(output), torch.from_numpy(floors), iou).numpy()
    return found


def same(ours: list[Detections], theirs: list[Detections]) -> None:
    """Hold the boxes of each image against each other: the same, in the same order."""
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(mine.xyxy, other.xyxy)
        np.testing.assert_array_equal(mine.confidence, other.confidence)
        np.testing.assert_array_equal(mine.class_id, other.class_id)


@pytest.mark.parametrize("iou", [0.3, 0.7])
@pytest.mark.parametrize("crowd", [0, 1, 12, 60, 250])
def test_the_same_boxes_as_the_heads(crowd: int, iou: float) -> None:
    """Box for box and in the same order, each image by its own floor; equal scores and heaps included."""
    for seed in range(20):
        output = raw(np.random.default_rng(seed), crowd)
        floors = np.array([0.5, 0.9, 0.05], np.float32)
        found = picked(output, floors, iou)
        assert complete(found)
        same(detections(found), RawHead(iou).decode([output], floors, (640, 640)))


def test_broken_numbers_make_no_box() -> None:
    """Infinite and missing numbers are left out as the head leaves them out."""
    output = raw(np.random.default_rng(3), 60)
    where = np.flatnonzero(output[0, 4:].max(axis=0) > 0.5)
    output[0, 2, where[0]] = np.inf
    output[0, 0, where[1]] = np.nan
    output[0, 5, where[2]] = np.nan
    output[0, 4, where[3]] = np.inf
    floors = np.full(3, 0.5, np.float32)
    found = picked(output, floors, 0.5)
    assert complete(found)
    same(detections(found), RawHead(0.5).decode([output], floors, (640, 640)))


def test_what_is_too_much_is_told() -> None:
    """More boxes than the device looks at, or a chain that is too long, is told and not answered wrongly."""
    many = np.zeros((2, 5, 600), np.float32)
    many[:, :4] = 10
    many[0, 4] = 0.9
    assert picked(many, np.full(2, 0.5, np.float32), 0.5)[:, 0, 1].tolist() == [1, 0]
    chain = np.zeros((1, 5, 40), np.float32)
    chain[0, :4] = np.arange(40) * 5, np.full(40, 50), np.full(40, 20), np.full(40, 20)
    chain[0, 4] = np.linspace(0.9, 0.5, 40)
    assert not complete(picked(chain, np.full(1, 0.4, np.float32), 0.5))


def test_self_test_passes_and_can_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """The trial at the start finds nothing wrong in either precision, and notices what is."""
    assert agrees(torch, CPU, torch.float32) == ""
    assert agrees(torch, CPU, torch.float16) == ""
    with monkeypatch.context() as wrong:
        wrong.setattr("vigil.inference.backends.planes.pick", lambda t, out, fl, _iou: pick(t, out, fl, 0.99))
        assert "boxes" in agrees(torch, CPU, torch.float32)
    with monkeypatch.context() as wrong:
        wrong.setattr(
            TorchArrays, "stack", lambda _self, caps: torch.stack([torch.from_dlpack(c) for c in caps]) * 0.9
        )
        assert "letterbox" in agrees(torch, CPU, torch.float32)


def as_decoded(name: str) -> NvImage:
    """Return a photograph as a GPU's decoder would leave it."""
    import av  # noqa: PLC0415 -- with `tests.support.planes` the only place that needs it

    pixels = decode_picture(photograph(name).read_bytes(), 10**8).to_bgr()
    height, width = (side // 2 * 2 for side in pixels.shape[:2])
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="bgr24")
    return NvImage(frame.reformat(format="nv12"), Scalers())


class Downloaded:
    """The same image, that no engine takes as planes."""

    def __init__(self, image: NvImage) -> None:
        self.width, self.height = image.width, image.height
        self.write_rgb, self.luma, self.to_bgr = image.write_rgb, image.luma, image.to_bgr


@pytest.mark.parametrize("name", MODELS)
def test_the_same_objects_on_both_ways(name: str) -> None:
    """From planes to boxes on the device, and by way of the CPU's memory: the same objects to a pixel."""
    detector = Detector(UltralyticsEngine(weights(name), ModelConfig(max_batch=4), "cpu"), size=640, iou=0.7)
    assert isinstance(detector.engine, UltralyticsEngine)
    assert detector.engine.takes_planes
    for photo in ("bus", "zidane"):
        image = as_decoded(photo)
        assert isinstance(image, PlanarImage)
        assert not isinstance(Downloaded(image), PlanarImage)
        shape = detector.shape_of(image.width, image.height)
        down: Image = Downloaded(image)
        batches: list[list[Image]] = [[image], [down, image, down], [down]]
        ours, mixed, theirs = (
            detector.detect(detector.letterbox(), images, [0.4] * len(images), shape) for images in batches
        )
        assert len(theirs[0]) >= 2
        for found in (ours[0], *mixed):
            np.testing.assert_array_equal(found.class_id, theirs[0].class_id)
            np.testing.assert_allclose(found.xyxy, theirs[0].xyxy, atol=1.5)
            np.testing.assert_allclose(found.confidence, theirs[0].confidence, atol=0.02)
