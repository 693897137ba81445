"""The right source for a camera's address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vigil.video.photo import PhotoSource
from vigil.video.stream import StreamSource

if TYPE_CHECKING:
    from vigil.config.model import CameraConfig
    from vigil.video.source import Pause, Source


def open_source(camera: CameraConfig, pause: Pause) -> Source:
    """Return the source, not opened yet."""
    if camera.url.startswith("photo:"):
        return PhotoSource(camera.url, pause)
    return StreamSource(camera, pause)
