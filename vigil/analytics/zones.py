"""Which objects are in which zones.

An object enters a zone when its anchor has been inside without a break for the zone's `inertia`, and leaves
when it has been outside for as long: who jitters on the border does neither. With a `loiter` time it counts
only once it has stayed that long, from the moment it came inside; going out for less than the inertia does
not start that again. While an object is not seen it stays where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from vigil.analytics.filters import class_ids, shape_filter
from vigil.analytics.objects import SLACK, Rows
from vigil.core.geometry import Polygons

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.analytics.objects import Objects
    from vigil.config.analytics import ZoneConfig
    from vigil.core.geometry import Bools
    from vigil.core.types import Model

HEIGHTS: Final = {"top_center": 0.0, "center": 0.5, "bottom_center": 1.0, "any": 1.0}
"""How far down the box an anchor lies; `any` is asked for differently."""


class Zones(Rows):
    """A camera's zones, at least one."""

    def __init__(
        self, camera: str, zones: Mapping[str, ZoneConfig], model: Model, reported: Sequence[int]
    ) -> None:
        """Take the ids of the reported classes; raises `CannotStartError` for an unknown class."""
        count, every = len(zones), list(zones.values())
        columns = [("inside", "?", count), ("since", "f8", count), ("stay", "f8", count)]
        fresh = np.zeros(1, [*columns, ("present", "?", count)])
        fresh["since"] = fresh["stay"] = np.inf
        super().__init__(fresh)
        self._waiting = False
        """Whether anybody is on the other side than he counts."""
        self._loitering = False
        """Whether anybody is inside and not counted yet."""
        self._confirmed = b""
        self._polygons = Polygons([zone.polygon for zone in every])
        self._heights = heights_of([zone.anchor for zone in every])
        self._any = np.array([zone.anchor == "any" for zone in every])
        self._some_any = bool(self._any.any())
        self._inertia = np.array([zone.inertia for zone in every]) - SLACK
        self._loiter = np.array([zone.loiter for zone in every]) - SLACK
        self._wanted = wanted(camera, "zones", {name: zone.classes for name, zone in zones.items()}, model)
        self._every_class = bool(self._wanted.all())
        self._labels = {
            name: {number: model.names[number] for number in reported if self._wanted[number, index]}
            for index, name in enumerate(zones)
        }
        shapes = [
            shape_filter(camera, f"zones.{name}.filters", zone.filters, model) for name, zone in zones.items()
        ]
        self._shapes = [(index, shape) for index, shape in enumerate(shapes) if shape is not None]

    def keep(self, kept: Bools) -> None:
        """Drop the rows of objects that are gone."""
        super().keep(kept)
        self._confirmed = b""  # others stand in these rows now

    def update(self, time: float, objects: Objects, frame_aspect: float) -> Sequence[int]:
        """Take a frame, and return the rows of confirmed objects that entered or left a zone."""
        rows = self.rows
        differs = self._holds(objects, frame_aspect) != rows["inside"]
        flipped = False
        if self._waiting or np.count_nonzero(differs):
            flipped = self._settle(time, differs, objects)
        if not (flipped or self._loitering or self._unsettled(objects)):
            return ()
        confirmed = objects.rows["confirmed"][:, None]
        present = rows["inside"] & (time - rows["stay"] >= self._loiter) & confirmed
        self._loitering = bool(np.count_nonzero(present) < np.count_nonzero(rows["inside"] & confirmed))
        changed = present != rows["present"]
        if not np.count_nonzero(changed):
            return ()
        rows["present"] = present
        return [int(row) for row in np.flatnonzero(changed.any(axis=1))]

    def _unsettled(self, objects: Objects) -> bool:
        """Tell whether others are confirmed than when it was last seen who is present."""
        confirmed = objects.rows["confirmed"].tobytes()
        known, self._confirmed = self._confirmed, confirmed
        return confirmed != known

    def _settle(self, time: float, differs: Bools, objects: Objects) -> bool:
        """Let those in or out that have been on the other side for long enough; tell whether any were."""
        rows, since, agrees = self.rows, self.rows["since"], ~differs
        if not objects.all_shown:
            shown = objects.rows["shown"][:, None]
            differs, agrees = differs & shown, agrees & shown
        # A difference keeps its age while its object is not seen, and loses it once that is seen without.
        np.minimum(since, time, out=since, where=differs)
        np.copyto(since, np.inf, where=agrees)
        flips = differs & (time - since >= self._inertia)
        flipped = bool(np.count_nonzero(flips))
        if flipped:
            rows["inside"] ^= flips
            rows["stay"][flips] = np.where(rows["inside"], since, np.inf)[flips]
            since[flips] = np.inf
        self._waiting = bool(np.count_nonzero(np.isfinite(since)))
        return flipped

    def of(self, row: int) -> tuple[str, ...]:
        """Return the zones that the object of a row is in."""
        return tuple(name for name, here in zip(self._labels, self.rows["present"][row], strict=True) if here)

    def counts(self, objects: Objects) -> dict[str, dict[str, int]]:
        """Return how many confirmed objects are in each zone, by each label that it counts."""
        present, class_id = self.rows["present"], objects.rows["class_id"]
        counts = {}
        for index, (name, labels) in enumerate(self._labels.items()):
            seen = np.bincount(class_id[present[:, index]], minlength=len(self._wanted))
            counts[name] = {label: int(seen[number]) for number, label in labels.items()}
        return counts

    def _holds(self, objects: Objects, frame_aspect: float) -> Bools:
        """Tell `(n, zones)` whose anchor is inside, of the classes and shapes that a zone counts."""
        boxes, class_id = objects.rows["box"], objects.rows["class_id"]
        holds = self._polygons.contain(objects.anchors(self._heights))
        if self._some_any:
            holds = np.where(self._any, self._polygons.touch(boxes), holds)
        if not self._every_class:
            holds &= self._wanted[class_id]
        for index, shape in self._shapes:
            holds[:, index] &= shape.passes(class_id, boxes, frame_aspect)
        return holds


def heights_of(anchors: Sequence[str]) -> tuple[float, ...]:
    """Return how far down the box the anchor of each part of a section lies, once if all have the same."""
    heights = tuple(HEIGHTS[anchor] for anchor in anchors)
    return heights[:1] if len(set(heights)) == 1 else heights


def wanted(camera: str, key: str, classes: Mapping[str, Sequence[str] | None], model: Model) -> Bools:
    """Return `(classes, k)` which classes each of a section's k parts counts; raises `CannotStartError`."""
    table = np.ones((len(model.names), len(classes)), np.bool_)
    for index, (name, labels) in enumerate(classes.items()):
        if labels is not None:
            table[:, index] = False
            table[class_ids(camera, f"{key}.{name}.classes", list(labels), model), index] = True
    return table
