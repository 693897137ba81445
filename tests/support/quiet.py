"""Scenes in which little happens, as a camera would send them: what is in them is known at every moment.

Real footage made noisy, and a night made from nothing: darkness, sensor noise, a figure that crosses now and
then. Encoded on the spot, at constant quality or constant bit rate. A detector that looks the truth up, by a
picture's time, stands in for a real one, so that nothing but the decoding differs between two runs.
"""

from __future__ import annotations

import random
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

import av
import numpy as np

from tests.support.assets import asset
from tests.support.footage_truth import seen
from tests.support.household import config_of
from vigil.core.events import EventType
from vigil.core.types import Detections, Model
from vigil.inference.labels import COCO_80
from vigil.offline import pictures
from vigil.replay import Replay, subject
from vigil.video.decode import YuvImage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from vigil.core.events import Crossings
    from vigil.core.types import Image, UInt8
    from vigil.inference.service import Service
    from vigil.replay import Moment

Rate: TypeAlias = Literal["crf", "cbr"]
Row: TypeAlias = tuple[float, float, float, float, float]
"""A person's box in fractions of the picture, and the confidence."""

MODEL = Model("yolo11n", COCO_80, stride=32, size=640)
PERSON_CLIP = "one-by-one-person-detection.mp4"
FPS = 25
DETECT_FPS = 5


@dataclass(frozen=True, slots=True)
class Scene:
    """A recording, and what a detector finds in it at a time."""

    path: Path
    truth: Callable[[float], Sequence[Row]]


def person(
    path: Path,
    gop: int,
    rate: Rate,
    start: float = 0,
    seconds: float = 140,
    *,
    height: int = 432,
    repeats: int = 0,
) -> Scene | None:
    """Make a stretch of the person clip at 25 fps, with mild sensor noise; nothing without the clip."""
    source = asset(f"clips/{PERSON_CLIP}")
    if source is None:
        return None
    stretch = path.with_suffix(".cut.mkv")
    _ffmpeg("-ss", str(start), "-t", str(seconds), "-i", source, "-an", "-c:v", "ffv1", stretch)
    options = _options(gop, rate, 1500 * height**2 // 432**2)
    encode = [part for key, value in options.items() for part in (f"-{key}", value)]
    filters = f"fps={FPS},scale=-2:{height},noise=c0s=4:allf=t"
    again = ("-stream_loop", str(repeats), "-i", stretch, "-t", str(seconds * (repeats + 1)))
    _ffmpeg(*again, "-vf", filters, "-threads", "1", "-c:v", "libx264", *encode, path)
    recorded = seen(PERSON_CLIP)
    times = np.array([picture.pts for picture in recorded])

    def truth(at: float) -> list[Row]:
        picture = recorded[max(int(np.searchsorted(times, at + start + 1e-6)) - 1, 0)]
        found = zip(picture.boxes.tolist(), picture.confidence, picture.labels, strict=True)
        return [(*box, float(score)) for box, score, label in found if label == "person"]

    return Scene(path, truth)


def _ffmpeg(*arguments: str | Path) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *arguments], check=True)


def night(
    path: Path,
    gop: int,
    rate: Rate,
    crossings: Sequence[float],
    seconds: float,
    *,
    noise: float = 2.0,
    scale: int = 1,
) -> Scene:
    """Make a dark picture at 25 fps that a dim figure crosses in six seconds at each of these times.

    It is 640x360 times `scale`; `noise` is the standard deviation of its luma.
    """
    with av.open(str(path), "w") as container:
        options = _options(gop, rate, 800 * scale**2)
        stream = container.add_stream("libx264", rate=FPS, options=options)
        stream.width, stream.height, stream.pix_fmt = 640 * scale, 360 * scale, "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        stream.codec_context.thread_count = 1
        for number, luma in enumerate(_dark(crossings, round(seconds * FPS), noise, scale)):
            planes = np.concatenate([luma, np.full((180 * scale, 640 * scale), 128, np.uint8)])
            frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))

    def truth(at: float) -> list[Row]:
        return [(*box, 0.8) for box in _figures(crossings, at) if box[0] >= 0 and box[2] <= 1]

    return Scene(path, truth)


def _figures(crossings: Sequence[float], at: float) -> Iterator[tuple[float, float, float, float]]:
    """Yield the boxes of those who cross just now; one comes in over the edge and leaves over the other."""
    for begin in crossings:
        if 0 <= at - begin <= _CROSSING:
            left = (at - begin) / _CROSSING * 1.06 - 0.06
            yield left, 0.4, left + 0.06, 0.8


_CROSSING = 6.0
"""Seconds."""


def _dark(crossings: Sequence[float], count: int, deviation: float, scale: int) -> Iterator[UInt8]:
    rng = np.random.default_rng(5)
    width, height = 640 * scale, 360 * scale
    blocks = np.kron(rng.integers(0, 14, (23, 40)), np.ones((16 * scale, 16 * scale)))[:height]
    scene = 24 + blocks + np.linspace(0, 10, width)
    # A few noisy planes in turn: new noise for each picture would take longer than all that is measured.
    noise = [rng.normal(0, deviation, scene.shape) for _ in range(24)]
    for number in range(count):
        picture = scene + noise[rng.integers(len(noise))]
        for left, top, right, bottom in _figures(crossings, number / FPS):
            columns = slice(max(round(left * width), 0), max(round(right * width), 0))
            picture[round(top * height) : round(bottom * height), columns] += 26
        yield np.clip(picture, 16, 235).astype(np.uint8)


def _options(gop: int, rate: Rate, kilobits: int) -> dict[str, str]:
    params = f"keyint={gop}:min-keyint={gop}:scenecut=0:bframes=0"
    if rate == "crf":
        return {"preset": "ultrafast", "crf": "23", "x264-params": params}
    held = f"vbv-maxrate={kilobits}:vbv-bufsize={kilobits}:nal-hrd=cbr"
    return {"preset": "ultrafast", "b": f"{kilobits}k", "x264-params": f"{params}:{held}"}


class _Engine:
    device = "cpu"
    name = "truth"


class _Truth:
    """A detector that knows what is in a picture by its time."""

    model = MODEL
    engine = _Engine()

    def __init__(self, truth: Callable[[float], Sequence[Row]]) -> None:
        self._truth = truth
        self.asked = 0

    def letterbox(self) -> None:
        """Need none."""

    def shape_of(self, width: int, height: int) -> tuple[int, int]:
        """Take pictures as they are."""
        return height, width

    def detect(
        self, _letterbox: object, images: Sequence[Image], floors: Sequence[float], _shape: object
    ) -> list[Detections]:
        """Look each picture up."""
        self.asked += len(images)
        return [self._one(image, floor) for image, floor in zip(images, floors, strict=True)]

    def _one(self, image: Image, floor: float) -> Detections:
        assert isinstance(image, YuvImage)
        rows = np.array(self._truth(image._frame.time or 0.0), np.float32).reshape(-1, 5)
        rows = rows[rows[:, 4] >= floor]
        scale = np.array([image.width, image.height] * 2, np.float32)
        return Detections.untracked(rows[:, :4] * scale, rows[:, 4].copy(), np.zeros(len(rows), np.int32))


@dataclass(slots=True)
class _Service:
    detector: _Truth
    workers: int = 1


@dataclass(slots=True)
class Run:
    """What became of a recording: events as `(label, start, end)`, crossings of the line, and the cost."""

    events: list[tuple[str, float, float]] = field(default_factory=list)
    crossings: Mapping[str, Crossings] = field(default_factory=dict)
    inferred: int = 0
    modes: list[str] = field(default_factory=list)
    causes: Counter[str] = field(default_factory=Counter)

    def decoding(self, mode: str) -> None:
        """Note it."""
        self.modes.append(str(mode))

    def woke(self, cause: str) -> None:
        """Note it."""
        self.causes[str(cause)] += 1


def run(scene: Scene, *, governed: bool) -> Run:
    """Replay a scene, decoded in full or under the governor."""
    line = {"from": [0.7, 0.2], "to": [0.7, 1]}
    detect = {"classes": ["person"], "fps": DETECT_FPS, "when": "motion"}
    config = config_of({"cam": {"detect": detect, "lines": {"exit": line}}})
    detector = _Truth(scene.truth)
    service = cast("Service", _Service(detector))
    player = Replay(subject(config, None), service, random.Random(0).getrandbits)  # noqa: S311 -- no secrets
    outcome = Run()
    moments: Iterator[Moment] = (
        player.governed(scene.path, outcome) if governed else player.moments(pictures(scene.path))
    )
    told = [event for moment in moments for event in moment.events]
    told += player.close()
    outcome.events = [
        (event.label, event.start_time, event.end_time or 0.0)
        for event in told
        if event.type is EventType.END
    ]
    outcome.crossings = player.pipeline.state.totals.lines["exit"]
    outcome.inferred = detector.asked
    return outcome
