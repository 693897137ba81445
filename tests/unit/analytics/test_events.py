"""What is told of an object, when, and how often."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.scenes import HALVES, HEIGHT, START, STEP, WIDTH, Film, Seen, standing, zone
from vigil.core.events import EventType, ulid

ZONES = {name: zone(polygon, inertia="0s") for name, polygon in HALVES.items()}
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def test_an_event_says_what_is_known() -> None:
    """`new` has all the fields, with the time of the first detection and a box in pixels."""
    film = Film(ZONES)
    film.show({7: standing(0.3, 0.6, score=0.7)}, 0.4)
    film.show({7: standing(0.3, 0.6, score=0.8)})
    [event] = film.events
    assert (event.type, event.camera, event.label, event.track_id) == (EventType.NEW, "drive", "person", 7)
    assert [event.score, event.top_score] == pytest.approx([0.8, 0.8])
    assert (event.start_time, event.end_time) == (START, None)
    expected = (0.25 * WIDTH, 0.4 * HEIGHT, 0.35 * WIDTH, 0.6 * HEIGHT)
    assert event.box == pytest.approx(expected, abs=1e-3)
    assert (event.zones, event.entered_zones, event.stationary) == (("left",), ("left",), False)
    assert (event.has_snapshot, event.has_clip) == (True, False)


def test_the_end_says_when_it_was_seen_last() -> None:
    """An event ends when its track is gone; its time is that of the last detection."""
    film = Film()
    film.show({1: standing(0.3, 0.6)}, 2)
    seen = film.time - STEP
    film.show({1: standing(0.4, 0.6, missed=True)}, 2)
    film.show({})
    end = film.events[-1]
    assert end.type is EventType.END
    assert end.end_time == pytest.approx(seen)
    assert film.last.counts["person"] == 0


def test_messages_of_an_event_are_numbered() -> None:
    """Each event counts its messages from 1, so that a subscriber knows one that it has had."""
    film = Film(ZONES)
    for x in (0.7, 0.3):
        film.show({1: standing(x, 0.6), 2: standing(0.2, 0.3)}, 2)
    film.close()
    numbers = {track: [e.number for e in film.events if e.track_id == track] for track in (1, 2)}
    assert numbers == {1: [1, 2, 3], 2: [1, 2]}


def test_an_event_can_be_ended_by_what_is_known() -> None:
    """The end that is told after a crash has the last time that its object was seen, and the next number."""
    film = Film()
    film.show({1: standing(0.3, 0.6)}, 2)
    [begun] = film.events
    end = begun.ended()
    assert (end.type, end.id, end.number) == (EventType.END, begun.id, 2)
    assert end.end_time == begun.path[-1].time >= begun.start_time


def test_zones_are_told_in_the_order_of_entering() -> None:
    """Every change of zone is an update; zones that were left stay in `entered_zones`."""
    film = Film(ZONES)
    for x in (0.7, 0.3, 0.7):
        film.show({1: standing(x, 0.6)}, 2)
    assert [(event.zones, event.entered_zones) for event in film.events] == [
        (("right",), ("right",)),
        (("left",), ("right", "left")),
        (("right",), ("right", "left")),
    ]


def test_updates_are_a_second_apart() -> None:
    """Whatever happens, an event is told of once a second; the last state comes through."""
    film = Film(ZONES)
    film.show({1: standing(0.3, 0.6)}, 0.6)
    for index in range(20):
        film.show({1: standing((0.7, 0.3)[index % 2], 0.6)})
    film.show({1: standing(0.7, 0.6)}, 2)
    told = [START + index * STEP for index, result in enumerate(film.results) for _ in result.events]
    assert all(after - before > 0.99 for before, after in pairwise(told))
    assert len(told) >= 4
    assert film.events[-1].zones == ("right",)


def test_a_clearly_higher_score_is_told() -> None:
    """A score higher by a tenth is an update, five seconds apart; a lower one never is."""
    film = Film()
    for score, seconds in ((0.6, 6), (0.68, 6), (0.71, 6), (0.4, 6), (0.9, 1), (0.95, 6)):
        film.show({1: standing(0.2 + film.time % 60 / 100, 0.6, score=score)}, seconds)
    scores = [round(event.top_score, 2) for event in film.events if not event.stationary]
    assert scores == [0.6, 0.71, 0.9]


def test_every_new_has_one_end_on_close() -> None:
    """Closing ends what is open, once, and leaves nothing behind; a second time there is nothing to say."""
    film = Film(ZONES)
    film.show({1: standing(0.3, 0.6), 2: standing(0.7, 0.6)}, 2)
    result = film.close()
    assert [event.type.value for event in result.events] == ["end", "end"]
    assert result.counts == {"person": 0, "car": 0, "cell phone": 0}
    assert result.zones["left"]["person"] == 0
    assert film.close().events == []


def test_after_a_loss_everything_is_new() -> None:
    """A scene goes on after it was closed: what is there then is a new event with a new id."""
    film = Film()
    film.show({1: standing(0.3, 0.6)}, 2)
    film.close()
    film.show({1: standing(0.3, 0.6)}, 2)
    assert film.told == ["new", "end", "new"]
    assert film.events[0].id != film.events[2].id


def test_paths_are_short_and_whole() -> None:
    """A path has the first point and the last, is in order, and stays bounded however long it gets."""
    film = Film()
    for index in range(1500):
        film.show({1: standing(0.5 + 0.4 * (-1) ** (index // 20) * (index % 20) / 20, 0.6)})
    film.close()
    path = film.events[-1].path
    assert 8 < len(path) <= 65
    assert path[0].time == START
    assert path[-1].time == pytest.approx(film.time - STEP)
    times = [point.time for point in path]
    assert times == sorted(set(times))
    assert all(0 <= point.x <= 1 and point.y == pytest.approx(0.6, abs=1e-3) for point in path)


def test_who_stands_has_a_short_path() -> None:
    """Jitter adds no points."""
    film = Film()
    film.show({1: standing(0.5, 0.6)}, 60)
    film.close()
    assert len(film.events[-1].path) == 2


def test_the_best_view_is_large_sharp_whole_and_confident() -> None:
    """A frame is the new best view of an event when it is better by a tenth, and first of all at `new`."""
    film = Film()
    film.show({1: standing(0.5, 0.6)}, 0.6)
    [first] = film.last.views
    assert (first.event_id, first.label) == (film.events[0].id, "person")
    assert film.show({1: standing(0.5, 0.6, score=0.85)}).views == []
    assert len(film.show({1: standing(0.5, 0.6, score=0.95)}).views) == 1
    larger = Seen((0.4, 0.3, 0.6, 0.7))
    assert len(film.show({1: larger}).views) == 1
    assert film.show({1: Seen((0.3, 0.2, 0.7, 1.0), score=0.99)}).views == []
    assert film.show({1: standing(0.5, 0.6)}).views == []


def test_sharpness_is_asked_where_it_matters() -> None:
    """A blurred frame is not the best one; nobody measures frames that could not be."""
    film, asked = Film(), []

    def blurred(box: tuple[float, float, float, float]) -> float:
        asked.append(box)
        return 0.0

    film.show({1: standing(0.5, 0.6)}, 1)
    for seen in (Seen((0.42, 0.35, 0.58, 0.6)), standing(0.5, 0.6)):
        result = film.scene.update(
            film.time, WIDTH, HEIGHT, *film.tracker.tracks(film.time, {1: seen}), blurred
        )
        assert result.views == []
    assert asked == [pytest.approx((0.42 * WIDTH, 0.35 * HEIGHT, 0.58 * WIDTH, 0.6 * HEIGHT), abs=1e-3)]


def asked_of(film: Film, seen: Seen, frames: int) -> list[float]:
    """Return when the sharpness of an object is asked for that is shown in so many frames."""
    asked = []
    for _ in range(frames):

        def middling(_box: tuple[float, float, float, float]) -> float:
            asked.append(film.time)
            return 0.6

        shown = film.tracker.tracks(film.time, {1: seen})
        film.scene.update(film.time, WIDTH, HEIGHT, *shown, middling)
        film.time += STEP
    return asked


def test_who_stands_is_measured_ever_more_rarely() -> None:
    """As long as an object was there, its view is not measured again that promises no more than the last."""
    film = Film()
    asked = asked_of(film, standing(0.5, 0.6), round(40 / STEP))
    waits = [later - sooner for sooner, later in pairwise(asked)]
    assert 5 <= len(asked) <= 8
    assert waits[0] == pytest.approx(1, abs=2 * STEP)
    assert all(later > 1.5 * sooner for sooner, later in pairwise(waits[1:]))


def test_who_comes_nearer_is_measured_again() -> None:
    """A view that promises a tenth more than the last is measured at once."""
    film = Film()
    asked_of(film, standing(0.5, 0.6), round(5 / STEP))
    larger = Seen((0.42, 0.35, 0.58, 0.6))
    now = film.time
    assert asked_of(film, larger, 3) == [now]


@given(st.floats(0, 4e9), st.integers())
def test_ids_are_ulids(time: float, seed: int) -> None:
    """An id is 26 letters of its alphabet, of which the first ten are the milliseconds."""
    made = ulid(time, Random(seed).getrandbits)  # noqa: S311 -- ids that repeat
    assert len(made) == 26
    number = 0
    for letter in made:
        number = number * 32 + LETTERS.index(letter)
    assert number >> 80 == int(time * 1000)
    assert number & (1 << 80) - 1 == Random(seed).getrandbits(80)  # noqa: S311 -- as above


def test_ids_repeat_themselves_with_their_source() -> None:
    """Two runs over the same frames tell the very same events."""
    films = [Film(ZONES), Film(ZONES)]
    for film in films:
        film.show({1: standing(0.3, 0.6)}, 2)
        film.show({2: standing(0.7, 0.6)}, 2)
        film.close()
    assert films[0].events == films[1].events
    assert len({event.id for event in films[0].events}) == 2
