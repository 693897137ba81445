"""When motion is told, and whether a frame needs inference at all: pure decisions, time passed in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

When: TypeAlias = Literal["auto", "always", "motion"]
"""`detect.when`."""

_HOLD = 10.0
_CHECK, _PATIENCE = 10.0, 3.0
"""Seconds from one inference of a quiet picture to the next, and up to how many times that it may wait."""
_START = 1.0


def gates(when: When, *, gpu: bool) -> bool:
    """Return whether still pictures are spared: inference is dear on a CPU and nearly free on a GPU."""
    match when:
        case "auto":
            return not gpu
        case "always":
            return False
        case "motion":
            return True


class MotionState:
    """`motion` ON or OFF: on with the first moving frame, off after `hold` seconds without any."""

    def __init__(self, hold: float = _HOLD) -> None:
        self._hold = hold
        self._moved = -math.inf
        self.on = False

    def update(self, *, active: bool, now: float) -> bool:
        """Take one frame's motion; returns whether `on` has changed."""
        if active:
            self._moved = now
        return self._turn(on=now - self._moved < self._hold)

    def clear(self) -> bool:
        """Turn off at once, the camera is away; returns whether `on` has changed."""
        self._moved = -math.inf
        return self._turn(on=False)

    def _turn(self, *, on: bool) -> bool:
        changed, self.on = on is not self.on, on
        return changed


class Gate:
    """Whether a camera's frames are worth an inference.

    Awake are: the first second after a connect, while the background is being learnt; a moving picture,
    until an inference has looked at it, however rare those are; a picture with a track in it; and one
    inference every `check` seconds, for what got past all that. That one can wait for an engine with nothing
    else to do, but no more than three times as long.
    """

    def __init__(self, *, gate: bool, check: float = _CHECK, start: float = _START) -> None:
        """With `gate` off every frame is worth it; `check` and `start` are in seconds."""
        self._gate = gate
        self._check = check
        self._start = start
        self._connected: float | None = None
        self._moved = self._inferred = -math.inf

    def connected(self, now: float) -> None:
        """Note that the camera has (re)connected."""
        self._connected = now

    def satisfied(self, now: float) -> bool:
        """Whether what moved has been looked at by an inference, or could not be for long enough."""
        starting = self._connected is not None and now - self._connected < self._start
        pending = self._moved > self._inferred and now - self._moved < self._check
        return self._gate and not starting and not pending

    def inferred(self, now: float) -> None:
        """Note that a frame captured at `now` was inferred."""
        self._inferred = max(self._inferred, now)

    def awake(
        self,
        *,
        moving: bool,
        present: bool,
        now: float,
        early: float = 0.0,
        has_time: Callable[[], bool] = lambda: True,
    ) -> bool:
        """Return whether a frame is to be inferred; `present`: a track is there that must be followed.

        The check may come `early`, in seconds. `has_time()` tells whether an engine is free for it.
        """
        if moving:
            self._moved = now
        if not self._gate or moving or present:
            return True
        starting = self._connected is not None and now - self._connected < self._start
        if starting or self._moved > self._inferred:
            return True
        waited = now - self._inferred + early
        return waited >= self._check and (waited >= _PATIENCE * self._check or has_time())
