"""Whether something moves in a camera's picture: a background model on a coarse luma plane.

Looked at for every decoded frame, inferred or not, so it has to cost next to nothing. It works on the
logarithm of luma, where light that comes or goes is an offset, by itself and relative to its neighbourhood:
a lamp, the sun or the camera's exposure shift whole neighbourhoods, an object differs from its own.

Two running averages are kept: the slow one is the background, the fast one the last half second. What
differs from both moves; what differs from the background only was put there and stands; what differs from
the fast one only has just been uncovered. Thresholds follow each cell's own noise, so a sensor at night
and a tree in the wind raise theirs. Two rates: Porikli et al., 2008, "Robust abandoned object detection
using dual foregrounds"; noise: the clipped estimator of Manzanera and Richefeu, 2007.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cv2.typing import MatLike

    from vigil.core.types import Float32, UInt8

    Polygon = Sequence[tuple[float, float]]

_CELLS = 128
"""Longest side of the plane, at most."""
_LOG = np.log(np.arange(256, dtype=np.float32) + np.float32(8))
"""The offset keeps the noise of black within bounds."""

_FAST = 0.5
"""Time constants in seconds: of the fast average,"""
_BACKGROUND = 20.0
"""of the background,"""
_GUARDED = 120.0
"""of the background where the picture differs from it: no slow walker may sink in,"""
_NOISE = 8.0
"""and of the noise level."""

_NOISE_AT_FIRST, _NOISE_STEP = 0.06, 0.002
_LEAST_CONTRAST = 0.08
"""Differences of log luma below this, about eight per cent, are never motion."""
_TIMES_NOISE = 7.0
"""Threshold over the noise level, a mean absolute difference: five standard deviations and more."""
_NEIGHBOURHOOD = (21, 21)
"""Cells that a lamp or the sun light alike."""
_SUDDEN = 0.5
"""Share of the cells that change at once when light or camera mode do."""
_SETTLING = 3
"""Looks that only learn, at first and after such a change."""
_LEAST_CELLS = 5
"""Cells that must move together."""
_JOIN = np.ones((5, 5), np.uint8)
"""Moving cells at most this close belong to one box."""


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What moves in one frame: its share of the picture, and `(m, 4)` boxes in fractions of the frame.

    Boxes are the union of neighbouring moving cells, some cells wider than what moves.
    """

    active: bool
    area: float
    boxes: Float32
    known: bool = True
    """Whether all that moves is in `boxes`; not while the picture, or a new light, is being learnt."""


STILL = Motion(active=False, area=0.0, boxes=np.empty((0, 4), np.float32))
_LEARNING = Motion(active=False, area=0.0, boxes=np.empty((0, 4), np.float32), known=False)


def stride_of(width: int, height: int) -> int:
    """Return the stride of the luma plane for frames of that size."""
    return -(-max(width, height) // _CELLS)


class MotionDetector:
    """Follows one camera's picture; `look` is called for every frame, from one thread at a time."""

    def __init__(self, masks: Sequence[Polygon] = (), sensitivity: float = 1.0) -> None:
        """Look outside of `masks`, polygons in fractions of the frame; thresholds go by 1 / `sensitivity`."""
        self._masks = masks
        self._sensitivity = sensitivity
        self._model: _Model | None = None

    def look(self, luma: UInt8, now: float) -> Motion:
        """Return what moves, after one more luma plane `(h, w)` taken with `stride_of`; `now` in seconds."""
        model = self._model
        if model is None or model.shape != luma.shape:
            self._model = _Model(luma, _watched(self._masks, luma.shape), now, self._sensitivity)
            return _LEARNING
        return model.look(luma, now)

    def stirs(self, luma: UInt8) -> bool:
        """Tell whether something moves in a plane, or light has changed; learns nothing from it.

        True while there is too little to compare with.
        """
        model = self._model
        return model is None or model.shape != luma.shape or model.stirs(luma)

    @property
    def settled(self) -> bool:
        """Whether the picture has been learnt."""
        return self._model is not None and self._model.settled


class _Scratch:
    """Planes of one size that every look uses again: what is looked at so often must not allocate."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.plane, self.blurred, self.free, self.moving, self.solid = (
            np.empty(shape, np.uint8) for _ in range(5)
        )
        self.features, self.shift, self.differs = (np.empty((2, *shape), np.float32) for _ in range(3))
        self.level, self.threshold, self.foreground, self.change, self.limit = (
            np.empty(shape, np.float32) for _ in range(5)
        )
        self.above = np.empty(shape, np.bool_)

    def fill(self, luma: UInt8) -> Float32:
        """Return `(2, h, w)`: the logarithm of luma, and how far it is off that of its neighbourhood."""
        logarithm, relative = self.features
        np.copyto(self.plane, luma)
        cv2.LUT(cv2.blur(self.plane, (3, 3), self.blurred), _LOG, logarithm)
        cv2.LUT(cv2.blur(self.plane, _NEIGHBOURHOOD, self.blurred), _LOG, self.level)
        cv2.subtract(logarithm, self.level, relative)
        return self.features

    def over(self, values: Float32) -> UInt8:
        """Return 1 where values exceed the threshold and 0 elsewhere; valid until the next call."""
        return np.greater(values, self.threshold, out=self.above).view(np.uint8)


class _Model:
    """Averages `(2, h, w)` of luma's features, and the noise `(h, w)`, of one plane size."""

    def __init__(self, luma: UInt8, watched: UInt8, now: float, sensitivity: float) -> None:
        self.shape = luma.shape
        self._scratch = _Scratch(luma.shape)
        self._times_noise, self._least_contrast = _TIMES_NOISE / sensitivity, _LEAST_CONTRAST / sensitivity
        self._background = self._scratch.fill(luma).copy()
        self._fast = self._background.copy()
        self._noise = np.full(luma.shape, _NOISE_AT_FIRST, np.float32)
        self._watched = watched
        self._looks = 0
        self._last = now

    @property
    def settled(self) -> bool:
        """Whether enough looks have been learnt from."""
        return self._looks > _SETTLING

    def look(self, luma: UInt8, now: float) -> Motion:
        """Return what moves in this frame and learn from it."""
        elapsed, self._last = max(0.0, now - self._last), now
        self._looks += 1
        if self._is_sudden(luma):
            self._start_over()
            return _LEARNING
        self._compare()
        self._learn(elapsed)
        return self._gathered() if self.settled else _LEARNING

    def stirs(self, luma: UInt8) -> bool:
        """Tell whether something moves in this frame, or light has changed, or neither can be told yet."""
        if not self.settled or self._is_sudden(luma):
            return True
        self._compare()
        return self._gathered().active

    def _is_sudden(self, luma: UInt8) -> bool:
        """Take a frame and tell whether most of it is other than just before."""
        scratch = self._scratch
        cv2.absdiff(scratch.fill(luma), self._fast, scratch.shift)
        np.multiply(self._noise, self._times_noise, out=scratch.threshold)
        np.maximum(scratch.threshold, self._least_contrast, out=scratch.threshold)
        return bool(np.count_nonzero(scratch.over(scratch.shift[0])) > _SUDDEN * scratch.threshold.size)

    def _compare(self) -> None:
        """Find by how much each cell differs from both averages, and from the background."""
        scratch = self._scratch
        cv2.absdiff(scratch.features, self._background, scratch.differs)
        cv2.min(scratch.differs[0], scratch.differs[1], scratch.foreground)
        # Of the two differences the lesser: what somebody has just uncovered is neither motion nor noise.
        cv2.min(scratch.shift[0], scratch.shift[1], scratch.change)
        cv2.min(scratch.change, scratch.foreground, scratch.change)

    def _start_over(self) -> None:
        """Take this picture for the background: the old one was of another light."""
        self._background[:] = self._fast[:] = self._scratch.features
        self._looks = 0

    def _learn(self, elapsed: float) -> None:
        scratch, first = self._scratch, 1 / (self._looks + 1)
        usual, guarded = max(_share(elapsed, _BACKGROUND), first), _share(elapsed, _GUARDED)
        standing = scratch.over(scratch.foreground)
        np.subtract(1, standing, out=scratch.free)
        for each, fast, background in zip(scratch.features, self._fast, self._background, strict=True):
            cv2.accumulateWeighted(each, fast, max(_share(elapsed, _FAST), first))
            cv2.accumulateWeighted(each, background, usual, scratch.free)
            cv2.accumulateWeighted(each, background, guarded, standing)
        # Clipped: what is there for less than half of the time, an object, barely raises the level.
        np.multiply(self._noise, 2, out=scratch.limit)
        scratch.limit += _NOISE_STEP
        np.minimum(scratch.change, scratch.limit, out=scratch.limit)
        cv2.accumulateWeighted(scratch.limit, self._noise, max(_share(elapsed, _NOISE), first))

    def _gathered(self) -> Motion:
        """Return the groups of moving cells that are large enough; single cells are noise."""
        scratch = self._scratch
        moving = np.bitwise_and(scratch.over(scratch.change), self._watched, out=scratch.moving)
        solid = cv2.medianBlur(moving, 3, scratch.solid)
        if cv2.countNonZero(solid) < _LEAST_CELLS:
            return STILL
        # Contours are found in a fifth of the time that OpenCV's labelling takes on so small a plane.
        wide = cv2.dilate(solid, _JOIN, moving)
        outlines, _ = cv2.findContours(wide, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        return _joined(outlines, scratch.solid)


def _share(elapsed: float, constant: float) -> float:
    """Return the weight of a picture in an average with that time constant."""
    return -math.expm1(-elapsed / constant)


def _watched(masks: Sequence[Polygon], shape: tuple[int, ...]) -> UInt8:
    """Return 1 for cells that count and 0 for those in a mask."""
    height, width = shape
    watched = np.ones((height, width), np.uint8)
    for polygon in masks:
        # Cell centres lie half a cell off the picture's corner.
        corners = np.asarray(polygon, np.float64) * (width, height) - 0.5
        cv2.fillPoly(watched, [corners.round().astype(np.int32)], (0,))
    return watched


def _joined(outlines: Sequence[MatLike], solid: UInt8) -> Motion:
    """Return what moves: the outlines that hold enough of the solid cells."""
    boxes, cells = [], 0
    for left, top, wide, high in map(cv2.boundingRect, outlines):
        count = cv2.countNonZero(solid[top : top + high, left : left + wide])
        if count >= _LEAST_CELLS:
            boxes.append((left, top, left + wide, top + high))
            cells += count
    if not boxes:
        return STILL
    height, width = solid.shape
    corners = np.array(boxes, np.float32)
    corners /= np.array([width, height, width, height], np.float32)
    return Motion(active=True, area=min(1.0, cells / solid.size), boxes=corners)
