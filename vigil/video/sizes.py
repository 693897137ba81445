"""Whether the sizes of a stream's packets tell that something moves: learnt from it, and believed late.

At a constant quality a still picture costs an encoder next to nothing, and what moves costs bytes; at a
constant bit rate sizes say nothing, and with a noisy sensor little. So nothing is assumed: while pixels are
looked at, sizes are noted beside them, and only after several movements in a row that sizes had announced,
over everything that was seen of the still picture, they are trusted. Pure; time passed in.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

_WINDOW = 8
"""Packets over whose sizes a mean is taken: encoders alternate large and small ones."""
_MARGIN, _LEAST_MARGIN = 1.15, 32.0
"""Over the largest mean of the still picture, as a factor and in bytes, lies the threshold."""
_BLOCK = 900.0
"""Seconds; the largest mean is of the last one to two blocks, so that a rainy night is forgotten."""
_EARLY, _LATE = 0.5, 2.0
"""Seconds before and after pixels begin to move within which sizes have to have told."""
_DOUBTFUL = 1.5
"""Seconds beside a movement that count neither as still nor as moving."""
_KEPT = 30.0
"""Seconds for which means are remembered; movements are found out later than they happened."""
_MOST = 2048
"""Means remembered, at most."""
_MOVEMENTS = 3
"""Movements in a row that sizes must have announced,"""
_CALM = 20.0
"""and seconds of still picture that must have been seen, before sizes are trusted."""
_DISTRUST = 3600.0
"""Seconds for which sizes are not trusted after they kept a movement to themselves."""


@dataclass(frozen=True, slots=True)
class _Mean:
    at: float
    size: float


class PacketSizes:
    """Follows the sizes of one stream's packets other than keyframes; times are of the packets' arrival."""

    def __init__(self, window: int = _WINDOW, settling: int = 0) -> None:
        """Take means over so many packets.

        So many `settling` ones after a keyframe are left out: they carry what it lacks, moving or not.
        """
        self._window: deque[int] = deque(maxlen=window)
        self._settling = settling
        self._settled = 0  # packets since the latest keyframe
        self._means: deque[_Mean] = deque(maxlen=_MOST)
        self._block, self._before, self._block_since = 0.0, 0.0, -math.inf
        self._calm = 0.0
        self._calm_at = -math.inf
        self._begun: deque[float] = deque(maxlen=_MOST)
        self._tainted = (math.inf, -math.inf)
        self._announced = 0
        self._distrusted_until = -math.inf

    @property
    def threshold(self) -> float:
        """Bytes from which on a mean tells of a movement; infinite before anything is known."""
        if self._calm <= 0:
            return math.inf
        most = max(self._block, self._before)
        return max(most * _MARGIN, most + _LEAST_MARGIN)

    @property
    def loud(self) -> bool:
        """Whether the latest packets are larger than any of the still picture."""
        return bool(self._means) and self._means[-1].size >= self.threshold

    @property
    def telling(self) -> bool:
        """Whether they are, and enough of the still picture was seen for that to be worth a look."""
        return self._calm >= _CALM and self.loud

    def proven(self, now: float) -> bool:
        """Whether sizes may be relied on."""
        return self._announced >= _MOVEMENTS and self._calm >= _CALM and now >= self._distrusted_until

    def add(self, size: int, now: float) -> None:
        """Take a packet that is no keyframe."""
        self._settled += 1
        if self._settled > self._settling:
            self._window.append(size)
            if len(self._window) == self._window.maxlen:
                self._means.append(_Mean(now, sum(self._window) / len(self._window)))
        while self._means and self._means[0].at < now - _KEPT:
            self._means.popleft()
        while self._begun and now >= self._begun[0] + _LATE:
            self._judge(self._begun.popleft())

    def keyframe(self) -> None:
        """Take a keyframe."""
        self._settled = 0

    def began(self, at: float) -> None:
        """Note that pixels began to move at that time, which may lie some seconds back."""
        self._begun.append(at)
        self.moved(at)

    def moved(self, at: float) -> None:
        """Note that pixels moved at that time: its packets are not those of a still picture."""
        start, end = self._tainted
        self._tainted = (min(start, at), max(end, at))

    def still(self, until: float) -> None:
        """Note that up to now nothing else has moved: packets up to `until` are those of a still picture."""
        start, end = self._tainted
        while self._means and self._means[0].at < until - _DOUBTFUL:
            mean = self._means.popleft()
            if not start - _DOUBTFUL <= mean.at <= end + _DOUBTFUL:
                self._learn(mean)
        if until - 2 * _DOUBTFUL > end:
            self._tainted = (math.inf, -math.inf)

    def distrust(self, now: float) -> None:
        """Note that something moved which sizes did not tell of."""
        self._announced = 0
        self._distrusted_until = now + _DISTRUST

    def _learn(self, mean: _Mean) -> None:
        if mean.at - self._block_since >= _BLOCK:
            self._before, self._block, self._block_since = self._block, 0.0, mean.at
        self._block = max(self._block, mean.size)
        self._calm += min(max(mean.at - self._calm_at, 0.0), 1.0)
        self._calm_at = mean.at

    def _judge(self, began: float) -> None:
        """Count a movement as announced, or begin anew."""
        sizes = [mean.size for mean in self._means if began - _EARLY <= mean.at <= began + _LATE]
        if max(sizes, default=0.0) >= self.threshold:
            self._announced += 1
        else:
            self._announced = 0
