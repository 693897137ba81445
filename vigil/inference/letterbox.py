"""Frames into the model's input: scaled, centred on grey, straight into the batch's planes; and back.

The input is rectangular: the frame's aspect ratio at `size` on the longer side, padded up to the stride,
as ultralytics' predictor does it, because 384x640 costs little more than half of 640x640.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Float32, Image
    from vigil.inference.schedule import Shape

_GREY = np.float32(114 / 255)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a `(width, height)` frame lies on a canvas: top left corner and scaled size, in canvas pixels."""

    left: int
    top: int
    width: int
    height: int
    scale_x: float
    scale_y: float


def input_shape(width: int, height: int, size: int, stride: int) -> Shape:
    """Return the smallest `(height, width)`, in multiples of `stride`, that holds the frame at `size`."""
    scale = size / max(width, height)
    return (
        -(-max(1, round(height * scale)) // stride) * stride,
        -(-max(1, round(width * scale)) // stride) * stride,
    )


def place(width: int, height: int, shape: Shape) -> Placement:
    """Return how a frame of that size is centred on a canvas of `shape`."""
    scale = max(shape) / max(width, height)
    if round(width * scale) > shape[1] or round(height * scale) > shape[0]:
        scale = min(shape[0] / height, shape[1] / width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    # The halves are rounded as ultralytics rounds them, so that boxes agree to the pixel.
    left = round((shape[1] - new_width) / 2 - 0.1)
    top = round((shape[0] - new_height) / 2 - 0.1)
    return Placement(left, top, new_width, new_height, new_width / width, new_height / height)


class Letterbox:
    """The input tensors of one worker, kept between batches: one `(max_batch, 3, h, w)` array per shape."""

    def __init__(self, max_batch: int) -> None:
        self._max_batch = max_batch
        self._canvases: dict[Shape, Float32] = {}
        self._placed: dict[tuple[Shape, int], Placement] = {}

    def fill(self, images: Sequence[Image], shape: Shape) -> tuple[Float32, list[Placement]]:
        """Write `images` and return the `(n, 3, h, w)` float32 batch and where each image lies.

        The batch is valid until the next call with the same shape.
        """
        canvas = self._canvas(shape)
        placements = []
        for index, image in enumerate(images):
            placement = place(image.width, image.height, shape)
            if self._placed.get((shape, index)) != placement:
                canvas[index] = _GREY
                self._placed[shape, index] = placement
            rows = slice(placement.top, placement.top + placement.height)
            columns = slice(placement.left, placement.left + placement.width)
            image.write_rgb(canvas[index, :, rows, columns])
            placements.append(placement)
        return canvas[: len(images)], placements

    def _canvas(self, shape: Shape) -> Float32:
        canvas = self._canvases.get(shape)
        if canvas is None:
            canvas = self._canvases[shape] = np.empty((self._max_batch, 3, *shape), np.float32)
        return canvas


def to_frame(xyxy: Float32, placement: Placement, width: int, height: int) -> Float32:
    """Map `(n, 4)` boxes from canvas pixels to pixels of a `(width, height)` frame, clipped to it."""
    offset = np.array([placement.left, placement.top] * 2, np.float32)
    scale = np.array([placement.scale_x, placement.scale_y] * 2, np.float32)
    limit = np.array([width, height] * 2, np.float32)
    mapped: Float32 = np.clip((xyxy - offset) / scale, 0, limit)
    return mapped
