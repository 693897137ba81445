"""How well two sets of boxes of one picture agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vigil.core.types import Float32


def agreement(
    one: Float32, other: Float32, *, over: float = 0.3, iou: float = 0.95, confidence: float = 0.02
) -> tuple[int, int]:
    """Return how many boxes over a confidence have a match on the other side, of how many, both ways.

    Rows are `x1, y1, x2, y2, confidence, class`; a match has the class, the IoU and the confidence.
    """
    matched = total = 0
    for rows, others in ((one, other), (other, one)):
        sure = rows[rows[:, 4] > over]
        total += len(sure)
        matched += sum(_has_match(row, others, iou, confidence) for row in sure)
    return matched, total


def _has_match(row: Float32, others: Float32, iou: float, confidence: float) -> bool:
    same = others[(others[:, 5] == row[5]) & (np.abs(others[:, 4] - row[4]) <= confidence)]
    return bool((_iou(row[:4], same[:, :4]) >= iou).any())


def _iou(box: Float32, boxes: Float32) -> Float32:
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - overlap
    result: Float32 = overlap / areas
    return result
