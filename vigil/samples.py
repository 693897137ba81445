"""Pictures to calibrate and to compare on: from folders, recordings and cameras, spread evenly over each."""

from __future__ import annotations

import time
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from vigil.config.load import camera_of
from vigil.errors import CannotStartError
from vigil.inference.accuracy import Labelled, label_file, read_truth
from vigil.offline import is_video, pictures
from vigil.video.stream import StreamSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vigil.core.types import Image
    from vigil.video.source import Picture

MOST = 300
"""Pictures taken in all: NNCF's own default, past which ranges hardly change."""
_EVERY = 1.0
"""Seconds between two frames that are taken of a recording or a camera."""


def gather(sources: Sequence[str], tick: Callable[[int], None], most: int = MOST) -> list[Image]:
    """Return at most `most` pictures, as many of each source; raises `VigilError`.

    A source is a picture, a folder of pictures, a recording, or a camera's address, which is watched for as
    many seconds as pictures are wanted. `tick` hears how many there are.
    """
    share = max(1, most // len(sources))
    images: list[Image] = []
    for source in sources:
        for image in islice(_images(source, share), share):
            images.append(image)
            tick(len(images))
    if not images:
        raise CannotStartError(f"no picture in {', '.join(sources)}")
    return images


def labelled(folder: Path) -> list[Labelled]:
    """Return every picture of a folder that has a file of labels; raises `VigilError`."""
    found = [_labelled(path) for path in _files(folder) if label_file(path) is not None]
    if not found:
        raise CannotStartError(f"no picture in {folder} has labels: a .txt beside it, or under labels/")
    return found


def _labelled(path: Path) -> Labelled:
    image = next(pictures(path)).image
    return Labelled(image, read_truth(path, image.width, image.height))


def _images(source: str, most: int) -> Iterator[Image]:
    if "://" in source:
        return _camera(source)
    path = Path(source)
    if not path.exists():
        raise CannotStartError(f"{path}: no such file or folder")
    if path.is_dir():
        files = _files(path)
        return (next(pictures(file)).image for file in files[:: max(1, len(files) // most)])
    if is_video(path):
        return thinned(pictures(path), lambda picture: picture.pts or 0.0)
    return (picture.image for picture in pictures(path))


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.iterdir()) if path.is_file() and not is_video(path)]


def _camera(url: str) -> Iterator[Image]:
    source = StreamSource(camera_of(url), lambda _seconds: False)
    try:
        source.open()
        yield from thinned(source.pictures(), lambda _picture: time.monotonic())
    finally:
        source.close()


def thinned(stream: Iterable[Picture], clock: Callable[[Picture], float]) -> Iterator[Image]:
    """Yield the first picture and then one a second, by a clock that reads off each picture when it came."""
    due = float("-inf")
    for picture in stream:
        now = clock(picture)
        if now >= due:
            due = now + _EVERY
            yield picture.image
