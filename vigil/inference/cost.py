"""What a model's turns take, learnt from the batches that come."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SHORTEST: Final = 1e-6
"""Seconds that an interval or a turn lasts at least: clocks tick, and rates stay finite."""

_SMOOTHING = 0.1
"""Share of the newest batch in the smoothed moments, at least."""

_SAME_SIZE = 0.05
"""Variance of the frames in a batch under which nothing can be said of other sizes."""


@dataclass(slots=True)
class Cost:
    """What a model's turns take, learnt from batches of whatever sizes come: `base + each * frames` seconds.

    Least squares over smoothed moments. An engine that is asked for little takes small batches, which are
    dear per frame; the fit tells what a full one would take without waiting to see one.
    """

    frames: float
    seconds: float
    squares: float
    products: float
    batches: int = 0

    @classmethod
    def of(cls, frames: float, seconds: float) -> Cost:
        """Begin with one batch, which is to be learnt."""
        return cls(frames, seconds, frames**2, frames * seconds)

    def learn(self, frames: float, seconds: float) -> None:
        """Take in one more batch: the first ones, which are the slowest by far, are plainly averaged."""
        self.batches += 1
        share = max(_SMOOTHING, 1 / self.batches)
        self.frames += share * (frames - self.frames)
        self.seconds += share * (seconds - self.seconds)
        self.squares += share * (frames**2 - self.squares)
        self.products += share * (frames * seconds - self.products)

    def per_frame(self, together: float) -> float:
        """Return the seconds of engine per frame when so many are taken together."""
        mean = self.seconds / self.frames
        variance = self.squares - self.frames**2
        if variance < _SAME_SIZE or together <= self.frames:
            return max(mean, SHORTEST)
        each = (self.products - self.frames * self.seconds) / variance
        each = min(max(each, 0.0), mean)
        return max(each + (self.seconds - each * self.frames) / together, SHORTEST)
