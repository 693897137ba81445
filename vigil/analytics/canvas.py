"""A picture that is drawn into: smooth lines at any size, and plates of text that do not cover each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from vigil.core.types import UInt8

Colour: TypeAlias = tuple[int, int, int]
"""RGB."""
Spot: TypeAlias = tuple[float, float]
"""x and y in pixels."""

CLASS_COLOURS: tuple[Colour, ...] = (
    (66, 133, 244),
    (219, 68, 55),
    (15, 157, 88),
    (244, 160, 0),
    (171, 71, 188),
    (0, 172, 193),
)
"""One after another by class id."""

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_DARK_TEXT_FROM = 150
_SHIFT = 4
"""Bits of a pixel's fraction, so that lines do not jump from pixel to pixel."""
_STEPS = 40
"""Places below its first one that are tried for a plate."""


class Canvas:
    """A copy of an `(h, w, 3)` BGR picture in `bgr`; sizes of strokes and text go by the picture's."""

    def __init__(self, bgr: UInt8) -> None:
        self.bgr = bgr.copy()
        self.height, self.width = bgr.shape[:2]
        unit = max(self.width, self.height) / 1280
        self.stroke = max(1, math.ceil(2 * unit))
        self._scale = max(0.45, 0.6 * unit)
        self._ink = max(1, round(1.3 * unit))
        self._taken: list[tuple[int, int, int, int]] = []
        """Corners of the plates, `left, top, right, bottom`, in the order of `_plates`."""
        self._plates: list[tuple[str, Colour]] = []

    def spot(self, fraction: Sequence[float]) -> Spot:
        """Return where a point in fractions of the picture lies."""
        return fraction[0] * self.width, fraction[1] * self.height

    def rectangle(self, box: Sequence[float], colour: Colour, *, width: float = 1.0) -> None:
        """Draw the edges of `x1, y1, x2, y2`, in pixels, `width` times as thick as usual."""
        left, top, right, bottom = box
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        self.line(corners, colour, width=width, closed=True)

    def line(
        self, spots: Sequence[Spot], colour: Colour, *, width: float = 1.0, closed: bool = False
    ) -> None:
        """Draw from spot to spot, `width` times as thick as usual."""
        thick = max(1, round(self.stroke * width))
        points = self._fixed(spots)
        cv2.polylines(self.bgr, [points], closed, colour[::-1], thick, cv2.LINE_AA, _SHIFT)

    def dot(self, spot: Spot, colour: Colour) -> None:
        """Draw a filled circle."""
        radius = round(2.2 * self.stroke * (1 << _SHIFT))
        (centre,) = self._fixed([spot]).tolist()
        cv2.circle(self.bgr, centre, radius, colour[::-1], cv2.FILLED, cv2.LINE_AA, _SHIFT)

    def arrow(self, start: Spot, end: Spot, colour: Colour) -> None:
        """Draw an arrow whose head is as long as half of it."""
        tail, tip = np.array(start), np.array(end)
        neck, aside = (tail + tip) / 2, (tip - tail)[::-1] * (0.3, -0.3)
        self.line([start, (float(neck[0]), float(neck[1]))], colour)
        head = self._fixed([end, (neck + aside).tolist(), (neck - aside).tolist()])
        cv2.fillPoly(self.bgr, [head], colour[::-1], cv2.LINE_AA, _SHIFT)

    def tint(self, polygons: Iterable[Sequence[Spot]], colour: Colour, share: float) -> None:
        """Colour areas so that what they show is still seen."""
        tinted = self.bgr.copy()
        for polygon in polygons:
            cv2.fillPoly(tinted, [self._fixed(polygon)], colour[::-1], cv2.LINE_AA, _SHIFT)
        self.bgr = np.asarray(cv2.addWeighted(tinted, share, self.bgr, 1 - share, 0), np.uint8)

    def size_of(self, text: str) -> tuple[int, int]:
        """Return the width and height of a text's plate."""
        (width, height), base = cv2.getTextSize(text, _FONT, self._scale, self._ink)
        return width + 2 * self._margin, height + base + self._margin

    def plate(self, text: str, colour: Colour, places: Sequence[Spot]) -> None:
        """Plan a text where none is yet: its upper left corner at the first free of `places`, or near it."""
        width, height = self.size_of(text)
        left, top = self._free(places, width, height)
        self._taken.append((left, top, left + width, top + height))
        self._plates.append((text, colour))

    def finished(self) -> UInt8:
        """Return the picture with its plates, which lie over everything that was drawn."""
        for (text, colour), corners in zip(self._plates, self._taken, strict=True):
            self._write(text, colour, corners)
        return self.bgr

    def _write(self, text: str, colour: Colour, corners: tuple[int, int, int, int]) -> None:
        left, top, right, bottom = corners
        # OpenCV draws the last row and column too, and cuts off what lies over the picture's edge.
        cv2.rectangle(self.bgr, (left, top), (right - 1, bottom - 1), colour[::-1], cv2.FILLED)
        ink = (0, 0, 0) if sum(colour) / 3 > _DARK_TEXT_FROM else (255, 255, 255)
        (_, tall), _ = cv2.getTextSize(text, _FONT, self._scale, self._ink)
        spot = (left + self._margin, top + tall + self._margin // 2 + 1)
        cv2.putText(self.bgr, text, spot, _FONT, self._scale, ink, self._ink, cv2.LINE_AA)

    @property
    def _margin(self) -> int:
        return int(2 + 2 * self.stroke)

    def _free(self, places: Sequence[Spot], width: int, height: int) -> tuple[int, int]:
        inside = [self._inside(place, width, height) for place in places]
        left, top = inside[0]
        lower = [self._inside((left, top + step * height / 2), width, height) for step in range(_STEPS)]
        for left, top in (*inside, *lower):
            if not self._covers(left, top, left + width, top + height):
                return left, top
        return inside[0]

    def _inside(self, place: Spot, width: int, height: int) -> tuple[int, int]:
        left, top = (
            min(max(round(at), 0), max(most, 0))
            for at, most in zip(place, (self.width - width, self.height - height), strict=True)
        )
        return left, top

    def _covers(self, left: int, top: int, right: int, bottom: int) -> bool:
        return any(left < r and right > le and top < b and bottom > t for le, t, r, b in self._taken)

    def _fixed(self, spots: Sequence[Sequence[float]]) -> NDArray[np.int32]:
        """Return spots in OpenCV's fixed point; what lies far outside is drawn no further than it is seen."""
        size = np.array([self.width, self.height], np.float64)
        near = np.clip(np.array(spots, np.float64), -size, 2 * size)
        return np.asarray((near * (1 << _SHIFT)).round(), np.int32)
