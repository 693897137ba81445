"""What cameras ask of the engines, and rates that they are allowed, with time passed in."""

from __future__ import annotations

import pytest

from tests.support.fakes import frame
from tests.support.scheduling import learn, took
from vigil.core.types import MAIN_MODEL
from vigil.inference.schedule import Offer, Schedule


def test_nobody_asks_before_a_turn_was_measured(schedule: Schedule) -> None:
    """Until it is known what a turn costs, nothing can be planned."""
    for number in range(10):
        schedule.offer(frame("a"), number * 0.1)
    assert schedule.demands({MAIN_MODEL: 8}, 1.0) == []


def test_camera_asks_for_what_it_can_use(schedule: Schedule) -> None:
    """A camera asks for its target, or for all that its source delivers if that is less."""
    schedule.add("b", model=MAIN_MODEL, fps=30, weight=2, floor=0.5, now=0.0)
    learn(schedule, "a", 10, 0.0, 30)
    learn(schedule, "b", 10, 0.0, 30)
    a, b = schedule.demands({MAIN_MODEL: 8}, 30.0)
    assert (a.camera, a.weight, b.camera, b.weight) == ("a", 1, "b", 2)
    assert (a.fps, a.cost, b.fps, b.cost) == pytest.approx((1, 0.02, 10, 0.02))
    assert schedule.demands({"another": 8}, 30.0) == []


def test_model_that_nobody_measured_does_not_hide_the_others(schedule: Schedule) -> None:
    """A camera that never sent a frame, alone with its model, does not keep the others from being planned."""
    schedule.remove("b")
    schedule.add("dead", model="another", fps=5, weight=1, floor=0.25, now=0.0)
    learn(schedule, "a", 10, 0.0, 10)
    assert [each.camera for each in schedule.demands({MAIN_MODEL: 1, "another": 1}, 10.0)] == ["a"]


def test_source_that_was_away_asks_for_what_it_delivers(schedule: Schedule) -> None:
    """A minute of silence is not taken for a frame interval: a second later the demand is the old one."""
    schedule.add("a", model=MAIN_MODEL, fps=5, weight=1, floor=0.25, now=0.0)
    learn(schedule, "a", 10, 0.0, 10)
    learn(schedule, "a", 10, 70.0, 1)
    demand, _ = schedule.demands({MAIN_MODEL: 1}, 71.0)
    assert demand.fps == pytest.approx(5)


def test_camera_that_stutters_asks_for_the_turns_that_it_can_have(schedule: Schedule) -> None:
    """Of frames that come all at once every second two are looked at, not five, be engines free or not."""
    schedule.add("a", model=MAIN_MODEL, fps=5, weight=1, floor=0.25, now=0.0)
    turns = 0
    for second in range(60):
        for number in range(25):
            now = second + number / 1000
            if schedule.offer(frame("a"), now) is Offer.KEPT:
                schedule.done(took(schedule, now), 0.02)
                turns += 1
    assert turns / 60 == pytest.approx(2, rel=0.1)
    free, _ = schedule.demands({MAIN_MODEL: 1}, 59.1)
    assert free.fps == pytest.approx(2, rel=0.1)
    for number in range(60 * 25):
        schedule.offer(frame("a"), 60 + number // 25 + number % 25 / 1000)
    busy, _ = schedule.demands({MAIN_MODEL: 1}, 119.1)
    assert busy.fps == pytest.approx(free.fps, rel=0.01)


def test_a_look_at_a_quiet_picture_is_no_demand(schedule: Schedule) -> None:
    """A camera that is looked at once in ten seconds asks for nothing; from its second frame on it does."""
    schedule.add("a", model=MAIN_MODEL, fps=5, weight=1, floor=0.25, now=0.0)
    learn(schedule, "a", 25, 0.0, 10)
    for now in (20.0, 30.0, 40.0):
        schedule.offer(frame("a"), now)
        schedule.done(took(schedule, now), 0.02)
        assert schedule.demands({MAIN_MODEL: 1}, now + 0.1)[0].fps == 0
    schedule.offer(frame("a"), 40.2)
    assert schedule.demands({MAIN_MODEL: 1}, 40.2)[0].fps == pytest.approx(5)


def test_a_first_turn_that_takes_long_is_soon_forgotten(schedule: Schedule) -> None:
    """An engine warms up in its first turns; ten others later they are a tenth of what is planned with."""
    schedule.offer(frame("a"), 0.0)
    schedule.done(took(schedule, 0.0), 2.02)
    learn(schedule, "a", 1, 1.0, 9)
    assert schedule.demands({MAIN_MODEL: 1}, 9.5)[0].cost == pytest.approx(0.02 + 2 / 10)


@pytest.mark.parametrize(("source", "silent_after"), [(10.0, 2.0), (0.5, 10.0)])
def test_silent_source_asks_for_nothing(schedule: Schedule, source: float, silent_after: float) -> None:
    """After two seconds without a frame, or five of its intervals, a camera asks for nothing."""
    learn(schedule, "a", source, 0.0, 100)
    last = 100 - 1 / source
    just_before, after = (
        schedule.demands({MAIN_MODEL: 8}, last + silent_after + moment)[0].fps for moment in (-0.1, 0.1)
    )
    assert just_before == pytest.approx(min(source, 1))
    assert after == 0


def test_allowed_rate_is_kept_exactly(schedule: Schedule) -> None:
    """A camera that may be looked at less often than it asks gets just that, and its target afterwards."""
    schedule.add("a", model=MAIN_MODEL, fps=5, weight=1, floor=0.25, now=0.0)
    assert learn(schedule, "a", 25, 0.0, 100) == pytest.approx(500, abs=1)
    schedule.allow({"a": 1.7, "stranger": 1})
    assert learn(schedule, "a", 25, 100.0, 100) == pytest.approx(170, abs=1)
    schedule.allow({"a": float("inf")})
    assert learn(schedule, "a", 25, 200.0, 100) == pytest.approx(500, abs=1)


def test_target_holds_where_more_is_allowed(schedule: Schedule) -> None:
    """Being allowed more than it asks for makes no camera faster, and a new target holds at once."""
    schedule.allow({"a": 20})
    assert learn(schedule, "a", 25, 0.0, 50) == pytest.approx(50, abs=1)
    schedule.allow({"a": 2})
    schedule.add("a", model=MAIN_MODEL, fps=10, weight=1, floor=0.25, now=50.0)
    assert learn(schedule, "a", 25, 50.0, 50) == pytest.approx(100, abs=1)


def test_rates_that_change_often_add_up(schedule: Schedule) -> None:
    """A rate that is set anew each second, up and down, gives the turns that it adds up to."""
    schedule.add("a", model=MAIN_MODEL, fps=10, weight=1, floor=0.25, now=0.0)
    turns = 0
    for second in range(100):
        schedule.allow({"a": (2.0, 4.0)[second % 2]})
        turns += learn(schedule, "a", 25, float(second), 1)
    assert turns == pytest.approx(300, rel=0.02)
