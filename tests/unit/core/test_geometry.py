"""Geometry, against shapely where it knows the answer."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import assume, given
from hypothesis import strategies as st

from vigil.core.geometry import (
    Point,
    Polygons,
    anchors,
    areas,
    aspects,
    crossings,
    distinct,
    intersections,
    is_simple,
    overlaps,
    side_of,
)

SQUARE: list[Point] = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
fractions = st.floats(0, 1, allow_subnormal=False)
grid = st.integers(0, 8).map(lambda number: number / 8)
"""Coordinates whose products are exact, so that touching and crossing are too."""
corners = st.lists(st.tuples(grid, grid), min_size=3, max_size=8)
boxes = st.tuples(fractions, fractions, fractions, fractions).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


@st.composite
def stars(draw: st.DrawFn) -> list[Point]:
    """Draw a simple polygon, convex or not, round the middle of the frame."""
    radii = draw(st.lists(st.floats(0.05, 0.5), min_size=3, max_size=12))
    turn = draw(st.floats(0, 1))
    angles = [(turn + index) * 2 * math.pi / len(radii) for index in range(len(radii))]
    return [(0.5 + r * math.cos(a), 0.5 + r * math.sin(a)) for r, a in zip(radii, angles, strict=True)]


@given(st.lists(stars(), min_size=1, max_size=4), st.lists(st.tuples(fractions, fractions), max_size=8))
def test_points_are_in_polygons(polygons: list[list[Point]], points: list[Point]) -> None:
    """Away from borders, a polygon holds the points that shapely says, however many are asked at once."""
    table = np.array(points, np.float64).reshape(-1, 1, 2)
    held = Polygons(polygons).contain(table)
    assert held.shape == (len(points), len(polygons))
    for (row, column), inside in np.ndenumerate(held):
        shape, point = shapely.Polygon(polygons[column]), shapely.Point(points[row])
        if shape.boundary.distance(point) > 1e-9:
            assert inside == shape.contains(point)


@given(st.floats(0, 1), st.floats(0, 1), st.lists(st.tuples(grid, grid), min_size=1, max_size=20))
def test_neighbours_share_no_point(top: float, bottom: float, points: list[Point]) -> None:
    """Of two polygons that fill the frame and share an edge, exactly one holds each of its points."""
    left: list[Point] = [(0, 0), (top, 0), (bottom, 1), (0, 1)]
    right: list[Point] = [(1, 1), (bottom, 1), (top, 0), (1, 0)]
    table = np.minimum(np.array(points, np.float64), 1 - 1e-9).reshape(-1, 1, 2)
    assert (Polygons([left, right]).contain(table).sum(axis=1) == 1).all()


@pytest.mark.parametrize(
    ("point", "inside"),
    [
        ((0.25, 0.5), True),
        ((0.5, 0.25), True),
        ((0.75, 0.5), False),
        ((0.5, 0.75), False),
        ((0.25, 0.25), True),
    ],
)
def test_border_of_a_polygon(point: Point, *, inside: bool) -> None:
    """Left and upper edges belong to a polygon, right and lower ones do not."""
    assert Polygons([SQUARE]).contain(np.array([[point]])).item() is inside


def test_each_polygon_can_have_its_own_points() -> None:
    """With a point for each polygon, each is asked of its own."""
    other = [(x + 0.25, y) for x, y in SQUARE]
    points = np.array([[[0.3, 0.5], [0.3, 0.5]], [[0.9, 0.5], [0.9, 0.5]], [[0.3, 0.5], [0.9, 0.5]]])
    assert Polygons([SQUARE, other]).contain(points).tolist() == [[True, False], [False, True], [True, True]]


@given(st.lists(stars(), min_size=1, max_size=3), boxes)
def test_boxes_touch_polygons(polygons: list[list[Point]], box: tuple[float, float, float, float]) -> None:
    """A box touches the polygons that shapely says it intersects, contained ones and containing ones too."""
    touched = Polygons(polygons).touch(np.array([box]))[0]
    for polygon, touches in zip(polygons, touched, strict=True):
        shape, area = shapely.Polygon(polygon), shapely.box(*box)
        clear = shape.distance(area) > 1e-9 or shape.buffer(-1e-9).intersects(area)
        if clear:
            assert touches == shape.intersects(area)


@given(corners)
def test_simple_polygons(points: list[Point]) -> None:
    """A polygon is simple exactly when shapely calls it valid."""
    polygon = distinct(points)
    assume(len(polygon) >= 3)
    assert is_simple(polygon) == shapely.Polygon(polygon).is_valid


def test_repeated_points_are_dropped() -> None:
    """A point after itself, and the first one at the end, are written for nothing."""
    assert distinct([SQUARE[0], SQUARE[0], *SQUARE[1:], SQUARE[0]]) == SQUARE
    assert distinct([(0, 0), (0, 0)]) == [(0, 0)]


@given(*[st.tuples(grid, grid)] * 4)
def test_steps_cross_segments(before: Point, after: Point, start: Point, end: Point) -> None:
    """A step crosses a segment when shapely says that both go through each other."""
    assume(start != end and before != after)
    step, segment = shapely.LineString([before, after]), shapely.LineString([start, end])
    touching = any(
        one.distance(shapely.Point(point)) == 0
        for one, points in ((segment, (before, after)), (step, (start, end)))
        for point in points
    )
    assume(not touching)
    crossed = crossings(*(np.array(point)[None] for point in (before, after, start, end)))
    assert crossed.item() == step.crosses(segment)


@given(st.lists(st.tuples(grid, grid), min_size=2, max_size=12))
def test_a_path_crosses_as_often_as_it_changes_sides(path: list[Point]) -> None:
    """Over an endless line a path crosses oddly often when its ends are apart, touching or not."""
    start, end = np.array([[-1.0, 0.5]]), np.array([[2.0, 0.5]])
    points = np.array(path)[:, None]
    count = crossings(points[:-1], points[1:], start, end).sum()
    assert count % 2 == int((path[0][1] <= 0.5) != (path[-1][1] <= 0.5))


def test_left_is_left_for_the_viewer() -> None:
    """Seen along a line to the right, what is above it in the picture is on its left."""
    start, end = np.array([0.0, 0.5]), np.array([1.0, 0.5])
    assert side_of(np.array([0.5, 0.1]), start, end) > 0
    assert side_of(np.array([0.5, 0.9]), start, end) < 0


@given(st.lists(boxes, min_size=1, max_size=5))
def test_overlaps_are_those_of_shapely(given_boxes: list[tuple[float, float, float, float]]) -> None:
    """Areas, intersections and intersections over unions are right for every pair."""
    table = np.array(given_boxes)
    shapes = [shapely.box(*box) for box in given_boxes]
    assert areas(table) == pytest.approx([shape.area for shape in shapes], abs=1e-12)
    pairs = overlaps(table, table)
    for row, one in enumerate(shapes):
        for column, other in enumerate(shapes):
            common = one.intersection(other).area
            assert intersections(table[row], table[column]) == pytest.approx(common, abs=1e-12)
            union = one.area + other.area - common
            if union > 1e-6:
                assert pairs[row, column] == pytest.approx(common / union, abs=1e-5)


def test_shapes_of_boxes() -> None:
    """An aspect is one of pixels, whatever the frame's; a box turned inside out has no area."""
    table = np.array([[0.2, 0.2, 0.4, 0.4], [0.4, 0.4, 0.2, 0.3]])
    assert aspects(table, 16 / 9)[0] == pytest.approx(16 / 9)
    assert areas(table)[1] == 0


def test_anchors_stay_in_the_frame() -> None:
    """A box that ends at the frame's lower edge, or beyond it, stands in a zone that reaches the edge."""
    table = np.array([[0.4, 0.6, 0.6, 1.0], [0.9, 0.5, 1.4, 1.2], [-0.3, -0.2, 0.1, 0.1]])
    whole = Polygons([[(0, 0), (1, 0), (1, 1), (0, 1)]])
    assert anchors(table, np.array([1.0]))[0, 0] == pytest.approx([0.5, 1], abs=1e-6)
    assert whole.contain(anchors(table, np.array([1.0]))).all()
    assert anchors(table, np.array([0.0, 0.5]))[0].tolist() == [[0.5, 0.6], [0.5, 0.8]]


@given(st.tuples(grid, grid), st.tuples(grid, grid), st.tuples(grid, grid), st.tuples(grid, grid))
def test_back_is_the_same_as_there(before: Point, after: Point, start: Point, end: Point) -> None:
    """A step crosses a segment, its ends included, exactly when the step back does."""
    assume(start != end)
    points = [np.array(point)[None] for point in (before, after, start, end)]
    there, back = crossings(*points), crossings(points[1], points[0], *points[2:])
    assert there.item() == back.item()
