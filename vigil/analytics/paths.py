"""Where objects have been: a few points each, however long they stay.

A point is kept when the centre of the box's lower edge has moved on by half a box. A path that has grown
too long loses every second point and takes twice as long steps from then on, so it stays evenly coarse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vigil.analytics.objects import Rows
from vigil.core.events import PathPoint

if TYPE_CHECKING:
    from vigil.analytics.objects import Objects
    from vigil.core.geometry import Bools, Floats

_STEP = 0.5
_MOST = 64
_BOTTOM = (1.0,)


class Paths(Rows):
    """The path of every object since it was first seen."""

    def __init__(self) -> None:
        fresh = np.zeros(1, [("point", "f8", 2), ("step", "f8", 2)])
        fresh["point"], fresh["step"] = np.inf, _STEP
        super().__init__(fresh)
        self._points: list[list[PathPoint]] = []

    def grow(self, count: int) -> None:
        """Add rows for new objects."""
        super().grow(count)
        self._points += [[] for _ in range(count)]

    def keep(self, kept: Bools) -> None:
        """Drop the rows of objects that are gone."""
        super().keep(kept)
        self._points = [points for points, stays in zip(self._points, kept, strict=True) if stays]

    def update(self, time: float, objects: Objects) -> None:
        """Take a frame."""
        now = objects.anchors(_BOTTOM)[:, 0]
        far = np.abs(now - self.rows["point"]) > self.rows["step"] * objects.rows["size"]
        if np.count_nonzero(far):
            for row in ((far[:, 0] | far[:, 1]) & objects.rows["shown"]).nonzero()[0].tolist():
                self._add(row, time, now[row])

    def of(self, row: int, objects: Objects) -> tuple[PathPoint, ...]:
        """Return an object's path, from its first point to where it was shown last."""
        last = objects.rows["last"][row]
        points = [point for point in self._points[row] if point.time != last]
        return (*points, _point(last, objects.anchors(_BOTTOM)[row, 0]))

    def _add(self, row: int, time: float, point: Floats) -> None:
        points = self._points[row]
        points.append(_point(time, point))
        self.rows["point"][row] = point
        if len(points) >= _MOST:
            del points[1::2]
            self.rows["step"][row] *= 2


def _point(time: float, point: Floats) -> PathPoint:
    x, y = point.tolist()
    return PathPoint(float(time), round(x, 4), round(y, 4))
