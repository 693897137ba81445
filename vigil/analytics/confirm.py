"""When something that the tracker follows counts as an object: after enough detections that are good enough.

A ghost flickers for a frame or two, or lingers at scores just over the threshold of a single box. An object
is confirmed once it has been detected often enough and the median of its latest scores reaches the
threshold; of an even number the lower of the two middle ones is taken. What is confirmed stays so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vigil.analytics.objects import Rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vigil.analytics.objects import Objects
    from vigil.core.types import Float32

_WINDOW = 9
"""Latest scores of which the median is taken."""


class Confirmation(Rows):
    """Confirms objects; thresholds are per class, infinite for classes that are not wanted."""

    def __init__(self, hits: int, thresholds: Float32) -> None:
        fresh = np.zeros(1, [("scores", "f8", _WINDOW), ("hits", "i8")])
        fresh["scores"] = np.nan
        super().__init__(fresh)
        self._hits = hits
        self._thresholds = thresholds

    def aim(self, thresholds: Float32) -> None:
        """Ask for these scores from now on; what is confirmed stays so."""
        self._thresholds = thresholds

    def update(self, objects: Objects) -> NDArray[np.intp]:
        """Take the frame's scores, mark objects that are confirmed now, and return their rows."""
        waiting: NDArray[np.intp] = (objects.rows["shown"] & ~objects.rows["confirmed"]).nonzero()[0]
        if not len(waiting):
            return waiting
        hits, scores = self.rows["hits"], self.rows["scores"]
        scores[waiting, hits[waiting] % _WINDOW] = objects.rows["confidence"][waiting]
        hits[waiting] += 1
        known = np.minimum(hits[waiting], _WINDOW)
        # Scores that are not there yet are NaN, which sorts last.
        median = np.sort(scores[waiting], axis=1)[np.arange(len(waiting)), (known - 1) // 2]
        enough = hits[waiting] >= self._hits
        confirmed: NDArray[np.intp] = waiting[
            enough & (median >= self._thresholds[objects.rows["class_id"][waiting]])
        ]
        objects.rows["confirmed"][confirmed] = True
        return confirmed
