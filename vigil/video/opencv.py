"""Whatever `cv2.VideoCapture` opens: webcams, GStreamer pipelines, and what FFmpeg's own way does not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from vigil.errors import EndedError, RefusedError
from vigil.video.photo import ArrayImage
from vigil.video.source import Pause, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vigil.config.model import CameraConfig


class OpenCvSource:
    """`url` is handed to OpenCV as it is; a number is the index of a webcam."""

    codec = ""

    def __init__(self, camera: CameraConfig, pause: Pause) -> None:
        self._camera = camera
        self._pause = pause
        self._capture: cv2.VideoCapture | None = None

    def open(self) -> None:
        """Open it; raises `RefusedError`, which is all that OpenCV lets one know."""
        url = self._camera.source_url
        if url.isdigit():
            self._capture = cv2.VideoCapture(int(url))
        elif "!" in url:
            self._capture = cv2.VideoCapture(url, cv2.CAP_GSTREAMER)
        else:
            self._capture = cv2.VideoCapture(url, cv2.CAP_ANY, self._timeouts())
        if not self._capture.isOpened():
            raise RefusedError("OpenCV cannot open it")

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures as they come; files are paced by their frame rate and start over."""
        assert self._capture is not None, "open() first"  # noqa: S101 -- a caller's mistake, not a user's
        is_file = Path(self._camera.source_url.removeprefix("file:")).is_file()
        rate = self._capture.get(cv2.CAP_PROP_FPS) or 25.0
        started, number = time.monotonic(), 0
        while True:
            there, bgr = self._capture.read()
            if not there:
                if not (is_file and number and self._capture.set(cv2.CAP_PROP_POS_FRAMES, 0)):
                    raise EndedError("OpenCV reads no more frames")
                started, number = time.monotonic(), 0
                continue
            if is_file and self._pause(max(0.0, started + number / rate - time.monotonic())):
                return
            number += 1
            yield Picture(time.time(), None, ArrayImage(np.asarray(bgr, np.uint8)))

    def close(self) -> None:
        """Let go of the device or connection."""
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _timeouts(self) -> list[int]:
        milliseconds = 1000
        return [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            round(self._camera.open_timeout * milliseconds),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            round(self._camera.read_timeout * milliseconds),
        ]
