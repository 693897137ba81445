"""What every head ends with: its candidates of a whole batch become the boxes of each image."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np

from vigil.core.types import Detections, Float32

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vigil.inference.schedule import Shape

MAX_DETECTIONS = 300
"""Boxes kept per image, the best first."""

_FEW = 16
"""Boxes up to which plain Python suppresses faster than OpenCV, measured."""
_FAR = 1e4
"""Input pixels past which no box of a sane model reaches."""

Indices: TypeAlias = "NDArray[np.integer[Any]]"


class Scratch(threading.local):
    """Memory of a head that each worker's thread uses again for every batch, whatever its shape."""

    def __init__(self) -> None:
        self._flags: dict[int, NDArray[np.bool_]] = {}

    def flags(self, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return an array that nobody else writes to until this thread asks for one of as many axes."""
        size, kept = math.prod(shape), self._flags.get(len(shape))
        if kept is None or len(kept) < size:
            kept = self._flags[len(shape)] = np.empty(size, np.bool_)
        return kept[:size].reshape(shape)


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """Boxes of a batch in any order: `xyxy (n, 4)` in input pixels, and per box its image and the rest."""

    image: Indices
    xyxy: Float32
    confidence: Float32
    class_id: NDArray[Any]

    def where(self, keep: NDArray[Any]) -> Candidates:
        """Return the boxes that a boolean mask or an index array picks."""
        return Candidates(self.image[keep], self.xyxy[keep], self.confidence[keep], self.class_id[keep])

    def finite(self) -> Candidates:
        """Return those whose box and confidence are numbers."""
        box, score = np.isfinite(self.xyxy), np.isfinite(self.confidence)
        if np.count_nonzero(box) + np.count_nonzero(score) == box.size + score.size:
            return self
        return self.where(box.all(axis=1) & score)

    def ranked(self) -> Candidates:
        """Return them image by image, the best of each first."""
        if len(self.image) <= 1:
            return self
        return self.where(np.lexsort((-self.confidence, self.image)))

    def suppressed(self, iou: float) -> Candidates:
        """Return what greedy NMS within each class of each image leaves; all must be ranked and finite."""
        count = len(self.image)
        if count <= 1:
            return self
        group = self.image * (int(self.class_id.max()) + 1) + self.class_id
        if count <= _FEW:
            kept = greedy(self.xyxy.tolist(), group.tolist(), iou)
        else:
            kept = self.by_opencv(group, iou)
        return self if len(kept) == count else self.where(np.array(kept, np.intp))

    def per_image(self, images: int) -> list[Detections]:
        """Return each image's boxes, at most `MAX_DETECTIONS`; all must be ranked."""
        class_id = self.class_id.astype(np.int32)
        ends = (
            [len(class_id)] if images == 1 else np.searchsorted(self.image, np.arange(1, images + 1)).tolist()
        )
        found = []
        for first, end in pairwise([0, *ends]):
            rows = slice(first, min(end, first + MAX_DETECTIONS))
            found.append(Detections.untracked(self.xyxy[rows], self.confidence[rows], class_id[rows]))
        return found

    def by_opencv(self, group: NDArray[Any], iou: float) -> list[int]:
        """Return the indices of what greedy NMS within the groups leaves, ascending."""
        box = np.clip(self.xyxy, -_FAR, _FAR).astype(np.float64)  # the shift would cost float32 a digit
        box[:, 2:] -= box[:, :2]
        # OpenCV keeps groups apart by the largest coordinate, which presumes that none is negative.
        box[:, :2] += _FAR
        kept = cv2.dnn.NMSBoxesBatched(box.tolist(), self.confidence.tolist(), group.tolist(), 0.0, iou)
        return sorted(np.asarray(kept, np.intp).reshape(-1).tolist())


def greedy(boxes: list[list[float]], groups: list[int], iou: float) -> list[int]:
    """Return the indices of ranked `x1, y1, x2, y2` boxes that greedy NMS within their groups leaves.

    For a few boxes this is done before a library has been handed its lists.
    """
    kept: list[int] = []
    areas = [(x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in boxes]
    for index, (x1, y1, x2, y2) in enumerate(boxes):
        group, area = groups[index], areas[index]
        for rival in kept:
            if groups[rival] != group:
                continue
            left, top, right, bottom = boxes[rival]
            if left >= x2 or right <= x1 or top >= y2 or bottom <= y1:
                continue
            common = (min(right, x2) - max(left, x1)) * (min(bottom, y2) - max(top, y1))
            if common > iou * (area + areas[rival] - common):
                break
        else:
            kept.append(index)
    return kept


def corners(box: Float32) -> Float32:
    """Return `(n, 4)` centre-size boxes as `x1, y1, x2, y2`."""
    half = box[:, 2:] / 2
    xyxy = np.empty_like(box)
    np.subtract(box[:, :2], half, out=xyxy[:, :2])
    np.add(box[:, :2], half, out=xyxy[:, 2:])
    return xyxy


def corners_in_pixels(box: Float32, shape: Shape) -> Float32:
    """Return `(n, 4)` centre-size boxes in fractions of the input as `x1, y1, x2, y2` in its pixels."""
    height, width = shape
    with np.errstate(over="ignore", invalid="ignore"):  # broken numbers are left out later
        return corners(box) * np.array([width, height, width, height], np.float32)


def over(values: Float32, floors: Float32) -> tuple[Indices, ...]:
    """Return the indices on the first two axes of `(b, n)` or `(b, n, c)` values over their image's floor.

    An item of three axes is over it when any of its last axis is, and stands in the answer once.
    """
    flat = values.reshape(*values.shape[:2], -1)
    return where((flat > floors[:, None, None]).any(axis=2))


def where(above: NDArray[np.bool] | np.bool) -> tuple[Indices, ...]:
    """Return the indices of what is true, one array per axis."""
    # Measured: many times as fast as `np.nonzero`, which searches slowly where there are several axes.
    flat = np.flatnonzero(above)
    shape = np.shape(above)
    return np.divmod(flat, shape[1]) if len(shape) == 2 else np.unravel_index(flat, shape)  # noqa: PLR2004 -- axes
