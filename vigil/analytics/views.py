"""Which frame shows an object best: confident, large, sharp, and not cut off by the frame's edge."""

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


class BestViews(Rows):
    """The quality, 0 to 1, of every object's best view so far."""

    def __init__(self) -> None:
        super().__init__(np.zeros(1, [("quality", "f8")]))

    def update(self, objects: Objects, scale: Floats, sharpness: Sharpness | None) -> Sequence[int]:
        """Return the rows of confirmed objects that this frame shows better than all before.

        `sharpness` is asked only of those whose view would be the best if it were sharp.
        """
        box, best = objects.rows["box"], self.rows["quality"]
        quality = objects.rows["confidence"] * np.sqrt(np.minimum(objects.rows["area"] / _LARGE, 1))
        better = (quality > best * _BETTER) & objects.rows["shown"] & objects.rows["confirmed"]
        if not np.count_nonzero(better):
            return ()
        rows = []
        for row in better.nonzero()[0].tolist():
            worth = float(quality[row])
            there = box[row].tolist()
            if min(there) < _EDGE or max(there) > 1 - _EDGE:
                worth *= _CUT_OFF
            if sharpness is not None and worth > best[row] * _BETTER:
                worth *= (1 + sharpness(pixels(box[row], scale))) / 2
            if worth > best[row] * _BETTER:
                best[row] = worth
                rows.append(row)
        return rows

    def quality(self, row: int) -> float:
        """Return the quality of an object's best view."""
        return float(self.rows["quality"][row])


def pixels(box: Floats, scale: Floats) -> Box:
    """Return a box in frame pixels, clipped to the frame: predictions reach beyond it."""
    left, top, right, bottom = (np.clip(box, 0, 1) * scale).tolist()
    return left, top, right, bottom
