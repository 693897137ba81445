"""Cameras, engines and people who send pictures, simulated in virtual time.

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
from typing import TYPE_CHECKING

from tests.support.fakes import FakeImage
from vigil.core.types import MAIN_MODEL, Frame
from vigil.inference.budget import Budget
from vigil.inference.schedule import Schedule, Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

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
    back_at: float = float("inf")
    model: str = MAIN_MODEL


@dataclass(slots=True)
class Outcome:
    """When each camera's results came, how old their frames were, and how long uploads waited."""

    seconds: float
    results: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    ages: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    busy: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """Seconds of engine by model."""
    upload_waits: list[float] = field(default_factory=list)
    overloads: list[tuple[float, bool]] = field(default_factory=list)
    """When an overload began (true) or ended."""

    def rates(self, since: float = 0.0, until: float | None = None) -> list[float]:
        """Return results per second by camera, in the order of the cameras."""
        until = self.seconds if until is None else until
        return [
            sum(since <= at < until for at in self.results[name]) / (until - since)
            for name in sorted(self.results)
        ]

    def all_ages(self) -> list[float]:
        """Return the ages of all results in seconds."""
        return [age for ages in self.ages.values() for age in ages]

    def longest_gap(self) -> float:
        """Return the longest time that any camera went without a result."""
        return max(later - sooner for times in self.results.values() for sooner, later in pairwise(times))


class Simulation:
    """`engines` workers that take `base + each * frames` seconds for a batch of up to `max_batch`.

    `costs` multiplies that by model, `speed` divides it by time. With `planned`, a `Budget` looks once a
    second at what there is room for, as the inference loop has it.
    """

    def __init__(
        self,
        loads: Sequence[Load],
        *,
        engines: int = 1,
        max_batch: int = 1,
        base: float = 0.0,
        each: float = 0.05,
        uploads: Sequence[float] = (),
        costs: Mapping[str, float] | None = None,
        speed: Callable[[float], float] = lambda _now: 1.0,
        planned: bool = False,
    ) -> None:
        self._loads = loads
        self._cost = base, each
        self._costs = defaultdict(lambda: 1.0, costs or {})
        self._limits = dict.fromkeys([MAIN_MODEL, *(load.model for load in loads)], max_batch)
        self._speed = speed
        self._idle = engines
        self._schedule = Schedule(lambda _model, _width, _height: (384, 640))
        self._budget = Budget(engines) if planned else None
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._uploads = uploads

    def run(self, seconds: float) -> Outcome:
        """Play everything that happens within `seconds`."""
        self._outcome = Outcome(seconds)
        for number, load in enumerate(self._loads):
            name = f"c{number:03}"
            self._outcome.results[name] = []
            self._schedule.add(
                name, model=load.model, fps=load.target, weight=load.weight, floor=0.1, now=0.0
            )
            self._next_arrival(name, arrivals(load, number))
        for at in self._uploads:
            self._at(at, self._submit)
        if self._budget is not None:
            self._at(1.0, partial(self._plan, self._budget))
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
        self._schedule.submit(
            Upload(Frame("", 0, now, None, IMAGE), 0.1, now, MAIN_MODEL, lambda _outcome: None)
        )
        self._start(now)

    def _start(self, now: float) -> None:
        while self._idle and (batch := self._schedule.take(now, self._limits)) is not None:
            self._idle -= 1
            base, each = self._cost
            seconds = (base + each * len(batch.frames)) * self._costs[batch.model] / self._speed(now)
            self._at(now + seconds, partial(self._end, batch, seconds))

    def _end(self, batch: Batch, seconds: float, now: float) -> None:
        for frame in batch.camera_frames:
            self._outcome.results[frame.camera].append(now)
            self._outcome.ages[frame.camera].append(now - frame.captured_at)
        self._outcome.busy[batch.model] += seconds
        self._outcome.upload_waits += [now - upload.submitted for upload in batch.uploads]
        self._schedule.done(batch, seconds)
        self._idle += 1
        self._start(now)

    def _plan(self, budget: Budget, now: float) -> None:
        verdict = budget.plan(self._schedule.demands(self._limits, now), now)
        self._schedule.allow(verdict.rates)
        if verdict.changed:
            self._outcome.overloads.append((now, verdict.overloaded))
        self._at(now + 1.0, partial(self._plan, budget))


def arrivals(load: Load, seed: int) -> Iterator[float]:
    """Yield the times at which a camera's frames arrive, in order."""
    draw = random.Random(seed)  # noqa: S311 -- the same jitter in each run
    for number in count():
        at = (number + load.phase + load.jitter * draw.uniform(-1, 1)) / load.source
        if load.hangs_at < at < load.back_at:
            if load.back_at == float("inf"):
                return
            continue
        yield max(0.0, at)


def jain(values: Sequence[float]) -> float:
    """Return Jain's fairness index: 1 when all are equal, 1/n when one has everything."""
    return sum(values) ** 2 / (len(values) * sum(value**2 for value in values))


def overloaded(cameras: int = 8, weight: float = 1.0) -> list[Load]:
    """Return cameras that ask for twice of what one engine of 50 ms a frame can give."""
    return [
        Load(source=10, target=40 / cameras, phase=number / cameras, jitter=0.1, weight=weight)
        for number in range(cameras)
    ]
