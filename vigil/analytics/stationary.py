"""Objects that stay where they are: a parked car is one object for as long as it stands, seen or not.

An object is stationary when its box has kept its place for a while, and moves again when, for a second,
most of the smaller of its box and its place lies outside the other, or the box has doubled its area. A part
that something covers makes a box smaller and leaves it within its place, so a passer-by does not set a car
in motion.

When no track shows a stationary object any more, it is waited for, unless it was out of its place when last
seen, which is to have left:
- behind what covers it as long as `patience`, after which it is taken to have gone unseen;
- in plain view no longer than it had stood there: who sat down for a minute and left is not there for five
  more, and a car of last night is not a new one because the detector missed it for a few minutes. Time in
  which the camera's frames were not looked at counts for little.

A new track in the place of such an object, of its class or of one that detectors mistake for it, is the
same object; so is one of a related class that lies upon any object: one car, called a car and a truck in
turn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from vigil.analytics.objects import SLACK, Rows
from vigil.core.geometry import areas, intersections, overlaps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from vigil.analytics.objects import Objects
    from vigil.core.geometry import Bools, Floats
    from vigil.core.types import Model

_SAME_PLACE = 0.6
"""Least intersection over union of a box with its place, for the place to be kept."""
_STILL_THERE = 0.6
"""Least intersection, over the smaller of box and place, of an object that has not moved."""
_GROWN = 2.0
_LOOK = 0.4
"""Seconds between two looks."""
_MOVING = 1.0
"""Seconds of movement that set a stationary object in motion."""
_COVERED = 0.3
"""Least part of a place that one other box covers when the object in it may be hidden."""
_LONGEST_LOOK = 5.0
"""Seconds since the frame before that count as waited for: nobody looked in between."""
_TAKEN_OVER = 0.5
"""Least intersection over union of a new track's box with a stationary object's, to be the same."""
_UPON = 0.7
"""The same with an object that moves and has another class."""

_KIN: Final = (
    {"car", "truck", "bus", "van", "train"},
    {"bicycle", "motorcycle"},
    {"cat", "dog", "sheep", "cow", "horse", "bear"},
)
"""Classes that detectors mistake for each other."""


class Stationary(Rows):
    """Tells which objects are stationary, which of them are given up, and which new ones are old ones."""

    def __init__(self, after: float, patience: float, model: Model) -> None:
        columns = [
            ("place", "f8", 4),
            ("place_area", "f8"),
            ("since", "f8"),
            ("moving", "f8"),
            ("still", "?"),
        ]
        fresh = np.zeros(1, [*columns, ("unseen", "f8"), ("plain", "f8")])
        fresh["since"] = fresh["moving"] = np.inf
        super().__init__(fresh)
        self._after, self._patience = after, patience
        self._kin = _kinship(model.names)
        self._time: float | None = None

    @property
    def still(self) -> Bools:
        """Which objects `(n,)` are stationary."""
        return np.asarray(self.rows["still"])

    @property
    def _rests(self) -> Bools:
        """Which stationary objects `(n,)` were in their place when last seen, not on their way out of it."""
        return np.asarray(self.rows["still"] & np.isinf(self.rows["moving"]))

    def due(self, time: float) -> bool:
        """Tell whether it is time to look again: what stands is not looked at in every frame."""
        return self._time is None or not 0 <= time - self._time < _LOOK - SLACK

    def update(self, time: float, objects: Objects) -> Bools:
        """Take a frame, and return `(n,)` which objects stopped or moved again with it."""
        passed = 0.0 if self._time is None else min(max(0.0, time - self._time), _LONGEST_LOOK)
        self._time = time
        rows, shown, box = self.rows, objects.rows["shown"], objects.rows["box"]
        place, still = rows["place"], rows["still"]
        common, area, place_area = intersections(box, place), objects.rows["area"], rows["place_area"]
        stays = common >= _SAME_PLACE * (area + place_area - common)
        stops = shown & ~still & stays & (time - rows["since"] >= self._after - SLACK)
        moved = (common < _STILL_THERE * np.minimum(area, place_area)) | (area > _GROWN * place_area)
        moving = np.where(moved & still, np.minimum(rows["moving"], time), np.inf)
        np.copyto(rows["moving"], moving, where=shown)
        starts = shown & still & (time - moving >= _MOVING - SLACK)
        leaves = starts | (shown & ~still & ~stays)
        replaced = leaves | stops
        if np.count_nonzero(replaced):
            np.copyto(place, box, where=replaced[:, None])
            rows["place_area"] = areas(place)
            rows["since"][leaves] = time
        if np.count_nonzero(still):
            self._wait(passed, shown, objects)
        changed = stops | starts
        rows["still"] ^= changed
        return np.asarray(changed)

    def given_up(self, objects: Objects) -> Bools:
        """Tell `(n,)` which objects are gone: no track has them, and none is waited for any longer."""
        rows, lost = self.rows, ~objects.rows["tracked"]
        if not np.count_nonzero(lost):
            return lost
        stood = objects.rows["last"] - rows["since"]
        patient = self._rests & (rows["unseen"] <= self._patience) & (rows["plain"] <= stood)
        return np.asarray(lost & ~patient)

    def taken_over(self, objects: Objects) -> Sequence[tuple[int, int]]:
        """Return pairs of rows: one that is not confirmed yet, and the object that it is instead."""
        shown, confirmed = objects.rows["shown"], objects.rows["confirmed"]
        if np.count_nonzero(confirmed) == len(confirmed):
            return []
        new, old = (shown & ~confirmed).nonzero()[0], confirmed.nonzero()[0]
        if not len(new) or not len(old):
            return []
        names = {*objects.rows["class_id"][new].tolist(), *objects.rows["seen_as"][old].tolist()}
        if len(names) == 1 and not np.count_nonzero((self._rests & ~shown)[old]):
            return []  # all are seen as what they are, and one class
        overlap = overlaps(objects.rows["box"][new], objects.rows["box"][old])
        overlap = np.maximum(
            overlap, overlaps(objects.rows["box"][new], self.rows["place"][old]) * self._rests[old]
        )
        excess = overlap - self._needed(objects, new, old)
        pairs = []
        for number in np.argsort(-excess.max(axis=1)).tolist():
            best = int(excess[number].argmax())
            if excess[number, best] >= 0:
                pairs.append((int(new[number]), int(old[best])))
                excess[:, best] = -np.inf
        return pairs

    def _needed(self, objects: Objects, new: NDArray[np.intp], old: NDArray[np.intp]) -> Floats:
        """Return the overlap `(new, old)` from which on the two are one, infinite where they cannot be."""
        rows, still, called = objects.rows, self._rests[old], objects.rows["class_id"][new]
        related = self._kin[called][:, rows["class_id"][old]]
        # What the frame shows as one class is not also another box of that class.
        other_name = called[:, None] != rows["seen_as"][old]
        here = related & still & (other_name | ~rows["shown"][old])
        return np.where(here, _TAKEN_OVER, np.where(related & other_name, _UPON, np.inf))

    def _wait(self, passed: float, shown: Bools, objects: Objects) -> None:
        rows = self.rows
        hidden = np.flatnonzero(rows["still"] & ~shown)
        rows["unseen"][shown] = rows["plain"][shown] = 0
        if not len(hidden):
            return
        place, boxes = rows["place"][hidden], objects.rows["box"][shown]
        cover = intersections(place[:, None], boxes[None]) >= _COVERED * areas(place)[:, None]
        rows["unseen"][hidden] += passed
        rows["plain"][hidden] += np.where(cover.any(axis=1), 0, passed)


def _kinship(names: Sequence[str]) -> Bools:
    """Return `(classes, classes)` which classes are the same or mistaken for each other."""
    table = np.eye(len(names), dtype=np.bool_)
    for kin in _KIN:
        ids = [index for index, name in enumerate(names) if name in kin]
        table[np.ix_(ids, ids)] = True
    return table
