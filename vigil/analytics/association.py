"""Which detection continues which track, and which begins a new one, in all frames of a batch.

BYTE (Zhang et al. 2022, arXiv:2110.06864): confident detections choose their tracks first, and the tracks
that remain may take what the detector doubts. Position decides; a class is only preferred, since detectors
call the same van a car in one frame and a truck in the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.analytics.assign import match
from vigil.analytics.candidates import overlap, pairs

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vigil.analytics.assign import Indices
    from vigil.analytics.candidates import Candidates
    from vigil.analytics.kalman import Float64
    from vigil.core.types import Int32

    Bools = NDArray[np.bool_]
    Rows = NDArray[np.intp]

NONE = -1
"""Stands for the detection of a track that has none."""

_GATE = 16.0
"""Squared Mahalanobis distance of centres: all but one in three thousand of the right pairs are nearer."""
_BUFFER = 0.3
"""Parts of a track's side by which its uncertainty may widen boxes, at most."""
_FEW_PAIRS = 200
"""Pairs up to which sieving them costs more than it spares, measured."""


@dataclass(frozen=True, slots=True)
class TrackerSettings:
    """What the tracker goes by: confidences and overlaps (intersection over union) in 0..1, seconds."""

    low: float = 0.1
    """Least confidence of a detection that may continue a track."""
    least_overlap: float = 0.2
    """Of a track's predicted box and its detection, both widened by the prediction's uncertainty."""
    other_class_overlap: float = 0.6
    """The same across classes, not widened, and where neither has a candidate of its own class."""
    same_box_overlap: float = 0.7
    """From here on, two detections are one object, whatever their classes."""
    young_patience: float = 0.3
    """Seconds that a missed track of one detection is kept; it always gets the next frame."""


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """What the tracker goes by for one camera: confidences in 0..1, seconds."""

    high: float = 0.5
    """Least confidence of a detection that chooses first."""
    begin: float = 0.6
    """Least confidence of a detection that begins a track."""
    patience: float = 2.0
    """Seconds that a missed track is kept, or two misses where the camera is slower than that."""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The tracks of a batch's cameras, predicted to their frames' times; one row each.

    `camera` `(n,)` is the number of the frame in the batch, ascending; `box` `(4, n)` is centre and size,
    `spread` `(4, n)` the variances of where a detection of it may be.
    """

    camera: Indices
    class_id: Int32
    box: Float64
    spread: Float64


@dataclass(frozen=True, slots=True, eq=False)
class _Pairs:
    track: Rows
    detection: Rows
    weight: Float64

    def select(self, keep: Bools) -> _Pairs:
        return _Pairs(self.track[keep], self.detection[keep], self.weight[keep])


def associate(known: Known, seen: Candidates, least: Float64, settings: TrackerSettings) -> Rows:
    """Return for each track the row in `seen` of its detection, or `NONE`."""
    given = np.empty(len(known.camera), np.intp)
    given.fill(NONE)
    if not len(given) or not len(seen):
        return given
    possible = _class_consistent(_near(known, seen, len(least), settings), known, seen, settings)
    high = _reaches(seen, least)[possible.detection]
    if np.count_nonzero(high) == len(high):
        _give(given, possible)
        return given
    _give(given, possible.select(high))
    _give(given, possible.select(~high & (given[possible.track] == NONE)))
    return given


def newcomers(seen: Candidates, taken: Bools, least: Float64, settings: TrackerSettings) -> Rows:
    """Return the rows in `seen` of the detections that begin a track, ascending.

    A detection on the very box of one that is taken, or of a better one, shows the same object.
    """
    fresh: Rows = (~taken & _reaches(seen, least)).nonzero()[0]
    if not len(fresh):
        return fresh
    one, other = pairs(seen.camera[fresh], seen.camera, len(least))
    one = fresh[one]
    # Rows of a frame stand best first.
    better = taken[other] | (other < one)
    one, other = one[better], other[better]
    same = overlap(seen.box.take(one, axis=1), seen.box.take(other, axis=1)) >= settings.same_box_overlap
    second = np.zeros(len(seen), bool)
    second[one[same]] = True
    return fresh[~second[fresh]]


def _reaches(seen: Candidates, least: Float64) -> Bools:
    """Tell `(n,)` which detections have at least the confidence that their camera asks for."""
    return np.asarray(seen.confidence >= (least if len(least) == 1 else least[seen.camera]))


def _give(given: Rows, possible: _Pairs) -> None:
    chosen = match(possible.track, possible.detection, possible.weight)
    given[possible.track[chosen]] = possible.detection[chosen]


def _near(known: Known, seen: Candidates, cameras: int, settings: TrackerSettings) -> _Pairs:
    """Return the pairs that are near enough in view of how sure the track's prediction is."""
    spread = known.spread[:2]
    margin = np.minimum(np.sqrt(spread), _BUFFER * known.box[2:])
    track, detection = _meeting(known, seen, cameras, margin)
    box = known.box.take(track, axis=1)
    detected = seen.box.take(detection, axis=1)
    distance = box[:2] - detected[:2]
    np.square(distance, out=distance)
    distance /= spread.take(track, axis=1)
    weight = overlap(box, detected, margin.take(track, axis=1))
    near = ((weight >= settings.least_overlap) & (distance[0] + distance[1] < _GATE)).nonzero()[0]
    return _Pairs(track[near], detection[near], weight[near])


def _meeting(known: Known, seen: Candidates, cameras: int, margin: Float64) -> tuple[Rows, Rows]:
    """Return the pairs that meet along x: a cheap sieve for crowded frames; few pairs need none."""
    track, detection = pairs(known.camera, seen.camera, cameras)
    if len(track) <= _FEW_PAIRS:
        return track, detection
    centre, reach = known.box[0], known.box[2] * 0.5 + 2 * margin[0]
    left = seen.box[0] - seen.box[2] * 0.5
    right = left + seen.box[2]
    meeting = ((centre + reach)[track] > left[detection]) & ((centre - reach)[track] < right[detection])
    kept = meeting.nonzero()[0]
    return track[kept], detection[kept]


def _class_consistent(possible: _Pairs, known: Known, seen: Candidates, settings: TrackerSettings) -> _Pairs:
    """Leave out pairs across classes, but for those on one spot where neither has one of its own class."""
    same = known.class_id[possible.track] == seen.class_id[possible.detection]
    if np.count_nonzero(same) == len(same):
        return possible
    served = np.bincount(possible.track[same], minlength=len(known.camera)) > 0
    claimed = np.bincount(possible.detection[same], minlength=len(seen)) > 0
    boxes = known.box.take(possible.track, axis=1), seen.box.take(possible.detection, axis=1)
    alike = overlap(*boxes) >= settings.other_class_overlap
    return possible.select(same | (alike & ~served[possible.track] & ~claimed[possible.detection]))
