"""Who crossed which line, and which way.

Seen along a line from its beginning to its end, left to right is `in` and right to left is `out`. An object
crosses when its anchor has been clearly on one side, is clearly on the other, and its path between went
through the line itself, not past one of its ends. "Clearly" is a distance in units of the object's own box:
a tenth of its height from a level line, of its width from an upright one, so that a box that jitters on the
line crosses nothing. Each crossing counts once, and going back counts the other way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from vigil.analytics.objects import Rows
from vigil.analytics.zones import heights_of, wanted
from vigil.core.events import Crossings, Totals
from vigil.core.geometry import crossings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.analytics.objects import Objects
    from vigil.config.analytics import LineConfig
    from vigil.core.geometry import Bools, Floats
    from vigil.core.types import Model

_CLEARLY = 0.1


@dataclass(frozen=True, slots=True)
class Crossing:
    """Somebody went through a line."""

    line: str
    inwards: bool


class Lines(Rows):
    """A camera's lines, at least one."""

    def __init__(self, camera: str, lines: Mapping[str, LineConfig], model: Model) -> None:
        """Raise `CannotStartError` for a class that the model does not know."""
        count, every = len(lines), list(lines.values())
        self._heights = heights_of([line.anchor for line in every])
        # `sign` is the side of the latest anchor, `side` the latest clear one, 0 before the first; `through`
        # tells whether the path since that clear side has gone through the line an odd number of times.
        columns = [("point", "f8", (len(self._heights), 2)), ("sign", "f8", count), ("side", "f8", count)]
        super().__init__(np.zeros(1, [*columns, ("through", "?", count)]))
        self._untold: list[list[Crossing]] = []
        """Per row: crossings of an object that is not confirmed yet."""
        self._unclear = False
        """Whether somebody is not clearly on the side that his anchor is on, or on his way through."""
        self._names = tuple(lines)
        self._start = np.array([line.start for line in every])
        self._end = np.array([line.end for line in every])
        way = self._end - self._start
        self._high_wide = way[:, ::-1].copy()
        self._along_x, self._along_y = way.T * _CLEARLY
        self._wanted = wanted(camera, "lines", {name: line.classes for name, line in lines.items()}, model)

    def grow(self, count: int) -> None:
        """Add rows for new objects."""
        super().grow(count)
        self._untold += [[] for _ in range(count)]

    def keep(self, kept: Bools) -> None:
        """Drop the rows of objects that are gone."""
        super().keep(kept)
        self._untold = [crossed for crossed, stays in zip(self._untold, kept, strict=True) if stays]

    def update(self, objects: Objects, confirmed: Sequence[int]) -> Sequence[tuple[int, Sequence[Crossing]]]:
        """Return the crossings by row; of objects `confirmed` just now the earlier ones too."""
        crossed = self._cross(objects)
        if not confirmed and not crossed:
            return ()
        rows = sorted({*confirmed, *crossed})
        told = [(row, self._untold[row]) for row in rows if objects.rows["confirmed"][row]]
        for row, _ in told:
            self._untold[row] = []
        return [(row, untold) for row, untold in told if untold]

    def _cross(self, objects: Objects) -> Sequence[int]:
        """Note who crossed what with this frame, and return the rows of those."""
        rows = self.rows
        points = objects.anchors(self._heights)
        distance = self._distance(points)
        sign = np.where(distance >= 0, 1.0, -1.0)
        if not self._unclear and not np.count_nonzero(rows["sign"] != sign):
            rows["point"] = points  # all are clearly where they were, and who is not shown has not moved
            return ()
        shown: Bools | Literal[True] = objects.all_shown or objects.rows["shown"][:, None]
        changed = rows["sign"] == -sign
        if np.count_nonzero(changed):
            self._step(changed & shown, points)
        rows["point"] = np.where(shown if shown is True else shown[..., None], points, rows["point"])
        np.copyto(rows["sign"], sign, where=shown)
        unclear = (rows["side"] != sign) | rows["through"]
        self._unclear = bool(np.count_nonzero(unclear))
        if not self._unclear:
            return ()
        unclear &= shown
        clear = unclear & (np.abs(distance) > self._margin(objects.rows["size"]))
        if not np.count_nonzero(clear):
            return ()
        crossed = clear & (rows["side"] == -sign) & rows["through"] & self._wanted[objects.rows["class_id"]]
        np.copyto(rows["side"], sign, where=clear)
        rows["through"] &= ~clear
        found = np.argwhere(crossed).tolist() if np.count_nonzero(crossed) else []
        for row, line in found:
            self._untold[row].append(Crossing(self._names[line], inwards=bool(sign[row, line] < 0)))
        return [row for row, _ in found]

    def _step(self, changed: Bools, points: Floats) -> None:
        """Note which of the steps `(n, lines)` that changed sides went through the line."""
        row, line = np.nonzero(changed)
        place = row, line if len(self._heights) > 1 else 0
        before, after = self.rows["point"][place], points[place]
        self.rows["through"][row, line] ^= crossings(before, after, self._start[line], self._end[line])

    def _distance(self, points: Floats) -> Floats:
        """Return `(n, lines)` what `side_of` says of the points."""
        away = points - self._start
        away *= self._high_wide
        return np.asarray(away[..., 0] - away[..., 1])

    def _margin(self, sizes: Floats) -> Floats:
        """Return `(n, lines)` what `side_of` gives at the distance that is clear.

        In units of a box of width w and height h, the distance from a line along (x, y) whose `side_of` is
        s is s / hypot(x h, y w).
        """
        return np.asarray(np.hypot(self._along_x * sizes[:, 1:], self._along_y * sizes[:, :1]))


class Tally:
    """Totals per line and label, which only grow; 0 for what nobody crossed yet."""

    def __init__(self, lines: Mapping[str, LineConfig], labels: Sequence[str], before: Totals) -> None:
        """Go on from what was counted `before`; lines and labels that are no more are left out."""
        self._counts = {
            name: {
                label: before.lines.get(name, {}).get(label, Crossings())
                for label in labels
                if line.classes is None or label in line.classes
            }
            for name, line in lines.items()
        }
        self._totals = self._frozen()

    @property
    def totals(self) -> Totals:
        """All that was counted."""
        return self._totals

    def add(self, label: str, crossed: Sequence[Crossing]) -> None:
        """Count crossings of an object of a label."""
        for crossing in crossed:
            counts = self._counts[crossing.line]
            then = counts[label]
            counts[label] = Crossings(then.inwards + crossing.inwards, then.outwards + (not crossing.inwards))
        self._totals = self._frozen()

    def _frozen(self) -> Totals:
        return Totals({name: dict(counts) for name, counts in self._counts.items()})
