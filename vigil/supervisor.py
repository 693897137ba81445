"""Keeps the cameras that the configuration wants running, each on its own."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigil.analytics.filters import class_filter
from vigil.analytics.pipeline import CameraPipeline, Pipelines
from vigil.core.types import BusMessage, CameraStatus, CameraView, StatusChange
from vigil.video.camera import Camera
from vigil.video.open import open_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.aio.bus import Bus
    from vigil.analytics.filters import ClassFilter
    from vigil.analytics.pipeline import Sight
    from vigil.config.model import CameraConfig, Config
    from vigil.inference.loop import InferenceLoop
    from vigil.metrics import CameraMetrics, Metrics

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    """A camera of the configuration and what is known of it."""

    config: CameraConfig
    pipeline: CameraPipeline
    metrics: CameraMetrics
    change: StatusChange


class Supervisor:
    """Starts every camera, knows how each is, and tells the bus when that changes."""

    def __init__(
        self,
        config: Config,
        loop: InferenceLoop,
        pipelines: Pipelines,
        bus: Bus[BusMessage],
        metrics: Metrics,
    ) -> None:
        """Check every camera against the model; raises `CannotStartError` for a class it does not know."""
        self._loop = loop
        self._bus = bus
        self._cameras: dict[str, _Running] = {}
        model = loop.detector.model
        for name, camera in config.cameras.items():
            wanted = class_filter(name, camera.detect, config.model.confidence, model)
            self._cameras[name] = self._prepare(name, camera, wanted, pipelines, metrics)

    @property
    def statuses(self) -> Mapping[str, CameraStatus]:
        """How each camera is."""
        return {name: running.change.status for name, running in self._cameras.items()}

    @property
    def labels(self) -> Mapping[str, list[str]]:
        """What each camera reports."""
        return {name: list(running.pipeline.labels.values()) for name, running in self._cameras.items()}

    def views(self) -> list[CameraView]:
        """Return what people are shown of every camera."""
        return [self._view(name, running) for name, running in self._cameras.items()]

    def sight(self, camera: str) -> Sight | None:
        """Return a camera's latest inferred frame; raises `KeyError` for a camera that is not there."""
        return self._cameras[camera].pipeline.sight

    async def run(self) -> None:
        """Run every enabled camera until cancelled."""
        async with asyncio.TaskGroup() as group:
            for name, running in self._cameras.items():
                if running.config.enabled:
                    group.create_task(self._run_camera(name, running), name=f"camera-{name}")

    async def _run_camera(self, name: str, running: _Running) -> None:
        config = running.config
        camera = Camera(
            name,
            lambda pause: open_source(config, pause),
            self._loop,
            running.metrics,
            stall_after=config.open_timeout + config.read_timeout,
            on_status=lambda status, reason: self._changed(running, StatusChange(name, status, reason)),
        )
        await camera.run()

    def _prepare(
        self, name: str, config: CameraConfig, wanted: ClassFilter, pipelines: Pipelines, metrics: Metrics
    ) -> _Running:
        model = self._loop.detector.model
        labels = [model.names[index] for index in wanted.wanted]
        series = metrics.add_camera(name, labels, config.detect.fps)
        pipeline = CameraPipeline(model, wanted, series)
        pipelines.add(name, pipeline)
        if config.enabled and config.detect.enabled:
            detect = config.detect
            self._loop.add_camera(name, fps=detect.fps, weight=detect.weight, floor=wanted.floor)
        status = CameraStatus.OFFLINE if config.enabled else CameraStatus.DISABLED
        return _Running(
            config, pipeline, series, StatusChange(name, status, "starting" if config.enabled else "")
        )

    def _changed(self, running: _Running, change: StatusChange) -> None:
        running.change = change
        self._bus.publish([change])
        if change.status is CameraStatus.ONLINE:
            running.pipeline.resume()
        else:
            running.pipeline.forget()

    def _view(self, name: str, running: _Running) -> CameraView:
        return CameraView(
            name,
            running.config.redacted_url,
            running.change.status,
            running.change.reason,
            round(running.metrics.capture_fps, 2),
            round(running.metrics.inference_fps, 2),
            running.config.detect.fps,
            dict(running.pipeline.counts),
        )
