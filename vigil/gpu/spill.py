"""Who is decoded on the CPU because a GPU's decoder is full: a pure decision, readings and time passed in.

NVDEC does not say no: past its limit every camera's pictures come later and later. So its load is watched,
and cameras leave it, the cheapest first, before that; when it has been idle enough for a while they come back
one by one. Between leaving and coming back lies a wide band, and a camera that had to leave again soon makes
the next wait twice as long: nobody goes to and fro.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Limits:
    """Shares of the decoder's time, and seconds."""

    full: float = 0.9
    """Busier than this for `patience`, cameras leave."""
    target: float = 0.75
    """So many leave that this is expected, and no more come back than fit under it."""
    free: float = 0.6
    """Less busy than this for `calm`, a camera comes back."""
    patience: float = 3.0
    calm: float = 30.0
    longest_calm: float = 480.0


class Spill:
    """The decoder of one GPU, and which of its cameras it does not decode. Not locked."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()
        self._spilled: dict[str, None] = {}  # in the order in which they left
        self._full_since: float | None = None
        self._free_since: float | None = None
        self._full = False
        self._calm = self._limits.calm
        self._returned: float | None = None

    @property
    def on_cpu(self) -> frozenset[str]:
        """The cameras that are decoded on the CPU."""
        return frozenset(self._spilled)

    def opens(self, camera: str) -> bool:
        """Take in a camera that is being opened; returns whether the GPU decodes it."""
        if self._full:
            self._spilled[camera] = None
        return camera not in self._spilled

    def look(self, busy: float | None, costs: Mapping[str, float], now: float) -> None:
        """Take a reading, 0 to 1 or `None` if there is none, and decide.

        `costs` are what the GPU's cameras ask of a decoder, spilled or not, in any one unit.
        """
        for camera in self._spilled.keys() - costs.keys():
            del self._spilled[camera]
        limits = self._limits
        self._full = busy is not None and busy >= limits.full
        self._full_since = self._since(self._full_since, now) if self._full else None
        free = busy is not None and busy <= limits.free
        self._free_since = self._since(self._free_since, now) if free else None
        if busy is None:
            return
        if self._full_since is not None and now - self._full_since >= limits.patience:
            self._full_since = now  # the next reading that counts is one of those who stay
            self._leave(busy, costs, now)
        elif self._free_since is not None and now - self._free_since >= self._calm:
            self._free_since = now
            self._come_back(busy, costs, now)

    def _leave(self, busy: float, costs: Mapping[str, float], now: float) -> None:
        """Let so many leave, the cheapest first, that the rest fits."""
        if self._returned is not None and now - self._returned < 2 * self._calm:
            self._calm = min(2 * self._calm, self._limits.longest_calm)
        staying = sorted(costs.keys() - self._spilled.keys(), key=lambda each: (costs[each], each))
        share = busy / max(sum(costs[each] for each in staying), 1e-9)
        excess = busy - self._limits.target
        for camera in staying:
            if excess <= 0:
                return
            self._spilled[camera] = None
            excess -= share * costs[camera]

    def _come_back(self, busy: float, costs: Mapping[str, float], now: float) -> None:
        """Let the one that left last come back, if it fits."""
        if not self._spilled:
            return
        camera = next(reversed(self._spilled))
        staying = sum(cost for name, cost in costs.items() if name not in self._spilled)
        # With nobody on it what it is busy with is others' work, and one camera will show its share.
        share = busy / staying if staying else 0.0
        if busy + share * costs[camera] <= self._limits.target:
            del self._spilled[camera]
            self._returned = now

    @staticmethod
    def _since(before: float | None, now: float) -> float:
        return now if before is None else before
