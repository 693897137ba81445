"""What inference made of a frame of which parts may do, for people who want to see it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.events import Box
    from vigil.core.types import UInt8


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a picture, `box` in its pixels, and whether it is looked at as large as in a whole frame."""

    box: Box
    full_scale: bool


@dataclass(frozen=True, slots=True, eq=False)
class PackedInput:
    """An input of the model with parts of frames on it: `(h, w, 3)` BGR, parts where they lie on it.

    `share` is how much of an input for a whole frame it is.
    """

    bgr: UInt8
    parts: Sequence[Part]
    share: float = 1.0

    @property
    def used(self) -> float:
        """How much of an input for a whole frame parts take."""
        height, width = self.bgr.shape[:2]
        boxes = [part.box for part in self.parts]
        taken = sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)
        return float(self.share * taken / (width * height))


@dataclass(frozen=True, slots=True, eq=False)
class Looked:
    """What a frame was looked at for: all of it if `whole`, `why` says for what reason, else its `parts`.

    Parts are in frame pixels; there may be none, and then there is no input either.
    """

    whole: bool
    why: str = ""
    parts: Sequence[Part] = ()
    inputs: Sequence[PackedInput] = ()
