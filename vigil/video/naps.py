"""When the capture thread of a camera at rest sleeps, and when what it reads then had come.

A thread that waits for each piece of each packet wakes a hundred times a second, and each time somebody's
work is interrupted. What a camera at rest sends can as well gather in the socket's buffer: it is read a few
times a second in one go, and the stream's clock tells when each packet came. Pure, time passed in.
"""

from __future__ import annotations

_LONGEST = 0.2
"""Seconds that a nap lasts at most."""
_MOST_BYTES = 64_000.0
"""Bytes that may gather meanwhile: less than a socket's buffer takes, so that no camera has to wait."""
_WAITED = 0.001
"""Seconds of waiting for a packet from which on nothing else had gathered before it."""
_SMOOTHING = 0.05
"""Share of the newest packet in the smoothed interval and size."""
_DRIFT = 5e-4
"""By how much a camera's clock may go slower than the machine's, as a share."""
_JUMP = 10.0
"""Seconds by which packets may be late; beyond, the stream's clock was set back."""


class Naps:
    """For one connection; `now` is in seconds of a clock that nobody sets, `dts` in those of the stream."""

    def __init__(self) -> None:
        self._offset: float | None = None  # between both clocks, of packets that came without delay
        self._read_at = self._came_at = 0.0
        self._dts: float | None = None
        self._interval = self._bytes = 0.0  # smoothed, of packets
        self._slept = False  # and since then not all was read that gathered
        self._current = False

    def arrival(self, now: float, waited: float, dts: float | None, size: int) -> float:
        """Return when a packet of `size` bytes came that was read `now`, after so many seconds of waiting."""
        late = self._late(now, dts)
        # A thread that others kept from reading has waited, too, but for something that came long ago.
        self._current = waited >= _WAITED and late is not None and late <= self._interval
        came = max(now - late, self._came_at) if self._slept and late is not None else now
        if self._current:
            self._slept = False
        self._bytes += _SMOOTHING * (size - self._bytes)
        self._came_at = came
        return came

    def due(self, *, resting: bool) -> float:
        """Return for how long to sleep before the next read; 0 for not at all."""
        if not resting or not self._current or not self._interval:
            return 0.0
        nap = min(_LONGEST, _MOST_BYTES * self._interval / max(self._bytes, 1.0))
        if nap < 2 * self._interval:
            return 0.0
        self._slept = True
        return nap

    def _late(self, now: float, dts: float | None) -> float | None:
        """Return how long ago a packet came, by the stream's clock; nothing where that does not tell."""
        before, self._dts = self._dts, dts
        passed, self._read_at = now - self._read_at, now
        if dts is None:
            self._offset = None
            return None
        if before is not None and 0 < dts - before < _JUMP:
            self._interval += _SMOOTHING * (dts - before - self._interval)
        offset, known = now - dts, self._offset
        if known is None or offset - known > _JUMP:
            known = offset
        self._offset = min(known + _DRIFT * passed, offset)
        return offset - self._offset
