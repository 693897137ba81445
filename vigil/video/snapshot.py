"""Cameras that offer no stream, only a picture at an address, fetched at an interval."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

from vigil.video.stream import StreamSource

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vigil.config.model import CameraConfig
    from vigil.video.source import Pause, Picture


class SnapshotSource:
    """Fetches the address every `interval` seconds; FFmpeg does the HTTP, the login and the decoding."""

    def __init__(self, camera: CameraConfig, pause: Pause, interval: float) -> None:
        self.codec = ""
        self._camera = camera
        self._pause = pause
        self._interval = interval
        self._first: list[Picture] = []

    def open(self) -> None:
        """Fetch the first picture; raises a `SourceError`."""
        self._first = self._fetch()

    def pictures(self) -> Iterator[Picture]:
        """Yield each fetched picture; raises a `SourceError` when one cannot be had."""
        started = time.monotonic()
        number = 0
        yield from self._first
        while True:
            number += 1
            # A fetch that outlasts the interval skips turns instead of catching up.
            number = max(number, int((time.monotonic() - started) / self._interval))
            if self._pause(max(0.0, started + number * self._interval - time.monotonic())):
                return
            yield from self._fetch()

    def close(self) -> None:
        """Do nothing: each fetch closes its own connection."""

    def _fetch(self) -> list[Picture]:
        source = StreamSource(self._camera, self._pause, paced=False, looped=False)
        try:
            source.open()
            # Only the first: an address that turns out to be a stream would never end.
            first = list(islice(source.pictures(), 1))
            self.codec = source.codec
            return first
        finally:
            source.close()
