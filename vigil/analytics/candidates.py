"""The detections of a batch in one struct of arrays, and the pairs of boxes that share a camera."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vigil.analytics.assign import Indices
    from vigil.analytics.kalman import Float64
    from vigil.core.types import Detections, Float32, Int32

_FAR = 1e6
"""Pixels past which no box of a sane detector reaches."""
_CLASSES = 1 << 16
"""More than any model knows."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The sane detections of a batch, ordered by what they are and not by where they stood in their frame.

    One row per detection, ascending by `camera` `(n,)`, the number of its frame in the batch; `index` is
    its place in that frame, `box` `(n, 4)` its centre and size in pixels.
    """

    camera: Indices
    index: Indices
    box: Float64
    confidence: Float32
    class_id: Int32

    def __len__(self) -> int:
        return len(self.camera)


def gather(found: Sequence[Detections], least: float) -> Candidates:
    """Return the detections of these frames that are sane boxes and have at least this confidence."""
    sizes = [len(each) for each in found]
    xyxy = np.concatenate([each.xyxy for each in found]).astype(np.float64)
    confidence = np.concatenate([each.confidence for each in found])
    class_id = np.concatenate([each.class_id for each in found])
    camera = np.repeat(np.arange(len(found)), sizes)
    x1, y1, x2, y2 = xyxy.T
    # Comparisons with NaN are false, so this leaves it out; a score above 1 is no score.
    sane = (x2 > x1) & (y2 > y1) & (np.abs(xyxy).max(axis=1, initial=0) < _FAR)
    sane &= (confidence >= least) & (confidence <= 1) & (class_id >= 0) & (class_id < _CLASSES)
    order = np.lexsort((class_id, y2, x2, y1, x1, -confidence, camera))
    order = order[sane[order]]
    index = order - (np.cumsum(sizes) - sizes)[camera[order]]
    corner = xyxy[order]
    box = np.empty_like(corner)
    box[:, :2] = (corner[:, :2] + corner[:, 2:]) * 0.5
    box[:, 2:] = corner[:, 2:] - corner[:, :2]
    return Candidates(camera[order], index, box, confidence[order], class_id[order])


def pairs(one: Indices, other: Indices, cameras: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices `(p,)`, `(p,)` of all pairs of an element of each side that share a camera.

    `one` and `other` hold the camera of each element, ascending.
    """
    start = np.searchsorted(other, np.arange(cameras + 1))
    partners = np.diff(start)[one]
    first = np.repeat(np.arange(len(one)), partners)
    skipped = np.cumsum(partners) - partners
    second = np.arange(len(first)) + np.repeat(start[one] - skipped, partners)
    return first, second


def overlap(one: Float64, other: Float64, margin: Float64 | float = 0.0) -> Float64:
    """Return the intersection over union `(p,)` of boxes `(p, 4)` (centre, size) pair by pair.

    `margin` `(p, 2)` widens both boxes of a pair by as many pixels on each side: the "buffered IoU" of
    C-BIoU (Yang et al. 2023, arXiv:2211.14317), which tells how near boxes are that do not touch.
    """
    apart = np.abs(one[:, :2] - other[:, :2])
    side, other_side = one[:, 2:] + 2 * margin, other[:, 2:] + 2 * margin
    shared = np.minimum(np.minimum(side, other_side), (side + other_side) * 0.5 - apart)
    np.maximum(shared, 0.0, out=shared)
    both = shared[:, 0] * shared[:, 1]
    union = side[:, 0] * side[:, 1] + other_side[:, 0] * other_side[:, 1] - both
    result: Float64 = both / union
    return result
