"""What a camera's last result said, and the next one: made of that and of what regions have shown. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vigil.core.geometry import areas, intersections, overlaps
from vigil.core.types import Detections

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vigil.core.geometry import Bools, Floats
    from vigil.core.types import Float32

    Rows = NDArray[np.intp]

SAME_PLACE = 0.75
"""Overlap of two boxes of an object that has not moved."""
_TWICE = 0.7
"""Overlap from which on two new boxes of a class are one object."""
_WITHIN = 0.6
"""Share of a cut box within another one from which on that is the object it was cut from."""
_CUT, _SEEN, _STOOD = range(3)
"""How much a box is worth beside another one of its object."""


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """A result and, per row, when it was looked at, what cut its edges, since when and whether it stands."""

    detections: Detections = field(default_factory=Detections.empty)
    looked: Floats = field(default_factory=lambda: np.empty(0))
    cut: Bools = field(default_factory=lambda: np.empty((0, 4), np.bool_))
    since: Floats = field(default_factory=lambda: np.empty(0))
    stood: Bools = field(default_factory=lambda: np.empty(0, np.bool_))
    parts: bool = False
    """Whether it was made of regions."""

    def after_whole(self, found: Detections, cut: Bools, now: float) -> Memory:
        """Return the memory of a whole frame: what it shows, and since when that stands where it is."""
        same = _overlaps(found.xyxy, self.detections.xyxy) > SAME_PLACE
        since = np.where(same, self.since, now).min(axis=1, initial=now)
        stood = np.asarray((same & self.stood).any(axis=1))
        return Memory(found, np.full(len(found), now), cut, since, stood)

    def after_parts(self, carried: Rows, standing: Rows, found: Detections, cut: Bools, now: float) -> Memory:
        """Return the memory of a frame's regions.

        Rows `carried` are as seen. Rows `standing` stay what they are if there is something in their place:
        that a part of a picture makes a car a truck is no news of the car.
        """
        old = self.detections
        known = np.concatenate([carried, standing])
        looked = np.concatenate([self.looked[carried], np.full(len(standing), now)])
        again = _overlaps(found.xyxy, old.xyxy[known]) > SAME_PLACE
        there = np.asarray(again.any(axis=0)) | (np.arange(len(known)) < len(carried))
        fresh = ~np.asarray(again[:, there].any(axis=1))
        found, cut, known, looked = found.select(fresh), cut[fresh], known[there], looked[there]
        known, looked = self._with_twins(known, looked)
        both = _joined(found, old.select(known))
        number = len(found)
        worth = np.full(len(both), _STOOD)
        worth[:number] = np.where(cut.any(axis=1), _CUT, _SEEN)
        kept = _distinct(both, worth)
        return Memory(
            both.select(kept),
            np.concatenate([np.full(number, now), looked])[kept],
            np.concatenate([cut, np.zeros((len(known), 4), np.bool_)])[kept],
            np.concatenate([np.full(number, now), self.since[known]])[kept],
            (worth == _STOOD)[kept],
            parts=True,
        )

    def _with_twins(self, known: Rows, looked: Floats) -> tuple[Rows, Floats]:
        """Add second boxes on the objects of these rows: they have no track of their own."""
        old = self.detections.xyxy
        if not len(known):
            return known, looked
        apart = np.ones(len(old), np.bool_)
        apart[known] = False
        others = np.flatnonzero(apart)
        upon = _overlaps(old[others], old[known]) > SAME_PLACE
        twins = np.flatnonzero(upon.any(axis=1))
        if not len(twins):
            return known, looked
        first = upon[twins].argmax(axis=1)
        return np.concatenate([known, others[twins]]), np.concatenate([looked, looked[first]])


def _overlaps(one: Float32, other: Float32) -> Floats:
    return overlaps(one.astype(np.float64), other.astype(np.float64))


def _joined(one: Detections, other: Detections) -> Detections:
    return Detections.untracked(
        np.concatenate([one.xyxy, other.xyxy]),
        np.concatenate([one.confidence, other.confidence]),
        np.concatenate([one.class_id, other.class_id]),
    )


def _distinct(found: Detections, worth: Rows) -> Rows:
    """Return the rows to keep, best first: one box per object, a cut one only where there is no other."""
    box = found.xyxy.astype(np.float64)
    same = found.class_id[:, None] == found.class_id
    overlap = overlaps(box, box)
    within = intersections(box[:, None], box) > _WITHIN * areas(box)[:, None]
    cut, new = (worth == _CUT)[:, None], (worth != _STOOD)[:, None]
    again = (new & same & (overlap > _TWICE)) | (cut & ((same & within) | (overlap > _WITHIN)))
    np.fill_diagonal(again, val=False)
    if not again.any():
        return np.argsort(-found.confidence, kind="stable")
    kept: list[int] = []
    for row in np.lexsort((-found.confidence, -worth)).tolist():
        if not again[row, kept].any():
            kept.append(row)
    rows = np.array(kept, np.intp)
    return rows[np.argsort(-found.confidence[rows], kind="stable")]
