"""What is made of many measured values: percentiles, fairness, a trend over time."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOUR = 3600.0
_LINE = 2
"""Values that determine a line; only more can say how well it fits."""


@dataclass(frozen=True, slots=True)
class Trend:
    """How a value grew per hour, and the standard error of that."""

    per_hour: float
    error: float


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that `percent` of all do not exceed; not a number for no values."""
    if not values:
        return math.nan
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def jain(shares: Sequence[float]) -> float:
    """Return Jain's index: 1 where all shares are equal, 1/n where one has everything; 1 for none at all."""
    squares = sum(share * share for share in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares else 1.0


def trend(seconds: Sequence[float], values: Sequence[float]) -> Trend:
    """Return the least-squares line through at least two values at different times."""
    slope, intercept = statistics.linear_regression(seconds, values)
    spread = sum((at - statistics.fmean(seconds)) ** 2 for at in seconds)
    left = sum((value - intercept - slope * at) ** 2 for at, value in zip(seconds, values, strict=True))
    freedom = len(seconds) - _LINE
    error = math.sqrt(left / freedom / spread) if freedom > 0 else math.inf
    return Trend(slope * _HOUR, error * _HOUR)
