"""vigil's boxes against ultralytics' own, for the same weights."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.support.agreement import agreement
from tests.support.assets import coco128, photograph, weights
from vigil.config.model import ModelConfig
from vigil.inference.service import open_service
from vigil.video.upload import decode_picture

if TYPE_CHECKING:
    from vigil.core.types import Detections, Float32

EXPECTED = json.loads((Path(__file__).parents[1] / "fixtures/parity.json").read_text())


def test_boxes_agree_with_ultralytics() -> None:
    """At least 99 % of detections over 0.3 have the same class, IoU >= 0.95 and confidence within 0.02."""
    path = weights("yolo11n")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == EXPECTED["weights_sha256"]
    detector = open_service(path, ModelConfig(), None).detector
    total = agreeing = 0
    for expected in EXPECTED["pictures"]:
        picture = _picture(expected["file"])
        if picture is None:
            continue
        assert hashlib.sha256(picture.read_bytes()).hexdigest() == expected["sha256"]
        image = decode_picture(picture.read_bytes(), 10**8)
        shape = detector.shape_of(image.width, image.height)
        found = detector.detect(detector.letterbox(), [image], [0.25], shape)[0]
        matched, of = agreement(_ours(found), _theirs(expected))
        agreeing, total = agreeing + matched, total + of
    print(f"\nparity: {agreeing} of {total} detections agree, both ways")
    assert total >= 10
    assert agreeing / total >= 0.99


def _picture(name: str) -> Path | None:
    """Return a picture of the fixture; those of coco128 are only there where the asset folder is."""
    if name in {"bus.jpg", "zidane.jpg"}:
        return photograph(name.removesuffix(".jpg"))
    return coco128(name) if os.environ.get("VIGIL_ASSETS") else None


def _ours(found: Detections) -> Float32:
    return np.column_stack([found.xyxy, found.confidence, found.class_id]).astype(np.float32)


def _theirs(expected: dict[str, Any]) -> Float32:
    rows = [[*found["xyxy"], found["confidence"], found["class_id"]] for found in expected["detections"]]
    return np.array(rows, np.float32).reshape(-1, 6)
