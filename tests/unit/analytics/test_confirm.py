"""When something counts as an object."""

from __future__ import annotations

import pytest

from tests.support.fakes import MODEL
from tests.support.scenes import CAR, Film, Picture, standing
from vigil.analytics.filters import class_filter
from vigil.config.analytics import TrackingConfig
from vigil.config.model import DetectConfig


def counts(film: Film, *scores: float, class_id: int = 0) -> list[int]:
    """Show one object with these scores, one frame each, and return the counts."""
    label = ("person", "car")[class_id]
    return [film.show({1: standing(0.5, 0.5, class_id, score=score)}).counts[label] for score in scores]


def test_three_good_detections_confirm() -> None:
    """An object counts from its third detection on."""
    assert counts(Film(), 0.8, 0.8, 0.8, 0.8) == [0, 0, 1, 1]


def test_a_ghost_is_no_event() -> None:
    """What flickers for two frames is told to nobody."""
    film = Film()
    counts(film, 0.9, 0.9)
    film.show({}, 5)
    film.close()
    assert film.events == []


def test_the_median_decides() -> None:
    """Many faint detections and a few good ones are no object; once most are good it is one."""
    assert counts(Film(), 0.6, 0.2, 0.2, 0.6, 0.2, 0.6, 0.6, 0.6) == [0, 0, 0, 0, 0, 0, 1, 1]


def test_old_scores_are_forgotten() -> None:
    """The median is one of the last nine scores, so a poor beginning does not count for ever."""
    film = Film()
    assert set(counts(film, *[0.2] * 50)) == {0}
    assert counts(film, *[0.8] * 5) == [0, 0, 0, 0, 1]


def test_confirmed_stays_confirmed() -> None:
    """An object that is seen faintly later on is still there."""
    assert counts(Film(), 0.8, 0.8, 0.8, *[0.15] * 20)[-1] == 1


def test_missed_frames_are_no_detections() -> None:
    """Only frames that show the object bring it nearer to being one."""
    film = Film()
    counts(film, 0.8, 0.8)
    missed: Picture = {1: standing(0.5, 0.5, missed=True)}
    assert film.show(missed, 1).counts["person"] == 0
    assert counts(film, 0.8) == [1]


@pytest.mark.parametrize(
    ("tracking", "expected"),
    [
        (TrackingConfig(confirm_hits=1), [1, 1, 1]),
        (TrackingConfig(confirm_hits=2), [0, 1, 1]),
        (TrackingConfig(confirm_score=0.7), [0, 0, 0]),
        (TrackingConfig(confirm_score=0.6), [0, 0, 1]),
    ],
)
def test_both_are_configurable(tracking: TrackingConfig, expected: list[int]) -> None:
    """Hits and score are the camera's own."""
    assert counts(Film(tracking=tracking), 0.65, 0.65, 0.65) == expected


def test_thresholds_are_those_of_the_class() -> None:
    """Without a score of its own, each class needs the confidence that it is reported with."""
    detect = DetectConfig(confidence={"car": 0.7})
    assert counts(Film(detect=detect), *[0.65] * 3)[-1] == 1
    assert counts(Film(detect=detect), *[0.65] * 3, class_id=CAR)[-1] == 0


def test_a_class_that_is_not_wanted_never_counts() -> None:
    """Even where a score is configured, only reported classes are confirmed."""
    film = Film(detect=DetectConfig(classes=["person"]), tracking=TrackingConfig(confirm_score=0.1))
    film.show({1: standing(0.5, 0.5, CAR)}, 5)
    assert (film.last.counts, film.events) == ({"person": 0}, [])


def test_threshold_that_changes_counts_from_then_on() -> None:
    """Other thresholds decide on who waits, by the scores there are; who is an object stays one."""
    film = Film()
    assert counts(film, 0.8, 0.8, 0.8) == [0, 0, 1]
    film.scene.refine(class_filter("film", DetectConfig(confidence=0.9), 0.5, MODEL))
    assert counts(film, 0.8) == [1]
    waiting = Film()
    assert counts(waiting, 0.4, 0.4, 0.4) == [0, 0, 0]
    waiting.scene.refine(class_filter("film", DetectConfig(confidence=0.3), 0.5, MODEL))
    assert counts(waiting, 0.4) == [1]


def test_score_of_ones_own_is_no_threshold() -> None:
    """Where `confirm_score` is given, the confidence does not confirm, before and after it changes."""
    film = Film(tracking=TrackingConfig(confirm_score=0.3))
    assert counts(film, 0.4, 0.4) == [0, 0]
    film.scene.refine(class_filter("film", DetectConfig(confidence=0.9), 0.5, MODEL))
    assert counts(film, 0.4) == [1]
