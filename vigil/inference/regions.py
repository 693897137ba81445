"""Parts of a frame that are looked at instead of all of it. Pure.

Coordinates are pixels of the model's input as the whole frame would lie in it, padding and all: scale 1 is
what a whole frame is seen at, nothing is ever enlarged, and corners lie on a grid, so that regions stay
where they are while what they are about moves a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vigil.core.geometry import Floats
    from vigil.inference.letterbox import Placement


@dataclass(frozen=True, slots=True, order=True)
class Region:
    """A part of the whole frame's input, and its `width` and `height` on the canvas, all in pixels."""

    left: int
    top: int
    right: int
    bottom: int
    width: int
    height: int

    @property
    def full_scale(self) -> bool:
        """Whether it is seen as the whole frame would be."""
        return self.right - self.left == self.width and self.bottom - self.top == self.height

    @property
    def area(self) -> int:
        """Pixels of the canvas that it takes."""
        return self.width * self.height


def cover(boxes: Floats, scales: Floats, grid: int, placement: Placement) -> tuple[Region, ...]:
    """Return regions that hold the boxes `(n, 4)`, each at its scale `(n,)` or a larger one.

    Two become one where that takes no more of the canvas. What lies outside of the frame is left out.
    """
    boxes, scales = _on_grid(boxes, scales, grid, placement)
    while len(boxes) > 1:
        low = np.minimum(boxes[:, None, :2], boxes[None, :, :2])
        high = np.maximum(boxes[:, None, 2:], boxes[None, :, 2:])
        scale = np.maximum(scales[:, None], scales[None])
        alone = _cells(boxes[:, 2:] - boxes[:, :2], scales, grid)
        saved = alone[:, None] + alone - _cells(high - low, scale, grid)
        saved[np.tri(len(boxes), dtype=np.bool_)] = -np.inf
        one, other = divmod(int(saved.argmax()), len(boxes))
        if saved[one, other] < 0:
            break
        boxes[one] = [*low[one, other], *high[one, other]]
        scales[one] = scale[one, other]
        boxes, scales = np.delete(boxes, other, axis=0), np.delete(scales, other)
    sizes = np.ceil((boxes[:, 2:] - boxes[:, :2]) * scales[:, None] / grid) * grid
    rows = np.concatenate([boxes, sizes], axis=1).astype(int).tolist()
    return tuple(Region(*row) for row in rows)


def _on_grid(boxes: Floats, scales: Floats, grid: int, placement: Placement) -> tuple[Floats, Floats]:
    """Widen boxes to the grid, and leave out those that lie outside of the frame."""
    begin = np.array([placement.left, placement.top], np.float64)
    end = begin + np.array([placement.width, placement.height])
    low = np.floor(np.maximum(boxes[:, :2], begin) / grid) * grid
    high = np.ceil(np.minimum(boxes[:, 2:], end) / grid) * grid
    inside = (boxes[:, :2] < end).all(axis=1) & (boxes[:, 2:] > begin).all(axis=1)
    return np.concatenate([low, high], axis=1)[inside], scales[inside]


def _cells(sides: Floats, scales: Floats, grid: int) -> Floats:
    """Return how many cells of the canvas boxes of these `(..., 2)` sides take."""
    cells = np.ceil(sides * scales[..., None] / grid)
    return np.asarray(cells[..., 0] * cells[..., 1])
