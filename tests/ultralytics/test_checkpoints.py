"""Checkpoints through the extra `vigil[ultralytics]`, held against ultralytics' own `predict`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from ultralytics import YOLO

from tests.support.agreement import agreement
from tests.support.assets import photograph, weights
from vigil.config.model import ModelConfig
from vigil.errors import CannotStartError
from vigil.inference.backends.ultralytics import UltralyticsEngine
from vigil.inference.detector import Detector
from vigil.inference.store import Store
from vigil.video.upload import decode_picture

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.core.types import Detections, Float32
    from vigil.video.photo import ArrayImage

# yolov8n is in no registry as a wheel: it is tested where the file is at hand.
CHECKPOINTS = ["yolo26n", *(["yolov8n"] if Store(os.environ).locate("yolov8n") else [])]


def picture(name: str) -> ArrayImage:
    """Return a photograph's pixels."""
    return decode_picture(photograph(name).read_bytes(), 10**8)


def open_detector(path: Path) -> Detector:
    """Return a detector that runs the checkpoint itself, on the CPU."""
    settings = ModelConfig()
    return Detector(UltralyticsEngine(path, settings, "cpu"), size=640, iou=settings.iou, labels=None)


def detect(detector: Detector, image: ArrayImage) -> Detections:
    """Find objects in one picture."""
    shape = detector.shape_of(image.width, image.height)
    return detector.detect(detector.letterbox(), [image], [0.25], shape)[0]


def reference(path: Path, name: str) -> Float32:
    """Return ultralytics' `(n, 6)` rows: box, confidence, class."""
    boxes = YOLO(str(path)).predict(str(photograph(name)), imgsz=640, device="cpu", verbose=False)[0].boxes
    return np.asarray(boxes.data.numpy(), np.float32)


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_boxes_agree_with_predict(name: str) -> None:
    """Every box over 0.3 has its match: same class, IoU >= 0.95, confidence within 0.02, both ways."""
    path = weights(name)
    detector = open_detector(path)
    total = agreeing = 0
    for photo in ("bus", "zidane"):
        found = detect(detector, picture(photo))
        rows = np.column_stack([found.xyxy, found.confidence, found.class_id]).astype(np.float32)
        matched, of = agreement(rows, reference(path, photo))
        agreeing, total = agreeing + matched, total + of
    print(f"\n{name}: {agreeing} of {total} detections agree, both ways")
    assert total >= 10
    assert agreeing / total >= 0.99


def test_workers_of_different_shapes_do_not_meet() -> None:
    """Calls of different input shapes at the same time give the boxes that they give alone."""
    detector = open_detector(weights("yolo26n"))
    images = [picture("bus"), picture("zidane")]
    alone = [detect(detector, image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda number: detect(detector, images[number % 2]), range(24)))
    for number, found in enumerate(together):
        np.testing.assert_allclose(found.xyxy, alone[number % 2].xyxy, atol=0.5)


def test_channels_last_changes_nothing() -> None:
    """The network in channels-last memory answers as ultralytics' own, in its usual memory, does."""
    engine = UltralyticsEngine(weights("yolo26n"), ModelConfig(), "cpu")
    batch = np.random.default_rng(1).random((2, 3, 128, 160), np.float32)
    net = YOLO(str(weights("yolo26n"))).model.fuse(verbose=False).eval()
    with torch.inference_mode():
        expected = net(torch.from_numpy(batch))[0].numpy()
    assert all(
        parameter.is_contiguous(memory_format=torch.channels_last)
        for parameter in engine._net.parameters()
        if parameter.dim() == 4
    )
    np.testing.assert_allclose(engine.run(batch)[0], expected, atol=1e-2)


@pytest.mark.parametrize(
    ("settings", "device", "message"),
    [
        (ModelConfig(precision="int8"), "cpu", "vigil models export"),
        (ModelConfig(precision="fp16"), "cpu", "vigil models export"),
        (ModelConfig(), "intel-gpu", "is not one for a .pt"),
        (ModelConfig(), "cuda:99", "torch sees"),
    ],
)
def test_what_a_checkpoint_cannot_do(settings: ModelConfig, device: str, message: str) -> None:
    """Devices and precisions that torch does not give are answered with what would be right."""
    with pytest.raises(CannotStartError, match=message):
        UltralyticsEngine(weights("yolo26n"), settings, device)
