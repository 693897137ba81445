"""Where the footage for scenes is, and how it becomes a stream that a camera could send.

Still pictures would cost a decoder and a motion check nothing, so mild sensor noise is added; speed, size and
coding are those of a camera's substream: 25 frames/s, a keyframe every 50.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np

from vigil.bench.clips import encode
from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vigil.core.types import UInt8

FPS, GOP = 25, 50
WALKERS = "vtest.avi"
PERSON = "one-by-one-person-detection.mp4"
NOISE = 4.0
"""Standard deviation of the sensor noise, in steps of luma; of less, x264 at this quality codes nothing."""
_FIELDS, _MARGIN = 8, 64
_CODING = {
    "preset": "veryfast",
    "crf": "23",
    "x264-params": f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=0:open-gop=0",
}
_SHAPE = 16 / 9


def find(name: str, folder: Path | None) -> Path:
    """Return a clip of the footage folder, of its `clips`, or of the folders in `VIGIL_ASSETS`."""
    named = [] if folder is None else [folder]
    folders = named or [Path(each) for each in os.environ.get("VIGIL_ASSETS", "").split(os.pathsep) if each]
    for place in (path for each in folders for path in (each / name, each / "clips" / name)):
        if place.is_file():
            return place
    where = ", ".join(map(str, folders)) or "no folder: VIGIL_ASSETS is not set"
    raise CannotStartError(
        f"the footage {name} is not there (looked in {where}); "
        f"give its folder with --footage, or set VIGIL_ASSETS to it"
    )


def pictures(clip: Path, height: int, start: float = 0.0, end: float = np.inf) -> list[UInt8]:
    """Return a clip's pictures between two times, 25 a second, 16:9 of its middle, each YUV 4:2:0 in rows.

    A picture of a slower clip is shown several times, as a camera with that exposure would send it.
    """
    width = round(height * _SHAPE / 2) * 2
    shown: list[UInt8] = []
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            at = frame.time or 0.0
            if at >= end:
                break
            if at >= start:
                scaled: Any = _cut(frame, width, height)
                shown += [scaled] * max(1, round((at - start) * FPS) + 1 - len(shown))
    return shown


def noisy(shown: Iterable[UInt8], noise: float = NOISE, seed: int = 0) -> Iterator[av.VideoFrame]:
    """Yield frames with fresh noise on the luma of each picture."""
    rng, fields = np.random.default_rng(seed), None
    for picture in shown:
        rows, width = picture.shape
        height = rows * 2 // 3
        if fields is None:
            shape = (_FIELDS, height + _MARGIN, width + _MARGIN)
            fields = np.round(rng.normal(0, noise, shape)).astype(np.int16)
        top, left = rng.integers(0, _MARGIN, 2)
        grain = fields[rng.integers(_FIELDS), top : top + height, left : left + width]
        whole = picture.copy()
        whole[:height] = np.clip(picture[:height] + grain, 0, 255).astype(np.uint8)
        yield av.VideoFrame.from_ndarray(whole, format="yuv420p")


def encode_as_camera(path: Path, shown: Iterable[UInt8], noise: float = NOISE) -> Path:
    """Encode pictures with noise as H.264 and return `path`."""
    return encode(path, noisy(shown, noise), "libx264", _CODING, fps=FPS)


def _cut(frame: av.VideoFrame, width: int, height: int) -> UInt8:
    """Scale to the width or height that covers 16:9 and cut the middle out."""
    factor = max(width / frame.width, height / frame.height)
    # Even sides: chroma is stored at half size.
    wide, high = (round(side * factor / 2) * 2 for side in (frame.width, frame.height))
    scaled = frame.reformat(wide, high, "yuv420p")
    left, top = (wide - width) // 4 * 2, (high - height) // 4 * 2
    planes = [_plane(scaled, number) for number in range(3)]
    luma = planes[0][top : top + height, left : left + width]
    chroma = [
        plane[top // 2 : (top + height) // 2, left // 2 : (left + width) // 2].reshape(-1, width)
        for plane in planes[1:]
    ]
    return np.concatenate([luma, *chroma])


def _plane(frame: av.VideoFrame, number: int) -> UInt8:
    plane = frame.planes[number]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, : plane.width]
