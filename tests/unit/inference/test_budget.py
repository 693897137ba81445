"""The budget's two decisions with time passed in: whether there is an overload, and what each camera gets."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.inference.budget import Budget, Verdict, fair_rates
from vigil.inference.schedule import Demand

LEAST = 0.05
"""Turns per second that no camera falls under."""


@st.composite
def several(draw: st.DrawFn) -> list[Demand]:
    """Draw what cameras ask for; some of them are silent."""
    count = draw(st.integers(1, 30))
    fps = st.one_of(st.just(0.0), st.floats(0.1, 60))
    return [
        Demand(f"c{n}", draw(fps), draw(st.floats(0.01, 1000)), draw(st.floats(1e-4, 2)))
        for n in range(count)
    ]


ROOM = st.floats(0.1, 16)


def served(demand: Demand, rate: float) -> float:
    """Return the seconds of engine per second that a camera uses at a rate."""
    return min(demand.fps, rate) * demand.cost


@given(several(), ROOM)
def test_rates_use_no_more_than_the_room(demands: list[Demand], room: float) -> None:
    """Together cameras use at most the room, but for those that are held at the least rate."""
    rates = fair_rates(demands, room)
    assert rates.keys() == {demand.camera for demand in demands}
    floors = sum(LEAST * demand.cost for demand in demands if rates[demand.camera] == LEAST)
    assert sum(served(demand, rates[demand.camera]) for demand in demands) <= room * (1 + 1e-6) + floors


@given(several(), ROOM)
def test_room_is_not_left_unused(demands: list[Demand], room: float) -> None:
    """If anybody gets less than they ask for, the room is used up."""
    rates = fair_rates(demands, room)
    used = sum(served(demand, rates[demand.camera]) for demand in demands)
    if any(rates[demand.camera] < demand.fps * (1 - 1e-6) for demand in demands):
        assert used >= room * (1 - 1e-6)


@given(several(), ROOM)
def test_nobody_unsatisfied_gets_less_than_another(demands: list[Demand], room: float) -> None:
    """Max-min fairness: who gets less than they ask for has as much time by weight as anybody has."""
    rates = fair_rates(demands, room)
    most = max(served(demand, rates[demand.camera]) / demand.weight for demand in demands)
    for demand in demands:
        rate = rates[demand.camera]
        assert rate >= LEAST
        if LEAST < rate < demand.fps * (1 - 1e-6):
            at_least = any(rates[each.camera] == LEAST for each in demands)
            assert at_least or served(demand, rate) / demand.weight >= most * (1 - 1e-6)


@given(several(), st.floats(1.001, 10))
def test_demands_that_fit_have_no_limit(demands: list[Demand], spare: float) -> None:
    """With room for all, no camera that asks for something is held at a rate."""
    room = spare * sum(demand.fps * demand.cost for demand in demands) + 1e-9
    rates = fair_rates(demands, room)
    assert all(rates[demand.camera] == math.inf for demand in demands if demand.fps)


@given(st.data(), several(), ROOM)
def test_order_of_cameras_does_not_matter(data: st.DataObject, demands: list[Demand], room: float) -> None:
    """Whoever is asked first gets no more for it."""
    shuffled = data.draw(st.permutations(demands))
    rates, others = fair_rates(demands, room), fair_rates(shuffled, room)
    for demand in demands:
        # At the very edge rounding decides between no limit and a limit that is what the camera asks for.
        ours, theirs = (min(each[demand.camera], max(demand.fps, LEAST)) for each in (rates, others))
        if demand.fps:
            assert ours == pytest.approx(theirs, rel=1e-6)


def test_weight_counts_in_time_not_in_turns() -> None:
    """Two cameras of one weight share the time; with the dearer model that is fewer turns."""
    rates = fair_rates([Demand("light", 100, 1, 0.01), Demand("heavy", 100, 1, 0.04)], 1.0)
    assert rates == pytest.approx({"light": 50, "heavy": 12.5})


def test_what_one_does_not_need_goes_to_the_others_by_weight() -> None:
    """A modest camera gets all it asks for, and the rest is divided by the weights of the rest."""
    demands = [Demand("modest", 1, 1, 0.1), Demand("one", 100, 1, 0.1), Demand("two", 100, 2, 0.1)]
    assert fair_rates(demands, 1.0) == pytest.approx({"modest": math.inf, "one": 3, "two": 6})


def test_silent_camera_takes_nothing_and_finds_its_share() -> None:
    """A camera whose source is away costs the others nothing, and is not held at nothing when it is back."""
    demands = [Demand("away", 0, 1, 0.1), Demand("a", 100, 1, 0.1), Demand("b", 100, 1, 0.1)]
    rates = fair_rates(demands, 1.0)
    assert (rates["a"], rates["b"]) == pytest.approx((5, 5))
    assert rates["away"] >= 10 / 3
    assert fair_rates([Demand("away", 0, 1, 0.1)], 1.0)["away"] > 0


def test_nobody_asks_nobody_gets() -> None:
    """A device without cameras has a plan too: an empty one."""
    assert fair_rates([], 1.0) == {}
    assert Budget(1).plan([], 0.0) == Verdict(0.0, overloaded=False, changed=False, rates={})


def asks(saturation: float, workers: int = 1) -> list[Demand]:
    """Return two cameras that together ask for so much of the engine time that is planned with."""
    return [Demand(name, saturation * 0.97 * workers / 2 / 0.1, 1, 0.1) for name in "ab"]


class Told:
    """A budget that is asked once a second, and what it said."""

    def __init__(self) -> None:
        self.budget = Budget(1)
        self.now = 0.0
        self.verdicts: list[Verdict] = []

    def for_seconds(self, seconds: int, saturation: float) -> list[Verdict]:
        """Ask for a while with the same demands; returns what was said meanwhile."""
        for _ in range(seconds):
            self.now += 1.0
            self.verdicts.append(self.budget.plan(asks(saturation), self.now))
        return self.verdicts[-seconds:]


def test_load_that_fits_is_not_limited() -> None:
    """Just under what there is room for, there is no overload and nobody has a limit, for ever."""
    for verdict in Told().for_seconds(300, 0.99):
        assert not verdict.overloaded
        assert not verdict.changed
        assert verdict.rates == {"a": math.inf, "b": math.inf}


def test_overload_is_believed_once_it_lasts() -> None:
    """An overload begins after it has lasted for three seconds and not before, and is told once."""
    told = Told()
    verdicts = told.for_seconds(60, 2.0)
    first = next(n for n, verdict in enumerate(verdicts) if verdict.saturation > 1)
    assert [n for n, verdict in enumerate(verdicts) if verdict.changed] == [first + 3]
    assert [verdict.overloaded for verdict in verdicts] == [n >= first + 3 for n in range(60)]
    assert verdicts[-1].saturation == pytest.approx(2.0)
    assert verdicts[-1].rates == pytest.approx({"a": 0.97 / 2 / 0.1, "b": 0.97 / 2 / 0.1})


def test_short_peak_is_no_overload() -> None:
    """Two seconds of more work than machine pass without a word."""
    told = Told()
    told.for_seconds(30, 0.8)
    told.for_seconds(2, 1.5)
    told.for_seconds(30, 0.8)
    assert not any(verdict.overloaded for verdict in told.verdicts)


def test_overload_ends_once_that_lasts() -> None:
    """When the work fits again for five seconds, with a margin, every limit goes and that is told once."""
    told = Told()
    told.for_seconds(30, 1.5)
    verdicts = told.for_seconds(60, 0.8)
    first = next(n for n, verdict in enumerate(verdicts) if verdict.saturation < 0.9)
    assert [n for n, verdict in enumerate(verdicts) if verdict.changed] == [first + 5]
    assert not verdicts[-1].overloaded
    assert verdicts[-1].rates == {"a": math.inf, "b": math.inf}


def test_overload_does_not_end_at_its_edge() -> None:
    """Between nine tenths and all of the room an overload neither begins nor ends; what fits has no limit."""
    told = Told()
    told.for_seconds(30, 1.5)
    after = told.for_seconds(300, 0.95)
    assert all(verdict.overloaded and not verdict.changed for verdict in after)
    assert after[-1].rates == {"a": math.inf, "b": math.inf}


@given(st.lists(st.floats(0, 3), min_size=1, max_size=200))
def test_verdicts_never_flap(saturations: list[float]) -> None:
    """However the load jumps, an overload lasts at least five seconds and one begins at least three apart."""
    told = Told()
    for saturation in saturations:
        told.for_seconds(1, saturation)
    changes = [n for n, verdict in enumerate(told.verdicts) if verdict.changed]
    for sooner, later in pairwise(changes):
        assert later - sooner > (5 if told.verdicts[sooner].overloaded else 3)
    for before, after in pairwise(told.verdicts):
        assert after.changed == (before.overloaded != after.overloaded)


def test_room_grows_with_the_workers() -> None:
    """Four workers have room for four times of what one has."""
    four, one = Budget(4), Budget(1)
    for second in range(60):
        assert not four.plan(asks(0.9, workers=4), float(second)).overloaded
        last = one.plan(asks(0.9, workers=4), float(second))
    assert last.overloaded


def test_parts_come_before_an_overload() -> None:
    """What whole frames would take says when parts will do; what is really asked for, whether it fits."""
    budget = Budget(1)
    whole, parts = [Demand("a", 10, 1, 0.15)], [Demand("a", 10, 1, 0.05)]
    for second in range(20):
        verdict = budget.plan(parts, float(second), whole)
    assert budget.crowded
    assert not verdict.overloaded
    assert verdict.rates == {"a": math.inf}
    for second in range(20, 60):
        budget.plan(parts, float(second), parts)
    assert not budget.crowded


def test_load_is_light_once_that_is_known() -> None:
    """Until the load was low for a while it is not light, and no longer once it is more than a little."""
    budget = Budget(2)
    light = []
    for second in range(60):
        budget.plan(asks(0.1 if second < 30 else 1.5, workers=2), float(second))
        light.append(budget.light)
    assert not light[0]
    assert light[29]
    assert light.index(True) == 5
    assert not light[35]
    assert not light[59]


def test_cores_that_others_need_are_not_shared_for_a_while() -> None:
    """What was held up is believed at once, and for as long as after a load that was not light."""
    budget = Budget(2)
    light = []
    for second in range(20):
        if second == 10:
            budget.disturbed()
        budget.plan(asks(0.1, workers=2), float(second))
        light.append(budget.light)
    assert light == [False] * 5 + [True] * 5 + [False] * 5 + [True] * 5
