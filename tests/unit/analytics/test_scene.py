"""What holds whatever a camera shows."""

from __future__ import annotations

from collections import Counter
from time import thread_time

import numpy as np
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.support.scenes import HALVES, HEIGHT, WIDTH, Film, Seen, line, standing, zone

ZONES = {name: zone(polygon, inertia="400ms") for name, polygon in HALVES.items()}
LINES = {"entry": line([0, 0.5], [1, 0.5]), "door": line([0.5, 0.3], [0.5, 0.9])}

coordinates = st.one_of(st.floats(0, 1, width=32), st.sampled_from([np.nan, np.inf, -np.inf, -1e30, 1e30]))
wild = st.builds(
    Seen,
    st.tuples(coordinates, coordinates, coordinates, coordinates),
    st.integers(0, 2),
    st.one_of(st.floats(0, 1, width=32), st.just(np.nan)),
    st.booleans(),
)
tame = st.builds(
    standing,
    st.floats(0.1, 0.9),
    st.floats(0.3, 0.9),
    st.integers(0, 2),
    score=st.floats(0.1, 1),
    missed=st.booleans(),
)


@st.composite
def pictures(draw: st.DrawFn, what: st.SearchStrategy[Seen]) -> list[dict[int, Seen]]:
    """Draw what frames show: a track lives in a row of frames without a gap, and its id never comes back."""
    film: list[dict[int, Seen]] = []
    born = 0
    for _ in range(draw(st.integers(1, 25))):
        alive = [track for track in (film[-1] if film else {}) if draw(st.integers(0, 5))]
        new = range(born, born + draw(st.integers(0, 2)))
        born = new.stop
        film.append({track: draw(what) for track in [*alive, *new]})
    return film


@hypothesis_settings(max_examples=60)
@given(pictures(st.one_of(tame, wild)), st.floats(0.1, 20))
def test_nothing_breaks_the_counts(film: list[dict[int, Seen]], apart: float) -> None:
    """Counts are never negative nor above the objects there are, totals only grow, NaN harms nothing."""
    shown = Film(ZONES, LINES)
    before: dict[tuple[str, str], tuple[int, int]] = {}
    for picture in film:
        result = shown.show(picture)
        shown.time += apart
        assert min(result.counts.values()) >= 0
        for counts in result.zones.values():
            assert all(0 <= counts[label] <= result.counts[label] for label in counts)
        for name, labels in result.totals.lines.items():
            for label, crossings in labels.items():
                then = before.get((name, label), (0, 0))
                assert crossings.inwards >= then[0]
                assert crossings.outwards >= then[1]
                before[name, label] = crossings.inwards, crossings.outwards
        for event in result.events:
            assert np.isfinite(event.box).all()


@hypothesis_settings(max_examples=60)
@given(pictures(tame), st.floats(0.1, 20))
def test_every_event_begins_and_ends_once(film: list[dict[int, Seen]], apart: float) -> None:
    """Each id has one `new`, then updates, then one `end`; open events are what the counts say."""
    shown = Film(ZONES, LINES)
    for picture in film:
        shown.show(picture)
        shown.time += apart
        types = Counter(event.type.value for event in shown.events)
        assert types["new"] - types["end"] == sum(shown.last.counts.values())
    shown.close()
    stories: dict[str, list[str]] = {}
    for event in shown.events:
        stories.setdefault(event.id, []).append(event.type.value)
    for story in stories.values():
        assert story == ["new", *["update"] * (len(story) - 2), "end"]


@hypothesis_settings(max_examples=40)
@given(pictures(tame), st.randoms(use_true_random=False))
def test_order_of_detections_is_no_matter(film: list[dict[int, Seen]], random: object) -> None:
    """The detections of a frame in another order give the same counts, events and zones of each."""
    straight, shuffled = Film(ZONES, LINES), Film(ZONES, LINES)
    for picture in film:
        order = list(picture)
        random.shuffle(order)  # type: ignore[attr-defined]  # hypothesis types it as `object`
        one, other = straight.show(picture), shuffled.show(picture, order=order)
        assert (one.counts, one.zones, one.totals, one.events) == (
            other.counts,
            other.zones,
            other.totals,
            other.events,
        )
        assert Counter(one.detection_zones) == Counter(other.detection_zones)
    assert straight.close().events == shuffled.close().events


def test_a_change_of_resolution_changes_nothing() -> None:
    """A camera that goes on at half the size shows the same objects in the same zones, moving nowhere."""
    shown = Film(ZONES, LINES)
    shown.show({1: standing(0.3, 0.6)}, 15)
    detections, tracks = shown.tracker.tracks(shown.time, {1: standing(0.3, 0.6)})
    tracks.xyxy[:] /= 2
    result = shown.scene.update(shown.time, WIDTH // 2, HEIGHT // 2, detections, tracks)
    assert (result.counts["person"], result.events) == (1, [])
    assert result.detection_zones == [("left",)]


def test_a_scene_without_rules_counts() -> None:
    """Zones and lines are not needed."""
    shown = Film()
    shown.show({1: standing(0.3, 0.6)}, 2)
    assert (shown.last.counts["person"], shown.last.zones, shown.last.totals.lines) == (1, {}, {})
    assert list(shown.last.detection_zones) == [()]


def test_detections_that_no_track_shows_have_no_zones() -> None:
    """There is an entry for each detection of the frame."""
    shown = Film(ZONES)
    detections, _ = shown.tracker.tracks(shown.time, {1: standing(0.3, 0.6), 2: standing(0.7, 0.6)})
    _, nobody = shown.tracker.tracks(shown.time, {})
    assert list(shown.scene.update(shown.time, WIDTH, HEIGHT, detections, nobody).detection_zones) == [(), ()]


def test_an_empty_picture_does_no_work() -> None:
    """Frames that show nothing cost a small part of others: most cameras show nothing mostly."""
    shown = Film(ZONES, LINES)

    def cost(picture: dict[int, Seen]) -> float:
        detections, tracks = shown.tracker.tracks(shown.time, picture)
        times = []
        for _ in range(30):
            begin = thread_time()
            shown.scene.update(shown.time, WIDTH, HEIGHT, detections, tracks)
            times.append(thread_time() - begin)
        return min(times)

    empty = cost({})
    assert empty * 5 < cost({track: standing(0.3, 0.6) for track in range(10)})
