"""Synthetic clips for tests and benchmarks: what a camera could send, made on the spot by PyAV.

A clip can carry a frame counter as a coarse bit pattern which survives coding, scaling and colour
conversion, so that lost, repeated and late frames can be measured behind a decoder.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import av
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Codec: TypeAlias = Literal["h264", "hevc", "mjpeg"]
Picture: TypeAlias = Literal["pattern", "still", "noise", "black"]
UInt8: TypeAlias = NDArray[np.uint8]

COUNTER_BITS: Final = 16
_BLACK: Final = 16
_WHITE: Final = 235
_GREY: Final = 128
_MINIMUM_CONTRAST: Final = 64
_BGR_AXES: Final = 3


class CounterUnreadableError(ValueError):
    """A picture carries no frame counter, or one too damaged to be read."""


def make_clip(
    path: Path,
    *,
    codec: Codec = "h264",
    width: int = 320,
    height: int = 240,
    fps: int = 25,
    seconds: float = 2,
    gop: int = 25,
    picture: Picture = "pattern",
    b_frames: int = 0,
    bitrate: int | None = None,
    counter: bool = False,
    seed: int = 0,
) -> Path:
    """Encode a clip of `width x height` (both even; multiples of 8 for MJPEG) to `path` and return it.

    The container follows the suffix (`.mp4`, `.mkv`, `.avi`). `gop` is the distance of keyframes in frames,
    without extra ones at scene cuts. With `bitrate` (bits/s) the rate is constant, filler included;
    without it the quality is. `picture`: `pattern` moves, `still` is the same without moving, `noise` is new
    in every frame (the most expensive to code), `black` is black. `counter` burns in the frame's number.
    """
    pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"

    def frames() -> Iterator[av.VideoFrame]:
        for number, luma in enumerate(_pictures(picture, width, height, round(fps * seconds), seed)):
            if counter:
                _burn(luma, number)
            yield yuv420(luma, pix_fmt)

    options = _options(codec, gop, b_frames, bitrate)
    return encode(path, frames(), _ENCODERS[codec], options, fps=fps, bitrate=bitrate)


def encode(
    path: Path,
    frames: Iterable[av.VideoFrame],
    encoder: str,
    options: dict[str, str],
    *,
    fps: int,
    bitrate: int | None = None,
) -> Path:
    """Encode frames of one size and pixel format, in one thread, `1 / fps` seconds apart; return `path`."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(encoder, rate=fps, options=options)  # which kind, the name says
        stream.codec_context.time_base = Fraction(1, fps)
        stream.codec_context.thread_count = 1
        if bitrate is not None:
            stream.bit_rate = bitrate
        for number, frame in enumerate(frames):
            if number == 0:
                stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, frame.format.name
            frame.pts, frame.time_base = number, Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def read_counter(picture: NDArray[Any]) -> int:
    """Return the frame number in a `(h, w)` luma or `(h, w, 3)` BGR picture (uint8) of a whole frame.

    The number counts modulo 2^16. Raises `CounterUnreadableError` where the second row of the pattern is not
    the first one's complement: no counter, or a damaged picture.
    """
    luma = picture.mean(axis=2) if picture.ndim == _BGR_AXES else picture
    height, width = luma.shape
    rows = [
        [
            float(luma[_middle(row, height / COUNTER_BITS), _middle(bit, width / COUNTER_BITS)].mean())
            for bit in range(COUNTER_BITS)
        ]
        for row in range(2)
    ]
    value = 0
    for upper, lower in zip(*rows, strict=True):
        if abs(upper - lower) < _MINIMUM_CONTRAST:
            raise CounterUnreadableError("the picture carries no readable frame counter")
        value = value << 1 | (upper > lower)
    return value


_ENCODERS: Final[dict[Codec, Any]] = {"h264": "libx264", "hevc": "libx265", "mjpeg": "mjpeg"}


def _options(codec: Codec, gop: int, b_frames: int, bitrate: int | None) -> dict[str, str]:
    """Return the encoder's options: fixed GOPs, and rate or quality held constant."""
    if codec == "mjpeg":
        # RFC 2435 sends no Huffman tables: receivers assume the standard's own.
        return {"huffman": "default"} | ({} if bitrate else {"flags": "+qscale", "global_quality": "590"})
    rate = f":vbv-maxrate={bitrate // 1000}:vbv-bufsize={bitrate // 1000}" if bitrate else ""
    params = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes={b_frames}:open-gop=0"
    if codec == "hevc":
        strict = f"{rate}:strict-cbr=1" if bitrate else ""
        return {
            "preset": "ultrafast",
            "x265-params": f"{params}{strict}:pools=1:frame-threads=1:log-level=none",
        }
    filler = f"{rate}:nal-hrd=cbr" if bitrate else ""
    return {"preset": "ultrafast", "x264-params": f"{params}{filler}"} | ({} if bitrate else {"crf": "23"})


def _pictures(picture: Picture, width: int, height: int, count: int, seed: int) -> Iterator[UInt8]:
    """Yield `count` luma planes `(height, width)`, each free to be written to."""
    rng = np.random.default_rng(seed)
    base = texture(rng, width, height)
    for number in range(count):
        match picture:
            case "pattern":
                yield np.roll(base, 2 * number, axis=1)
            case "still":
                yield base.copy()
            case "noise":
                yield rng.integers(_BLACK, _WHITE, (height, width), np.uint8)
            case "black":
                yield np.full((height, width), _BLACK, np.uint8)


def texture(rng: np.random.Generator, width: int, height: int) -> UInt8:
    """Return blocks of random greys on a slope: edges to predict, detail to code."""
    blocks = rng.integers(0, 120, (height // 16 + 1, width // 16 + 1))
    coarse = np.kron(blocks, np.ones((16, 16), int))[:height, :width]
    return (_BLACK + coarse + np.linspace(0, 90, width)).astype(np.uint8)


def _burn(luma: UInt8, number: int) -> None:
    """Write `number` over the top eighth of `luma`: a row of its bits, and a row of their complement."""
    height, width = luma.shape
    for bit in range(COUNTER_BITS):
        is_set = number >> (COUNTER_BITS - 1 - bit) & 1
        columns = slice(bit * width // COUNTER_BITS, (bit + 1) * width // COUNTER_BITS)
        luma[: height // COUNTER_BITS, columns] = _WHITE if is_set else _BLACK
        luma[height // COUNTER_BITS : height // 8, columns] = _BLACK if is_set else _WHITE


def _middle(cell: int, size: float) -> slice:
    """Return the central half of a cell, away from the ringing at its edges."""
    return slice(int((cell + 0.25) * size), max(int((cell + 0.75) * size), int((cell + 0.25) * size) + 1))


def yuv420(luma: UInt8, pix_fmt: str) -> av.VideoFrame:
    """Return a frame of `luma` with neutral chroma."""
    height, width = luma.shape
    chroma = np.full((height // 2, width), _GREY, np.uint8)
    return av.VideoFrame.from_ndarray(np.concatenate([luma, chroma]), format=pix_fmt)
