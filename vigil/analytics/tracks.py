"""What the tracker tells the rest of a camera's analytics after each inferred frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vigil.core.types import Float32, Int32


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """A camera's tracks after one frame: those that it shows, and those that are missed for now.

    One row per track in every array, ascending by `tracker_id`; times are seconds of the clock that the
    tracker was given.
    """

    tracker_id: Int32
    """`(n,)`, never used again within a run."""
    class_id: Int32
    """`(n,)`, the class that most of the track's scores voted for."""
    xyxy: Float32
    """`(n, 4)` in frame pixels: the filtered box, predicted to now where the track is missed."""
    velocity: Float32
    """`(n, 2)` of the box's centre, in pixels per second."""
    confidence: Float32
    """`(n,)` of the last detection that the track was given."""
    hits: Int32
    """`(n,)` detections given so far."""
    first_seen: NDArray[np.float64]
    """`(n,)`"""
    last_seen: NDArray[np.float64]
    """`(n,)`; equal to the frame's time where the frame shows the track."""
    detection: Int32
    """`(n,)` index into the frame's detections, -1 where the track is missed."""

    def __len__(self) -> int:
        return len(self.tracker_id)

    def part(self, first: int, end: int) -> Tracks:
        """Return some of them, in the same memory."""
        return Tracks(
            self.tracker_id[first:end],
            self.class_id[first:end],
            self.xyxy[first:end],
            self.velocity[first:end],
            self.confidence[first:end],
            self.hits[first:end],
            self.first_seen[first:end],
            self.last_seen[first:end],
            self.detection[first:end],
        )


NOTHING: Final = Tracks(
    tracker_id=np.empty(0, np.int32),
    class_id=np.empty(0, np.int32),
    xyxy=np.empty((0, 4), np.float32),
    velocity=np.empty((0, 2), np.float32),
    confidence=np.empty(0, np.float32),
    hits=np.empty(0, np.int32),
    first_seen=np.empty(0),
    last_seen=np.empty(0),
    detection=np.empty(0, np.int32),
)
"""No tracks at all."""


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """Where a camera's tracks should be at a time, one row per track, in the order of its latest `Tracks`."""

    xyxy: NDArray[np.float64]
    """`(n, 4)` in frame pixels."""
    spread: NDArray[np.float64]
    """`(n, 4)` standard deviations of the centre and the sides."""
