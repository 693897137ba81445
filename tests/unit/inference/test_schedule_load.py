"""The schedule under load, and the budget above it, in simulations of minutes that take milliseconds."""

from __future__ import annotations

import math
import random
from statistics import fmean, quantiles

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.traffic import Load, Outcome, Simulation, jain, overloaded


@st.composite
def fitting(draw: st.DrawFn) -> tuple[Simulation, int, float]:
    """Draw cameras and engines that use up to 0.7 of their capacity, with the turns and seconds to play."""
    turns, target, cameras = 150, draw(st.floats(0.5, 30)), draw(st.integers(1, 5))
    source = target * draw(st.one_of(st.just(1.0), st.floats(1, 1.1), st.floats(1, 12)))
    phase, jitter = draw(st.floats(0, 1)), draw(st.floats(0, 0.4))
    loads = [Load(min(source, 60), target, phase * number, jitter) for number in range(cameras)]
    engines, use = draw(st.integers(1, 2)), draw(st.floats(0.05, 0.7))
    # A camera is never inferred twice at once, so one alone cannot use more than one engine.
    each = use * min(engines / cameras, 1) / target
    return Simulation(loads, engines=engines, each=each), turns, turns / target


@settings(deadline=None, max_examples=60)
@given(fitting())
def test_target_rate_is_kept_when_capacity_suffices(case: tuple[Simulation, int, float]) -> None:
    """Whatever the source's rate, phase and jitter: at least 0.99 of the target, and never more than it."""
    simulation, turns, seconds = case
    for times in simulation.run(seconds).results.values():
        # The first turn can come a frame late, the second be given up to it, and the last be in flight.
        assert 0.99 * turns - 3 <= len(times) <= turns + 3


@settings(deadline=None, max_examples=50)
@given(source=st.floats(1, 30), lag=st.floats(1.01, 4), jitter=st.floats(0, 0.4))
def test_slow_source_gives_every_frame(source: float, lag: float, jitter: float) -> None:
    """A source below the target rate has every one of its frames inferred."""
    outcome = Simulation([Load(source, source * lag, jitter=jitter)], each=0.01 / source).run(100 / source)
    assert len(outcome.results["c000"]) >= 99


@pytest.mark.parametrize("source", [10.0, 12.5, 15.0, 25.0, 29.97])
def test_results_are_as_fresh_as_their_frames_at_light_load(source: float) -> None:
    """With an engine half idle a result is little older than the engine's own 25 ms."""
    loads = [Load(source, 5, phase=number / 4, jitter=0.05) for number in range(4)]
    ages = Simulation(loads, each=0.025).run(60).all_ages()
    # Half used by random arrivals, a queue of one server makes 1.5 of it (M/D/1).
    assert fmean(ages) <= 0.025 * 1.75
    assert quantiles(ages, n=20)[-1] <= 0.025 * 3


def test_overload_is_shared_evenly() -> None:
    """At twice the load that fits, eight equal cameras get equal shares of a fully used engine."""
    rates = Simulation(overloaded()).run(60).rates()
    assert sum(rates) >= 0.99 * 20
    assert jain(rates) >= 0.98


def test_overload_is_shared_evenly_among_unequal_sources() -> None:
    """Sources of 5 to 30 fps with the same target still get equal shares under overload."""
    loads = [Load(source, 5, jitter=0.2) for source in (5, 10, 12.5, 15, 20, 25, 29.97, 30)]
    assert jain(Simulation(loads).run(60).rates()) >= 0.98


def test_overload_keeps_results_near_the_best_possible_age() -> None:
    """Under overload frames are as fresh, and gaps as short, as strict round-robin would make them."""
    outcome = Simulation(overloaded()).run(60)
    # Round-robin: a frame waits for half of its source's interval on average, then takes 50 ms.
    assert fmean(outcome.all_ages()) <= 1.1 * (0.5 / 10 + 0.05)
    assert quantiles(outcome.all_ages(), n=20)[-1] <= 1.1 * (1.1 / 10 + 0.05)
    assert outcome.longest_gap() <= 1.25 * (8 * 0.05)


@pytest.mark.parametrize(("engines", "max_batch"), [(1, 1), (2, 1), (1, 4), (2, 16)])
def test_hung_camera_changes_nobody(engines: int, max_batch: int) -> None:
    """When one of eight cameras falls silent under overload, no other gets fewer or older results."""

    def run(hangs_at: float) -> Outcome:
        # Rates that share no rhythm with the engine: ages would depend on the beat between the two.
        loads = [Load(10 + number * 0.37, 20, jitter=0.2) for number in range(7)]
        silent = Load(10, 20, hangs_at=hangs_at)
        return Simulation([*loads, silent], engines=engines, max_batch=max_batch).run(60)

    well, hung = run(float("inf")), run(5.0)
    for name in sorted(well.results)[:7]:
        assert len(hung.results[name]) >= 0.99 * len(well.results[name])
        assert fmean(hung.ages[name]) <= 1.05 * fmean(well.ages[name])
    assert hung.longest_gap() <= 1.05 * well.longest_gap()


def test_batches_grow_under_load_instead_of_queues() -> None:
    """An engine for which batches pay off serves twice the cameras that single frames would allow."""
    loads = [Load(10, 5, phase=number / 16) for number in range(16)]
    outcome = Simulation(loads, max_batch=16, base=0.02, each=0.005).run(60)
    assert min(outcome.rates()) >= 0.99 * 5 - 1 / 60


@pytest.mark.parametrize("cameras", [1, 3, 7])
def test_weights_divide_an_overloaded_engine(cameras: int) -> None:
    """However many cameras have the weights 1, 2 and 4, their shares are 1 : 2 : 4 within a twentieth."""
    weights = [1, 2, 4] * cameras
    loads = [Load(30, 29, phase=n / len(weights), jitter=0.1, weight=w) for n, w in enumerate(weights)]
    rates = Simulation(loads, each=0.05).run(240).rates()
    assert sum(rates) >= 0.99 * 20
    for rate, weight in zip(rates, weights, strict=True):
        assert rate / sum(rates) == pytest.approx(weight / sum(weights), rel=0.05)


def test_weights_take_nothing_when_capacity_suffices() -> None:
    """Without overload a light camera gets its target beside heavy ones."""
    loads = [Load(25, 5, weight=weight) for weight in (1, 100, 100)]
    assert min(Simulation(loads, each=0.02).run(60).rates()) >= 0.99 * 5 - 1 / 60


def test_upload_takes_its_turn_under_overload() -> None:
    """A picture sent to an overloaded engine waits about one round over the cameras, not for ever."""
    outcome = Simulation(overloaded(), uploads=[10 + 3.3 * number for number in range(10)]).run(60)
    assert len(outcome.upload_waits) == 10
    assert max(outcome.upload_waits) <= 8 * 0.05 + 3 * 0.05


def test_heavy_cameras_do_not_starve_uploads() -> None:
    """Even beside cameras of weight 100 on an overloaded engine, an upload is answered."""
    outcome = Simulation(overloaded(weight=100.0), uploads=[10.0]).run(120)
    assert outcome.upload_waits


def test_flood_of_uploads_does_not_starve_cameras() -> None:
    """While people send more than the engine can take, every camera still gets results, evenly."""
    draw = random.Random(1)  # noqa: S311 -- the same waves in each run
    waves = [second + draw.random() for second in range(60) for _ in range(15)]
    outcome = Simulation(overloaded(), uploads=sorted(waves)).run(60)
    assert min(outcome.rates()) >= 0.5
    assert jain(outcome.rates()) >= 0.98
    assert outcome.upload_waits


@pytest.mark.parametrize(("cameras", "planned"), [(12, True), (24, False), (24, True)])
@pytest.mark.parametrize("weights", [(1,), (1, 2, 4)])
def test_models_share_an_engine_by_time(cameras: int, *, planned: bool, weights: tuple[float, ...]) -> None:
    """A model whose turns take four times as long gets a quarter of them: time follows the weights."""
    # Without the budget a dozen cameras are too few: a long turn that is under way can not be cut short.
    seconds = {"light": 0.01, "heavy": 0.04}
    loads = [
        Load(25, 25, n / cameras, 0.1, model=("light", "heavy")[n % 2], weight=weights[n % len(weights)])
        for n in range(cameras)
    ]
    outcome = Simulation(loads, each=0.01, costs={"heavy": 4.0}, planned=planned).run(120)
    times = [rate * seconds[load.model] for rate, load in zip(outcome.rates(since=20), loads, strict=True)]
    assert sum(times) >= 0.9
    for time, load in zip(times, loads, strict=True):
        assert time / sum(times) == pytest.approx(load.weight / sum(each.weight for each in loads), rel=0.05)


def test_planned_overload_is_shared_evenly() -> None:
    """At twice the load that fits, the budget uses 0.9 of the engine and gives all cameras the same."""
    rates = Simulation(overloaded(), planned=True).run(120).rates(since=10)
    assert sum(rates) >= 0.9 * 20
    assert jain(rates) >= 0.98


def round_robin(source: float) -> float:
    """Return the best mean age, in seconds, that any order of turns has on an engine that is never idle.

    A turn comes at a moment that the source knows nothing of, so that the newest frame has waited in its
    slot for half of the source's interval on average; the turn itself takes 50 ms.
    """
    return 0.5 / source + 0.05


@pytest.mark.parametrize("source", [10, 12.5, 25])
def test_planned_overload_is_as_fresh_as_round_robin(source: float) -> None:
    """Under overload results with the budget are fresher than without it, and than round-robin's."""
    loads = [Load(source, 5, phase=n / 8, jitter=0.1) for n in range(8)]
    planned = Simulation(loads, planned=True).run(120).all_ages()
    unplanned = Simulation(loads).run(120).all_ages()
    assert fmean(planned) <= fmean(unplanned)
    assert fmean(planned) <= 1.05 * round_robin(source)


def test_planned_weights_divide_an_overloaded_engine() -> None:
    """With the budget too, weights of 1, 2 and 4 get shares of 1 : 2 : 4 within a twentieth."""
    weights = [1, 2, 4] * 3
    loads = [Load(30, 29, phase=n / len(weights), jitter=0.1, weight=w) for n, w in enumerate(weights)]
    rates = Simulation(loads, planned=True).run(240).rates(since=20)
    for rate, weight in zip(rates, weights, strict=True):
        assert rate / sum(rates) == pytest.approx(weight / sum(weights), rel=0.05)


@pytest.mark.parametrize("engines", [1, 2])
def test_hung_camera_changes_nobody_with_the_budget(engines: int) -> None:
    """When a camera falls silent under a planned overload, nobody's rate falls by 2 % and no age rises."""

    def run(hangs_at: float) -> Outcome:
        loads = [Load(10 + number * 0.37, 20, jitter=0.2) for number in range(7)]
        silent = Load(10, 20, hangs_at=hangs_at)
        return Simulation([*loads, silent], engines=engines, planned=True).run(120)

    well, hung = run(float("inf")), run(20.0)
    before, after = well.rates(since=10)[:7], hung.rates(since=10)[:7]
    assert all(new >= 0.98 * old for old, new in zip(before, after, strict=True))
    ages_before, ages_after = (
        [fmean(outcome.ages[name]) for name in sorted(outcome.ages)[:7]] for outcome in (well, hung)
    )
    # One camera's mean age hangs on how its rhythm falls among the others', which any change draws anew.
    assert fmean(ages_after) <= 1.05 * fmean(ages_before)
    for number, age in enumerate(ages_after):
        assert age <= round_robin(10 + number * 0.37)


def test_cameras_get_their_targets_back() -> None:
    """Within 10 s of half of the cameras going away, the others are looked at as often as they ask."""
    gone = 60.0
    loads = [Load(12.5, 5, phase=n / 8, jitter=0.1, hangs_at=math.inf if n % 2 else gone) for n in range(8)]
    outcome = Simulation(loads, each=0.045, planned=True).run(gone + 60)
    assert outcome.overloads[0][1], "the test wants an overload to begin with"
    assert max(outcome.rates(until=gone)) < 4
    assert min(outcome.rates(since=gone + 10)[1::2]) >= 0.99 * 5


def test_camera_that_comes_back_gets_its_share() -> None:
    """A camera that was silent for a minute under overload has the same rate as the others at once."""
    loads = [Load(25, 10, phase=n / 8, jitter=0.1) for n in range(7)]
    loads.append(Load(25, 10, jitter=0.1, hangs_at=20, back_at=80))
    outcome = Simulation(loads, planned=True).run(120)
    rates = outcome.rates(since=81, until=91)
    assert rates[7] == pytest.approx(fmean(rates[:7]), rel=0.1)


@settings(deadline=None, max_examples=30)
@given(
    cameras=st.integers(1, 8),
    use=st.floats(0.05, 0.85),
    jitter=st.floats(0, 0.3),
    weight=st.floats(0.1, 10),
    max_batch=st.sampled_from([1, 4]),
)
def test_budget_is_not_there_when_capacity_suffices(
    cameras: int, use: float, jitter: float, weight: float, max_batch: int
) -> None:
    """Every result comes at the very same instant with and without the budget while there is room for all."""
    loads = [Load(12.5, 5, n / cameras, jitter, weight=weight if n else 1) for n in range(cameras)]
    each = use / (5 * cameras)
    with_it, without = (
        Simulation(loads, max_batch=max_batch, each=each, planned=planned).run(60)
        for planned in (True, False)
    )
    assert with_it.results == without.results
    assert with_it.overloads == []


def test_batches_grow_with_the_budget_too() -> None:
    """What small batches cost at light load is not held against cameras that fit into large ones."""
    loads = [Load(10, 5, phase=number / 16) for number in range(16)]
    outcome = Simulation(loads, max_batch=16, base=0.02, each=0.005, planned=True).run(60)
    assert outcome.overloads == []
    assert min(outcome.rates()) >= 0.99 * 5 - 1 / 60


def test_budget_does_not_shrink_batches() -> None:
    """Under overload, rates fall to what full batches have room for, not to what single frames would cost."""
    loads = [Load(25, 12, phase=number / 24, jitter=0.1) for number in range(24)]
    outcome = Simulation(loads, max_batch=16, base=0.02, each=0.005, planned=True).run(120)
    full = 16 / (0.02 + 16 * 0.005)
    assert sum(outcome.rates(since=10)) >= 0.9 * full
    assert jain(outcome.rates(since=10)) >= 0.98


def test_slower_engines_lead_to_a_new_sharing() -> None:
    """When decoders take the processor away, rates fall to what is left, evenly, and stay there."""
    outcome = Simulation(overloaded(), planned=True, speed=lambda now: 1.0 if now < 60 else 0.6).run(180)
    for since in (70, 130):
        rates = outcome.rates(since=since, until=since + 50)
        assert 0.9 * 0.6 * 20 <= sum(rates) <= 0.6 * 20
        assert jain(rates) >= 0.98
    assert [began for _, began in outcome.overloads] == [True]


def test_overload_by_slower_engines_begins_and_ends() -> None:
    """A load that fits until engines slow down for a minute is lowered then, and whole again afterwards."""
    loads = [Load(12.5, 5, phase=n / 8, jitter=0.1) for n in range(8)]
    slow = Simulation(loads, each=0.015, planned=True, speed=lambda now: 0.5 if 60 <= now < 120 else 1.0).run(
        180
    )
    (began, first), (ended, second) = slow.overloads
    assert (first, second) == (True, False)
    assert 62 <= began <= 75
    assert 122 <= ended <= 140
    assert min(slow.rates(since=140)) >= 0.99 * 5


@settings(deadline=None, max_examples=8)
@given(
    saturation=st.floats(0.9, 1.1),
    jitter=st.floats(0, 0.3),
    wobble=st.floats(0, 0.04),
    swing=st.floats(2, 60),
)
def test_budget_does_not_swing(saturation: float, jitter: float, wobble: float, swing: float) -> None:
    """Around the point where everything just fits, an overload may begin once, and does not come and go."""
    loads = [Load(12.5, 5, n / 8, jitter) for n in range(8)]

    def speed(now: float) -> float:
        return 1 + wobble * math.sin(2 * math.pi * now / swing)

    outcome = Simulation(loads, each=saturation * 0.95 / 40, planned=True, speed=speed).run(200)
    assert len(outcome.overloads) <= 1
