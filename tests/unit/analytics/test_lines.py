"""Who crossed which line, which way, and how often."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scenes import CAR, Film, Seen, line, standing
from vigil.core.events import Crossings, Totals
from vigil.errors import CannotStartError

LEVEL = {"entry": line([0.2, 0.5], [0.8, 0.5])}
"""Left of it, seen along it, is the picture's upper half."""


def counted(film: Film, label: str = "person", name: str = "entry") -> tuple[int, int]:
    """Return the crossings in and out."""
    crossings = film.last.totals.lines[name][label]
    return crossings.inwards, crossings.outwards


def walk(film: Film, *points: tuple[float, float], class_id: int = 0) -> tuple[int, int]:
    """Let one object walk through the points, one frame each, and return the crossings."""
    for x, y in points:
        film.show({1: standing(x, y, class_id)})
    return counted(film)


def test_left_to_right_is_in() -> None:
    """Over a line that runs to the right, downwards is in and upwards is out."""
    film = Film(lines=LEVEL)
    assert walk(film, *[(0.5, y / 100) for y in range(30, 71, 5)]) == (1, 0)
    assert walk(film, *[(0.5, y / 100) for y in range(70, 29, -5)]) == (1, 1)


def test_a_line_the_other_way_round_counts_the_other_way() -> None:
    """From and to decide which side is left."""
    film = Film(lines={"entry": line([0.8, 0.5], [0.2, 0.5])})
    assert walk(film, *[(0.5, y / 100) for y in range(30, 71, 5)]) == (0, 1)


def test_one_step_over_it_is_enough() -> None:
    """A fast object that is on one side in a frame and on the other in the next has crossed."""
    assert walk(Film(lines=LEVEL), (0.5, 0.3), (0.5, 0.3), (0.5, 0.3), (0.5, 0.7)) == (1, 0)


def test_jitter_on_the_line_crosses_nothing() -> None:
    """A box that trembles by less than a tenth of its height has crossed when it clearly leaves."""
    film = Film(lines=LEVEL)
    start, trembling = [(0.5, 0.4)] * 3, [(0.5, 0.515), (0.5, 0.485)] * 20
    assert walk(film, *start, *trembling) == (0, 0)
    assert walk(film, (0.5, 0.6)) == (1, 0)
    assert walk(film, *reversed(trembling), (0.5, 0.6)) == (1, 0)


def test_past_the_end_is_not_over_the_line() -> None:
    """Who goes round an end has crossed nothing; who comes back through it has crossed once."""
    film = Film(lines=LEVEL)
    assert walk(film, (0.7, 0.3), (0.7, 0.3), (0.7, 0.3), (0.9, 0.4), (0.9, 0.6), (0.7, 0.7)) == (0, 0)
    assert walk(film, (0.7, 0.3)) == (0, 1)


def test_the_path_decides_not_its_ends() -> None:
    """What counts is where the path went through, not where it was clear again."""
    film = Film(lines=LEVEL)
    through = [(0.75, 0.45), (0.75, 0.505), (0.9, 0.51), (0.9, 0.6)]
    assert walk(film, *[(0.75, 0.4)] * 3, *through) == (1, 0)
    film = Film(lines=LEVEL)
    round_it = [(0.9, 0.49), (0.9, 0.51), (0.75, 0.51), (0.75, 0.6)]
    assert walk(film, *[(0.9, 0.4)] * 3, *round_it) == (0, 0)


def test_distance_is_measured_across_the_line() -> None:
    """From an upright line it is the box's width that counts: a wide box has to go further."""
    upright = {"entry": line([0.5, 0.2], [0.5, 0.9])}
    for width, expected in ((0.1, (0, 1)), (0.6, (0, 0))):
        film = Film(lines=upright)
        for x in (0.35, 0.35, 0.35, 0.52):
            film.show({1: Seen((x - width / 2, 0.4, x + width / 2, 0.6))})
        assert counted(film) == expected


def test_before_it_is_confirmed_counts_afterwards() -> None:
    """Who crosses in the second frame is counted in the third, which confirms him; a ghost never is."""
    film = Film(lines=LEVEL)
    assert walk(film, (0.5, 0.3), (0.5, 0.7)) == (0, 0)
    assert walk(film, (0.5, 0.7)) == (1, 0)
    ghost = Film(lines=LEVEL)
    walk(ghost, (0.5, 0.3), (0.5, 0.7))
    ghost.show({}, 3)
    assert counted(ghost) == (0, 0)


def test_unseen_over_the_line() -> None:
    """Where the tracker believes an object to be crosses nothing; where it is seen again does."""
    film = Film(lines=LEVEL)
    walk(film, *[(0.5, 0.3)] * 3)
    film.show({1: standing(0.5, 0.7, missed=True)}, 1)
    assert counted(film) == (0, 0)
    assert walk(film, (0.5, 0.7)) == (1, 0)


def test_labels_and_lines_are_apart() -> None:
    """Each line counts its classes, 0 before anything crosses."""
    film = Film(lines=LEVEL | {"cars": line([0.2, 0.5], [0.8, 0.5], classes=["car"])})
    film.show({})
    assert film.last.totals.lines["cars"] == {"car": Crossings(0, 0)}
    walk(film, *[(0.5, 0.3)] * 3, (0.5, 0.7))
    assert counted(film, "car") == (0, 0)
    assert film.last.totals.lines["cars"] == {"car": Crossings(0, 0)}
    other = Film(lines=LEVEL | {"cars": line([0.2, 0.5], [0.8, 0.5], classes=["car"])})
    walk(other, *[(0.5, 0.3)] * 3, (0.5, 0.7), class_id=CAR)
    assert counted(other, "car", "cars") == counted(other, "car") == (1, 0)


def test_totals_go_on_after_a_restart() -> None:
    """What was counted before is counted on; lines that are no more are forgotten."""
    before = Totals({"entry": {"person": Crossings(5, 3)}, "gone": {"person": Crossings(1, 1)}})
    film = Film(lines=LEVEL, totals=before)
    film.show({})
    assert counted(film) == (5, 3)
    walk(film, *[(0.5, 0.3)] * 3, (0.5, 0.7))
    film.close()
    assert counted(film) == (6, 3)
    assert set(film.last.totals.lines) == {"entry"}


def test_unknown_class_cannot_start() -> None:
    """A class that the model does not know is refused with its key."""
    with pytest.raises(
        CannotStartError, match=r"^cameras\.drive\.lines\.entry\.classes: fake knows no class"
    ):
        Film(lines={"entry": line([0, 0], [1, 1], classes=["unicorn"])})


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=40))
def test_totals_only_grow_and_alternate(points: list[tuple[float, float]]) -> None:
    """Totals never fall; through a line across the whole frame one object goes in and out in turn."""
    film = Film(lines={"entry": line([0, 0.5], [1, 0.5])})
    before = (0, 0)
    for point in points:
        after = walk(film, point)
        assert after[0] >= before[0]
        assert after[1] >= before[1]
        assert math.fabs(after[0] - after[1]) <= 1
        before = after
