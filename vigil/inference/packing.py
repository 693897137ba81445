"""Rectangles onto one canvas: where each lies, or that there is no room left. Pure.

The canvas is a grid of cells, a bit each, and a rectangle goes to the first free place, the upmost row first.
A rectangle can ask for its phase within the model's stride: the network then sees it exactly as it would in
the whole frame, whereas a shift of half a stride alone changes one box in thirty.
"""

from __future__ import annotations

from dataclasses import dataclass


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
