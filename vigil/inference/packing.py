"""Rectangles onto one canvas: where each lies, or that there is no room left. Pure.

The canvas is a grid of cells, a bit each, and a rectangle goes to the first free place, the upmost row first.
A rectangle can ask for its phase within the model's stride: the network then sees it exactly as it would in
the whole frame, whereas a shift of half a stride alone changes one box in thirty.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.inference.regions import Region
    from vigil.inference.schedule import Shape

_NARROWER = (0.9, 0.8, 0.7, 0.6, 0.5)
"""Shares of the width of a canvas that are tried for a smaller one; they take a tenth off its area."""


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on a grid, in cells."""

    left: int
    top: int


class Canvas:
    """A canvas of `width` times `height` cells, of which `period` make the model's stride."""

    def __init__(self, width: int, height: int, period: int) -> None:
        self.width, self.height = width, height
        self._period = period
        self._rows = [0] * height  # a bit for each cell that is taken, the leftmost the lowest
        self._columns = [
            sum(1 << column for column in range(phase, width, period)) for phase in range(period)
        ]

    @property
    def used(self) -> int:
        """Cells that are taken."""
        return sum(row.bit_count() for row in self._rows)

    def clear(self) -> None:
        """Take everything away."""
        self._rows = [0] * self.height

    def place(self, width: int, height: int, origin: Spot | None = None) -> Spot | None:
        """Take a free place for a rectangle and return it; none without room.

        With an `origin`, the place has the same phase as that.
        """
        columns, first, step = (1 << self.width) - 1, 0, 1
        if origin is not None:
            step = self._period
            columns, first = self._columns[origin.left % step], origin.top % step
        for top in range(first, self.height - height + 1, step):
            begins = self._free(width, height, top) & columns
            if begins:
                left = (begins & -begins).bit_length() - 1
                self._take(width, height, left, top)
                return Spot(left, top)
        return None

    def _free(self, width: int, height: int, top: int) -> int:
        """Return a bit for each column from which on a rectangle is free at that row."""
        taken = 0
        for row in self._rows[top : top + height]:
            taken |= row
        free = (1 << self.width) - 1 & ~taken
        reach = 1
        while reach < width and free:
            step = min(reach, width - reach)
            free &= free >> step
            reach += step
        return free

    def _take(self, width: int, height: int, left: int, top: int) -> None:
        mask = ((1 << width) - 1) << left
        for row in range(top, top + height):
            self._rows[row] |= mask


@dataclass(frozen=True, slots=True)
class Placed:
    """A region and where its corner lies on the canvas, in pixels; `owner` numbers the frame it is of."""

    region: Region
    left: int
    top: int
    owner: int = 0


@dataclass(frozen=True, slots=True)
class Layout:
    """A canvas' size, and the regions that lie on it."""

    shape: Shape
    on: Sequence[Placed]

    @property
    def pixels(self) -> int:
        """All of them."""
        return self.shape[0] * self.shape[1]

    @property
    def filled(self) -> int:
        """Pixels that regions take."""
        return sum(each.region.area for each in self.on)


def arrange(
    frames: Sequence[Sequence[Region]], shape: Shape, grid: int, stride: int, most: int = 1
) -> tuple[list[Layout], int]:
    """Return canvases of `shape` with the regions of frames, and how many of the frames, in their order.

    As many frames are taken, the first ones, as find room with all of their regions on `most` canvases; the
    first of all is taken on as many as it needs.
    """
    room, taken = most * shape[0] * shape[1], 0
    for regions in frames:
        room -= sum(region.area for region in regions)
        if room < 0 and taken:
            break
        taken += 1
    while True:
        owned = [(region, owner) for owner, each in enumerate(frames[:taken]) for region in each]
        layouts = _laid(owned, shape, grid, stride, most if taken > 1 else len(owned))
        if layouts is not None:
            return layouts, taken
        taken -= 1


def fitted(layout: Layout, grid: int, stride: int, least: int = 1) -> Layout:
    """Return the same regions on the smallest canvas found for them, its sides multiples of `stride`.

    It has `least` pixels or more.
    """
    best = _cropped(layout, stride, least)
    regions = [(each.region, each.owner) for each in layout.on]
    for share in _NARROWER:
        width = int(share * layout.shape[1]) // stride * stride
        if 0 < width < best.shape[1]:
            height = min(layout.shape[0], (best.pixels - 1) // width // stride * stride)  # a smaller one only
            if height * width >= least and (smaller := _laid(regions, (height, width), grid, stride, 1)):
                best = _cropped(smaller[0], stride, least)
    return best


def _cropped(layout: Layout, stride: int, least: int) -> Layout:
    """Return a canvas without rows below and columns beside all regions, as far as it may be that small."""
    bottom = max(each.top + each.region.height for each in layout.on)
    right = max(each.left + each.region.width for each in layout.on)
    width = math.ceil(right / stride) * stride
    height = math.ceil(max(bottom, min(least / width, layout.shape[0])) / stride) * stride
    width = math.ceil(max(right, min(least / height, layout.shape[1])) / stride) * stride
    return Layout((height, width), layout.on)


def _laid(
    regions: Sequence[tuple[Region, int]], shape: Shape, grid: int, stride: int, most: int
) -> list[Layout] | None:
    """Return canvases, `most` at most, that hold all of these regions, the tallest placed first."""
    canvases: list[Canvas] = []
    placed: list[list[Placed]] = []
    for region, owner in sorted(regions, key=lambda each: (-each[0].height, -each[0].width)):
        width, height = region.width // grid, region.height // grid
        origin = Spot(region.left // grid, region.top // grid) if region.full_scale else None
        for canvas, on in zip(canvases, placed, strict=True):  # noqa: B007 -- the one with room
            if (spot := canvas.place(width, height, origin)) is not None:
                break
        else:
            canvas, on = Canvas(shape[1] // grid, shape[0] // grid, max(1, stride // grid)), []
            spot = canvas.place(width, height, origin) if len(canvases) < most else None
            canvases.append(canvas)
            placed.append(on)
        if spot is None:
            return None
        on.append(Placed(region, spot.left * grid, spot.top * grid, owner))
    return [Layout(shape, on) for on in placed]
