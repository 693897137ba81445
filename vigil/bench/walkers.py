"""Pictures and an engine's answers of people who walk, without any that really do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vigil.inference.heads import BINS, BOX, STRIDES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vigil.core.types import Float32, UInt8

SHAPE, CLASSES = (384, 640), 80
"""Of the model: input height and width, and how many classes it knows."""
WIDTH, HEIGHT = 1920, 1080
"""Of the picture, in pixels."""
_ANCHORS = 5040
_FINEST = STRIDES[0]
_NEXT_TO_NOTHING = 1e-6
_GRAIN = 8
"""Pixels of the picture's texture, which makes it as sharp as pictures of people are."""


class Picture:
    """A frame of a texture that nobody scales."""

    width, height = WIDTH, HEIGHT

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        grains = rng.integers(0, 256, (HEIGHT // _GRAIN, WIDTH // _GRAIN))
        fine = grains.repeat(_GRAIN, axis=0).repeat(_GRAIN, axis=1)
        for axis in (0, 1):
            fine = (fine + np.roll(fine, 1, axis) + np.roll(fine, 2, axis)) // 3
        self._luma = fine.astype(np.uint8)

    def write_rgb(self, out: Float32) -> None:
        """Leave everything as it is."""

    def luma(self, stride: int) -> UInt8:
        """Return the texture."""
        return self._luma[::stride, ::stride]

    def to_bgr(self) -> UInt8:
        """Return the texture."""
        return np.stack([self._luma] * 3, axis=2)


class Output:
    """The memory `(1, 4 + classes, anchors)` that an engine writes every answer to: near at hand."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self._noise = np.zeros((1, 4 + CLASSES, _ANCHORS), np.float32)
        self._noise[0, :2] = rng.uniform(0, SHAPE[1], (2, _ANCHORS))
        self._noise[0, 2:4] = 8
        self._noise[0, 4:] = rng.uniform(0, 0.02, (CLASSES, _ANCHORS))
        self._now = self._noise.copy()
        self._anchors: NDArray[np.intp] = np.empty(0, np.intp)

    def answer(self, anchors: NDArray[np.intp], columns: Float32, _image: int = 0) -> Float32:
        """Return an answer with these columns `(n, 4 + classes)`; valid until the next one."""
        self._now[0, :, self._anchors] = self._noise[0, :, self._anchors]
        self._now[0, :, anchors] = columns
        self._anchors = anchors
        return self._now


class Distances:
    """The same of a network that ends before its boxes, `(b, 64 + classes, anchors)`: see `DistanceHead`."""

    def __init__(self, images: int = 1) -> None:
        """Have memory for so many images at once."""
        rng = np.random.default_rng(0)
        rows = BOX * BINS
        self._noise = np.zeros((rows + CLASSES, _ANCHORS), np.float32)
        self._noise[:rows] = rng.normal(0, 1, (rows, _ANCHORS))
        self._noise[rows:] = _logit(rng.uniform(0.0001, 0.02, (CLASSES, _ANCHORS)))
        self.now = np.stack([self._noise] * images)
        self._anchors = [np.empty(0, np.intp)] * images

    def answer(self, _anchors: NDArray[np.intp], columns: Float32, image: int = 0) -> Float32:
        """Return an answer with these columns for an image, each at the anchor in the middle of its box."""
        centre, half = columns[:, :2], columns[:, 2:4] / 2
        cell = np.minimum(centre // _FINEST, [SHAPE[1] // _FINEST - 1, SHAPE[0] // _FINEST - 1])
        off = (cell + 0.5) * _FINEST - centre
        strides = np.clip(np.concatenate([half + off, half - off], axis=1) / _FINEST, 0, BINS - 1.01)
        share = np.maximum(1 - np.abs(strides[:, :, None] - np.arange(BINS)), _NEXT_TO_NOTHING)
        now, before = self.now[image], self._anchors[image]
        now[:, before] = self._noise[:, before]
        anchors = (cell[:, 1] * (SHAPE[1] // _FINEST) + cell[:, 0]).astype(np.intp)
        now[: BOX * BINS, anchors] = np.log(share).reshape(len(columns), -1).T
        now[BOX * BINS :, anchors] = _logit(columns[:, 4:]).T
        self._anchors[image] = anchors
        return self.now


def _logit(score: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.log(score / (1 - score)))


class Answers:
    """What an engine answers to a camera that sees people walk."""

    def __init__(self, objects: int, seed: int, output: Output | Distances, image: int = 0) -> None:
        """Answer as this image of a batch."""
        rng = np.random.default_rng(seed)
        self._output = output
        self._image = image
        self._columns = rng.uniform(0.0001, 0.02, (objects, 4 + CLASSES)).astype(np.float32)
        self._anchors = rng.choice(_ANCHORS, objects, replace=False)
        self._start = rng.uniform(0, (SHAPE[1], SHAPE[0]), (objects, 2))
        self._velocity = rng.normal(0, 12, (objects, 2))
        self._columns[:, 2:4] = rng.uniform((14, 30), (30, 72), (objects, 2))
        self._columns[:, 4] = rng.uniform(0.55, 0.9, objects)

    def at(self, now: float) -> Float32:
        """Return the output at a time in seconds; valid until the next call of any camera's."""
        self._columns[:, :2] = (self._start + self._velocity * now) % (SHAPE[1], SHAPE[0])
        return self._output.answer(self._anchors, self._columns, self._image)
