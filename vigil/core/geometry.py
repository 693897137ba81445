"""Boxes, polygons and segments, many at once.

Points are `(x, y)` with y downwards. All of it but `aspects` means the same in pixels and in fractions of the
frame, so that analytics keep fractions and a camera that changes its resolution changes nothing.

A polygon's border follows the rule of rasterisers: its left and upper edges belong to it, its right and lower
ones do not. Each point of two polygons that share an edge is therefore in exactly one of them. `anchors` stay
just inside the frame, so a box that ends at the frame's edge is still inside a polygon that reaches the edge.
"""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Sequence

Bools: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]
Point: TypeAlias = tuple[float, float]

_INSIDE = 1 - 1e-9
"""The largest coordinate of an anchor, in fractions of the frame."""
_TINY = 1e-12


def anchors(boxes: Floats, heights: Floats) -> Floats:
    """Return the anchors `(n, k, 2)` of boxes `(n, 4)` in fractions, within the frame.

    `heights (k,)` says how far down the box an anchor lies: 0 is its top's centre, 1 its bottom's.
    """
    points = np.empty((len(boxes), len(heights), 2))
    points[:, :, 0] = ((boxes[:, 0] + boxes[:, 2]) / 2)[:, None]
    points[:, :, 1] = boxes[:, 1, None] + (boxes[:, 3] - boxes[:, 1])[:, None] * heights
    return np.minimum(np.maximum(points, 0, out=points), _INSIDE, out=points)


def areas(boxes: Floats) -> Floats:
    """Return the areas `(n,)` of boxes `(n, 4)`, 0 for those turned inside out."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], 0) * np.maximum(boxes[:, 3] - boxes[:, 1], 0)


def aspects(boxes: Floats, frame_aspect: float = 1.0) -> Floats:
    """Return width / height `(n,)` of boxes `(n, 4)`; for fractions `frame_aspect` is the frame's."""
    high = np.maximum(boxes[:, 3] - boxes[:, 1], _TINY)
    return (boxes[:, 2] - boxes[:, 0]) * frame_aspect / high


def intersections(one: Floats, other: Floats) -> Floats:
    """Return the common areas of two arrays of boxes `(..., 4)` that broadcast against each other."""
    low = np.maximum(one[..., :2], other[..., :2])
    sides = np.maximum(np.minimum(one[..., 2:], other[..., 2:]) - low, 0)
    return np.asarray(sides[..., 0] * sides[..., 1])


def overlaps(one: Floats, other: Floats) -> Floats:
    """Return the intersection over union `(n, m)` of boxes `(n, 4)` with boxes `(m, 4)`; 0 without area."""
    common = intersections(one[:, None], other[None])
    union = areas(one)[:, None] + areas(other) - common
    return np.asarray(common / np.maximum(union, _TINY))


def crossings(before: Floats, after: Floats, start: Floats, end: Floats) -> Bools:
    """Tell which steps `before -> after (n, k, 2)` cross the segments `start -> end (k, 2)`.

    A point on the segment's line counts as left of it, so a path that touches the line and turns back
    crosses it twice or not at all, and one that goes through crosses it once however its steps fall. The
    segment's ends belong to it, whichever way the step goes.
    """
    was_left, is_left = side_of(before, start, end) >= 0, side_of(after, start, end) >= 0
    left, right = np.where(was_left[..., None], before, after), np.where(was_left[..., None], after, before)
    within = (side_of(start, left, right) <= 0) & (side_of(end, left, right) >= 0)
    return np.asarray((was_left != is_left) & within)


def side_of(points: Floats, start: Floats, end: Floats) -> Floats:
    """Return what is positive for points `(..., 2)` to the left of `start -> end`, as a viewer sees it.

    Its size is twice the area of the triangle of the three points.
    """
    along, away = end - start, points - start
    return np.asarray(along[..., 1] * away[..., 0] - along[..., 0] * away[..., 1])


class Polygons:
    """Several polygons that are asked at once which points they hold."""

    def __init__(self, polygons: Sequence[Sequence[Point]]) -> None:
        """Take at least one polygon of three points or more each."""
        edges, owners = [], []
        for number, polygon in enumerate(polygons):
            for start, end in pairwise([*polygon, polygon[0]]):
                # Upwards always, so that two polygons round a shared edge to the very same side.
                edges.append([*start, *end] if start[1] <= end[1] else [*end, *start])
                owners.append(number)
        table = np.array(edges, np.float64)
        self._x, self._y, self._end_x, self._end_y = (np.ascontiguousarray(column) for column in table.T)
        self._wide, self._high = self._end_x - self._x, self._end_y - self._y
        self._owner = np.array(owners, np.intp)
        self._starts = np.searchsorted(self._owner, np.arange(len(polygons)))

    def contain(self, points: Floats) -> Bools:
        """Tell `(n, k)` which polygons hold `points (n, k, 2)`, or `(n, 1, 2)`, the same for each."""
        if points.shape[1] > 1:
            points = points[:, self._owner]
        x, y = points[..., 0], points[..., 1]
        beside = (self._y <= y) & (y < self._end_y)
        left_of = (x - self._x) * self._high < (y - self._y) * self._wide
        return np.asarray(np.logical_xor.reduceat(beside & left_of, self._starts, axis=1))

    def touch(self, boxes: Floats) -> Bools:
        """Tell `(n, k)` which polygons share at least a point with boxes `(n, 4)`."""
        centres = (boxes[:, :2] + boxes[:, 2:]) / 2
        hit = np.logical_or.reduceat(self._edges_within(boxes), self._starts, axis=1)
        return np.asarray(hit | self.contain(centres[:, None]))

    def _edges_within(self, boxes: Floats) -> Bools:
        """Clip every edge to every box (Liang and Barsky): what is left of it is not empty."""
        low, high = np.zeros((len(boxes), len(self._x))), np.ones((len(boxes), len(self._x)))
        for start, way, near, far in (
            (self._x, self._wide, boxes[:, :1], boxes[:, 2:3]),
            (self._y, self._high, boxes[:, 1:2], boxes[:, 3:]),
        ):
            step = np.where(np.abs(way) < _TINY, _TINY, way)
            enter, leave = (near - start) / step, (far - start) / step
            low = np.maximum(low, np.minimum(enter, leave))
            high = np.minimum(high, np.maximum(enter, leave))
        return np.asarray(low <= high)


def distinct(polygon: Sequence[Point]) -> list[Point]:
    """Return the polygon without points that repeat the one before, its first at the end included."""
    points = [point for before, point in pairwise([None, *polygon]) if point is not None and point != before]
    return points[:-1] if len(points) > 1 and points[0] == points[-1] else points


def is_simple(polygon: Sequence[Point]) -> bool:
    """Tell whether a polygon of distinct neighbours has an area and a border that never meets itself."""
    edges = list(pairwise([*polygon, polygon[0]]))
    if len(edges) < 3:  # noqa: PLR2004 -- a triangle is the least
        return False
    for (number, one), (other_number, other) in combinations(enumerate(edges), 2):
        if other_number - number == 1:
            neighbours_meet = _doubles_back(*one, other[1])
        elif other_number - number == len(edges) - 1:
            neighbours_meet = _doubles_back(*other, one[1])
        else:
            neighbours_meet = _meet(*one, *other)
        if neighbours_meet:
            return False
    return True


def _turn(a: Point, b: Point, c: Point) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _doubles_back(a: Point, b: Point, c: Point) -> bool:
    backwards = (a[0] - b[0]) * (c[0] - b[0]) + (a[1] - b[1]) * (c[1] - b[1]) > 0
    return _turn(a, b, c) == 0 and backwards


def _meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Tell whether two closed segments have a point in common."""
    turns = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if turns[0] * turns[1] < 0 and turns[2] * turns[3] < 0:
        return True
    ends = ((a, b, c), (a, b, d), (c, d, a), (c, d, b))
    return any(turn == 0 and _between(*end) for turn, end in zip(turns, ends, strict=True))


def _between(a: Point, b: Point, c: Point) -> bool:
    """Tell whether c, known to lie on the line of a and b, lies between them."""
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])
