"""YOLOX as its own documentation runs it, written apart from vigil: OpenCV's resize, loops, plain NMS."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from vigil.core.types import Float32, UInt8

_GREY = 114


def prepare(bgr: UInt8, side: int) -> tuple[Float32, float]:
    """Return the `(1, 3, side, side)` input, BGR in 0..255 at the top left corner of grey, and the scale."""
    height, width = bgr.shape[:2]
    scale = min(side / height, side / width)
    small = cv2.resize(bgr, (int(width * scale), int(height * scale)), interpolation=cv2.INTER_LINEAR)
    padded = np.full((side, side, 3), _GREY, np.uint8)
    padded[: small.shape[0], : small.shape[1]] = small
    return np.ascontiguousarray(padded.transpose(2, 0, 1)[None], np.float32), scale


def boxes(output: Float32, side: int, scale: float, *, floor: float, iou: float) -> Float32:
    """Return `x1, y1, x2, y2, confidence, class` rows in frame pixels from `(1, cells, 5 + classes)`."""
    candidates = []
    cells = iter(output[0].tolist())
    for stride in (8, 16, 32):
        for row in range(side // stride):
            for column in range(side // stride):
                x, y, w, h, objectness, *scores = next(cells)
                score = objectness * max(scores)
                if score > floor:
                    cx, cy = (x + column) * stride, (y + row) * stride
                    half_w, half_h = math.exp(w) * stride / 2, math.exp(h) * stride / 2
                    corners = [cx - half_w, cy - half_h, cx + half_w, cy + half_h]
                    candidates.append([*(side / scale for side in corners), score, scores.index(max(scores))])
    kept: list[list[Any]] = []
    for box in sorted(candidates, key=lambda box: -box[4]):
        if all(box[5] != other[5] or _iou(box, other) <= iou for other in kept):
            kept.append(box)
    return np.array(kept, np.float32).reshape(-1, 6)


def _iou(one: list[Any], two: list[Any]) -> float:
    width = max(0.0, min(one[2], two[2]) - max(one[0], two[0]))
    height = max(0.0, min(one[3], two[3]) - max(one[1], two[1]))
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (two[2] - two[0]) * (two[3] - two[1])
    return float(width * height / (areas - width * height))
