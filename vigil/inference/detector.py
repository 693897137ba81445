"""The detector: an engine, the head that reads its output, and the way from frames in to boxes out.

Loaded once per process and shared by all workers; each worker has a `Letterbox` of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np

from vigil.inference.heads import read_head
from vigil.inference.letterbox import Letterbox, input_shape, to_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Detections, Float32, Image, Model
    from vigil.inference.heads import Dimension
    from vigil.inference.schedule import Shape


class Engine(Protocol):
    """A runtime with a model loaded in it."""

    @property
    def name(self) -> str:
        """Runtime and device, for people: `onnxruntime cpu`."""

    @property
    def model(self) -> Model:
        """What the weights say of themselves."""

    @property
    def outputs(self) -> Sequence[Sequence[Dimension]]:
        """Shapes of the outputs, with names or `None` where a size is dynamic."""

    @property
    def fixed_shape(self) -> Shape | None:
        """The only input `(height, width)` it takes, or `None` if any multiple of the stride will do."""

    @property
    def max_batch(self) -> int:
        """Images that pay off at once."""

    @property
    def workers(self) -> int:
        """How many threads calling `run` pay off: one per core, or two on a device, one of them preparing."""

    def run(self, batch: Float32) -> list[Float32]:
        """Return the raw outputs for `(b, 3, h, w)` RGB in 0..1."""


class Detector:
    """Finds objects in batches of frames of any size."""

    def __init__(self, engine: Engine, *, size: int, iou: float) -> None:
        """`size` is the longer side of the input in pixels; `iou` the overlap above which NMS suppresses."""
        self.engine = engine
        self.model = engine.model
        self._size = size
        self._head = read_head(engine.outputs, len(engine.model.names), iou)

    def shape_of(self, width: int, height: int) -> Shape:
        """Return the input shape for frames of that size."""
        return self.engine.fixed_shape or input_shape(width, height, self._size, self.model.stride)

    def letterbox(self) -> Letterbox:
        """Return a new set of input tensors for one worker."""
        return Letterbox(self.engine.max_batch)

    def detect(
        self, letterbox: Letterbox, images: Sequence[Image], floors: Sequence[float], shape: Shape
    ) -> list[Detections]:
        """Return per image the boxes over its confidence floor, in its own pixels, best first."""
        batch, placements = letterbox.fill(images, shape)
        found = self._head.decode(self.engine.run(batch), np.asarray(floors, np.float32))
        for image, placement, detections in zip(images, placements, found, strict=True):
            detections.xyxy[:] = to_frame(detections.xyxy, placement, image.width, image.height)
        return found

    def warm_up(self) -> None:
        """Run one empty batch, so that the first camera does not pay for lazy initialisation."""
        height, width = self.shape_of(1920, 1080)
        self.engine.run(np.zeros((1, 3, height, width), np.float32))
