"""How often each camera may be looked at when there is more work than machine: pure, time passed in.

Engines that run all the time leave nothing for decoders, and frames that wait in slots grow old. So the
engines of a device are planned to be busy for a little less than all of their time, and when what the cameras
ask for does not fit into that, every camera's rate is lowered: evenly, by weight, and no further than needed.
What a turn costs is measured in wall-clock seconds of an engine, which grow by themselves when decoders or
other programs need the processor; so the plan follows the machine, with nothing assumed about its size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigil.inference.engine import MOST_CORES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.inference.schedule import Demand

_FULL = 0.97
"""Share of the engines' time that is planned with."""
_ENTER_AFTER, _LEAVE_AFTER = 3.0, 5.0
"""Seconds for which the work must not fit, or fit again, before that is believed."""
_LEAVE_BELOW = 0.9
"""Saturation under which the work fits again."""
_SMOOTHING = 0.3
"""Share of the newest saturation in the smoothed one, once a second."""
_PACK_ABOVE, _PACK_BELOW, _PACK_AFTER, _PACK_UNTIL = 0.9, 0.75, 1.0, 10.0
"""Saturation with whole frames over which frames are looked at in parts, and under which no longer; and for
how many seconds that must last. It comes before an overload: rather parts of all frames than fewer frames."""
_BUSY_ABOVE, _BUSY_BELOW, _BUSY_AFTER, _BUSY_UNTIL = 0.84, 0.6, 1.0, 5.0
"""Saturation of the cores that can share a call over which each call had better keep to its own, and under
which it need not; and for how many seconds that must last. Shared calls cost about a quarter more."""
_LEAST = 0.05
"""Turns per second that every camera gets, whatever else."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What there is room for: `rates` per camera in turns per second, and how full the engines are.

    `saturation` is the engine time that the cameras ask for over the time there is: over 1 they get less.
    `changed` is set when an overload began or ended with this verdict.
    """

    saturation: float
    overloaded: bool
    changed: bool
    rates: Mapping[str, float]


@dataclass(slots=True)
class Belief:
    """Whether a smoothed value is high: over `above` for `after` seconds, until under `below` for `until`."""

    above: float
    below: float
    after: float
    until: float
    value: float = 0.0
    held: bool = False
    _contrary_since: float | None = None

    def learn(self, value: float, now: float) -> bool:
        """Take in a new value, about once a second; returns whether the belief changed."""
        self.value += _SMOOTHING * (value - self.value)
        contrary = self.value < self.below if self.held else self.value > self.above
        if not contrary:
            self._contrary_since = None
            return False
        if self._contrary_since is None:
            self._contrary_since = now
        if now - self._contrary_since < (self.until if self.held else self.after):
            return False
        self.held = not self.held
        self._contrary_since = None
        return True

    def hold(self) -> None:
        """Believe it at once, for `until` at least."""
        self.held = True
        self._contrary_since = None


class Budget:
    """The plan for the `workers` engines of one device; `plan` is asked about once a second."""

    def __init__(self, workers: int) -> None:
        self._room = workers * _FULL
        self._overload = Belief(1.0, _LEAVE_BELOW, _ENTER_AFTER, _LEAVE_AFTER)
        self._crowded = Belief(_PACK_ABOVE, _PACK_BELOW, _PACK_AFTER, _PACK_UNTIL)
        # Until the load is known it is not light.
        self._busy = Belief(_BUSY_ABOVE, _BUSY_BELOW, _BUSY_AFTER, _BUSY_UNTIL, held=True)
        self._sharing = min(workers, MOST_CORES)

    @property
    def light(self) -> bool:
        """Whether engines have so little to do that calls can have several cores, one after the other."""
        return not self._busy.held

    @property
    def crowded(self) -> bool:
        """Whether whole frames of all cameras are about more than there is room for."""
        return self._crowded.held

    def disturbed(self) -> None:
        """Note that others need these cores just now: no call had better wait for several of them."""
        self._busy.hold()

    def plan(self, demands: Sequence[Demand], now: float, whole: Sequence[Demand] | None = None) -> Verdict:
        """Return the rates that fit; with room for all, every camera's rate is without a limit.

        `whole` is what the cameras would ask for if all their frames were looked at whole.
        """
        self._crowded.learn(_load(demands if whole is None else whole) / self._room, now)
        self._busy.learn(_load(demands) / self._sharing, now)
        changed = self._overload.learn(_load(demands) / self._room, now)
        if self._overload.held:
            rates = fair_rates(demands, self._room)
        else:
            rates = dict.fromkeys((demand.camera for demand in demands), float("inf"))
        return Verdict(self._overload.value, self._overload.held, changed, rates)


def _load(demands: Sequence[Demand]) -> float:
    """Return the seconds of engine per second that are asked for."""
    return sum(demand.fps * demand.cost for demand in demands)


def fair_rates(demands: Sequence[Demand], room: float) -> dict[str, float]:
    """Return each camera's turns per second so that `room` engine seconds per second are used, none more.

    Time is divided by weight, and what a camera does not need goes to the others (max-min fairness by
    progressive filling: Bertsekas and Gallager, "Data Networks", section 6.5.2). A camera that asks for
    nothing, since its source is silent, may have what its weight gives it as soon as it comes back.
    """
    rates = {}
    left, weights = room, sum(demand.weight for demand in demands if demand.fps)
    for demand in sorted(demands, key=lambda demand: demand.fps * demand.cost / demand.weight):
        share = demand.weight * left / weights if weights > 0 else room
        need = demand.fps * demand.cost
        fits = 0 < need <= share
        rates[demand.camera] = float("inf") if fits else max(share / demand.cost, _LEAST)
        if need:
            left, weights = max(left - min(need, share), 0.0), weights - demand.weight
    return rates
