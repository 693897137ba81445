"""A picture of one object, or of a whole frame, as a JPEG of bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from vigil.analytics.annotate import encode_jpeg

if TYPE_CHECKING:
    from vigil.core.events import Box
    from vigil.core.types import Image, UInt8

_AROUND = 0.2
"""What is shown around an object on each side, in parts of its box's longer side."""
_LEAST = 160
"""Pixels that a cut-out has at least each way, where the frame has as many: a face needs its surroundings."""


def portrait(image: Image, box: Box | None, size: int, quality: int) -> bytes:
    """Return a JPEG of a frame, or of `box` (frame pixels) and a little around it.

    Its longest side has `size` pixels at most. Raises `PixelsError` where the pixels are of no use.
    """
    bgr = image.to_bgr()
    if box is not None:
        left, top, right, bottom = surroundings(box, image.width, image.height)
        bgr = bgr[top:bottom, left:right]
    return encode_jpeg(shrunk(bgr, size), quality)


def surroundings(box: Box, width: int, height: int) -> tuple[int, int, int, int]:
    """Return `x1, y1, x2, y2` of the cut-out that shows a box, whole pixels within the frame."""
    margin = _AROUND * max(box[2] - box[0], box[3] - box[1])
    left, right = _span(box[0] - margin, box[2] + margin, width)
    top, bottom = _span(box[1] - margin, box[3] + margin, height)
    return left, top, right, bottom


def shrunk(bgr: UInt8, size: int) -> UInt8:
    """Return an `(h, w, 3)` picture whose longest side has at most `size` pixels."""
    height, width = bgr.shape[:2]
    scale = size / max(height, width)
    if scale >= 1:
        return bgr
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(bgr, shape, interpolation=cv2.INTER_AREA), np.uint8)


def _span(first: float, last: float, limit: int) -> tuple[int, int]:
    """Return whole pixels from `first` to `last`, not fewer than `_LEAST`, moved into `0..limit`."""
    length = min(limit, max(_LEAST, round(last - first)))
    start = min(max(0, round((first + last - length) / 2)), limit - length)
    return start, start + length
