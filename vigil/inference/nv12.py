"""NV12 planes into the model's input, by matrices: the same few lines for numpy and for torch on a GPU.

Scaling is the triangle filter that swscale calls bilinear, whose support grows with the factor, so that small
pictures are not made of single pixels. As a matrix from rows to rows, and one from columns to columns, it is
two multiplications of a whole batch, which is what GPUs do best; colours are one more. Nothing here knows
whether it has numpy's arrays or torch's: what both spell alike is all that is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from vigil.inference.letterbox import GREY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Colour, Float32
    from vigil.inference.letterbox import Placement, Preparation
    from vigil.inference.schedule import Shape

_WHITE, _MIDDLE = 255.0, 128.0
_LOW, _LUMA_RANGE, _CHROMA_RANGE = 16.0, 219.0, 224.0


@dataclass(frozen=True, slots=True)
class Planes:
    """One frame: DLPack capsules of luma `(h, w)` and chroma `(h / 2, w / 2, 2)`, their meaning and place."""

    luma: Any
    chroma: Any
    width: int
    height: int
    colour: Colour
    placement: Placement


@dataclass(frozen=True, slots=True)
class Canvas:
    """The input that frames are placed on: its `(height, width)`, and how the model wants its values."""

    shape: Shape
    preparation: Preparation


@dataclass(frozen=True, slots=True, eq=False)
class Paint:
    """How Y, U and V in 0..255 become three channels: `clip(yuv @ mix + base, 0, 1) * factor + offset`."""

    mix: Float32
    base: Float32
    factor: Float32
    offset: Float32


class Arrays(Protocol):
    """Numpy's or torch's way of what they do not spell alike."""

    def stack(self, capsules: Sequence[Any]) -> Any:
        """Return planes of one size as one array, in the type that is computed in, by DLPack."""

    def scale(self, planes: Any, height: int, width: int) -> Any:
        """Return `(n, H, W)` planes as `(n, height, width)` float32: `taps` times them times `taps`."""


class NumpyArrays:
    """On the CPU, of numpy's arrays in place of capsules: what others are held against."""

    def stack(self, planes: Sequence[Any]) -> Any:
        """Stack as `Arrays.stack` says, in float32."""
        return np.stack(planes).astype(np.float32)

    def scale(self, planes: Any, height: int, width: int) -> Any:
        """Scale as `Arrays.scale` says."""
        return taps(planes.shape[1], height) @ planes @ taps(planes.shape[2], width).T


def fill(out: Any, frames: Sequence[Planes], canvas: Canvas, arrays: Arrays) -> None:
    """Letterbox frames into `out (n, 3, h, w)`, those that are alike together."""
    for channel, value in enumerate(border(canvas.preparation)):
        out[:, channel] = value
    groups: dict[tuple[object, ...], list[int]] = {}
    for index, frame in enumerate(frames):
        key = (frame.width, frame.height, frame.colour, frame.placement)
        groups.setdefault(key, []).append(index)
    for indices in groups.values():
        _place(out, [frames[index] for index in indices], indices, canvas, arrays)


def _place(out: Any, alike: Sequence[Planes], indices: Sequence[int], canvas: Canvas, arrays: Arrays) -> None:
    """Write frames of one size, colour and placement where they belong."""
    first, place = alike[0], alike[0].placement
    luma = arrays.scale(arrays.stack([frame.luma for frame in alike]), place.height, place.width)
    chroma = arrays.stack([frame.chroma for frame in alike])
    blue, red = (arrays.scale(chroma[..., index], place.height, place.width) for index in range(2))
    colours = paint(first.colour, canvas.preparation)
    rows = slice(place.top, place.top + place.height)
    columns = slice(place.left, place.left + place.width)
    if len(indices) == indices[-1] - indices[0] + 1:  # next to each other: in one go
        write(out[indices[0] : indices[-1] + 1, :, rows, columns], luma, blue, red, colours)
        return
    for number, index in enumerate(indices):
        one = slice(number, number + 1)
        write(out[index : index + 1, :, rows, columns], luma[one], blue[one], red[one], colours)


@lru_cache(maxsize=256)
def taps(source: int, target: int) -> Float32:
    """Return the `(target, source)` matrix that scales a row or column of pixels; not to be written to."""
    scale = source / target
    centre = (np.arange(target) + 0.5) * scale - 0.5
    distance = np.abs(np.arange(source) - centre[:, None]) / max(scale, 1.0)
    weights = np.maximum(0.0, 1.0 - distance)
    matrix: Float32 = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return matrix


@lru_cache(maxsize=64)
def paint(colour: Colour, preparation: Preparation) -> Paint:
    """Return what makes a model's channels of a stream's colours, in its order; not to be written to."""
    red, blue = colour.red, colour.blue
    green = 1 - red - blue
    low, luma, chroma = (0.0, _WHITE, _WHITE) if colour.full else (_LOW, _LUMA_RANGE, _CHROMA_RANGE)
    across_red, across_blue = 2 * (1 - red), 2 * (1 - blue)
    mix = np.array(
        [
            [1, 1, 1],
            [0, -across_blue * blue / green, across_blue],
            [across_red, -across_red * red / green, 0],
        ]
    )
    mix /= np.array([[luma], [chroma], [chroma]])
    base = -np.array([low, _MIDDLE, _MIDDLE]) @ mix
    if preparation.bgr:
        mix, base = mix[:, ::-1], base[::-1]
    mean, std = np.array(preparation.mean), np.array(preparation.std)
    factor, offset = preparation.white / std, -preparation.white * mean / std
    return Paint(*(np.ascontiguousarray(each, np.float32) for each in (mix, base, factor, offset)))


@lru_cache(maxsize=16)
def border(preparation: Preparation) -> tuple[float, ...]:
    """Return the channels of what is beside a frame."""
    return tuple(
        preparation.white * (GREY - mean) / std
        for mean, std in zip(preparation.mean, preparation.std, strict=True)
    )


def write(region: Any, luma: Any, blue: Any, red: Any, colours: Paint) -> None:
    """Write scaled planes `(n, h, w)`, in 0..255, into `region (n, 3, h, w)` as the model wants them."""
    for channel in range(3):
        of_luma, of_blue, of_red = (float(value) for value in colours.mix[:, channel])
        value = luma * of_luma + blue * of_blue + red * of_red + float(colours.base[channel])
        factor, offset = float(colours.factor[channel]), float(colours.offset[channel])
        region[:, channel] = value.clip(0, 1) * factor + offset
