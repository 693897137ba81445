"""What a camera's tracks and its motion say of where its next frame is worth a look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vigil.core.interest import Interest

if TYPE_CHECKING:
    from vigil.analytics.tracks import Prediction, Tracks
    from vigil.core.types import Float32

_SETTLED_HITS = 5
"""Detections from which on a track's speed is believed."""


def interest_of(
    tracks: Tracks | None,
    predicted: Prediction,
    moving: Float32,
    now: float,
    *,
    changed: bool = False,
    seq: int = -1,
) -> Interest:
    """Return what is of interest at `now` after the `tracks` of frame `seq` and where they are `predicted`.

    `moving (m, 4)` is in frame pixels, as everything else is.
    """
    if tracks is None or not len(tracks):
        nothing = np.empty((0, 4))
        none = np.empty(0)
        return Interest(nothing, nothing, none, np.empty(0, np.intp), none, moving, changed, seq)
    speed = np.hypot(tracks.velocity[:, 0], tracks.velocity[:, 1]).astype(np.float64)
    speed[tracks.hits < _SETTLED_HITS] = np.inf
    detection, unseen = tracks.detection.astype(np.intp), now - tracks.last_seen
    return Interest(predicted.xyxy, predicted.spread, speed, detection, unseen, moving, changed, seq)
