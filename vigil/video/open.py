"""The right source for a camera's address."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vigil.video.folder import FolderSource
from vigil.video.governed import GovernedSource
from vigil.video.opencv import OpenCvSource
from vigil.video.photo import PhotoSource
from vigil.video.snapshot import SnapshotSource
from vigil.video.stream import StreamSource

if TYPE_CHECKING:
    from vigil.config.model import CameraConfig
    from vigil.video.governed import DecodeLog
    from vigil.video.lane import Accelerator
    from vigil.video.source import Attention, Pause, Source


def open_source(
    camera: CameraConfig,
    pause: Pause,
    attention: Attention | None = None,
    log: DecodeLog | None = None,
    gpu: Accelerator | None = None,
) -> Source:
    """Return the source, not opened yet.

    With somebody's `attention`, and a `log` for it, no more of a stream is decoded than is needed. `gpu` says
    when a stream is decoded there; other kinds of source never are.
    """
    if camera.backend == "opencv":
        return OpenCvSource(camera, pause)
    if camera.url.startswith("photo:"):
        return PhotoSource(camera.url, pause)
    if camera.snapshot_interval is not None:
        return SnapshotSource(camera, pause, camera.snapshot_interval)
    folder = Path(camera.url.removeprefix("file:"))
    if folder.is_dir():
        return FolderSource(folder, camera, pause)
    source = StreamSource(camera, pause, gpu=gpu)
    if attention is None or log is None or camera.decode == "full":
        return source
    return GovernedSource(source, attention, log, pause)
