"""Which frame shows an object best: confident, large, sharp, and not cut off by the frame's edge.

To measure sharpness costs more than all else that a scene does with an object, so a view that was measured
and found not sharp enough is not followed by one that promises no more, for as long as the object had been
there: who stands before the camera is measured ever more rarely, and who comes nearer, again and again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from vigil.analytics.objects import Rows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vigil.analytics.objects import Objects
    from vigil.core.events import Box
    from vigil.core.geometry import Floats

Sharpness: TypeAlias = "Callable[[Box], float]"
"""How sharp the frame at hand is in a box, in frame pixels: 0 is all blurred, 1 as sharp as can be."""

_LARGE = 0.05
"""Part of the frame from which on a larger box shows no more."""
_EDGE = 0.005
_CUT_OFF = 0.5
_BETTER = 1.1
"""A view replaces another that it exceeds by a tenth: each costs a picture."""
_AGAIN = 1.0
"""Seconds after which what promises no more than a view that was tried is tried too, at least."""


class BestViews(Rows):
    """The quality, 0 to 1, of every object's best view so far."""

    def __init__(self) -> None:
        # What a view has to promise for it to be tried, which goes down to what would be better `at` a time.
        fresh = np.zeros(1, [("quality", "f8"), ("needed", "f8"), ("at", "f8")])
        fresh["at"] = np.inf
        super().__init__(fresh)
        self._next = np.inf
        """The first of those times."""

    def update(
        self, time: float, objects: Objects, scale: Floats, sharpness: Sharpness | None
    ) -> Sequence[int]:
        """Return the rows of confirmed objects that this frame shows better than all before.

        `sharpness` is asked only of those whose view would be the best if it were sharp.
        """
        of, mine = objects.rows, self.rows
        if time >= self._next:
            self._lower(time)
        promise = of["confidence"] * np.sqrt(np.minimum(of["area"] / _LARGE, 1))
        promising = (promise > mine["needed"]) & of["shown"] & of["confirmed"]
        if not np.count_nonzero(promising):
            return ()
        rows = []
        for row in promising.nonzero()[0].tolist():
            worth, there = float(promise[row]), of["box"][row].tolist()
            if min(there) < _EDGE or max(there) > 1 - _EDGE:
                worth *= _CUT_OFF
            if worth > mine["needed"][row]:
                self._raise(row, worth, time + max(_AGAIN, time - float(of["first"][row])))
                if sharpness is not None:
                    worth *= (1 + sharpness(pixels(of["box"][row], scale))) / 2
                if worth > mine["quality"][row] * _BETTER:
                    mine["quality"][row] = worth
                    rows.append(row)
        return rows

    def _raise(self, row: int, tried: float, until: float) -> None:
        """Try no view of an object that promises no more than the one that is `tried` now."""
        self.rows["needed"][row], self.rows["at"][row] = tried * _BETTER, until
        self._next = min(self._next, until)

    def _lower(self, time: float) -> None:
        """Try what would be better than the best, of the objects for which it is time."""
        rows = self.rows
        due = rows["at"] <= time
        np.copyto(rows["needed"], rows["quality"] * _BETTER, where=due)
        rows["at"][due] = np.inf
        self._next = rows["at"].min(initial=np.inf)

    def quality(self, row: int) -> float:
        """Return the quality of an object's best view."""
        return float(self.rows["quality"][row])


def pixels(box: Floats, scale: Floats) -> Box:
    """Return a box in frame pixels, clipped to the frame: predictions reach beyond it."""
    left, top, right, bottom = (
        min(max(0.0, side), 1.0) * whole for side, whole in zip(box.tolist(), scale.tolist(), strict=True)
    )
    return left, top, right, bottom
