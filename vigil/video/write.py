"""Pictures into an MP4 file."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Self

import av

if TYPE_CHECKING:
    from pathlib import Path

    from av.video.stream import VideoStream

    from vigil.core.types import UInt8

_TICKS = 90_000


class VideoWriter:
    """Encodes H.264 with the pictures' own times; a context manager that finishes the file."""

    def __init__(self, path: Path, width: int, height: int) -> None:
        self._container = av.open(str(path), "w")
        self._stream: VideoStream = self._container.add_stream("libx264", rate=30)
        # Chroma is stored at half size, so sides are even.
        self._stream.width, self._stream.height = width // 2 * 2, height // 2 * 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, _TICKS)
        self._last = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()

    def write(self, bgr: UInt8, seconds: float) -> None:
        """Append an `(h, w, 3)` BGR picture shown from `seconds` on."""
        frame = av.VideoFrame.from_ndarray(bgr[: self._stream.height, : self._stream.width], format="bgr24")
        self._last = frame.pts = max(self._last + 1, round(seconds * _TICKS))
        frame.time_base = Fraction(1, _TICKS)
        self._container.mux(self._stream.encode(frame))
