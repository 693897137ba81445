"""The tracker's promises: who keeps an id, who gets a new one, and that nothing else matters."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.analytics.tracker import Tracker
from vigil.core.types import Detections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.analytics.tracks import Tracks

PERSON, CAR, TRUCK = 0, 2, 7
Box = tuple[float, float, float, int, float]
"""`x, y` of the centre, side, class, confidence."""


def boxes(*rows: Box) -> Detections:
    """Return square detections."""
    values = np.array(rows, np.float32).reshape(-1, 5)
    half = values[:, 2:3] / 2
    xyxy = np.concatenate([values[:, :2] - half, values[:, :2] + half], axis=1)
    return Detections.untracked(xyxy, values[:, 4], values[:, 3].astype(np.int32))


def person(x: float, y: float = 300, score: float = 0.9) -> Box:
    """Return a box with sides of 100 pixels."""
    return x, y, 100, PERSON, score


def run(frames: Sequence[tuple[float, Detections]], tracker: Tracker | None = None) -> list[Tracks]:
    """Feed one camera's frames; returns its tracks after each."""
    tracker = tracker or Tracker()
    return [tracker.update(["yard"], [time], [found])[0] for time, found in frames]


def shown(tracks: Tracks) -> list[int]:
    """Return the ids that a frame shows."""
    return [int(each) for each in tracks.tracker_id[tracks.detection >= 0]]


def same(one: Tracks, other: Tracks) -> bool:
    """Tell whether two answers are equal to the bit, but for where the detections stood."""
    return all(
        np.array_equal(getattr(one, name), getattr(other, name))
        for name in (
            "tracker_id",
            "class_id",
            "xyxy",
            "velocity",
            "confidence",
            "hits",
            "first_seen",
            "last_seen",
        )
    )


@st.composite
def clips(draw: st.DrawFn) -> list[tuple[float, Detections]]:
    """Draw a camera's frames: objects that wander, come and go, of three classes, with doubtful boxes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count, step = draw(st.integers(1, 8)), draw(st.sampled_from([0.04, 0.2, 1.0]))
    centre, speed = rng.uniform(100, 600, (count, 2)), rng.normal(0, 60, (count, 2))
    frames = []
    for number in range(8):
        at = centre + speed * number * step + rng.normal(0, 3, (count, 2))
        rows = [
            (
                float(x),
                float(y),
                float(rng.uniform(60, 120)),
                int(rng.choice([PERSON, CAR, TRUCK])),
                float(score),
            )
            for (x, y), score in zip(at, rng.uniform(0.05, 1, count), strict=True)
        ]
        frames.append((number * step, boxes(*rows)))
    return frames


@pytest.mark.parametrize("step", [0.04, 0.1, 0.2, 0.5])
def test_walker_keeps_an_id(step: float) -> None:
    """Somebody who walks a box's side a second has one id at any frame rate, and a speed in pixels/s."""
    answers = run([(n * step, boxes(person(100 + 100 * n * step))) for n in range(12)])
    assert {id_ for tracks in answers for id_ in shown(tracks)} == {0}
    assert answers[-1].hits.tolist() == [12]
    assert answers[-1].velocity[0] == pytest.approx([100, 0], abs=8)
    assert answers[-1].first_seen[0] == 0
    assert answers[-1].last_seen[0] == 11 * step


def test_missed_track_is_predicted_and_rescued() -> None:
    """Somebody unseen for a while is told of as missed, where he should be, and has his id afterwards."""
    frames = [(n * 0.2, boxes(person(100 + 16 * n))) for n in range(6)]
    frames += [(n * 0.2, boxes()) for n in range(6, 10)]
    answers = run([*frames, (2.0, boxes(person(260)))])
    missed = answers[-2]
    assert missed.detection.tolist() == [-1]
    assert missed.last_seen[0] == 1.0
    assert missed.xyxy[0, [0, 2]].mean() == pytest.approx(100 + 16 * 9, abs=8)
    assert shown(answers[-1]) == [0]


def test_patience_ends_in_seconds() -> None:
    """A track is gone after its patience, however many frames that were; its id is not used again."""
    for step in (0.1, 0.5):
        tracker = Tracker()
        run([(n * step, boxes(person(100))) for n in range(4)], tracker)
        last = 3 * step
        times = np.arange(last + step, last + 2.01, step).tolist()
        assert all(len(tracks) == 1 for tracks in run([(time, boxes()) for time in times], tracker))
        assert len(run([(last + 2.2, boxes())], tracker)[0]) == 0
        assert shown(run([(last + 2.4, boxes(person(100)))], tracker)[0]) == [1]


def test_slow_camera_keeps_what_stands() -> None:
    """A camera whose frames are further apart than the patience still knows who stood there before."""
    answers = run([(n * 10.0, boxes(person(100)) if n != 2 else boxes()) for n in range(5)])
    assert [shown(tracks) for tracks in answers] == [[0], [0], [], [0], [0]]


def test_sudden_overload_forgets_nobody() -> None:
    """Who was in the latest frame is looked for in the next, though that comes after the patience."""
    frames = [(n * 0.2, boxes(person(100))) for n in range(4)]
    seldom = [(4.0 + n * 3.3, boxes(person(100))) for n in range(4)]
    assert shown(run([*frames, *seldom])[-1]) == [0]
    missed = [(0.8, boxes()), (4.0, boxes(person(100)))]
    assert shown(run([*frames, *missed])[-1]) == [1]


def test_gap_larger_than_the_patience_forgets() -> None:
    """After a minute without frames whoever stands in the same place is somebody new."""
    frames = [(n * 0.2, boxes(person(100))) for n in range(4)]
    assert shown(run([*frames, (60.0, boxes(person(100)))])[-1]) == [1]


def test_clock_that_steps_back_loses_nobody() -> None:
    """After the clock went back an hour tracks live on, with no time in the future."""
    frames = [(3600 + n * 0.2, boxes(person(100 + n))) for n in range(4)]
    answers = run([*frames, (0.0, boxes(person(104))), (0.2, boxes(person(105)))])
    assert [shown(tracks) for tracks in answers[-2:]] == [[0], [0]]
    assert answers[-1].first_seen[0] == 0.0
    assert answers[-1].last_seen[0] == 0.2
    assert np.isfinite(answers[-1].xyxy).all()


def test_ghost_is_dropped_sooner() -> None:
    """A track of one detection does not wait as long as one that was seen again."""
    tracker = Tracker()
    run([(0.0, boxes(person(100), person(500))), (0.1, boxes(person(100)))], tracker)
    (tracks,) = run([(0.5, boxes(person(100)))], tracker)
    assert tracks.tracker_id.tolist() == [0]


def test_doubtful_boxes_continue_and_never_begin() -> None:
    """A box below the high threshold keeps a track alive, begins none, and yields to a confident one."""
    confident, doubtful = boxes(person(100)), boxes(person(104, score=0.2), person(400, score=0.4))
    answers = run([(0.0, confident), (0.1, confident), (0.2, doubtful)])
    assert shown(answers[-1]) == [0]
    assert answers[-1].confidence[0] == pytest.approx(0.2)
    both = boxes(person(101, score=0.3), person(112, score=0.9))
    assert run([(0.0, confident), (0.1, confident), (0.2, both)])[-1].confidence[0] == pytest.approx(0.9)


def test_crossing_people_keep_their_ids() -> None:
    """Two who walk through each other are told apart by how they move."""
    frames = [(n * 0.2, boxes(person(100 + 20 * n), person(500 - 20 * n, 330))) for n in range(20)]
    last = run(frames)[-1]
    assert last.tracker_id.tolist() == [0, 1]
    assert last.velocity[:, 0] == pytest.approx([100, -100], abs=10)


def test_runner_who_outran_his_box_is_found() -> None:
    """Seen once, somebody may be anywhere near a moment later: boxes that do not even touch are joined."""
    answers = run([(0.0, boxes(person(100))), (0.3, boxes(person(205)))])
    assert shown(answers[-1]) == [0]


def test_jump_of_one_who_stood_still_is_somebody_else() -> None:
    """Who stood still for a second is not half a box further off a frame later, although boxes overlap."""
    stood = [(n * 0.04, boxes(person(100))) for n in range(25)]
    assert shown(run([*stood, (1.0, boxes(person(155)))])[-1]) == [1]


def test_class_that_flips_is_voted_on() -> None:
    """A car that is called a truck for a frame keeps its id and its class; scores are the votes."""
    car, truck = boxes((300, 300, 100, CAR, 0.8)), boxes((300, 300, 100, TRUCK, 0.9))
    answers = run([(0.0, car), (0.1, car), (0.2, truck), (0.3, truck)])
    assert [tracks.tracker_id.tolist() for tracks in answers] == [[0]] * 4
    assert [tracks.class_id[0] for tracks in answers] == [CAR, CAR, CAR, TRUCK]


def test_own_class_comes_first() -> None:
    """Of two boxes on a car, the one that says car continues it, even if doubtful and further off."""
    car = boxes((300, 300, 100, CAR, 0.8))
    both = boxes((306, 300, 100, CAR, 0.3), (300, 300, 100, TRUCK, 0.9))
    (*_, last) = run([(0.0, car), (0.1, car), (0.2, both)])
    assert last.tracker_id.tolist() == [0]
    assert both.class_id[last.detection[0]] == CAR


def test_box_goes_to_the_track_of_its_class() -> None:
    """A truck behind a car that is missed for a frame does not lose its box to the car, however near."""
    both = boxes((300, 300, 100, CAR, 0.8), (330, 300, 100, TRUCK, 0.8))
    (*_, last) = run([(0.0, both), (0.1, both), (0.2, boxes((310, 300, 100, TRUCK, 0.8)))])
    assert last.class_id[last.detection >= 0].tolist() == [TRUCK]


def test_other_class_needs_the_same_spot() -> None:
    """A person who stands beside where a car was is no car."""
    car, beside = boxes((300, 300, 100, CAR, 0.8)), boxes((340, 300, 100, PERSON, 0.8))
    assert shown(run([(0.0, car), (0.1, car), (0.2, beside)])[-1]) == [1]


def test_two_classes_on_one_box_are_one_object() -> None:
    """A thing that is both car and truck begins one track, under the class with the better score."""
    (tracks,) = run([(0.0, boxes((300, 300, 100, CAR, 0.7), (302, 300, 100, TRUCK, 0.8)))])
    assert tracks.class_id.tolist() == [TRUCK]


@settings(deadline=None, max_examples=60)
@given(clips(), st.integers(0, 2**32 - 1))
def test_order_of_detections_is_of_no_account(clip: list[tuple[float, Detections]], seed: int) -> None:
    """Shuffled frames give the same tracks to the bit, each still pointing at its own detection."""
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(found)) for _, found in clip]
    shuffled = [(time, found.select(order)) for (time, found), order in zip(clip, orders, strict=True)]
    for one, other, order in zip(run(clip), run(shuffled), orders, strict=True):
        assert same(one, other)
        here = other.detection >= 0
        assert order[other.detection[here]].tolist() == one.detection[here].tolist()


@settings(deadline=None, max_examples=40)
@given(st.lists(clips(), min_size=2, max_size=4))
def test_cameras_of_a_batch_do_not_touch_each_other(several: list[list[tuple[float, Detections]]]) -> None:
    """Each camera's tracks in a batch are those it has alone, but for the numbers of the ids."""
    names = [f"camera {number}" for number in range(len(several))]
    tracker = Tracker()
    together = [
        tracker.update(names, [time for time, _ in frames], [found for _, found in frames])
        for frames in zip(*several, strict=True)
    ]
    for number, clip in enumerate(several):
        for batch, alone in zip(together, run(clip), strict=True):
            tracks = batch[number]
            assert (np.diff(tracks.tracker_id) > 0).all()
            assert tracks.detection.tolist() == alone.detection.tolist()
            assert tracks.hits.tolist() == alone.hits.tolist()
            assert tracks.xyxy == pytest.approx(alone.xyxy)


@settings(deadline=None, max_examples=60)
@given(clips())
def test_answers_keep_the_contract(clip: list[tuple[float, Detections]]) -> None:
    """Ids ascend and new ones are above all old, no detection is given twice, types are as promised."""
    highest = -1
    for (time, found), tracks in zip(clip, run(clip), strict=True):
        ids, given = tracks.tracker_id, tracks.detection[tracks.detection >= 0]
        assert (np.diff(ids) > 0).all()
        assert (ids[tracks.first_seen == time] > highest).all()
        highest = max(highest, int(ids.max(initial=-1)))
        assert len(set(given.tolist())) == len(given)
        assert ((tracks.detection >= 0) == (tracks.last_seen == time)).all()
        assert tracks.confidence[tracks.detection >= 0] == pytest.approx(found.confidence[given])
        assert {each.dtype for each in (ids, tracks.class_id, tracks.hits, tracks.detection)} == {
            np.dtype("i4")
        }
        assert {each.dtype for each in (tracks.xyxy, tracks.velocity, tracks.confidence)} == {np.dtype("f4")}


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("where", ["x1", "y2", "score", "class"])
def test_broken_numbers_are_harmless(bad: float, where: str) -> None:
    """A box with a broken number is given to no track, and the frame's others are tracked as ever."""
    found = boxes(person(100), person(400))
    if where == "score":
        found.confidence[1] = bad
    elif where == "class":
        found.class_id[1] = -5
    else:
        found.xyxy[1, {"x1": 0, "y2": 3}[where]] = bad
    answers = run([(n * 0.1, found) for n in range(3)])
    assert [tracks.detection.tolist() for tracks in answers] == [[0]] * 3


def test_degenerate_boxes_are_harmless() -> None:
    """Boxes without an area, or inside out, begin nothing."""
    found = boxes(person(100), person(400), person(700))
    found.xyxy[1, 2] = found.xyxy[1, 0]
    found.xyxy[2] = found.xyxy[2, [2, 3, 0, 1]]
    assert [len(tracks) for tracks in run([(n * 0.1, found) for n in range(3)])] == [1] * 3


def test_forgotten_camera_begins_anew() -> None:
    """What a camera showed before it was away is not continued; another camera's tracks are."""
    tracker = Tracker()
    tracker.update(["yard", "gate"], [0.0, 0.0], [boxes(person(100)), boxes(person(100))])
    tracker.forget("yard")
    tracker.forget("unheard of")
    yard, gate = tracker.update(["yard", "gate"], [0.1, 0.1], [boxes(person(100)), boxes(person(100))])
    assert (yard.tracker_id.tolist(), gate.tracker_id.tolist()) == ([2], [1])


def test_empty_batches_and_frames() -> None:
    """No cameras give no answers, and a frame without boxes one without tracks."""
    assert Tracker().update([], [], []) == []
    assert [len(tracks) for tracks in run([(0.0, boxes()), (0.1, boxes())])] == [0, 0]


@pytest.mark.parametrize("forgotten", [False, True])
def test_memory_of_gone_tracks_is_used_again(*, forgotten: bool) -> None:
    """Objects that come and go for ever, and cameras that do, do not let the tracker grow."""
    tracker = Tracker()
    for number in range(300):
        found = boxes(*(person(100 + 150 * k, 100 + 400 * (number % 2)) for k in range(10)))
        run([(number * 5.0, found)], tracker)
        if forgotten:
            tracker.forget("yard")
    assert len(tracker._table.hits) < 100


def test_many_threads_share_the_tracker() -> None:
    """Workers that update different cameras at once never get the same id, and lose no track."""
    tracker = Tracker()
    crowd = boxes(*(person(150 * k) for k in range(1, 9)))
    ids: dict[str, list[int]] = {}

    def work(camera: str) -> None:
        for number in range(40):
            (tracks,) = tracker.update([camera], [number * 0.1], [crowd])
        ids[camera] = tracks.tracker_id.tolist()

    threads = [threading.Thread(target=work, args=(f"camera {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(id_ for each in ids.values() for id_ in each) == list(range(32))


def test_prediction_moves_on_and_changes_nothing() -> None:
    """Where a walker should be a second later is further on and less sure; asking does not move its track."""
    tracker = Tracker()
    for number in range(6):
        box = np.array([[number * 10, 0, number * 10 + 40, 100]], np.float32)
        found = Detections.untracked(box, np.ones(1, np.float32), np.zeros(1, np.int32))
        (tracks,) = tracker.update(["a"], [number / 10], [found])
    soon, late = tracker.predict("a", 0.5), tracker.predict("a", 1.5)
    assert soon.xyxy == pytest.approx(tracks.xyxy, abs=1e-3)
    assert late.xyxy[0, 0] > soon.xyxy[0, 0] + 50
    assert (late.spread > soon.spread).all()
    assert tracker.predict("a", 0.5).xyxy.tolist() == soon.xyxy.tolist()
    assert tracker.predict("unknown", 0.5).xyxy.shape == (0, 4)
