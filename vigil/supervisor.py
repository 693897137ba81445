"""Keeps the cameras that the configuration wants running, each on its own, through reloads and commands.

What is asked of it is done one thing after another: a reload never meets a command half way. Stop first,
then start.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigil.analytics.filters import class_filter
from vigil.analytics.pipeline import CameraPipeline
from vigil.core.types import (
    Action,
    BusMessage,
    CameraGone,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    CameraView,
)
from vigil.video.camera import Camera
from vigil.video.open import open_source

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.aio.bus import Bus
    from vigil.analytics.filters import ClassFilter
    from vigil.analytics.pipeline import Pipelines, Sight
    from vigil.config.diff import Changes
    from vigil.config.model import CameraConfig, Config
    from vigil.core.types import CameraCommand
    from vigil.inference.loop import InferenceLoop
    from vigil.metrics import CameraMetrics, Metrics

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Unit:
    """A camera of the configuration with everything that belongs to it alone."""

    config: CameraConfig
    pipeline: CameraPipeline
    metrics: CameraMetrics
    camera: Camera
    health: CameraHealth
    enabled: bool
    task: asyncio.Task[None] | None = None


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
        self._pipelines = pipelines
        self._bus = bus
        self._metrics = metrics
        self._units: dict[str, _Unit] = {}
        self._busy = asyncio.Lock()
        self._group: asyncio.TaskGroup | None = None
        filters = self.filters(config)
        for name, camera in config.cameras.items():
            self._add(name, camera, filters[name])

    def filters(self, config: Config) -> Mapping[str, ClassFilter]:
        """Return each camera's filter; raises `CannotStartError` for a class that the model does not know."""
        model, default = self._loop.detector.model, config.model.confidence
        return {
            name: class_filter(name, camera.detect, default, model) for name, camera in config.cameras.items()
        }

    def views(self) -> list[CameraView]:
        """Return what people are shown of every camera."""
        return [self._view(name, unit) for name, unit in self._units.items()]

    def sight(self, camera: str) -> Sight | None:
        """Return a camera's latest inferred frame; raises `KeyError` for a camera that is not there."""
        return self._units[camera].pipeline.sight

    def announce(self) -> None:
        """Tell the bus of every camera and how it is."""
        for name, unit in self._units.items():
            self._introduce(name, unit)
            self._bus.publish([unit.health])

    async def run(self) -> None:
        """Run every enabled camera until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            self.announce()
            for name, unit in self._units.items():
                if unit.enabled:
                    self._start(name, unit)
            await asyncio.get_running_loop().create_future()

    def request(self, command: CameraCommand) -> None:
        """Do what was asked as soon as possible; a camera that is not there is ignored."""
        if self._group is not None and command.camera in self._units:
            self._group.create_task(self._obey(command), name=f"{command.action}-{command.camera}")

    async def command(self, command: CameraCommand) -> None:
        """Do what somebody asked of a camera; raises `KeyError` for a camera that is not there."""
        async with self._busy:
            unit = self._units[command.camera]
            enable = command.action is not Action.DISABLE
            if enable == unit.enabled and command.action is not Action.RESTART:
                return
            log.info("%s: %s", command.camera, command.action)
            await self._stop(unit)
            unit.enabled = enable
            self._resume(command.camera, unit)

    async def apply(self, config: Config, changes: Changes) -> None:
        """Make the cameras what `config` says, touching only what `changes` names.

        Raises `CannotStartError`, and has touched nothing, for a class that the model does not know.
        """
        filters = self.filters(config)
        async with self._busy:
            gone = [self._remove(name) for name in changes.removed]
            await asyncio.gather(*gone, *(self._stop(self._units[name]) for name in changes.recaptured))
            for name in (*changes.recaptured, *changes.retuned):
                unit = self._units[name]
                unit.config = unit.camera.config = config.cameras[name]
                self._aim(name, unit, filters[name])
            for name in changes.recaptured:
                unit = self._units[name]
                unit.enabled = unit.config.enabled
                self._resume(name, unit)
            for name in changes.added:
                unit = self._add(name, config.cameras[name], filters[name])
                self._introduce(name, unit)
                self._resume(name, unit)

    async def _obey(self, command: CameraCommand) -> None:
        try:
            await self.command(command)
        except KeyError:
            log.warning("%s: is gone before it could be told to %s", command.camera, command.action)

    def _add(self, name: str, config: CameraConfig, wanted: ClassFilter) -> _Unit:
        model = self._loop.detector.model
        metrics = self._metrics.add_camera(name, wanted.labels(model), _target(config))
        pipeline = CameraPipeline(model, wanted, metrics)
        camera = Camera(name, config, open_source, self._loop, metrics, self._changed)
        state = CameraState.CONNECTING if config.enabled else CameraState.DISABLED
        unit = _Unit(config, pipeline, metrics, camera, CameraHealth(name, state), config.enabled)
        self._units[name] = unit
        metrics.health(unit.health)
        self._pipelines.add(name, pipeline)
        self._schedule(name, unit)
        return unit

    def _aim(self, name: str, unit: _Unit, wanted: ClassFilter) -> None:
        """Give a camera a new filter and new labels while it runs."""
        unit.pipeline = CameraPipeline(self._loop.detector.model, wanted, unit.metrics)
        if unit.health.state is not CameraState.LIVE or not unit.config.detect.enabled:
            unit.pipeline.forget()
        unit.metrics.aim(unit.pipeline.labels.values(), _target(unit.config))
        self._pipelines.add(name, unit.pipeline)
        self._schedule(name, unit)
        self._introduce(name, unit)

    def _introduce(self, name: str, unit: _Unit) -> None:
        self._bus.publish([CameraIntroduced(name, tuple(unit.pipeline.labels.values()))])

    def _schedule(self, name: str, unit: _Unit) -> None:
        detect = unit.config.detect
        if unit.enabled and detect.enabled:
            floor = unit.pipeline.class_filter.floor
            self._loop.set_camera(name, fps=detect.fps, weight=detect.weight, floor=floor)
        else:
            self._loop.remove_camera(name)

    def _resume(self, name: str, unit: _Unit) -> None:
        """Start a stopped camera, or say that it is disabled."""
        self._schedule(name, unit)
        if unit.enabled:
            self._start(name, unit)
        else:
            unit.metrics.health(CameraHealth(name, CameraState.DISABLED))
            self._changed(CameraHealth(name, CameraState.DISABLED))

    def _start(self, name: str, unit: _Unit) -> None:
        assert self._group is not None, "run() first"  # noqa: S101 -- the caller's mistake, not the user's
        unit.task = self._group.create_task(unit.camera.run(), name=f"camera-{name}")

    async def _stop(self, unit: _Unit) -> None:
        task, unit.task = unit.task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _remove(self, name: str) -> None:
        unit = self._units.pop(name)
        await self._stop(unit)
        self._loop.remove_camera(name)
        self._pipelines.remove(name)
        self._metrics.remove_camera(name)
        self._bus.publish([CameraGone(name)])
        log.info("%s: removed", name)

    def _changed(self, health: CameraHealth) -> None:
        unit = self._units.get(health.camera)
        if unit is None:
            return  # a camera that is being removed tells no more
        unit.health = health
        if health.state is CameraState.LIVE:
            unit.pipeline.resume()
        else:
            unit.pipeline.forget()
        self._bus.publish([health])

    def _view(self, name: str, unit: _Unit) -> CameraView:
        return CameraView(
            name,
            unit.config.redacted_url,
            unit.health.status,
            unit.health.state,
            unit.health.reason,
            unit.health.condition,
            unit.camera.retry_at,
            round(unit.metrics.capture_fps, 2),
            round(unit.metrics.inference_fps, 2),
            _target(unit.config),
            dict(unit.pipeline.counts),
        )


def _target(config: CameraConfig) -> float:
    """Return how often a camera is to be inferred, per second."""
    return config.detect.fps if config.detect.enabled else 0.0
