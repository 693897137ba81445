"""A clock that a detector can read: a person who stands one step further to the right in every frame.

What a subscriber hears of a frame is boxes, so the time is painted as the place of somebody. The box's middle
gives the frame's number within a round, the server's clock the time at which that frame was sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import av
import numpy as np

from vigil.bench.clips import encode
from vigil.bench.footage import FPS, GOP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vigil.core.types import UInt8

WIDTH, HEIGHT = 1280, 720
_STEP = 16
"""Pixels per frame: twice as many as a box is ever off by."""
_PERSON = (50, 395, 245, 908)
"""Where somebody stands in the photograph `bus`: left, top, right, bottom."""
_TALL = 480
_GREY = 114
_CODING = {
    "preset": "veryfast",
    "crf": "20",
    "x264-params": f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=0:open-gop=0",
}


@dataclass(frozen=True, slots=True)
class Clock:
    """A clip that tells its frame's number; a box's middle lies `offset` pixels right of the painted edge."""

    clip: Path
    frames: int
    offset: float = 0.0

    @property
    def seconds(self) -> float:
        """Length of a round."""
        return self.frames / FPS

    @staticmethod
    def place(number: int) -> int:
        """Return the left edge of who is painted in a frame, in pixels."""
        return number * _STEP

    def number(self, boxes: Sequence[tuple[float, float, float, float]]) -> int | None:
        """Return which frame of a round shows these boxes; nothing where there is not just one."""
        if len(boxes) != 1:
            return None
        left, _, right, _ = boxes[0]
        found = round(((left + right) / 2 - self.offset) / _STEP)
        return found if 0 <= found < self.frames else None

    def age(self, number: int, now: float, origin: float) -> float:
        """Return how many seconds ago a frame was sent last; `origin` is when the first round began."""
        return (now - origin - number / FPS) % self.seconds


def paint(photograph: UInt8) -> Iterator[UInt8]:
    """Yield the frames of a round, `(h, w, 3)` BGR, of the photograph `bus`."""
    person = _person(photograph)
    tall, wide = person.shape[:2]
    for left in range(0, WIDTH - wide + 1, _STEP):
        frame = np.full((HEIGHT, WIDTH, 3), _GREY, np.uint8)
        frame[HEIGHT - tall - _STEP : HEIGHT - _STEP, left : left + wide] = person
        yield frame


def make_clock(path: Path, photograph: UInt8) -> Clock:
    """Encode a round; its offset is the middle of who is painted, until `read_offset` says better."""
    frames = [av.VideoFrame.from_ndarray(frame, format="bgr24") for frame in paint(photograph)]
    encode(path, (frame.reformat(format="yuv420p") for frame in frames), "libx264", _CODING, fps=FPS)
    return Clock(path, len(frames), _person(photograph).shape[1] / 2)


def _person(photograph: UInt8) -> UInt8:
    left, top, right, bottom = _PERSON
    cut = av.VideoFrame.from_ndarray(np.ascontiguousarray(photograph[top:bottom, left:right]), format="bgr24")
    wide = round((right - left) * _TALL / (bottom - top) / 2) * 2
    return cut.reformat(wide, _TALL, interpolation="BICUBIC").to_ndarray(format="bgr24").astype(np.uint8)
