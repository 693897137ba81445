"""Whether a camera's picture still shows something: frozen, black and blinded pictures are told apart.

A camera that delivers frames is not yet a camera that sees. Looked at about once a second, on a coarse
grid of the luma plane, in some tens of microseconds.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from vigil.core.types import Condition

if TYPE_CHECKING:
    from vigil.core.types import UInt8

PERIOD = 1.0
"""Seconds between looks."""
STRIDE = 8
"""Grid over the luma plane, in pixels."""

_BLACK_BELOW = 32
"""Mean luma (0..255); video black is 16."""
_FLAT_BELOW = 4.0
"""Standard deviation of luma under which a picture shows nothing; a lit room at night has over 10."""
_LOOKS = 5
"""Looks in a row that must agree before a black or blinded picture is believed."""


class ConditionCheck:
    """Follows one camera's picture; `look` is called about every `PERIOD` seconds."""

    def __init__(self, frozen_after: float) -> None:
        """`frozen_after` is in seconds; 0 never calls a picture frozen."""
        self._frozen_after = frozen_after
        self._print: int | None = None
        self._same_since = 0.0
        self._suspect = Condition.OK
        self._looks = 0
        self.condition = Condition.OK

    def look(self, luma: UInt8, now: float) -> Condition:
        """Return the condition after one more coarse luma plane `(h, w)`; `now` is in seconds."""
        flat = self._flatness(luma)
        self._looks = self._looks + 1 if flat is self._suspect else 1
        self._suspect = flat
        frozen = self._is_frozen(luma, now)
        if flat is not Condition.OK:
            # An even surface is often the same to the last bit, too; its cause is named first.
            if self._looks >= _LOOKS:
                self.condition = flat
        else:
            self.condition = Condition.FROZEN if frozen else Condition.OK
        return self.condition

    def _flatness(self, luma: UInt8) -> Condition:
        if luma.std() >= _FLAT_BELOW:
            return Condition.OK
        return Condition.BLACK if luma.mean() < _BLACK_BELOW else Condition.BLINDED

    def _is_frozen(self, luma: UInt8, now: float) -> bool:
        fingerprint = zlib.crc32(luma.tobytes())
        if fingerprint != self._print:
            self._print, self._same_since = fingerprint, now
        return 0 < self._frozen_after <= now - self._same_since
