"""Boxes become regions: nothing of them is lost, nothing is enlarged, and joining never costs canvas."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vigil.inference.letterbox import place
from vigil.inference.regions import Region, cover

_GRID = 8
_PLACEMENT = place(1920, 1080, (384, 640))

_box = st.tuples(
    st.integers(-50, 640),
    st.integers(-50, 384),
    st.integers(1, 300),
    st.integers(1, 300),
    st.floats(0.4, 1.0),
)


def _covered(rows: list[tuple[int, int, int, int, float]]) -> tuple[Region, ...]:
    boxes = np.array([(x, y, x + w, y + h) for x, y, w, h, _ in rows], np.float64).reshape(-1, 4)
    return cover(boxes, np.array([row[4] for row in rows], np.float64), _GRID, _PLACEMENT)


@given(st.lists(_box, max_size=8))
def test_every_box_lies_in_one_region_at_its_scale_or_more(
    rows: list[tuple[int, int, int, int, float]],
) -> None:
    """What of a box is within the frame is within a region, which is on the grid and never enlarged."""
    regions = _covered(rows)
    for region in regions:
        assert all(side % _GRID == 0 for side in (region.left, region.top, region.width, region.height))
        assert 0 < region.width <= region.right - region.left
        assert 0 < region.height <= region.bottom - region.top
    at = _PLACEMENT
    for x, y, width, height, scale in rows:
        left, top = max(x, at.left), max(y, at.top)
        right, bottom = min(x + width, at.left + at.width), min(y + height, at.top + at.height)
        if left >= right or top >= bottom:
            continue
        assert any(
            region.left <= left
            and region.top <= top
            and region.right >= right
            and region.bottom >= bottom
            and region.width >= (region.right - region.left) * scale - 1e-6
            and region.height >= (region.bottom - region.top) * scale - 1e-6
            for region in regions
        )


@given(st.lists(_box, min_size=2, max_size=8))
def test_joining_takes_no_more_of_the_canvas(rows: list[tuple[int, int, int, int, float]]) -> None:
    """Together the regions are no larger than those of each box by itself."""
    alone = sum(region.area for row in rows for region in _covered([row]))
    assert sum(region.area for region in _covered(rows)) <= alone


def test_neighbours_become_one_and_strangers_stay_apart() -> None:
    """Two boxes side by side are one region; a third at the other end of the frame is its own."""
    regions = _covered([(100, 100, 40, 40, 1.0), (120, 100, 40, 40, 1.0), (500, 300, 40, 40, 1.0)])
    assert len(regions) == 2


def test_a_region_stays_while_its_box_moves_a_little() -> None:
    """Within a cell of the grid a box can move without moving its region."""
    assert _covered([(98, 98, 40, 40, 1.0)]) == _covered([(101, 99, 40, 40, 1.0)])
