"""A folder of recordings and pictures as one endless camera: file after file by name, then from the start."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vigil.errors import NotFoundError, SourceError, UnsupportedError
from vigil.video.stream import StreamSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vigil.config.model import CameraConfig
    from vigil.video.source import Pause, Picture

log = logging.getLogger(__name__)


_STILL = 1.0
"""Seconds for which a file of a single picture is shown."""


class FolderSource:
    """Plays each file at its own pace; files that come later are seen on the next round."""

    def __init__(self, folder: Path, camera: CameraConfig, pause: Pause) -> None:
        self.codec = ""
        self._folder = folder
        self._camera = camera
        self._pause = pause
        self._complained: set[Path] = set()

    def open(self) -> None:
        """Look whether there is anything to play; raises `NotFoundError`."""
        if not self._files():
            raise NotFoundError(f"there is no file in {self._folder}")

    def pictures(self) -> Iterator[Picture]:
        """Yield every file's pictures, for ever; a round without a single picture is an error."""
        while True:
            played = 0
            for path in self._files():
                before = played
                for picture in self._play(path):
                    played += 1
                    yield picture
                if self._pause(_STILL if played - before == 1 else 0.0):
                    return
            if not played:
                raise UnsupportedError(f"no file in {self._folder} can be played")

    def close(self) -> None:
        """Do nothing: each file is closed when it is over."""

    def _files(self) -> list[Path]:
        try:
            return sorted(path for path in self._folder.iterdir() if path.is_file())
        except OSError as error:
            raise NotFoundError(f"{self._folder} cannot be listed: {error.strerror}") from error

    def _play(self, path: Path) -> Iterator[Picture]:
        camera = self._camera.model_copy(update={"url": str(path)})
        source = StreamSource(camera, self._pause, looped=False)
        try:
            source.open()
            for picture in source.pictures():
                self.codec = source.codec
                yield picture
        except SourceError as error:
            if path not in self._complained:
                self._complained.add(path)
                log.warning("%s is passed over: %s", path, error)
        finally:
            source.close()
