"""Still pictures as images and as cameras.

`photo:<file>` is a virtual camera that pans and zooms over a photograph, so that a demo, a test or a
benchmark has real people in moving pictures without any footage.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote

import cv2
import numpy as np

from vigil.errors import NotFoundError, UnsupportedError
from vigil.video.source import Pause, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vigil.core.types import Float32, UInt8

_TOUR = 40.0
"""Seconds for one round over the photograph."""
_CLOSEST = 0.75
"""Share of the widest view that the closest one shows."""


class ArrayImage:
    """A picture in memory, `(h, w, 3)` uint8 BGR."""

    __slots__ = ("_bgr",)

    def __init__(self, bgr: UInt8) -> None:
        self._bgr = bgr

    @property
    def width(self) -> int:
        """Pixels per row."""
        return int(self._bgr.shape[1])

    @property
    def height(self) -> int:
        """Rows."""
        return int(self._bgr.shape[0])

    def write_rgb(self, out: Float32) -> None:
        """Scale (bilinear) into `out`, a `(3, h, w)` float32 view, as RGB planes in 0..1."""
        _, height, width = out.shape
        scaled = cv2.resize(self._bgr, (width, height), interpolation=cv2.INTER_LINEAR)
        for index, plane in enumerate(reversed(cv2.split(scaled))):
            np.multiply(plane, np.float32(1 / 255), out=out[index])

    def luma(self, stride: int) -> UInt8:
        """Return every `stride`-th pixel of every `stride`-th row as luma, `(h, w)`."""
        coarse = np.ascontiguousarray(self._bgr[::stride, ::stride])
        return np.asarray(cv2.cvtColor(coarse, cv2.COLOR_BGR2GRAY), np.uint8)

    def to_bgr(self) -> UInt8:
        """Return the picture itself."""
        return self._bgr


@dataclass(frozen=True, slots=True)
class View:
    """What a photo camera shows: picture size, frames per second, and where on its tour it starts (0..1)."""

    width: int = 1280
    height: int = 720
    fps: float = 10.0
    phase: float = 0.0


class ViewImage:
    """A window onto a photograph, scaled to the camera's size only when somebody asks for pixels."""

    __slots__ = ("_view", "_window")

    def __init__(self, window: UInt8, view: View) -> None:
        self._window = window
        self._view = view

    @property
    def width(self) -> int:
        """Pixels per row."""
        return self._view.width

    @property
    def height(self) -> int:
        """Rows."""
        return self._view.height

    def write_rgb(self, out: Float32) -> None:
        """Scale (bilinear) into `out`, a `(3, h, w)` float32 view, as RGB planes in 0..1."""
        ArrayImage(self._window).write_rgb(out)

    def luma(self, stride: int) -> UInt8:
        """Return every `stride`-th pixel of every `stride`-th row as luma, `(h, w)`, of the window."""
        return ArrayImage(self._window).luma(stride)

    def to_bgr(self) -> UInt8:
        """Return the whole picture as `(height, width, 3)` uint8 BGR."""
        size = (self._view.width, self._view.height)
        return np.asarray(cv2.resize(self._window, size, interpolation=cv2.INTER_LINEAR), np.uint8)


class PhotoSource:
    """`photo:/path/to/picture.jpg?size=1280x720&fps=10&phase=0.25`."""

    codec = ""

    def __init__(self, url: str, pause: Pause) -> None:
        path, _, query = url.removeprefix("photo:").partition("?")
        self._path = Path(unquote(path))
        self._query = query
        self._pause = pause
        self._photo: UInt8 | None = None
        self._view = View()

    def open(self) -> None:
        """Read the photograph; raises `NotFoundError` or `UnsupportedError`."""
        self._view = parse_view(self._query)
        if not self._path.is_file():
            raise NotFoundError(f"there is no picture {self._path}")
        photo = cv2.imread(str(self._path), cv2.IMREAD_COLOR)
        if photo is None:
            raise UnsupportedError(f"{self._path} is no picture that can be read")
        self._photo = np.asarray(photo, np.uint8)

    def pictures(self) -> Iterator[Picture]:
        """Yield the tour's views at the camera's rate, for ever."""
        assert self._photo is not None, "open() first"  # noqa: S101 -- a caller's mistake, not a user's
        started = time.monotonic()
        number = 0
        while not self._pause(max(0.0, started + number / self._view.fps - time.monotonic())):
            pts = number / self._view.fps
            yield Picture(time.time(), pts, ViewImage(window(self._photo, self._view, pts), self._view))
            number += 1

    def close(self) -> None:
        """Let go of the photograph."""
        self._photo = None


def parse_view(query: str) -> View:
    """Read `size=WxH&fps=F&phase=P`; raises `UnsupportedError` that says what would be right."""
    try:
        given = {key: values[-1] for key, values in parse_qs(query, strict_parsing=bool(query)).items()}
        width, height = (int(part) for part in given.pop("size", "1280x720").split("x"))
        view = View(width, height, float(given.pop("fps", "10")), float(given.pop("phase", "0")))
    except ValueError:
        given, view = {"?": query}, View()
    if given or not _plausible(view):
        raise UnsupportedError(
            f"photo camera: ?{query} is not understood; use size=1280x720, fps=10 (up to 120) and phase=0.25"
        )
    return view


def _plausible(view: View) -> bool:
    sides = 16 <= view.width <= 8192 and 16 <= view.height <= 8192  # noqa: PLR2004 -- bounds said in the message
    return sides and 0 < view.fps <= 120 and 0 <= view.phase <= 1  # noqa: PLR2004 -- as above


def window(photo: UInt8, view: View, seconds: float) -> UInt8:
    """Return the part of `photo` that the tour shows at `seconds`, in the view's aspect ratio."""
    height, width = photo.shape[:2]
    widest = min(width / view.width, height / view.height)
    angle = 2 * math.pi * (seconds / _TOUR + view.phase)
    zoom = 1 - (1 - _CLOSEST) * (1 - math.cos(2 * angle)) / 2
    shown_width = max(1, int(widest * view.width * zoom))
    shown_height = max(1, int(widest * view.height * zoom))
    left = round((width - shown_width) * (1 + math.sin(angle)) / 2)
    top = round((height - shown_height) * (1 + math.cos(angle)) / 2)
    return photo[top : top + shown_height, left : left + shown_width]
