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
class Budget:
    """The plan for the `workers` engines of one device; `plan` is asked about once a second."""

    workers: int
    _saturation: float = 0.0
    _overloaded: bool = False
    _contrary_since: float | None = None

    def plan(self, demands: Sequence[Demand], now: float) -> Verdict:
        """Return the rates that fit; with room for all, every camera's rate is without a limit."""
        room = self.workers * _FULL
        wanted = sum(demand.fps * demand.cost for demand in demands)
        self._saturation += _SMOOTHING * (wanted / room - self._saturation)
        changed = self._judge(now)
        names = [demand.camera for demand in demands]
        rates = fair_rates(demands, room) if self._overloaded else dict.fromkeys(names, float("inf"))
        return Verdict(self._saturation, self._overloaded, changed, rates)

    def _judge(self, now: float) -> bool:
        """Believe in an overload, or in its end, once it has lasted; returns whether the belief changed."""
        contrary = self._saturation < _LEAVE_BELOW if self._overloaded else self._saturation > 1
        if not contrary:
            self._contrary_since = None
            return False
        if self._contrary_since is None:
            self._contrary_since = now
        if now - self._contrary_since < (_LEAVE_AFTER if self._overloaded else _ENTER_AFTER):
            return False
        self._overloaded = not self._overloaded
        self._contrary_since = None
        return True


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
