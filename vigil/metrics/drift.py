"""How far the labels that a camera reports have drifted from its own long-run habit, from 0 to 1.

The measure is the Jensen-Shannon distance (Endres and Schindelin 2003: the square root of the divergence,
with logarithms to base 2) between the shares of the labels over about a day and over about two weeks:
bounded, symmetric, and defined where a share is 0, which the population stability index is not. Both are
exponentially weighted sums, so that a camera costs two numbers per label, and they are brought up to date
when somebody asks: counting a frame's labels is one addition each. A day and not an hour, because every
night would be drift.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

SHORT = 24 * 3600.0
"""Seconds after which what was seen counts 1/e in what the camera reports now."""
LONG = 14 * 24 * 3600.0
"""The same of its habit."""
PRIOR = 200.0
"""Detections' worth of habit mixed into what the camera reports now: a few sightings prove nothing."""


class LabelDrift:
    """Counts what one camera reports (one thread) and measures the drift (another)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self._seen: dict[str, int] = {}
        self._taken: dict[str, int] = {}
        self._now: dict[str, float] = {}
        self._habit: dict[str, float] = {}

    def keep(self, labels: Iterable[str]) -> None:
        """Go by these labels from now on; what is known of those that stay goes on."""
        labels = set(labels)
        for label in self._seen.keys() - labels:
            for counts in (self._seen, self._taken, self._now, self._habit):
                counts.pop(label, None)
        for label in labels - self._seen.keys():
            self._seen[label] = 0

    def count(self, label: str, number: int) -> None:
        """Note detections of a label; one that is not kept is left out."""
        if label in self._seen:
            self._seen[label] += number

    def distance(self) -> float:
        """Return the distance of what is reported now from the habit, 0 while nothing is known."""
        self._catch_up()
        known = sum(self._habit.values())
        if not known:
            return 0.0
        habit = {label: weight / known for label, weight in self._habit.items()}
        recent = sum(self._now.values()) + PRIOR
        now = {label: (self._now[label] + PRIOR * share) / recent for label, share in habit.items()}
        return jensen_shannon(now, habit)

    def _catch_up(self) -> None:
        """Let what was known fade by the time that has passed, and add what is new."""
        at, seen = self._clock(), dict(self._seen)
        passed, self._at = at - self._at, at
        for counts, span in ((self._now, SHORT), (self._habit, LONG)):
            for label, number in seen.items():
                new = number - self._taken.get(label, 0)
                counts[label] = counts.get(label, 0.0) * math.exp(-passed / span) + new
        self._taken = seen


def jensen_shannon(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    """Return the Jensen-Shannon distance of two distributions over the same keys, from 0 to 1."""
    middle = [(one[key] + other[key]) / 2 for key in one]
    divergence = _entropy(middle) - (_entropy(one.values()) + _entropy(other.values())) / 2
    return math.sqrt(min(1.0, max(0.0, divergence)))


def _entropy(shares: Iterable[float]) -> float:
    """Return the entropy in bits."""
    return -sum(share * math.log2(share) for share in shares if share > 0)
