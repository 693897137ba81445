"""Rectangles on a canvas: none overlaps, none is lost, and each keeps its phase."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vigil.inference.packing import Canvas, Layout, Spot, arrange, fitted
from vigil.inference.regions import Region

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDTH, _HEIGHT, _PERIOD = 80, 48, 4

_rectangles = st.lists(
    st.tuples(
        st.integers(1, _WIDTH),
        st.integers(1, _HEIGHT),
        st.one_of(st.none(), st.builds(Spot, st.integers(0, 99), st.integers(0, 99))),
    ),
    max_size=30,
)


@given(_rectangles)
def test_rectangles_lie_on_the_canvas_and_never_overlap(
    rectangles: list[tuple[int, int, Spot | None]],
) -> None:
    """Each is placed within the canvas on cells that are free, or postponed; its phase is what was asked."""
    canvas = Canvas(_WIDTH, _HEIGHT, _PERIOD)
    taken: set[tuple[int, int]] = set()
    for width, height, origin in rectangles:
        spot = canvas.place(width, height, origin)
        if spot is None:
            continue
        cells = {(spot.left + x, spot.top + y) for x in range(width) for y in range(height)}
        assert not cells & taken
        assert all(0 <= x < _WIDTH and 0 <= y < _HEIGHT for x, y in cells)
        if origin is not None:
            assert (spot.left - origin.left) % _PERIOD == 0
            assert (spot.top - origin.top) % _PERIOD == 0
        taken |= cells
        assert canvas.used == len(taken)


@given(_rectangles)
def test_a_rectangle_is_postponed_only_for_want_of_room(
    rectangles: list[tuple[int, int, Spot | None]],
) -> None:
    """Where none is placed, there is no free place of that phase."""
    canvas = Canvas(12, 8, _PERIOD)
    free = {(x, y) for x in range(12) for y in range(8)}
    for width, height, origin in rectangles:
        fits = [
            (left, top)
            for left in range(12 - width + 1)
            for top in range(8 - height + 1)
            if (origin is None or ((left - origin.left) % _PERIOD, (top - origin.top) % _PERIOD) == (0, 0))
            and all((left + x, top + y) in free for x in range(width) for y in range(height))
        ]
        spot = canvas.place(width, height, origin)
        assert (spot is None) == (not fits)
        if spot is not None:
            free -= {(spot.left + x, spot.top + y) for x in range(width) for y in range(height)}


def test_a_cleared_canvas_is_empty() -> None:
    """After `clear` the whole canvas can be taken again."""
    canvas = Canvas(20, 12, 1)
    assert canvas.place(20, 12) == Spot(0, 0)
    assert canvas.place(1, 1) is None
    canvas.clear()
    assert canvas.used == 0
    assert canvas.place(20, 12) == Spot(0, 0)


_SHAPE, _GRID, _STRIDE = (192, 320), 8, 32


@st.composite
def regions(draw: st.DrawFn) -> Region:
    """Draw a part of an input, at full scale or half of it."""
    left, top = draw(st.integers(0, 38)) * 8, draw(st.integers(0, 22)) * 8
    right, bottom = draw(st.integers(left // 8 + 1, 40)) * 8, draw(st.integers(top // 8 + 1, 24)) * 8
    width, height = right - left, bottom - top
    if draw(st.booleans()):
        width, height = -(-width // 16) * 8, -(-height // 16) * 8
    return Region(left, top, right, bottom, width, height)


_frames = st.lists(st.lists(regions(), min_size=1, max_size=6), min_size=1, max_size=6)


def check_places(layout: Layout) -> None:
    """Assert that regions lie within their canvas, none upon another, each at its phase."""
    free = np.ones(layout.shape, np.bool_)
    for each in layout.on:
        spot = free[each.top : each.top + each.region.height, each.left : each.left + each.region.width]
        assert spot.shape == (each.region.height, each.region.width)
        assert spot.all()
        spot[:] = False
        if each.region.full_scale:
            assert (each.left - each.region.left) % _STRIDE == 0
            assert (each.top - each.region.top) % _STRIDE == 0


def owned(layouts: Sequence[Layout]) -> list[tuple[int, Region]]:
    """Return the regions of canvases with their owners."""
    return sorted((each.owner, each.region) for layout in layouts for each in layout.on)


@given(_frames, st.integers(1, 3))
def test_regions_are_placed_once_or_their_frame_is_postponed(frames: list[list[Region]], most: int) -> None:
    """The first frames have each region in one place of a canvas, none upon another; the others have none."""
    layouts, taken = arrange(frames, _SHAPE, _GRID, _STRIDE, most)
    assert taken >= 1
    assert len(layouts) <= most or taken == 1
    wanted = sorted((owner, region) for owner, each in enumerate(frames[:taken]) for region in each)
    assert owned(layouts) == wanted
    for layout in layouts:
        assert layout.shape == _SHAPE
        check_places(layout)


@given(_frames, st.integers(1, _SHAPE[0] * _SHAPE[1]))
def test_a_canvas_is_as_large_as_a_model_needs(frames: list[list[Region]], least: int) -> None:
    """It has so many pixels at least, and no side is longer than that of a whole input."""
    layouts, _ = arrange(frames, _SHAPE, _GRID, _STRIDE)
    for layout in layouts:
        smaller = fitted(layout, _GRID, _STRIDE, least)
        assert owned([smaller]) == owned([layout])
        check_places(smaller)
        height, width = smaller.shape
        assert least <= smaller.pixels
        assert height <= _SHAPE[0]
        assert width <= _SHAPE[1]


@given(_frames)
def test_a_canvas_is_made_smaller_with_all_that_lies_on_it(frames: list[list[Region]]) -> None:
    """Its sides are multiples of the stride within what they were, and at both ends lies a region."""
    layouts, _ = arrange(frames, _SHAPE, _GRID, _STRIDE)
    for layout in layouts:
        smaller = fitted(layout, _GRID, _STRIDE)
        assert owned([smaller]) == owned([layout])
        assert smaller.filled == layout.filled
        check_places(smaller)
        height, width = smaller.shape
        assert (height % _STRIDE, width % _STRIDE) == (0, 0)
        assert height <= _SHAPE[0]
        assert width <= _SHAPE[1]
        assert max(each.top + each.region.height for each in smaller.on) > height - _STRIDE
        assert max(each.left + each.region.width for each in smaller.on) > width - _STRIDE


def test_a_narrower_canvas_is_taken_where_it_is_smaller() -> None:
    """Six regions, five in a row and one below, lie in two rows of three on a narrower one instead."""
    tall = Region(0, 0, 64, 96, 64, 96)
    (layout,), _ = arrange([[tall] * 6], _SHAPE, _GRID, _STRIDE)
    assert fitted(layout, _GRID, _STRIDE).shape == (192, 192)
    (layout,), _ = arrange([[tall]], _SHAPE, _GRID, _STRIDE)
    assert fitted(layout, _GRID, _STRIDE).shape == (96, 64)
