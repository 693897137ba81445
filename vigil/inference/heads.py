"""From a model's raw output to boxes, for a whole batch at once.

The head is read from the shapes of the outputs, never from a file's name. Known here:
raw YOLOv8/11/12/26 `(b, 4 + classes, anchors)` with centre-size boxes (NMS follows), and NMS-free
YOLOv10/26 `(b, k, 6)` with corner boxes, confidence and class.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import cv2
import numpy as np

from vigil.core.types import Detections, Float32
from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MAX_DETECTIONS = 300
"""Boxes kept per image, the best first."""

_BOX = 4
_RANK = 3
_NMS_FREE_WIDTH = 6
_FAR = 1e4
"""Input pixels past which no box of a sane model reaches."""

Indices: TypeAlias = "NDArray[np.integer[Any]]"

Dimension = int | str | None
"""An axis of an output: a size, or a name or nothing where it is dynamic."""


class Head(Protocol):
    """Decodes one kind of output."""

    def decode(self, outputs: Sequence[Float32], floors: Float32) -> list[Detections]:
        """Return per image the boxes over its confidence floor `(b,)`, in input pixels, best first."""


@dataclass(frozen=True, slots=True)
class RawHead:
    """`(b, 4 + classes, anchors)`: `cx, cy, w, h` in input pixels, a score per class; NMS within a class."""

    iou: float

    def decode(self, outputs: Sequence[Float32], floors: Float32) -> list[Detections]:
        """Decode as `Head.decode` says."""
        output = outputs[0]
        scores = output[:, _BOX:]
        best = scores.max(axis=1)
        image, anchor = np.nonzero(best > floors[:, None])
        confidence = best[image, anchor]
        class_id = scores[image, :, anchor].argmax(axis=1).astype(np.int32)
        box = output[image, :_BOX, anchor]
        sane = np.isfinite(box).all(axis=1) & np.isfinite(confidence)
        if not sane.all():
            image, confidence, class_id, box = image[sane], confidence[sane], class_id[sane], box[sane]
        kept = _suppress(box, confidence, class_id + image * scores.shape[1], self.iou)
        image, class_id, confidence = image[kept], class_id[kept], confidence[kept]
        half = box[kept, 2:] / 2
        xyxy = np.concatenate([box[kept, :2] - half, box[kept, :2] + half], axis=1)
        return _per_image(len(output), image, xyxy, confidence, class_id)


@dataclass(frozen=True, slots=True)
class NmsFreeHead:
    """`(b, k, 6)`: `x1, y1, x2, y2` in input pixels, confidence, class id; the model has chosen already."""

    def decode(self, outputs: Sequence[Float32], floors: Float32) -> list[Detections]:
        """Decode as `Head.decode` says."""
        output = outputs[0]
        image, row = np.nonzero(output[:, :, 4] > floors[:, None])
        found = output[image, row]
        sane = np.isfinite(found).all(axis=1)
        image, found = image[sane], found[sane]
        return _per_image(len(output), image, found[:, :_BOX], found[:, 4], found[:, 5].astype(np.int32))


def read_head(shapes: Sequence[Sequence[Dimension]], classes: int, iou: float) -> Head:
    """Return the head for outputs of these shapes; raises `CannotStartError` when none fits."""
    if len(shapes) == 1 and len(shapes[0]) == _RANK:
        _, middle, last = shapes[0]
        if middle == _BOX + classes:
            return RawHead(iou)
        if last == _NMS_FREE_WIDTH:
            return NmsFreeHead()
    listed = ", ".join(str(tuple(shape)) for shape in shapes)
    raise CannotStartError(
        f"the model's output {listed} with {classes} class names is not one that vigil can read; "
        f"it reads (batch, {_BOX + classes}, anchors) and (batch, boxes, {_NMS_FREE_WIDTH})"
    )


def _suppress(box: Float32, confidence: Float32, group: Indices, iou: float) -> Indices:
    """Return the indices that greedy NMS within each group keeps, best first."""
    if not len(box):
        return np.empty(0, np.intp)
    corner = np.clip(box, -_FAR, _FAR).astype(np.float64)  # the shift below would cost float32 a digit
    # OpenCV keeps groups apart by the largest coordinate, which presumes that none is negative.
    corner[:, :2] += _FAR - corner[:, 2:] / 2
    kept = cv2.dnn.NMSBoxesBatched(corner.tolist(), confidence.tolist(), group.tolist(), 0.0, iou)
    return np.asarray(kept, np.intp).reshape(-1)


def _per_image(
    images: int,
    image: Indices,
    xyxy: Float32,
    confidence: Float32,
    class_id: Indices,
) -> list[Detections]:
    order = np.lexsort((-confidence, image))
    image, xyxy, confidence, class_id = image[order], xyxy[order], confidence[order], class_id[order]
    starts = np.searchsorted(image, np.arange(images + 1))
    found = []
    for first, end in pairwise(starts):
        rows = slice(first, min(end, first + MAX_DETECTIONS))
        found.append(Detections.untracked(xyxy[rows], confidence[rows], class_id[rows].astype(np.int32)))
    return found
