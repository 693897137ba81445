"""What the tracker tells the rest of a camera's analytics after each inferred frame."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
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
