"""Rectangles on a canvas: none overlaps, none is lost, and each keeps its phase."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vigil.inference.packing import Canvas, Spot

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
