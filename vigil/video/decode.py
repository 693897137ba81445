"""Decoded pictures that stay in the decoder's own pixel format until somebody needs others."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from vigil.errors import PixelsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av import VideoFrame

    from vigil.core.types import Float32, UInt8

_PLANES = (1, 2, 0)
"""Where the planes of FFmpeg's `gbrpf32` belong in RGB order."""


_LUMA_FIRST = ("yuv", "nv12", "nv21", "gray")
"""Formats whose first plane is luma, a byte a pixel where `bits` says so."""
_BYTE = 8


class Scalers:
    """The scalers of one source: as many as are in use at the same time, which is one for a camera.

    A scaler keeps tables for the sizes it last saw, so sources do not share them, and it serves one thread
    at a time.
    """

    __slots__ = ("_idle",)

    def __init__(self) -> None:
        self._idle: list[VideoReformatter] = []

    @contextmanager
    def one(self) -> Iterator[VideoReformatter]:
        """Lend a scaler."""
        try:
            scaler = self._idle.pop()
        except IndexError:
            scaler = VideoReformatter()
        try:
            yield scaler
        finally:
            self._idle.append(scaler)


class YuvImage:
    """A decoder's frame; scaled and converted in one pass, straight to the model's float planes.

    Measured per 1080p frame to 640x360, one thread, CPU, medians of three runs: swscale to planar float
    3.0 ms; to packed RGB, then split and scaled to 0..1, 4.1 ms.
    """

    __slots__ = ("_frame", "_scalers")

    def __init__(self, frame: VideoFrame, scalers: Scalers) -> None:
        self._frame = frame
        self._scalers = scalers

    @property
    def width(self) -> int:
        """Pixels per row."""
        return self._frame.width

    @property
    def height(self) -> int:
        """Rows."""
        return self._frame.height

    def write_rgb(self, out: Float32) -> None:
        """Scale (bilinear) into `out`, a `(3, h, w)` float32 view, as RGB planes in 0..1.

        Raises `PixelsError`.
        """
        _, height, width = out.shape
        try:
            with self._scalers.one() as scaler:
                planar = scaler.reformat(
                    self._frame, width, height, "gbrpf32le", interpolation="BILINEAR", threads=1
                )
        except (av.error.FFmpegError, ValueError) as error:
            raise PixelsError(f"pixels of format {self._frame.format.name} cannot be scaled") from error
        for index, plane in zip(_PLANES, planar.planes, strict=True):
            rows = np.frombuffer(memoryview(plane), np.float32).reshape(plane.height, plane.line_size // 4)
            out[index] = rows[:, :width]

    def luma(self, stride: int) -> UInt8:
        """Return every `stride`-th pixel of every `stride`-th row of the luma plane, `(h, w)`."""
        frame = self._frame
        if not frame.format.name.startswith(_LUMA_FIRST) or frame.format.components[0].bits != _BYTE:
            frame = frame.reformat(format="gray")
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        return rows[: frame.height : stride, : frame.width : stride]

    def to_bgr(self) -> UInt8:
        """Return the whole picture as `(height, width, 3)` uint8 BGR; raises `PixelsError`."""
        try:
            return np.asarray(self._frame.to_ndarray(format="bgr24"), np.uint8)
        except (av.error.FFmpegError, ValueError) as error:
            raise PixelsError(f"pixels of format {self._frame.format.name} cannot be converted") from error
