"""What is made of many measured values: percentiles, fairness, a trend over time."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from itertools import pairwise
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
    """Return the least-squares line through at least two values at different times, evenly apart.

    Values that stay where they were tell less than values that each come anew, so the error goes by the
    number of independent ones that they are worth (Santer et al. 2000, "Statistical significance of trends
    and trend differences in layer-average atmospheric temperature time series").
    """
    slope, intercept = statistics.linear_regression(seconds, values)
    middle = statistics.fmean(seconds)
    spread = sum((at - middle) ** 2 for at in seconds)
    left = [value - intercept - slope * at for at, value in zip(seconds, values, strict=True)]
    freedom = _independent(left) - _LINE
    error = math.sqrt(sum(each * each for each in left) / freedom / spread) if freedom > 0 else math.inf
    return Trend(slope * _HOUR, error * _HOUR)


def _independent(left: Sequence[float]) -> float:
    """Return how many independent values are worth as much as what a line leaves over: with few, too many.

    By the correlation of neighbours, put right for what the line has taken of it (to the first order of
    1/n, as Kendall 1954 has it). Of more values than determine a line it is one more than those at least.
    """
    count, squares = len(left), sum(each * each for each in left)
    if count <= _LINE or not squares:
        return count
    alike = sum(this * after for this, after in pairwise(left)) / squares
    alike = min(max(alike + (1 + 4 * alike) / count, 0.0), 1.0)
    return max(count * (1 - alike) / (1 + alike), _LINE + 1)
