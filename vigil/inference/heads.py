"""From the raw output of a YOLO to boxes, for a whole batch at once; `heads_detr` has the DETR family's.

Which head a model has is read in `reading`, from what the weights say and the outputs' names and shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from vigil.core.types import Detections
from vigil.inference.boxes import Candidates, Scratch, corners, over, where

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vigil.core.types import Float32
    from vigil.inference.boxes import Indices
    from vigil.inference.schedule import Shape

BOX: Final = 4
BINS: Final = 16
DISTANCES: Final = "distances_and_logits"
"""Name of an output of distances and logits, which vigil gives it."""
STRIDES: Final = (8, 16, 32)
CELLS_PER_PIXEL: Final = sum(stride**-2 for stride in STRIDES)
"""Of all strides."""
_STRIDES: Final = np.array(STRIDES)
_OUTWARDS: Final = np.array([-1, -1, 1, 1], np.float32)
_MEAN: Final = np.stack([np.arange(BINS), np.ones(BINS)], axis=1).astype(np.float32)
"""Makes sums of weights times distances, and of weights, of weights."""


class Head(Protocol):
    """Decodes one kind of output."""

    def decode(self, outputs: Sequence[Float32], floors: Float32, shape: Shape) -> list[Detections]:
        """Return per image the boxes over its confidence floor `(b,)`, in pixels of the input, best first.

        `shape` is the input's `(height, width)`. Numbers that are none make no box.
        """


@dataclass(frozen=True, slots=True)
class RawHead:
    """`(b, 4 + classes, anchors)`: `cx, cy, w, h` in input pixels, a score per class; NMS within a class."""

    iou: float
    scratch: Scratch = field(default_factory=Scratch, compare=False, repr=False)

    def decode(self, outputs: Sequence[Float32], floors: Float32, _shape: Shape) -> list[Detections]:
        """Decode as `Head.decode` says."""
        output = outputs[0]
        image, anchor = anchors_over(output[:, BOX:], floors, self.scratch)
        if not len(image):
            return [Detections.empty() for _ in output]
        rows = output[image, :, anchor]
        class_id = rows[:, BOX:].argmax(axis=1)
        confidence = rows[np.arange(len(rows)), BOX + class_id]
        found = Candidates(image, corners(rows[:, :BOX]), confidence, class_id)
        return found.finite().ranked().suppressed(self.iou).per_image(len(output))


@dataclass(frozen=True, slots=True)
class DistanceHead:
    """`(b, 64 + classes, anchors)`: what a raw YOLO makes its boxes of; NMS within a class.

    Of each anchor 16 logits for its distance to the left, top, right and bottom edge of the box, 0 to 15
    strides, which is their mean by softmax (distribution focal loss: Li et al., "Generalized Focal Loss",
    2020); then a logit per class. The anchors of stride 8, 16 and 32 follow each other, row by row.
    """

    iou: float
    scratch: Scratch = field(default_factory=Scratch, compare=False, repr=False)

    def decode(self, outputs: Sequence[Float32], floors: Float32, shape: Shape) -> list[Detections]:
        """Decode as `Head.decode` says."""
        output = outputs[0]
        with np.errstate(divide="ignore"):  # everything is over a floor of 0, nothing over one of 1
            logits = np.log(floors) - np.log1p(-floors)
        image, anchor = anchors_over(output[:, BOX * BINS :], logits, self.scratch)
        if not len(image):
            return [Detections.empty() for _ in output]
        rows = output[image, :, anchor]
        class_id = rows[:, BOX * BINS :].argmax(axis=1)
        logit = rows[np.arange(len(rows)), BOX * BINS + class_id]
        box = _around(_cells(shape, anchor), _distances(rows[:, : BOX * BINS]))
        found = Candidates(image, box, _sigmoid(logit), class_id)
        return found.finite().ranked().suppressed(self.iou).per_image(len(output))


def all_boxes(output: Float32, shape: Shape) -> tuple[Float32, Float32]:
    """Return every box `(b, anchors, 4)`, corners in input pixels, and the scores `(b, anchors, classes)`.

    `output` is what `DistanceHead` decodes; raises `ValueError` if its anchors are not those of `shape`.
    """
    rows = output.transpose(0, 2, 1)
    if rows.shape[1] != cell_count(shape):
        raise ValueError(f"{rows.shape[1]} anchors are not those of an input of {shape}")
    cells = _cells(shape, np.arange(rows.shape[1]))
    return _around(cells, _distances(rows[..., : BOX * BINS])), _sigmoid(rows[..., BOX * BINS :])


def anchors_over(scores: Float32, floors: Float32, scratch: Scratch) -> tuple[Indices, Indices]:
    """Return image and anchor of those of which any score `(b, classes, anchors)` is over `floors (b,)`."""
    # Measured: comparing everything and reducing bytes takes two thirds of reducing the scores.
    above = np.greater(scores, floors[:, None, None], out=scratch.flags(scores.shape))
    some = np.logical_or.reduce(above, axis=1, out=scratch.flags((len(above), above.shape[2])))
    image, anchor = where(some)
    return image, anchor


@dataclass(frozen=True, slots=True)
class NmsFreeHead:
    """`(b, k, 6)`: `x1, y1, x2, y2` in input pixels, confidence, class id; the model has chosen already.

    Rows of a class that has no name are left out.
    """

    classes: int

    def decode(self, outputs: Sequence[Float32], floors: Float32, _shape: Shape) -> list[Detections]:
        """Decode as `Head.decode` says."""
        output = outputs[0]
        image, row = over(output[:, :, 4], floors)
        found = output[image, row]
        return (
            chosen(image, found[:, :BOX], found[:, 4], found[:, 5], self.classes)
            .ranked()
            .per_image(len(output))
        )


@dataclass(frozen=True, slots=True)
class YoloxHead:
    """`(b, cells, 5 + classes)`: offset from the cell and log size in strides, objectness, a score per class.

    The cells of stride 8, 16 and 32 follow each other, row by row. A box's confidence is objectness times
    score; NMS within a class. As YOLOX's exporter writes it without `--decode_in_inference`:
    `demo_postprocess` in its `yolox/utils/demo_utils.py`.
    """

    iou: float

    def decode(self, outputs: Sequence[Float32], floors: Float32, shape: Shape) -> list[Detections]:
        """Decode as `Head.decode` says."""
        output = outputs[0]
        image, cell = over(output[:, :, BOX], floors)  # no score exceeds 1, so the product passes no other
        rows = output[image, cell]
        class_id = rows[:, 5:].argmax(axis=1)
        confidence = rows[:, BOX] * rows[np.arange(len(rows)), 5 + class_id]
        cells = _cells(shape, cell)
        with np.errstate(over="ignore", invalid="ignore"):  # broken numbers are left out below
            centre = (rows[:, :2] + cells[:, :2]) * cells[:, 2:]
            box = corners(np.concatenate([centre, np.exp(rows[:, 2:BOX]) * cells[:, 2:]], axis=1))
        found = Candidates(image, box, confidence, class_id).where(confidence > floors[image])
        return found.finite().ranked().suppressed(self.iou).per_image(len(output))


def cell_count(shape: Shape) -> int:
    """Return how many cells of all strides an input of `(height, width)` has."""
    return sum((shape[0] // stride) * (shape[1] // stride) for stride in STRIDES)


def chosen(
    image: Indices, xyxy: Float32, confidence: Float32, class_id: NDArray[Any], classes: int
) -> Candidates:
    """Return the boxes of a model that has chosen its classes itself, if they have names and are numbers."""
    known = (class_id >= 0) & (class_id < classes)
    return Candidates(image, xyxy, confidence, class_id).where(known).finite()


def _distances(logits: Float32) -> Float32:
    """Return distances in strides `(…, 4)` of `(…, 64)` logits."""
    with np.errstate(over="ignore", invalid="ignore"):  # broken numbers make boxes that are left out
        weighed = np.exp(logits.reshape(*logits.shape[:-1], BOX, BINS)) @ _MEAN
        return np.asarray(weighed[..., 0] / weighed[..., 1], np.float32)


def _around(cells: Float32, distances: Float32) -> Float32:
    """Return boxes whose edges lie so many strides `(…, 4)` from the middle of cells `(…, 3)`."""
    middle = cells[..., [0, 1, 0, 1]] + np.float32(0.5)
    return np.asarray((middle + _OUTWARDS * distances) * cells[..., 2:])


def _sigmoid(logits: Float32) -> Float32:
    with np.errstate(over="ignore"):  # 1 / infinity is 0
        return np.asarray(1 / (1 + np.exp(-logits)), np.float32)


def _cells(shape: Shape, numbers: Indices) -> Float32:
    """Return `(n, 3)`: column, row and stride of the cells with these numbers."""
    first, across = _levels(shape)
    level = np.searchsorted(first, numbers, side="right") - 1
    row, column = np.divmod(numbers - first[level], across[level])
    return np.stack([column, row, _STRIDES[level]], axis=-1).astype(np.float32)


@lru_cache(maxsize=1024)
def _levels(shape: Shape) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return `(3,)` twice: the number of each stride's first cell, and how many cells a row of it has."""
    across = np.array([shape[1] // stride for stride in STRIDES])
    cells = [(shape[0] // stride) * (shape[1] // stride) for stride in STRIDES]
    return np.array([0, *np.cumsum(cells[:-1])]), across
