"""One camera's place in the schedule: when it is due, how overdue it is, and the frame of it that waits."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vigil.aio.slot import Slot

if TYPE_CHECKING:
    from vigil.core.types import Frame

_SMOOTHING = 0.1
"""Share of the newest gap in a source's frame interval, and of the newest wait for its frames."""

_EARLY = 0.5
"""Share of a period before its due time from which on a frame may take room that is left in an input."""

_SOON, _LATE = 0.15, 0.4
"""A turn can wait for the next frame if those come so many seconds apart, for this share of a period."""

_SILENT, _SILENT_INTERVALS = 2.0, 5.0
"""A source that sends nothing for so many seconds, and so many of its intervals, asks for nothing."""


@dataclass(slots=True)
class Entry:
    """A camera's due time, slot and source; times in seconds of one clock. Not locked."""

    model: str
    target: float
    weight: float
    floor: float
    due_at: float
    last_taken: float
    slot: Slot[Frame] = field(default_factory=Slot)
    early: bool = False
    """Whether what is in the slot came before its time, and waits for nothing but room that is left."""
    credit: float = 0.0
    """By how much its last turn came too late, in weighted seconds: its next one comes sooner."""
    interval: float | None = None
    last_arrival: float | None = None
    alone: bool = True
    """Whether its latest frame came after a silence: a look at a quiet picture, as likely as not."""
    promptly_due: float = -math.inf
    """When it would be due if an engine were always free,"""
    slip: float | None = None
    """and for how long its source has it wait for a frame then, beyond a whole period; a mean."""
    allowed: float = math.inf
    """Turns per second that there is room for."""
    before: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Due time, last turn and credit before the turn at hand."""

    @property
    def period(self) -> float:
        """Seconds from one turn to the next."""
        return 1 / min(self.target, self.allowed)

    def wants(self, now: float) -> bool:
        """Whether a frame arriving now is the nearest one to the due time (half a gap either side)."""
        return now >= self.due_at - self._gap(self.period) / 2

    def _gap(self, period: float) -> float:
        return period if self.interval is None else min(self.interval, period)

    def nears(self, now: float) -> bool:
        """Whether the due time is near enough for a frame to be looked at where that costs nothing."""
        return now >= self.due_at - _EARLY * self.period

    def can_wait(self, now: float) -> bool:
        """Whether another frame comes so soon that the turn at hand is hardly later for it."""
        soon = self.interval is not None and self.interval <= _SOON
        return soon and now < self.due_at + _LATE * self.period

    @property
    def waits(self) -> bool:
        """Whether a frame waits for its turn."""
        return self.slot.filled and not self.early

    def arrived(self, now: float) -> None:
        """Learn the source's own frame interval; the gap that a silence leaves says nothing about it."""
        self.alone = self.last_arrival is None or self.silent(now)
        if self.last_arrival is not None and not self.alone:
            gap = now - self.last_arrival
            old = gap if self.interval is None else self.interval
            self.interval = old + _SMOOTHING * (gap - old)
        self.last_arrival = now
        self._learn_slip(now)

    def asks(self, now: float) -> float:
        """How many turns per second it would have of an engine that is always free.

        That is its target, or less where its source has no frame for them: a slow one, or one that stutters.
        None when it is away, silent or looked at once.
        """
        if self.interval is None or self.slip is None or self.alone or self.silent(now):
            return 0.0
        return 1 / (1 / self.target + self.slip)

    def _learn_slip(self, now: float) -> None:
        """Give an arriving frame the turn that it would have of a free engine, by the rule of real ones."""
        period = 1 / self.target
        if now < self.promptly_due - self._gap(period) / 2:
            return
        due = self.promptly_due + period
        if not self.alone:
            slip = max(now - due, 0.0)
            old = slip if self.slip is None else self.slip
            self.slip = old + _SMOOTHING * (slip - old)
        self.promptly_due = max(due, now)

    def silent(self, now: float) -> bool:
        """Whether the source has stopped sending, by its own measure; one that never sent is not silent."""
        if self.interval is None or self.last_arrival is None:
            return False
        return now - self.last_arrival > max(_SILENT, _SILENT_INTERVALS * self.interval)

    def rank(self, now: float, cost: float) -> float:
        """How overdue the camera is: weighted seconds since it was last taken, for what a turn costs."""
        return (now - self.last_taken) * self.weight / cost + self.credit

    def taken(self, now: float, late: float) -> None:
        """Move the due time on by one period; at most one missed turn is made up for.

        What was captured `late` seconds ago takes the turn of that time.
        """
        self.due_at = max(self.due_at + self.period, now - late)
        self.last_taken = now

    def not_taken(self) -> None:
        """Be as overdue as before the turn at hand, which came to nothing."""
        self.due_at, self.last_taken, self.credit = self.before
