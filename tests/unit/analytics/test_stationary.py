"""A parked car is one event, however long it stands and whoever passes in front of it."""

from __future__ import annotations

import pytest

from tests.support.scenes import CAR, PERSON, STEP, Film, Seen, standing
from vigil.config.analytics import TrackingConfig
from vigil.core.types import Model

COCO = Model("fake", ("person", "car", "truck", "dog"), stride=32, size=640)
TRUCK = 2
PARKED = standing(0.5, 0.6, CAR)
LOST = standing(0.5, 0.6, CAR, missed=True)
COVER = Seen((0.44, 0.3, 0.56, 0.7), PERSON)
"""A person so near that the car is all but hidden."""


def parked(seconds: float = 20) -> Film:
    """Return a film of a car that has stood for so long."""
    film = Film(model=COCO)
    film.show({1: PARKED}, seconds)
    return film


def cars(film: Film) -> int:
    """Return how many cars are there now."""
    return film.last.counts["car"]


def test_ten_seconds_in_one_place_are_stationary() -> None:
    """Stopping is told once, ten seconds after the object came to rest, in an update of its event."""
    film = parked(60)
    assert [(event.type.value, event.stationary) for event in film.events] == [
        ("new", False),
        ("update", True),
    ]
    assert film.events[1].start_time == film.events[0].start_time
    stopped = next(index for index, result in enumerate(film.results) if len(result.events) and index > 5)
    assert stopped * STEP == pytest.approx(10)


def test_slow_movement_is_not_stationary() -> None:
    """What creeps on by a third of its width in ten seconds never stands."""
    film = Film(model=COCO)
    for index in range(300):
        film.show({1: standing(0.2 + index * STEP * 0.005, 0.6, CAR)})
    assert film.told == ["new"]


def test_trembling_is_stationary() -> None:
    """A box that jitters by a few per cent stands still."""
    film = Film(model=COCO)
    for index in range(100):
        film.show({1: standing(0.5 + 0.004 * (-1) ** index, 0.6 + 0.008 * (-1) ** (index // 2), CAR)})
    assert film.told == ["new", "update"]


def test_moving_again_is_an_update() -> None:
    """A car that drives off is the same event, in motion, and a second stop is told again."""
    film = parked()
    for index in range(20):
        film.show({1: standing(0.5 + index * 0.015, 0.6, CAR)})
    film.show({1: standing(0.8, 0.6, CAR)}, 15)
    assert [event.stationary for event in film.events] == [False, True, False, True]
    assert {event.id for event in film.events} == {film.events[0].id}


def test_a_glitch_is_no_movement() -> None:
    """One box beside the place, for less than a second, sets nothing in motion."""
    film = parked()
    film.show({1: standing(0.58, 0.6, CAR)}, 0.6)
    film.show({1: PARKED}, 10)
    assert film.told == ["new", "update"]


def test_a_part_of_it_covered_is_no_movement() -> None:
    """A passer-by who hides half the car makes its box smaller, and leaves it where it is."""
    film = parked()
    film.show({1: Seen((0.52, 0.4, 0.55, 0.6), CAR), 2: COVER}, 5)
    film.show({1: PARKED}, 10)
    assert [event.type.value for event in film.events if event.label == "car"] == ["new", "update"]


def test_growing_is_movement() -> None:
    """A car that drives straight at the camera grows round its place."""
    film = parked()
    film.show({1: Seen((0.4, 0.2, 0.6, 0.8), CAR)}, 2)
    assert film.events[-1].stationary is False


def test_covered_for_minutes_it_is_still_there() -> None:
    """Behind a van its track dies, it goes on counting, and the new track afterwards is the same car."""
    film = parked()
    film.show({1: LOST, 2: COVER}, 3)
    film.show({2: COVER}, 240)
    assert cars(film) == 1
    film.show({3: PARKED}, 10)
    film.close()
    mine = [event for event in film.events if event.label == "car"]
    assert [event.type.value for event in mine] == ["new", "update", "end"]
    assert (mine[-1].track_id, mine[-1].start_time) == (3, mine[0].start_time)


def test_covered_for_too_long_it_is_given_up() -> None:
    """After the patience the event ends, with the time at which it was seen last."""
    film = parked()
    seen = film.time - STEP
    film.show({2: COVER}, 310)
    end = next(event for event in film.events if event.type == "end")
    assert end.label == "car"
    assert end.end_time == pytest.approx(seen)
    assert cars(film) == 0


@pytest.mark.parametrize(("stood", "waited", "left"), [(60, 40, 1), (60, 70, 0), (20, 30, 0), (600, 290, 1)])
def test_in_plain_view_it_is_waited_for_as_long_as_it_stood(stood: float, waited: float, left: int) -> None:
    """What nothing hides is gone after as long as it stood there, and never later than patience."""
    film = parked(stood)
    film.show({}, waited)
    assert cars(film) == left


def test_what_moved_is_not_waited_for() -> None:
    """An object that was not stationary ends with its track."""
    film = Film(model=COCO)
    film.show({1: PARKED}, 5)
    film.show({})
    assert film.told == ["new", "end"]


def test_time_without_frames_is_no_absence() -> None:
    """Ten minutes in which nobody looked at the camera's frames do not make a new car of the old one."""
    film = parked()
    film.time += 600
    film.show({2: PARKED}, 10)
    assert film.told == ["new", "update"]


def test_another_class_of_its_kin_is_the_same() -> None:
    """A car that comes back as a truck is the same event, of the same label, and is counted once."""
    film = parked()
    film.show({2: standing(0.5, 0.6, TRUCK), 1: LOST}, 3)
    film.show({2: standing(0.5, 0.6, TRUCK)}, 3)
    film.show({2: standing(0.5, 0.6, TRUCK), 3: PARKED}, 3)
    film.show({3: PARKED}, 3)
    assert film.told == ["new", "update"]
    assert (cars(film), film.last.counts["truck"]) == (1, 0)


def test_a_moving_car_called_two_names_is_one() -> None:
    """Two boxes of related classes upon each other are one object, in motion too."""
    film = Film(model=COCO)
    for index in range(30):
        x = 0.2 + index * 0.02
        film.show({1: standing(x, 0.6, CAR)} | ({2: standing(x, 0.6, TRUCK)} if index > 5 else {}))
    assert film.told == ["new"]


def test_another_thing_in_its_place_is_another() -> None:
    """Neither a person before the car nor a second car beside it takes its identity."""
    film = parked()
    film.show({1: LOST, 2: standing(0.5, 0.6, PERSON)}, 3)
    film.show({1: LOST, 2: standing(0.5, 0.6, PERSON), 3: standing(0.56, 0.6, CAR)}, 3)
    assert [event.label for event in film.events if event.type == "new"] == ["car", "person", "car"]


def test_the_same_class_beside_one_that_is_seen_is_another() -> None:
    """While the detector shows the parked car, a second box of its class upon it is a second car."""
    film = parked()
    film.show({1: PARKED, 2: standing(0.51, 0.6, CAR)}, 3)
    assert cars(film) == 2


def test_seconds_are_configurable() -> None:
    """How long it takes to be stationary, and how long one is waited for."""
    film = Film(model=COCO, tracking=TrackingConfig.model_validate({"stationary_after": "2s"}))
    film.show({1: PARKED}, 3)
    assert film.told == ["new", "update"]
    impatient = Film(model=COCO, tracking=TrackingConfig.model_validate({"stationary_patience": "20s"}))
    impatient.show({1: PARKED}, 60)
    impatient.show({}, 25)
    assert impatient.told == ["new", "update", "end"]
