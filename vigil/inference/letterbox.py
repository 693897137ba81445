"""Frames into the model's input: scaled, placed, straight into the batch's planes; and boxes back.

Where the model allows, the input is rectangular: the frame's aspect ratio at `size` on the longer side,
padded up to the stride, as ultralytics' predictor does it, because 384x640 costs little more than half of
640x640.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Float32, Image, UInt8
    from vigil.inference.schedule import Shape

GREY: Final = 114 / 255
_BLACK = (0.0, 0.0, 0.0)
_UNIT = (1.0, 1.0, 1.0)


class Fit(Enum):
    """How a frame comes to lie on an input of another aspect ratio."""

    CENTRED = "centred"
    """In the middle of grey."""
    CORNER = "corner"
    """At the top left of grey."""
    STRETCHED = "stretched"
    """All over it."""


@dataclass(frozen=True, slots=True)
class Preparation:
    """What a family of models wants: each value is `white * (pixel - mean) / std`, for pixels in 0..1.

    `mean` and `std` follow the order of the channels, which is RGB unless `bgr`.
    """

    fit: Fit = Fit.CENTRED
    bgr: bool = False
    white: float = 1.0
    mean: tuple[float, float, float] = _BLACK
    std: tuple[float, float, float] = _UNIT


ULTRALYTICS: Final = Preparation()
YOLOX: Final = Preparation(Fit.CORNER, bgr=True, white=255.0)
"""`preproc` in YOLOX's `yolox/data/data_augment.py`, as its demos call it."""
DETR: Final = Preparation(Fit.STRETCHED)
"""RT-DETR and D-FINE: resized without regard to the aspect ratio, and not normalised."""
RF_DETR: Final = Preparation(Fit.STRETCHED, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
"""RF-DETR: the same, normalised as ImageNet's pictures are."""


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


def place(width: int, height: int, shape: Shape, fit: Fit = Fit.CENTRED) -> Placement:
    """Return where a frame of that size lies on a canvas of `shape`."""
    match fit:
        case Fit.CENTRED:
            return _centred(width, height, shape)
        case Fit.CORNER:
            scale = min(shape[0] / height, shape[1] / width)
            # The sides are rounded down as YOLOX rounds them, so that boxes agree to the pixel.
            return _placed(0, 0, width, height, max(1, int(width * scale)), max(1, int(height * scale)))
        case Fit.STRETCHED:
            return _placed(0, 0, width, height, shape[1], shape[0])


def _centred(width: int, height: int, shape: Shape) -> Placement:
    scale = max(shape) / max(width, height)
    if round(width * scale) > shape[1] or round(height * scale) > shape[0]:
        scale = min(shape[0] / height, shape[1] / width)
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    # The halves are rounded as ultralytics rounds them, so that boxes agree to the pixel.
    left = round((shape[1] - new_width) / 2 - 0.1)
    top = round((shape[0] - new_height) / 2 - 0.1)
    return _placed(left, top, width, height, new_width, new_height)


def _placed(left: int, top: int, width: int, height: int, new_width: int, new_height: int) -> Placement:
    return Placement(left, top, new_width, new_height, new_width / width, new_height / height)


class Letterbox:
    """The input tensors of one worker, kept between batches: one `(max_batch, 3, h, w)` array per shape."""

    def __init__(self, max_batch: int, preparation: Preparation = ULTRALYTICS) -> None:
        self._max_batch = max_batch
        self._fit, self._bgr = preparation.fit, preparation.bgr
        mean, std = (np.array(three)[:, None, None] for three in (preparation.mean, preparation.std))
        self._factor = (preparation.white / std).astype(np.float32)
        self._offset = (-preparation.white * mean / std).astype(np.float32)
        self._border = (preparation.white * (GREY - mean) / std).astype(np.float32)
        self._scales = bool((self._factor != 1).any())
        self._shifts = bool(self._offset.any())
        self._canvases: dict[Shape, Float32] = {}
        self._packed = np.empty(0, np.float32)
        self._placed: dict[tuple[Shape, int], Placement] = {}

    def fill(self, images: Sequence[Image], shape: Shape) -> tuple[Float32, list[Placement]]:
        """Write `images` and return the `(n, 3, h, w)` float32 batch and where each image lies.

        The batch is valid until the next call with the same shape.
        """
        canvas = self._canvas(shape)
        placements = []
        for index, image in enumerate(images):
            placement = place(image.width, image.height, shape, self._fit)
            if self._placed.get((shape, index)) != placement:
                canvas[index] = self._border
                self._placed[shape, index] = placement
            rows = slice(placement.top, placement.top + placement.height)
            columns = slice(placement.left, placement.left + placement.width)
            self._write(image, canvas[index, :, rows, columns])
            placements.append(placement)
        return canvas[: len(images)], placements

    def place(self, image: Image, shape: Shape) -> Placement:
        """Return where `fill` would place an image."""
        return place(image.width, image.height, shape, self._fit)

    def canvases(self, wanted: Sequence[tuple[int, Shape]]) -> list[Float32]:
        """Return `(number, 3, h, w)` inputs of nothing but grey for each number and shape that is wanted.

        They are valid until the next call.
        """
        sizes = [number * 3 * height * width for number, (height, width) in wanted]
        if sum(sizes) > len(self._packed):
            self._packed = np.empty(sum(sizes), np.float32)
        canvases, begin = [], 0
        for size, (number, shape) in zip(sizes, wanted, strict=True):
            canvases.append(self._packed[begin : begin + size].reshape(number, 3, *shape))
            canvases[-1][:] = self._border
            begin += size
        return canvases

    def to_bgr(self, canvas: Float32) -> UInt8:
        """Return an input `(3, h, w)` as an `(h, w, 3)` picture for people."""
        rgb = (canvas - self._offset) / self._factor
        planes = rgb if self._bgr else rgb[::-1]
        return np.ascontiguousarray((planes * 255).round().clip(0, 255).astype(np.uint8).transpose(1, 2, 0))

    def _write(self, image: Image, region: Float32) -> None:
        """Write an image into its `(3, h, w)` region of the canvas, in the model's order and range."""
        image.write_rgb(region[::-1] if self._bgr else region)
        if self._scales:
            region *= self._factor
        if self._shifts:
            region += self._offset

    def _canvas(self, shape: Shape) -> Float32:
        canvas = self._canvases.get(shape)
        if canvas is None:
            canvas = self._canvases[shape] = np.empty((self._max_batch, 3, *shape), np.float32)
        return canvas


def to_frame(xyxy: Float32, placement: Placement, width: int, height: int) -> Float32:
    """Map `(n, 4)` boxes from canvas pixels to pixels of a `(width, height)` frame, clipped to it."""
    offset, scale, limit = _mapping(placement, width, height)
    mapped: Float32 = (xyxy - offset) / scale
    np.minimum(np.maximum(mapped, 0, out=mapped), limit, out=mapped)
    return mapped


@lru_cache(maxsize=256)
def _mapping(placement: Placement, width: int, height: int) -> tuple[Float32, Float32, Float32]:
    """Return offset, scale and limit `(4,)` of a frame's corners on its canvas; not to be written to."""
    offset = np.array([placement.left, placement.top] * 2, np.float32)
    scale = np.array([placement.scale_x, placement.scale_y] * 2, np.float32)
    return offset, scale, np.array([width, height] * 2, np.float32)
