"""Decoded pictures that stay in the decoder's own pixel format until somebody needs others."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import av.error
import numpy as np
from av.video.reformatter import VideoReformatter

from vigil.core.types import Colour
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
CUDA = "cuda"
"""FFmpeg's name of the device, and of the pixel format of frames that are in its memory."""
_DLPACK_CUDA = 2
_BT601 = (0.299, 0.114)
_BT709, _BT2020 = (0.2126, 0.0722), (0.2627, 0.0593)
_LUMA_SHARES = {1: _BT709, 4: (0.30, 0.11), 7: (0.212, 0.087), 9: _BT2020, 10: _BT2020}
"""Of red and blue, by FFmpeg's `AVColorSpace`; what is not said is taken for BT.601, as swscale does."""
_FULL_RANGE = 2


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
        return _luma(self._frame, stride)

    def to_bgr(self) -> UInt8:
        """Return the whole picture as `(height, width, 3)` uint8 BGR; raises `PixelsError`."""
        try:
            return np.asarray(self._frame.to_ndarray(format="bgr24"), np.uint8)
        except (av.error.FFmpegError, ValueError) as error:
            raise PixelsError(f"pixels of format {self._frame.format.name} cannot be converted") from error


class NvImage(YuvImage):
    """A frame whose planes a GPU's engine takes where they are: NV12, in that GPU's memory.

    What the CPU asks for is downloaded when it asks, and not kept.
    """

    __slots__ = ()

    @property
    def device(self) -> str:
        """Whose memory the planes are in: `cuda:0`, or `cpu`."""
        kind, number = self._frame.planes[0].__dlpack_device__()
        return f"cuda:{number}" if kind == _DLPACK_CUDA else "cpu"

    @property
    def colour(self) -> Colour:
        """What the planes mean, by what the stream says of itself."""
        red, blue = _LUMA_SHARES.get(self._frame.colorspace, _BT601)
        return Colour(red, blue, full=self._frame.color_range == _FULL_RANGE)

    def planes(self) -> tuple[Any, Any]:
        """Return DLPack capsules of luma `(h, w)` and chroma `(h / 2, w / 2, 2)`, uint8.

        The decoder may still be writing to them: on CUDA's default stream, which whoever reads has to wait
        for. Capsules, since PyAV takes no stream to wait on, which torch would hand to the planes.
        """
        luma, chroma = self._frame.planes
        return luma.__dlpack__(), chroma.__dlpack__()

    def luma(self, stride: int) -> UInt8:
        """Return every `stride`-th pixel of every `stride`-th row of the luma plane, `(h, w)`."""
        inner = self._frame.sw_format or self._frame.format
        return _luma(self._frame.reformat(format=inner.name), stride)  # which downloads, and no more


def image_of(frame: VideoFrame, scalers: Scalers) -> YuvImage:
    """Return a decoded frame's pixels for everybody else."""
    inner = frame.sw_format if frame.format.name == CUDA else None
    return NvImage(frame, scalers) if inner is not None and inner.name == "nv12" else YuvImage(frame, scalers)


def _luma(frame: VideoFrame, stride: int) -> UInt8:
    if not frame.format.name.startswith(_LUMA_FIRST) or frame.format.components[0].bits != _BYTE:
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height : stride, : frame.width : stride]
