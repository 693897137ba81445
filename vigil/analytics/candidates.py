"""The detections of a batch in one struct of arrays, and the pairs of boxes that share a camera."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vigil.analytics.assign import Indices
    from vigil.analytics.kalman import Float64
    from vigil.core.geometry import Bools
    from vigil.core.types import Detections, Float32, Int32

_Number = TypeVar("_Number", bound=np.generic)

_FAR = 1e6
"""Pixels past which no box of a sane detector reaches."""
_CLASSES = 1 << 16
"""More than any model knows."""
_ABOVE_ONE = math.nextafter(1, 2)
_HALF = np.array(0.5)
_FEW = 32
"""Detections up to which plain Python looks them through faster than numpy, measured."""


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The sane detections of a batch, ordered by what they are and not by where they stood in their frame.

    One row per detection, ascending by `camera` `(n,)`, the number of its frame in the batch; `index` is
    its place in that frame, `box` `(4, n)` their centres and sizes in pixels.
    """

    camera: Indices
    index: Indices
    box: Float64
    confidence: Float32
    class_id: Int32

    def __len__(self) -> int:
        return len(self.camera)

    def select(self, rows: NDArray[np.intp]) -> Candidates:
        """Return these detections."""
        return Candidates(
            self.camera[rows],
            self.index[rows],
            self.box.take(rows, axis=1),
            self.confidence[rows],
            self.class_id[rows],
        )


def gather(found: Sequence[Detections], least: float) -> Candidates:
    """Return the detections of these frames that are sane boxes and have at least this confidence."""
    xyxy = _joined([each.xyxy for each in found]).T.astype(np.float64, order="C")
    confidence = _joined([each.confidence for each in found])
    class_id = _joined([each.class_id for each in found])
    camera, index = _places([len(each) for each in found])
    box = np.empty_like(xyxy)
    np.add(xyxy[:2], xyxy[2:], out=box[:2])
    box[:2] *= _HALF
    np.subtract(xyxy[2:], xyxy[:2], out=box[2:])
    seen = Candidates(camera, index, box, confidence, class_id)
    if len(found) == 1 and len(seen) <= _FEW and _usual(found[0], least):
        return seen
    sane = _sane(xyxy, seen, least)
    if np.count_nonzero(sane) == sane.size and _ranked(seen):
        return seen
    x1, y1, x2, y2 = xyxy
    order = np.lexsort((class_id, y2, x2, y1, x1, -confidence, camera))
    return seen.select(order[np.asarray(sane.all(axis=0))[order]])


def _joined(parts: Sequence[NDArray[_Number]]) -> NDArray[_Number]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _places(sizes: Sequence[int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return for every detection the number of its frame and its place in that."""
    if len(sizes) == 1:
        return np.zeros(sizes[0], np.intp), np.arange(sizes[0])
    camera = np.repeat(np.arange(len(sizes)), sizes)
    before = np.cumsum(sizes, dtype=np.intp) - sizes
    return camera, np.arange(len(camera)) - before[camera]


def _usual(found: Detections, least: float) -> bool:
    """Tell whether a frame's detections are all sane and stand best first: then there is nothing to do."""
    before = _ABOVE_ONE
    rows = zip(found.xyxy.tolist(), found.confidence.tolist(), found.class_id.tolist(), strict=True)
    for (x1, y1, x2, y2), score, class_id in rows:
        if not (
            -_FAR < x1 < x2 < _FAR
            and -_FAR < y1 < y2 < _FAR
            and least <= score < before
            and 0 <= class_id < _CLASSES
        ):
            return False
        before = score
    return True


def _sane(xyxy: Float64, seen: Candidates, least: float) -> Bools:
    """Tell `(9, n)` what is right with the detections; a sane one has nothing wrong."""
    right = np.empty((9, len(seen)), np.bool_)
    # Comparisons with NaN are false, so this leaves it out; a score above 1 is no score.
    np.less(np.abs(xyxy), _FAR, out=right[:4])
    np.greater(seen.box[2:], 0, out=right[4:6])
    np.greater_equal(seen.confidence, least, out=right[6])
    np.less_equal(seen.confidence, 1, out=right[7])
    np.less(seen.class_id.astype(np.uint32), _CLASSES, out=right[8])  # negative ones are huge
    return right


def _ranked(seen: Candidates) -> bool:
    """Tell whether each frame's detections stand best first already, and no two are equally good."""
    behind = seen.confidence[1:] >= seen.confidence[:-1]
    return not np.count_nonzero(behind) or not np.count_nonzero(
        behind & (seen.camera[1:] == seen.camera[:-1])
    )


def pairs(one: Indices, other: Indices, cameras: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices `(p,)`, `(p,)` of all pairs of an element of each side that share a camera.

    `one` and `other` hold the camera of each element, ascending.
    """
    if cameras == 1:
        return _all_pairs(len(one), len(other))
    start = np.searchsorted(other, np.arange(cameras + 1))
    partners = np.diff(start)[one]
    first = np.repeat(np.arange(len(one)), partners)
    skipped = np.cumsum(partners) - partners
    second = np.arange(len(first)) + np.repeat(start[one] - skipped, partners)
    return first, second


@lru_cache(maxsize=256)
def _all_pairs(one: int, other: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the indices of all pairs of so many elements with so many; not to be written to."""
    first, second = np.divmod(np.arange(one * other), max(other, 1))
    return first, second


def overlap(one: Float64, other: Float64, margin: Float64 | float = 0.0) -> Float64:
    """Return the intersection over union `(p,)` of boxes `(4, p)` (centre, size) pair by pair.

    `margin` `(2, p)` widens both boxes of a pair by as many pixels on each side: the "buffered IoU" of
    C-BIoU (Yang et al. 2023, arXiv:2211.14317), which tells how near boxes are that do not touch.
    """
    apart = one[:2] - other[:2]
    np.abs(apart, out=apart)
    wider = margin + margin
    side = one[2:] + wider
    other_side = other[2:] + wider
    shared = side + other_side
    shared *= _HALF
    shared -= apart
    np.minimum(shared, side, out=shared)
    np.minimum(shared, other_side, out=shared)
    np.maximum(shared, 0.0, out=shared)
    both = shared[0] * shared[1]
    union = side[0] * side[1]
    union += other_side[0] * other_side[1]
    union -= both
    result: Float64 = both / union
    return result
