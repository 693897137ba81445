"""`vigil detect`: pictures and recordings through the detector, in order, with every worker busy."""

from __future__ import annotations

import threading
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from vigil.analytics.annotate import annotate, encode_jpeg
from vigil.config.model import CameraConfig
from vigil.core.describe import describe
from vigil.video.source import Picture
from vigil.video.stream import StreamSource
from vigil.video.upload import PictureError, decode_picture
from vigil.video.write import VideoWriter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from vigil.core.types import Detections
    from vigil.inference.letterbox import Letterbox
    from vigil.inference.service import Service

_MAX_PIXELS = 200_000_000
_PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


@dataclass(frozen=True, slots=True)
class Found:
    """One picture of a file and what is in it; `number` counts from 0."""

    number: int
    picture: Picture
    detections: Detections


def is_video(path: Path) -> bool:
    """Tell whether a file is taken for a recording."""
    return path.suffix.lower() not in _PICTURES


def pictures(path: Path) -> Iterator[Picture]:
    """Yield the picture, or every frame of the recording, in a file; raises `VigilError`."""
    if not is_video(path):
        try:
            yield Picture(0.0, None, decode_picture(path.read_bytes(), _MAX_PIXELS))
        except OSError as error:
            raise PictureError(f"{path}: {error.strerror}") from error
        return
    source = StreamSource(
        CameraConfig(url=str(path.absolute())), lambda _seconds: False, paced=False, looped=False
    )
    try:
        source.open()
        yield from source.pictures()
    finally:
        source.close()


def detect_all(service: Service, stream: Iterable[Picture], confidence: float) -> Iterator[Found]:
    """Yield what is found in each picture, in order, with all of the engine's workers busy."""
    detector, mine = service.detector, threading.local()

    def find(picture: Picture) -> Detections:
        if not hasattr(mine, "letterbox"):
            mine.letterbox = detector.letterbox()
        letterbox: Letterbox = mine.letterbox
        image = picture.image
        shape = detector.shape_of(image.width, image.height)
        return detector.detect(letterbox, [image], [confidence], shape)[0]

    workers = service.workers
    with ThreadPoolExecutor(workers, "detect") as pool:
        waiting: deque[tuple[Picture, Future[Detections]]] = deque()
        number = 0
        for picture in stream:
            waiting.append((picture, pool.submit(find, picture)))
            if len(waiting) > 2 * workers:
                yield _next(number, waiting)
                number += 1
        while waiting:
            yield _next(number, waiting)
            number += 1


def _next(number: int, waiting: deque[tuple[Picture, Future[Detections]]]) -> Found:
    picture, future = waiting.popleft()
    return Found(number, picture, future.result())


def to_json(path: Path, found: Found, names: Sequence[str]) -> dict[str, object]:
    """Return a JSON object: `file`, `frame`, `time` (seconds, null for a picture), `count`, `detections`."""
    objects = describe(found.detections, names)
    return {
        "file": str(path),
        "frame": found.number,
        "time": found.picture.pts,
        "count": len(objects),
        "detections": objects,
    }


def to_text(path: Path, found: Found, names: Sequence[str]) -> str:
    """Return one line for people: `clip.mp4 3.20 s: 2 person, 1 bus`."""
    counts = Counter(names[class_id] for class_id in found.detections.class_id.tolist())
    listed = ", ".join(f"{number} {label}" for label, number in counts.most_common()) or "nothing"
    when = "" if found.picture.pts is None else f" {found.picture.pts:.2f} s"
    return f"{path}{when}: {listed}"


class Annotator:
    """Writes a copy of each picture or recording with boxes drawn in; does nothing without a folder."""

    def __init__(self, path: Path, folder: Path | None, names: Sequence[str]) -> None:
        self._path = path
        self._folder = folder
        self._names = names
        self._writer: VideoWriter | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()

    def write(self, found: Found) -> None:
        """Draw and write one picture."""
        if self._folder is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        drawn = annotate(found.picture.image.to_bgr(), found.detections, self._names)
        if not is_video(self._path):
            (self._folder / f"{self._path.stem}.jpg").write_bytes(encode_jpeg(drawn, quality=92))
            return
        if self._writer is None:
            height, width = drawn.shape[:2]
            target = self._folder / f"{self._path.stem}.mp4"
            self._writer = self._stack.enter_context(VideoWriter(target, width, height))
        self._writer.write(drawn, found.picture.pts or 0.0)
