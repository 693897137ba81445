"""The memory of the tracker: the tracks of all cameras, one row each, in one struct of arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from vigil.analytics import kalman

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vigil.analytics.kalman import Float64
    from vigil.core.types import Float32, Int32

    Rows = NDArray[np.intp]

_Number = TypeVar("_Number", bound=np.generic)

_CAPACITY = 64
_CLASSES = 1


class TrackTable:
    """Rows are taken and given back; the arrays grow as needed, and what stands in a free row means nothing.

    `state` is `(5, 4, rows)` (see `kalman`), `votes` `(rows, classes)`: the sum of the scores that a track
    got of each class. The rest holds one value per row and is what `Tracks` calls by the same name.
    """

    def __init__(self) -> None:
        self.state: Float64 = np.zeros((kalman.PARTS, kalman.AXES, _CAPACITY))
        self.votes: Float32 = np.zeros((_CAPACITY, _CLASSES), np.float32)
        self.tracker_id: Int32 = np.zeros(_CAPACITY, np.int32)
        self.class_id: Int32 = np.zeros(_CAPACITY, np.int32)
        self.hits: Int32 = np.zeros(_CAPACITY, np.int32)
        self.confidence: Float32 = np.zeros(_CAPACITY, np.float32)
        self.first_seen: Float64 = np.zeros(_CAPACITY)
        self.last_seen: Float64 = np.zeros(_CAPACITY)
        self._free = list(range(_CAPACITY))
        self._next_id = 0

    def begin(self, box: Float64, class_id: Int32, confidence: Float32, seconds: Float64) -> Rows:
        """Begin a track for each detection, with ascending ids; returns their rows."""
        rows = self._take(len(class_id))
        self.state[:, :, rows] = kalman.begin(box)
        self.tracker_id[rows] = np.arange(self._next_id, self._next_id + len(rows))
        self._next_id += len(rows)
        self.class_id[rows] = class_id
        self.hits[rows] = 0
        self.first_seen[rows] = seconds
        self._widen(class_id)
        self.votes[rows] = 0
        self.note(rows, class_id, confidence, seconds)
        return rows

    def note(self, rows: Rows, class_id: Int32, confidence: Float32, seconds: Float64) -> None:
        """Count a detection for each of these tracks: its time, and its vote for a class."""
        self._widen(class_id)
        self.hits[rows] += 1
        self.confidence[rows] = confidence
        self.last_seen[rows] = seconds
        votes = self.votes[rows, class_id] + confidence
        self.votes[rows, class_id] = votes
        leader = self.class_id[rows]
        if np.count_nonzero(leader != class_id):
            # Only the class that was voted for can overtake, so the leader needs no search.
            ahead = votes > self.votes[rows, leader]
            self.class_id[rows[ahead]] = class_id[ahead]

    def rewind(self, rows: Rows, now: Float64) -> None:
        """Let no time of these tracks lie after `now`, which their cameras' clocks went back to."""
        self.first_seen[rows] = np.minimum(self.first_seen[rows], now)
        self.last_seen[rows] = np.minimum(self.last_seen[rows], now)

    def give_back(self, rows: Rows) -> None:
        """Forget these tracks."""
        self._free.extend(rows.tolist())

    def _take(self, count: int) -> Rows:
        if count > len(self._free):
            self._grow(count - len(self._free))
        taken = self._free[len(self._free) - count :]
        del self._free[len(self._free) - count :]
        return np.array(taken, np.intp)

    def _grow(self, least: int) -> None:
        old = len(self.hits)
        more = max(old, least)
        self.state = np.concatenate([self.state, np.zeros((kalman.PARTS, kalman.AXES, more))], axis=2)
        self.votes = _longer(self.votes, more)
        self.tracker_id = _longer(self.tracker_id, more)
        self.class_id = _longer(self.class_id, more)
        self.hits = _longer(self.hits, more)
        self.confidence = _longer(self.confidence, more)
        self.first_seen = _longer(self.first_seen, more)
        self.last_seen = _longer(self.last_seen, more)
        self._free.extend(range(old, old + more))

    def _widen(self, class_id: Int32) -> None:
        missing = max(class_id.tolist(), default=0) + 1 - self.votes.shape[1]
        if missing > 0:
            self.votes = np.pad(self.votes, ((0, 0), (0, missing)))


def _longer(array: NDArray[_Number], more: int) -> NDArray[_Number]:
    return np.concatenate([array, np.zeros((more, *array.shape[1:]), array.dtype)])
