"""Frames that come before their time and take room that others leave in an input, with time passed in."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import FakeImage, frame
from vigil.core.types import MAIN_MODEL, Frame
from vigil.inference.schedule import Batch, Offer, Schedule

ONE = {MAIN_MODEL: 1}


def part(_frame: Frame) -> float | None:
    """Have every frame take 0.3 of an input."""
    return 0.3


@pytest.fixture
def schedule() -> Schedule:
    """Return a schedule of `a` and `b`, one inference of ten frames per second, due at 1."""
    schedule = Schedule(lambda _model, width, height: (height, width))
    add(schedule, "a", fps=1)
    add(schedule, "b", fps=1)
    return schedule


def add(schedule: Schedule, camera: str, fps: float) -> None:
    """Add a camera that sends ten frames per second and was looked at at 0."""
    schedule.add(camera, model=MAIN_MODEL, fps=fps, weight=1, floor=0.5, now=0.0)
    for number in range(101):  # the source's interval is learnt
        schedule.offer(frame(camera), number / 10 - 10)
    schedule.done(took(schedule, 0.0))


def took(schedule: Schedule, now: float, limit: int = 1) -> Batch:
    """Take a batch that must be there."""
    batch = schedule.take(now, {MAIN_MODEL: limit}, part)
    assert batch is not None
    return batch


def names(batch: Batch) -> list[str]:
    """Return the cameras of a batch in order."""
    return [frame.camera for frame in batch.camera_frames]


def test_it_makes_no_engine_run(schedule: Schedule) -> None:
    """It is kept from half a period before its time on, but nothing waits."""
    assert schedule.offer(frame("a", 1), 0.4, may_share=True) is Offer.NOT_DUE
    assert schedule.offer(frame("a", 2), 0.6) is Offer.NOT_DUE  # not one that may share
    assert schedule.offer(frame("a", 3), 0.7, may_share=True) is Offer.KEPT_EARLY
    assert not schedule.waiting(ONE)
    assert schedule.take(0.7, ONE, part) is None
    assert schedule.has_room("a")


def test_it_takes_room_that_is_left(schedule: Schedule) -> None:
    """It goes with a frame that is due, and its camera's next turn is when it would have been."""
    schedule.add("new", model=MAIN_MODEL, fps=1, weight=1, floor=0.5, now=0.0)
    schedule.offer(frame("a", 2), 0.7, may_share=True)
    schedule.offer(frame("new", 1), 0.7)
    batch = took(schedule, 0.7)
    assert (names(batch), batch.packed) == (["new", "a"], True)
    schedule.done(batch)
    assert schedule.offer(frame("a", 3), 1.0, may_share=True) is Offer.NOT_DUE
    assert schedule.offer(frame("a", 4), 1.96, may_share=True) is Offer.KEPT


def test_it_takes_no_room_from_what_is_due(schedule: Schedule) -> None:
    """Nor does it make another input run, or go with whole frames."""
    shares = {"a": 0.3, "b": 0.6, "new": 0.4}
    schedule.add("new", model=MAIN_MODEL, fps=1, weight=1, floor=0.5, now=0.0)
    schedule.offer(frame("a", 2), 0.9, may_share=True)
    schedule.offer(frame("b", 1), 1.0)
    schedule.offer(frame("new", 1), 1.0)
    batch = schedule.take(1.0, {MAIN_MODEL: 8}, lambda each: shares[each.camera])
    assert batch is not None
    assert names(batch) == ["b", "new"]
    schedule.done(batch)
    schedule.offer(frame("b", 2), 2.0)
    whole = schedule.take(2.0, {MAIN_MODEL: 8}, lambda each: 0.3 if each.camera == "a" else None)
    assert whole is not None
    assert (names(whole), whole.packed) == (["b"], False)


def test_the_soonest_due_comes_first(schedule: Schedule) -> None:
    """Of several, those whose time is nearest take the room."""
    add(schedule, "sooner", fps=1.2)
    schedule.add("new", model=MAIN_MODEL, fps=1, weight=1, floor=0.5, now=0.0)
    for camera in ("a", "sooner"):
        assert schedule.offer(frame(camera, 2), 0.6, may_share=True) is Offer.KEPT_EARLY
    schedule.offer(frame("new", 1), 0.6)
    batch = schedule.take(0.6, ONE, lambda _frame: 0.4)
    assert batch is not None
    assert names(batch) == ["new", "sooner"]


def test_newer_ones_take_its_place(schedule: Schedule) -> None:
    """Whatever is replaced had not been due; what comes in time waits as ever."""
    fates = [schedule.offer(frame("a", number), number / 10, may_share=True) for number in (6, 7, 10, 11)]
    assert fates == [Offer.KEPT_EARLY, Offer.NOT_DUE, Offer.KEPT_INSTEAD, Offer.OVERWROTE]
    assert [fate.lost for fate in fates] == ["", "not_due", "not_due", "overwritten"]
    assert took(schedule, 1.1).frames[0].seq == 11


def test_it_takes_the_place_of_one_that_is_put_back(schedule: Schedule) -> None:
    """The newest frame wins, and is as overdue as the older one was."""
    schedule.offer(frame("b", 1), 1.0)
    batch = took(schedule, 1.0)
    assert schedule.offer(frame("b", 2), 1.7, may_share=True) is Offer.KEPT_EARLY
    assert not schedule.put_back(batch.frames[0])
    schedule.done(batch)
    assert took(schedule, 1.7).frames[0].seq == 2


def frames_per_input(*, may_share: bool) -> tuple[float, Counter[str]]:
    """Return frames per input and results of each camera in a minute of six cameras with 25 frames/s."""
    schedule = Schedule(lambda _model, width, height: (height, width))
    cameras = "abcdef"
    for camera in cameras:
        schedule.add(camera, model=MAIN_MODEL, fps=5, weight=1, floor=0.5, now=0.0)
    inputs, results = 0, Counter[str]()
    running: Batch | None = None
    for step in range(60 * 150):  # cameras take turns in sending, an input takes 40 ms
        now, camera = step / 150, cameras[step % 6]
        if running is not None and step % 6 == 5:
            schedule.done(running, 0.04)
            running = None
        schedule.offer(frame(camera, step), now, may_share=may_share)
        if running is None and (running := schedule.take(now, ONE, part)) is not None:
            inputs += 1
            results.update(names(running))
    return results.total() / inputs, results


def test_inputs_are_fuller_and_rates_the_same() -> None:
    """That is what it is for."""
    alone, before = frames_per_input(may_share=False)
    filled, results = frames_per_input(may_share=True)
    assert filled > 1.5 * alone
    assert results.keys() == before.keys()
    assert all(299 <= count <= 301 for count in results.values())


@given(
    st.lists(
        st.tuples(st.sampled_from(["offer", "offer", "take", "done"]), st.integers(0, 3), st.floats(0, 0.3)),
        max_size=150,
    )
)
def test_every_frame_has_one_fate(steps: list[tuple[str, int, float]]) -> None:
    """Frames offered = taken + lost + one at most that each camera still has; none is taken twice."""
    schedule = Schedule(lambda _model, width, height: (height, width))
    for number in range(4):
        schedule.add(str(number), model=MAIN_MODEL, fps=1 + number, weight=1, floor=0.1, now=0.0)
    offered, lost, now = 0, 0, 0.0
    taken: list[Frame] = []
    flying: list[Batch] = []
    for what, number, pause in steps:
        now += pause
        match what:
            case "offer":
                offered += 1
                image = FakeImage(640, 480 if number else 360)
                fate = schedule.offer(frame(str(number), image=image), now, may_share=number < 3)
                lost += bool(fate.lost)
            case "take" if (batch := schedule.take(now, {MAIN_MODEL: 1 + number}, part)) is not None:
                taken += batch.frames
                flying.append(batch)
            case "done" if flying:
                schedule.done(flying.pop(number % len(flying)), pause)
    cameras = [each.camera for batch in flying for each in batch.frames]
    assert len(set(cameras)) == len(cameras)
    assert len({id(each) for each in taken}) == len(taken)
    assert 0 <= offered - len(taken) - lost <= 4
