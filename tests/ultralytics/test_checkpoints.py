"""Checkpoints through the extra `vigil[ultralytics]`, held against ultralytics' own `predict`."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest
from ultralytics import YOLO

from tests.support.agreement import agreement
from tests.support.assets import photograph, weights
from vigil.app import open_detector
from vigil.config.model import ModelConfig
from vigil.inference.store import Store
from vigil.video.upload import decode_picture

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.core.types import Detections, Float32
    from vigil.inference.detector import Detector
    from vigil.video.photo import ArrayImage

# yolov8n is in no registry as a wheel: it is tested where the file is at hand.
CHECKPOINTS = ["yolo26n", *(["yolov8n"] if Store(os.environ).locate("yolov8n") else [])]


def picture(name: str) -> ArrayImage:
    """Return a photograph's pixels."""
    return decode_picture(photograph(name).read_bytes(), 10**8)


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
    detector = open_detector(path, ModelConfig(device="cpu"))
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
    detector = open_detector(weights("yolo26n"), ModelConfig(device="cpu"))
    images = [picture("bus"), picture("zidane")]
    alone = [detect(detector, image) for image in images]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda number: detect(detector, images[number % 2]), range(24)))
    for number, found in enumerate(together):
        np.testing.assert_allclose(found.xyxy, alone[number % 2].xyxy, atol=0.5)
