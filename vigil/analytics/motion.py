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
        plane = np.ascontiguousarray(luma)
        model = self._model
        if model is None or model.shape != plane.shape:
            self._model = _Model(plane, _watched(self._masks, plane.shape), now, self._sensitivity)
            return _LEARNING
        return model.look(_features(plane), now)

    def stirs(self, luma: UInt8) -> bool:
        """Tell whether something moves in a plane, or light has changed; learns nothing from it.

        True while there is too little to compare with.
        """
        plane = np.ascontiguousarray(luma)
        model = self._model
        return model is None or model.shape != plane.shape or model.stirs(_features(plane))

    @property
    def settled(self) -> bool:
        """Whether the picture has been learnt."""
        return self._model is not None and self._model.settled


class _Model:
    """Averages `(2, h, w)` of what `_features` returns, and the noise `(h, w)`, of one plane size."""

    def __init__(self, plane: UInt8, watched: UInt8, now: float, sensitivity: float) -> None:
        self.shape = plane.shape
        self._times_noise, self._least_contrast = _TIMES_NOISE / sensitivity, _LEAST_CONTRAST / sensitivity
        self._background = _features(plane)
        self._fast = self._background.copy()
        self._noise = np.full(plane.shape, _NOISE_AT_FIRST, np.float32)
        self._watched = watched
        self._looks = 0
        self._last = now

    @property
    def settled(self) -> bool:
        """Whether enough looks have been learnt from."""
        return self._looks > _SETTLING

    def look(self, features: Float32, now: float) -> Motion:
        """Return what moves in this frame and learn from it."""
        elapsed, self._last = max(0.0, now - self._last), now
        self._looks += 1
        threshold = self._threshold()
        shift = cv2.absdiff(features, self._fast)
        if _is_sudden(shift, threshold):
            self._start_over(features)
            return _LEARNING
        change, foreground = self._change(features, shift)
        self._learn(features, change, (foreground > threshold).view(np.uint8), elapsed)
        if not self.settled:
            return _LEARNING
        return _gathered((change > threshold).view(np.uint8) & self._watched)

    def stirs(self, features: Float32) -> bool:
        """Tell whether something moves in this frame, or light has changed, or neither can be told yet."""
        threshold = self._threshold()
        shift = cv2.absdiff(features, self._fast)
        if not self.settled or _is_sudden(shift, threshold):
            return True
        change, _ = self._change(features, shift)
        return _gathered((change > threshold).view(np.uint8) & self._watched).active

    def _threshold(self) -> Float32:
        threshold: Float32 = np.maximum(self._noise * self._times_noise, self._least_contrast)
        return threshold

    def _change(self, features: Float32, shift: Float32) -> tuple[Float32, Float32]:
        """Return by how much each cell differs from both averages, and from the background."""
        differs = cv2.absdiff(features, self._background)
        foreground = cv2.min(differs[0], differs[1])
        # Of the two differences the lesser: what somebody has just uncovered is neither motion nor noise.
        return cv2.min(cv2.min(shift[0], shift[1]), foreground), foreground

    def _start_over(self, features: Float32) -> None:
        """Take this picture for the background: the old one was of another light."""
        self._background[:] = features
        self._fast[:] = features
        self._looks = 0

    def _learn(self, features: Float32, change: Float32, standing: UInt8, elapsed: float) -> None:
        first = 1 / (self._looks + 1)
        usual, guarded = max(_share(elapsed, _BACKGROUND), first), _share(elapsed, _GUARDED)
        free = 1 - standing
        for each, fast, background in zip(features, self._fast, self._background, strict=True):
            cv2.accumulateWeighted(each, fast, max(_share(elapsed, _FAST), first))
            cv2.accumulateWeighted(each, background, usual, free)
            cv2.accumulateWeighted(each, background, guarded, standing)
        # Clipped: what is there for less than half of the time, an object, barely raises the level.
        clipped = np.minimum(change, self._noise * 2 + _NOISE_STEP)
        cv2.accumulateWeighted(clipped, self._noise, max(_share(elapsed, _NOISE), first))


def _features(plane: UInt8) -> Float32:
    """Return `(2, h, w)`: the logarithm of luma, and how far it is off that of its neighbourhood."""
    features = np.empty((2, *plane.shape), np.float32)
    cv2.LUT(cv2.blur(plane, (3, 3)), _LOG, features[0])
    cv2.subtract(features[0], cv2.LUT(cv2.blur(plane, _NEIGHBOURHOOD), _LOG), features[1])
    return features


def _is_sudden(shift: Float32, threshold: Float32) -> bool:
    return bool(np.count_nonzero(shift[0] > threshold) > _SUDDEN * threshold.size)


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


def _gathered(moving: UInt8) -> Motion:
    """Return the groups of moving cells that are large enough; single cells are noise."""
    solid = cv2.medianBlur(moving, 3)
    if cv2.countNonZero(solid) < _LEAST_CELLS:
        return STILL
    # Contours are found in a fifth of the time that OpenCV's labelling takes on so small a plane.
    outlines, _ = cv2.findContours(cv2.dilate(solid, _JOIN), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    boxes, cells = [], 0
    for left, top, wide, high in map(cv2.boundingRect, outlines):
        count = cv2.countNonZero(solid[top : top + high, left : left + wide])
        if count >= _LEAST_CELLS:
            boxes.append((left, top, left + wide, top + high))
            cells += count
    if not boxes:
        return STILL
    height, width = moving.shape
    corners = np.array(boxes, np.float32)
    corners /= np.array([width, height, width, height], np.float32)
    return Motion(active=True, area=min(1.0, cells / moving.size), boxes=corners)
