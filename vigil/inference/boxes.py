"""What every head ends with: its candidates of a whole batch become the boxes of each image."""

from __future__ import annotations

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

_FAR = 1e4
"""Input pixels past which no box of a sane model reaches."""

Indices: TypeAlias = "NDArray[np.integer[Any]]"


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
        sane = np.isfinite(self.xyxy).all(axis=1) & np.isfinite(self.confidence)
        return self if sane.all() else self.where(sane)

    def suppressed(self, iou: float) -> Candidates:
        """Return what greedy NMS within each class of each image leaves; all must be finite."""
        if not len(self.image):
            return self
        box = np.clip(self.xyxy, -_FAR, _FAR).astype(np.float64)  # the shift would cost float32 a digit
        box[:, 2:] -= box[:, :2]
        # OpenCV keeps groups apart by the largest coordinate, which presumes that none is negative.
        box[:, :2] += _FAR
        group = self.image * (int(self.class_id.max()) + 1) + self.class_id
        kept = cv2.dnn.NMSBoxesBatched(box.tolist(), self.confidence.tolist(), group.tolist(), 0.0, iou)
        return self.where(np.asarray(kept, np.intp).reshape(-1))

    def per_image(self, images: int) -> list[Detections]:
        """Return each image's boxes, best first, at most `MAX_DETECTIONS`."""
        ordered = self.where(np.lexsort((-self.confidence, self.image)))
        class_id = ordered.class_id.astype(np.int32)
        starts = np.searchsorted(ordered.image, np.arange(images + 1))
        found = []
        for first, end in pairwise(starts):
            rows = slice(first, min(end, first + MAX_DETECTIONS))
            found.append(Detections.untracked(ordered.xyxy[rows], ordered.confidence[rows], class_id[rows]))
        return found


def corners(box: Float32) -> Float32:
    """Return `(n, 4)` centre-size boxes as `x1, y1, x2, y2`."""
    half = box[:, 2:] / 2
    return np.concatenate([box[:, :2] - half, box[:, :2] + half], axis=1)


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
    return np.unravel_index(np.flatnonzero(above), np.shape(above))
