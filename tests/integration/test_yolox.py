"""vigil's boxes of a real YOLOX against those of YOLOX's own documented way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import onnxruntime
import pytest

from tests.support import yolox_reference
from tests.support.agreement import agreement
from tests.support.assets import asset
from vigil.inference.engine import Output, Weights
from vigil.inference.labels import COCO_80, class_names
from vigil.inference.letterbox import Letterbox, to_frame
from vigil.inference.reading import read_head
from vigil.video.photo import ArrayImage

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.core.types import Float32, UInt8
    from vigil.inference.reading import Reading

WEIGHTS = asset("models/yolox_nano.onnx")
SIDE = 416
PICTURES = 40
FLOOR, IOU = 0.25, 0.45


@pytest.mark.skipif(WEIGHTS is None, reason="VIGIL_ASSETS has no yolox_nano.onnx")
def test_boxes_agree_with_yolox() -> None:
    """At least 97 % of detections over 0.3 have the same class, IoU >= 0.95 and confidence within 0.02."""
    session = onnxruntime.InferenceSession(str(WEIGHTS), providers=["CPUExecutionProvider"])
    output = session.get_outputs()[0]
    weights = Weights("yolox_nano", (), 32, SIDE, session.get_modelmeta().custom_metadata_map)
    reading = read_head(
        weights, [Output(output.name, tuple(output.shape))], named=0, iou=IOU, fixed_shape=(SIDE, SIDE)
    )
    assert class_names((), reading.classes) == COCO_80
    letterbox = Letterbox(1, reading.preparation)
    matched = total = 0
    for path in _pictures():
        bgr = np.asarray(cv2.imread(str(path)), np.uint8)
        agreeing, of = agreement(_ours(session, reading, letterbox, bgr), _theirs(session, bgr))
        matched, total = matched + agreeing, total + of
    print(f"\nyolox: {matched} of {total} detections agree, both ways")
    assert total >= 100
    assert matched / total >= 0.97


def _pictures() -> list[Path]:
    assert WEIGHTS is not None
    return sorted((WEIGHTS.parents[1] / "labelled/coco128/images/train2017").glob("*.jpg"))[:PICTURES]


def _ours(
    session: onnxruntime.InferenceSession, reading: Reading, letterbox: Letterbox, bgr: UInt8
) -> Float32:
    image = ArrayImage(bgr)
    batch, (placement,) = letterbox.fill([image], (SIDE, SIDE))
    (found,) = reading.head.decode(
        session.run(None, {"images": batch}), np.array([FLOOR], np.float32), (SIDE, SIDE)
    )
    xyxy = to_frame(found.xyxy, placement, image.width, image.height)
    return np.column_stack([xyxy, found.confidence, found.class_id]).astype(np.float32)


def _theirs(session: onnxruntime.InferenceSession, bgr: UInt8) -> Float32:
    batch, scale = yolox_reference.prepare(bgr, SIDE)
    found = yolox_reference.boxes(session.run(None, {"images": batch})[0], SIDE, scale, floor=FLOOR, iou=IOU)
    limit = [bgr.shape[1], bgr.shape[0]] * 2
    found[:, :4] = np.clip(found[:, :4], 0, limit)  # as vigil's boxes, which end at the frame's edge
    return found
