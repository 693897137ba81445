"""The schedule under load, simulated in virtual time: cameras, engines and people who send pictures.

No thread and no clock: events in order of their time, so that a run of minutes takes milliseconds and
gives the same numbers each time.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from itertools import count, pairwise
from statistics import fmean, quantiles
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.fakes import FakeImage
from vigil.core.types import Frame
from vigil.inference.schedule import Schedule, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vigil.inference.schedule import Batch

IMAGE = FakeImage()


@dataclass(frozen=True, slots=True)
class Load:
    """A camera: `source` frames per second offered, `target` wanted, and how it behaves."""

    source: float
    target: float
    phase: float = 0.0
    jitter: float = 0.0
    """Share of a frame's interval by which it can be early or late."""
    weight: float = 1.0
    hangs_at: float = float("inf")


@dataclass(slots=True)
class Outcome:
    """When each camera's results came, how old their frames were, and how long uploads waited."""

    seconds: float
    results: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ages: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    upload_waits: list[float] = field(default_factory=list)

    def rates(self) -> list[float]:
        """Return results per second by camera, in the order of the cameras."""
        return [len(self.results[name]) / self.seconds for name in sorted(self.results)]

    def all_ages(self) -> list[float]:
        """Return the ages of all results in seconds."""
        return [age for ages in self.ages.values() for age in ages]

    def longest_gap(self) -> float:
        """Return the longest time that any camera went without a result."""
        return max(later - sooner for times in self.results.values() for sooner, later in pairwise(times))


class Simulation:
    """`engines` workers that take `base + each * frames` seconds for a batch of up to `max_batch`."""

    def __init__(
        self,
        loads: Sequence[Load],
        *,
        engines: int = 1,
        max_batch: int = 1,
        base: float = 0.0,
        each: float = 0.05,
        uploads: Sequence[float] = (),
    ) -> None:
        self._loads = loads
        self._max_batch = max_batch
        self._cost = base, each
        self._idle = engines
        self._schedule = Schedule(lambda _width, _height: (384, 640))
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._uploads = uploads

    def run(self, seconds: float) -> Outcome:
        """Play everything that happens within `seconds`."""
        self._outcome = Outcome(seconds)
        for number, load in enumerate(self._loads):
            name = f"c{number:03}"
            self._outcome.results[name] = []
            self._schedule.add(name, fps=load.target, weight=load.weight, floor=0.1, now=0.0)
            self._next_arrival(name, arrivals(load, number))
        for at in self._uploads:
            self._at(at, self._submit)
        while self._events and self._events[0][0] < seconds:
            now, _, happen = heapq.heappop(self._events)
            happen(now)
        return self._outcome

    def _at(self, when: float, happen: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), happen))

    def _next_arrival(self, name: str, times: Iterator[float]) -> None:
        at = next(times, None)
        if at is not None:
            self._at(at, partial(self._arrive, name, times))

    def _arrive(self, name: str, times: Iterator[float], now: float) -> None:
        self._schedule.offer(Frame(name, 0, now, None, IMAGE), now)
        self._next_arrival(name, times)
        self._start(now)

    def _submit(self, now: float) -> None:
        self._schedule.submit(Upload(Frame("", 0, now, None, IMAGE), 0.1, now, lambda _outcome: None))
        self._start(now)

    def _start(self, now: float) -> None:
        while self._idle and (batch := self._schedule.take(now, self._max_batch)) is not None:
            self._idle -= 1
            base, each = self._cost
            self._at(now + base + each * len(batch.frames), partial(self._end, batch))

    def _end(self, batch: Batch, now: float) -> None:
        for frame in batch.camera_frames:
            self._outcome.results[frame.camera].append(now)
            self._outcome.ages[frame.camera].append(now - frame.captured_at)
        self._outcome.upload_waits += [now - upload.submitted for upload in batch.uploads]
        self._schedule.done(batch)
        self._idle += 1
        self._start(now)


def arrivals(load: Load, seed: int) -> Iterator[float]:
    """Yield the times at which a camera's frames arrive, in order."""
    draw = random.Random(seed)  # noqa: S311 -- the same jitter in each run
    for number in count():
        at = (number + load.phase + load.jitter * draw.uniform(-1, 1)) / load.source
        if at > load.hangs_at:
            return
        yield max(0.0, at)


def jain(values: Sequence[float]) -> float:
    """Return Jain's fairness index: 1 when all are equal, 1/n when one has everything."""
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values))


def overloaded(cameras: int = 8, **changes: float) -> list[Load]:
    """Return cameras that ask for twice of what one engine of 50 ms a frame can give."""
    return [
        Load(source=10, target=40 / cameras, phase=number / cameras, jitter=0.1, **changes)
        for number in range(cameras)
    ]


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
