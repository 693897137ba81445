"""The detector: an engine, the head that reads its output, and the way from frames in to boxes out.

Loaded once per process and shared by all workers; each worker has a `Letterbox` of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from vigil.core.types import Model
from vigil.inference.boxes import MAX_DETECTIONS
from vigil.inference.heads import CELLS_PER_PIXEL, NmsFreeHead
from vigil.inference.labels import class_names, read_labels
from vigil.inference.letterbox import Fit, Letterbox, input_shape, to_frame
from vigil.inference.on_device import OnDevice
from vigil.inference.reading import read_head

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vigil.core.types import Detections, Float32, Image
    from vigil.inference.engine import Engine
    from vigil.inference.schedule import Shape


class Detector:
    """Finds objects in batches of frames of any size."""

    def __init__(self, engine: Engine, *, size: int, iou: float, labels: Path | None = None) -> None:
        """`size` is the longer side of the input in pixels; `iou` the overlap above which NMS suppresses.

        `labels` is a file of class names that go before those in the weights. Raises `CannotStartError` if
        the output is none that vigil reads, or does not agree with the names.
        """
        weights = engine.weights
        given = weights.names if labels is None else read_labels(labels)
        reading = read_head(
            weights, engine.outputs, named=len(given), iou=iou, fixed_shape=engine.fixed_shape
        )
        self.engine = engine
        self.model = Model(
            weights.name, class_names(given, reading.classes), stride=weights.stride, size=weights.size
        )
        self._size = size
        self._head = reading.head
        self._preparation = reading.preparation
        self._batch_limit = engine.max_batch
        self._on_device = OnDevice(engine, reading.preparation, reading.head)

    @property
    def batch_limit(self) -> int:
        """Most images at once: what the engine takes, or less once that was too much for its memory."""
        return self._batch_limit

    def halve_batch(self, tried: int) -> bool:
        """Take at most half of the `tried` images at once from now on; `False` if it was one already."""
        if tried == 1:
            return False
        self._batch_limit = min(self._batch_limit, tried // 2)
        return True

    @property
    def packs(self) -> bool:
        """Whether parts of frames can share an input: not where frames are stretched over all of it."""
        return self._preparation.fit is not Fit.STRETCHED

    @property
    def crops(self) -> bool:
        """Whether a smaller input of any size costs less by as much; devices prepare for every size."""
        return self.engine.fixed_shape is None and self.engine.device == "cpu"

    @property
    def least_pixels(self) -> int:
        """Fewest pixels of an input: a head that chooses its boxes itself needs a cell for each of them."""
        if not isinstance(self._head, NmsFreeHead):
            return 1
        boxes = self.engine.outputs[0].shape[1]
        return math.ceil((boxes if isinstance(boxes, int) else MAX_DETECTIONS) / CELLS_PER_PIXEL)

    def shape_of(self, width: int, height: int) -> Shape:
        """Return the input shape for frames of that size."""
        if self.engine.fixed_shape is not None:
            return self.engine.fixed_shape
        if self._preparation.fit is Fit.STRETCHED:
            return (self._size, self._size)  # such models are trained on squares
        return input_shape(width, height, self._size, self.model.stride)

    def letterbox(self) -> Letterbox:
        """Return a new set of input tensors for one worker."""
        return Letterbox(self.engine.max_batch, self._preparation)

    def detect(
        self, letterbox: Letterbox, images: Sequence[Image], floors: Sequence[float], shape: Shape
    ) -> list[Detections]:
        """Return per image the boxes over its confidence floor, in its own pixels, best first."""
        there = self._on_device.which(images)
        if not there:
            return self._detect_here(letterbox, images, floors, shape)
        found = self._on_device.detect(
            [images[index] for index in there], [floors[index] for index in there], shape
        )
        if found is None:
            return self._detect_here(letterbox, images, floors, shape)
        whole = dict(zip(there, found, strict=True))
        here = [index for index in range(len(images)) if index not in whole]
        if here:
            found = self._detect_here(
                letterbox, [images[index] for index in here], [floors[index] for index in here], shape
            )
            whole |= zip(here, found, strict=True)
        return [whole[index] for index in range(len(images))]

    def _detect_here(
        self, letterbox: Letterbox, images: Sequence[Image], floors: Sequence[float], shape: Shape
    ) -> list[Detections]:
        """Do the same by way of the CPU's memory."""
        batch, placements = letterbox.fill(images, shape)
        found = self.detect_inputs(batch, floors)
        for image, placement, detections in zip(images, placements, found, strict=True):
            detections.xyxy[:] = to_frame(detections.xyxy, placement, image.width, image.height)
        return found

    def detect_inputs(self, batch: Float32, floors: Sequence[float]) -> list[Detections]:
        """Return the boxes of inputs `(n, 3, h, w)` that are prepared already, in pixels of the input."""
        height, width = batch.shape[2:]
        return self._head.decode(self.engine.run(batch), np.asarray(floors, np.float32), (height, width))

    def warm_up(self) -> None:
        """Run one empty batch, so that the first camera does not pay for lazy initialisation."""
        height, width = self.shape_of(1920, 1080)
        self.engine.run(np.zeros((1, 3, height, width), np.float32))
