"""Keeps the cameras that the configuration wants running, each on its own, through reloads and commands.

What is asked of it is done one thing after another: a reload never meets a command half way. Stop first,
then start.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING

from vigil.analytics.filters import class_filter
from vigil.analytics.gate import gates
from vigil.analytics.pipeline import CameraPipeline
from vigil.analytics.scene import Rules
from vigil.analytics.watch import Watch
from vigil.config.tuning import Wanted
from vigil.core.events import Totals
from vigil.core.settings import ENABLED, payload_of
from vigil.core.types import (
    MAIN_MODEL,
    Action,
    BusMessage,
    CameraGone,
    CameraHealth,
    CameraState,
    MotionChanged,
    Setting,
    SettingCommand,
)
from vigil.errors import CannotStartError
from vigil.inference.attentions import Regions
from vigil.placement import Placement
from vigil.unit import Unit
from vigil.video.camera import Camera
from vigil.video.open import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vigil.aio.bus import Bus
    from vigil.analytics.filters import ClassFilter
    from vigil.analytics.pipeline import Pipelines, Sight
    from vigil.config.analytics import SnapshotConfig
    from vigil.config.diff import Changes
    from vigil.config.model import CameraConfig, Config
    from vigil.core.settings import Held
    from vigil.core.types import CameraCommand, CameraStats, CameraView, Model
    from vigil.inference.loop import InferenceLoop
    from vigil.metrics import Metrics
    from vigil.metrics.camera import CameraMetrics

log = logging.getLogger(__name__)


class Supervisor:
    """Starts every camera, knows how each is, and tells the bus when that changes."""

    def __init__(
        self,
        config: Config,
        loop: InferenceLoop,
        pipelines: Pipelines,
        bus: Bus[BusMessage],
        metrics: Metrics,
        totals: Mapping[str, Totals] | None = None,
        held: Mapping[str, Mapping[str, Held]] | None = None,
        placement: Placement | None = None,
    ) -> None:
        """Check every camera against the model; raises `CannotStartError` for a class it does not know.

        Lines count on from `totals`, by camera; `held` is what was set earlier.
        """
        self._placement = placement or Placement(loop.services)
        self._totals = dict(totals or {})
        self._loop = loop
        self._pipelines = pipelines
        self._bus = bus
        self._metrics = metrics
        self._units: dict[str, Unit] = {}
        self._busy = asyncio.Lock()
        self._group: asyncio.TaskGroup | None = None
        self.filters(config)
        self._placement.settle(config.cameras)
        for name, camera in config.cameras.items():
            wanted = Wanted(camera, model_confidence(camera, config))
            self._add(name, wanted.keeping((held or {}).get(name, {})))

    def filters(self, config: Config) -> Mapping[str, ClassFilter]:
        """Return each camera's filter; raises `CannotStartError` for a class or a model that is not known."""
        return camera_filters(config, self._loop.model)

    def _filter(self, name: str, wanted: Wanted) -> ClassFilter:
        return _filter(name, wanted, self._loop.model)

    def views(self) -> list[CameraView]:
        """Return what people are shown of every camera."""
        return [unit.view() for unit in self._units.values()]

    def snapshots(self) -> dict[str, SnapshotConfig]:
        """Return what pictures of each camera are wanted."""
        return {name: unit.config.snapshots for name, unit in self._units.items()}

    def stats(self) -> dict[str, CameraStats]:
        """Return how every camera did since this was asked last."""
        return {name: unit.stats() for name, unit in self._units.items()}

    def pixel_rates(self) -> dict[str, float]:
        """Return how many pixels a second each camera sends: what it costs to decode."""
        return {name: unit.pixel_rate for name, unit in self._units.items()}

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
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._end_events()

    def totals(self) -> dict[str, Totals]:
        """Return the crossings of every camera's lines, for whoever keeps them."""
        for name, unit in self._units.items():
            self._kept(name, unit)
        return dict(self._totals)

    def _kept(self, name: str, unit: Unit) -> Totals:
        """Return what a camera's lines have counted ever, those included that it has not at present."""
        self._totals[name] = unit.pipeline.state.totals.over(self._totals.get(name, Totals()))
        return self._totals[name]

    def held(self) -> dict[str, Mapping[str, Held]]:
        """Return what is set of every camera instead of what its configuration says, for whoever keeps it."""
        return {name: unit.wanted.held for name, unit in self._units.items() if unit.wanted.held}

    def _end_events(self) -> None:
        """Leave no subscriber with an open event: vigil stops."""
        for name in self._units:
            self._bus.publish(self._pipelines.forget(name, time.time()))

    def request(self, command: CameraCommand | SettingCommand) -> None:
        """Do what was asked as soon as possible; a camera that is not there is ignored."""
        if self._group is not None and command.camera in self._units:
            self._group.create_task(self._obey(command), name=f"command-{command.camera}")

    async def command(self, command: CameraCommand | SettingCommand) -> None:
        """Do what somebody asked of a camera; raises `KeyError` for a camera that is not there."""
        async with self._busy:
            unit = self._units[command.camera]
            if isinstance(command, SettingCommand):
                self._set(command, unit)
            else:
                await self._switch(command, unit)

    async def _switch(self, command: CameraCommand, unit: Unit) -> None:
        """Enable, disable or restart a camera."""
        enable = command.action is not Action.DISABLE
        if enable == unit.enabled and command.action is not Action.RESTART:
            return
        log.info("%s: %s", command.camera, command.action)
        await self._stop(unit)
        unit.wanted = unit.wanted.holding(ENABLED, enable)
        unit.enabled = enable
        self._resume(command.camera, unit)

    def _set(self, command: SettingCommand, unit: Unit) -> None:
        """Change one setting of a camera, whose capture goes on."""
        before = unit.wanted.tuning
        unit.wanted = unit.wanted.holding(command.setting, command.value)
        if unit.wanted.tuning != before:
            said = payload_of(command.value).decode()
            log.info("%s: %s is set to %s", command.camera, command.setting, said)
            unit.config = unit.camera.config = unit.wanted.camera
            self._tune(command.camera, unit, command.setting)

    async def apply(self, config: Config, changes: Changes) -> None:
        """Make the cameras what `config` says, touching only what `changes` names.

        Raises `CannotStartError`, and has touched nothing, for a class that the model does not know.
        """
        self.filters(config)
        async with self._busy:
            self._placement.settle(config.cameras)
            gone = [self._remove(name) for name in changes.removed]
            await asyncio.gather(*gone, *(self._stop(self._units[name]) for name in changes.recaptured))
            for name in (*changes.recaptured, *changes.retuned):
                unit, camera = self._units[name], config.cameras[name]
                unit.wanted = unit.wanted.over(camera, model_confidence(camera, config))
                if name in changes.recaptured:
                    unit.wanted = unit.wanted.without(ENABLED)
                unit.config = unit.camera.config = unit.wanted.camera
                self._aim(name, unit, self._filter(name, unit.wanted))
            for name in changes.recaptured:
                unit = self._units[name]
                unit.enabled = unit.config.enabled
                self._resume(name, unit)
            for name in changes.added:
                camera = config.cameras[name]
                unit = self._add(name, Wanted(camera, model_confidence(camera, config)))
                self._introduce(name, unit)
                self._resume(name, unit)

    async def _obey(self, command: CameraCommand | SettingCommand) -> None:
        try:
            await self.command(command)
        except KeyError:
            log.warning("%s: is gone before it could do as it was told", command.camera)

    def _add(self, name: str, wanted: Wanted) -> Unit:
        metrics, config = self._metrics.add_camera(name), wanted.camera
        pipeline = self._pipeline(name, config, self._filter(name, wanted), metrics, self._totals.get(name))
        has_room, has_time = partial(self._loop.has_room, name), partial(self._loop.has_time, name)
        watch = Watch(self._loop, metrics, partial(self._moved, name), has_room=has_room, has_time=has_time)
        opener = partial(open_source, attention=watch, log=metrics, gpu=self._placement.decoder(name))
        camera = Camera(name, config, opener, watch, metrics, self._changed)
        state = CameraState.CONNECTING if config.enabled else CameraState.DISABLED
        health = CameraHealth(name, state)
        unit = Unit(wanted, config, pipeline, metrics, watch, camera, health, config.enabled)
        self._units[name] = unit
        metrics.health(unit.health)
        self._settle(name, unit)
        return unit

    def _aim(self, name: str, unit: Unit, wanted: ClassFilter) -> None:
        """Give a camera a new filter and new labels while it runs."""
        self._bus.publish(self._pipelines.forget(name, time.time()))
        before = self._kept(name, unit)
        unit.pipeline = self._pipeline(name, unit.config, wanted, unit.metrics, before)
        self._settle(name, unit)
        if unit.health.state is not CameraState.LIVE or not unit.config.detect.enabled:
            self._pipelines.forget(name, time.time())
        self._introduce(name, unit)

    def _tune(self, name: str, unit: Unit, setting: Setting) -> None:
        """Put a changed setting in force; tracks, events and counts go on unless detection is off."""
        unit.pipeline.refine(self._filter(name, unit.wanted))
        self._pipelines.add(name, unit.pipeline)
        self._metrics.target_fps.labels(name).set(unit.target)
        unit.watch.pace(unit.config.detect.fps)
        if setting is Setting.MOTION or not unit.config.detect.enabled:
            self._watch_for_motion(unit)  # which forgets, too, that somebody was in sight
        if not unit.config.detect.enabled:
            self._bus.publish(self._pipelines.forget(name, time.time()))
        elif unit.health.state is CameraState.LIVE:
            unit.pipeline.resume()
        self._schedule(name, unit)
        self._introduce(name, unit)

    def _pipeline(
        self,
        name: str,
        config: CameraConfig,
        wanted: ClassFilter,
        metrics: CameraMetrics,
        totals: Totals | None,
    ) -> CameraPipeline:
        rules = Rules(config.tracking, config.zones, config.lines, snapshots=config.snapshots.enabled)
        return CameraPipeline(name, self._model(config), wanted, rules, metrics, secrets.randbits, totals)

    def _settle(self, name: str, unit: Unit) -> None:
        """Have everything go by a unit's configuration and pipeline."""
        state = unit.pipeline.state
        unit.metrics.aim(unit.target, state.counts, state.zones, state.totals)
        self._pipelines.add(name, unit.pipeline, unit.watch)
        self._watch_for_motion(unit)
        self._schedule(name, unit)

    def _watch_for_motion(self, unit: Unit) -> None:
        detect = unit.config.detect
        spared = gates(detect.when, gpu=self._loop.on_device(detect.model or MAIN_MODEL))
        unit.watch.settle(unit.config.motion, gate=spared, fps=detect.fps)

    def _model(self, config: CameraConfig) -> Model:
        """Return the model that looks at a camera."""
        return self._loop.model(config.detect.model or MAIN_MODEL)

    def _introduce(self, name: str, unit: Unit) -> None:
        self._bus.publish([unit.introduced()])
        self._bus.publish([MotionChanged(name, on=unit.watch.moving)])

    def _schedule(self, name: str, unit: Unit) -> None:
        detect = unit.config.detect
        if unit.enabled and detect.enabled:
            floor = unit.pipeline.class_filter.tracking_floor
            service = self._placement.service(name, detect.model or MAIN_MODEL)
            self._loop.set_camera(
                name,
                model=service,
                fps=detect.fps,
                weight=detect.weight,
                floor=floor,
                regions=Regions(detect.regions),
            )
        else:
            self._loop.remove_camera(name)

    def _resume(self, name: str, unit: Unit) -> None:
        """Start a stopped camera, or say that it is disabled."""
        self._schedule(name, unit)
        if unit.enabled:
            self._start(name, unit)
        else:
            unit.metrics.health(CameraHealth(name, CameraState.DISABLED))
            self._changed(CameraHealth(name, CameraState.DISABLED))

    def _start(self, name: str, unit: Unit) -> None:
        assert self._group is not None, "run() first"  # noqa: S101 -- the caller's mistake, not the user's
        unit.task = self._group.create_task(unit.camera.run(), name=f"camera-{name}")

    async def _stop(self, unit: Unit) -> None:
        task, unit.task = unit.task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _remove(self, name: str) -> None:
        unit = self._units.pop(name)
        await self._stop(unit)
        self._loop.remove_camera(name)
        self._bus.publish(self._pipelines.forget(name, time.time()))
        self._kept(name, unit)  # it may come back
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
            unit.watch.live()
        else:
            unit.watch.away()
            self._bus.publish(self._pipelines.forget(health.camera, time.time()))
        self._bus.publish([health])

    def _moved(self, name: str, on: bool) -> None:  # noqa: FBT001 -- a callback's one argument
        """Tell that motion began or ended; called from a camera's thread, or from the loop."""
        self._bus.publish_threadsafe([MotionChanged(name, on=on)])


def camera_filters(config: Config, model: Callable[[str], Model]) -> Mapping[str, ClassFilter]:
    """Return each camera's filter; raises `CannotStartError` for a class or a model that is not known.

    `model` returns a model by its name and raises `KeyError` for one that is not loaded.
    """
    return {
        name: _filter(name, Wanted(camera, model_confidence(camera, config)), model)
        for name, camera in config.cameras.items()
    }


def _filter(name: str, wanted: Wanted, model: Callable[[str], Model]) -> ClassFilter:
    camera = wanted.camera
    key = camera.detect.model or MAIN_MODEL
    try:
        known = model(key)
    except KeyError:
        raise CannotStartError(
            f"cameras.{name}.detect.model: {key} is not loaded; a new model is there when vigil starts again"
        ) from None
    return class_filter(name, camera.detect, wanted.confidence, known, camera.filters, camera.masks)


def model_confidence(camera: CameraConfig, config: Config) -> float:
    """Return the confidence that a camera has from its model."""
    key = camera.detect.model
    return (config.model if key is None else config.models[key]).confidence
