"""The composition root of the process before its shards: all of `vigil.app` but what looks at cameras.

It reads the configuration and keeps the files; it alone speaks MQTT and HTTP, so nobody sees that the cameras
are watched elsewhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vigil.aio.bus import Bus
from vigil.app import announce, held_commands, obey
from vigil.core.types import MAIN_MODEL
from vigil.daemon import Configured
from vigil.memory import Memory
from vigil.messaging import Messaging
from vigil.metrics import Metrics
from vigil.profiles import Choice, Profiles
from vigil.reload import Reload
from vigil.shards.cameras import Shards
from vigil.stats import Stats
from vigil.systemd import Notifier
from vigil.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import (
        BusMessage,
        CameraCommand,
        CameraView,
        Detections,
        Image,
        Model,
        SettingCommand,
    )
    from vigil.launch import Setup


async def run(setup: Setup, number: int) -> None:
    """Run the daemon with so many shards until cancelled; raises as `vigil.app.run` does."""
    memory = Memory(setup.path, setup.environ)
    commanded = memory.commanded(keep=setup.config.commands.keep)
    choice = Choice(chosen=commanded.profile)
    profile = choice.pick(setup.config)
    config = setup.config.under(profile)
    metrics = Metrics()
    bus: Bus[BusMessage] = Bus(on_drop=metrics.sink_dropped)
    shards = Shards(setup, config, number, bus, metrics, memory.totals(), commanded.cameras)
    try:
        await shards.start()
        metrics.describe(shards.loaded.values())
        await _serve(setup, shards, memory, choice, profile, bus, metrics)
    finally:
        await shards.end()


async def _serve(
    setup: Setup,
    shards: Shards,
    memory: Memory,
    choice: Choice,
    profile: str | None,
    bus: Bus[BusMessage],
    metrics: Metrics,
) -> None:
    """Say what the shards see, in the order in which `vigil.app` starts and stops."""
    systemd, config = Notifier(setup.environ), setup.config.under(profile)
    messaging = Messaging(
        config,
        shards.loaded,
        bus,
        metrics,
        lambda command: obey(command, shards, profiles),
        memory.announced,
        retained=memory.retained,
        outbox=memory.outbox,
    )
    reload = Reload(setup.config, setup.load_again, shards, messaging, metrics, choice.pick, profile)
    reload.check_profiles(setup.config)
    profiles = Profiles(choice, reload, bus)
    stats = Stats(shards, shards, bus)
    daemon = FrontDaemon(shards, reload, profiles)
    web = WebServer(daemon, config.http)
    await messaging.start()
    try:
        await web.start()
        async with asyncio.TaskGroup() as sinks:
            sinks.create_task(messaging.run(lambda: announce(shards, profiles, stats)), name="mqtt")
            async with asyncio.TaskGroup() as group:
                group.create_task(shards.run(), name="shards")
                group.create_task(
                    memory.run(shards.totals, lambda: held_commands(reload.config, choice, shards)),
                    name="memory",
                )
                group.create_task(web.run(), name="web")
                group.create_task(reload.run(setup.path, setup.reload_requested, setup.loaded), name="reload")
                group.create_task(profiles.run(), name="profiles")
                group.create_task(stats.run(), name="stats")
                group.create_task(systemd.feed_watchdog(shards.moving), name="watchdog")
                daemon.started = True
                systemd.notify("READY=1")
                setup.started()
    finally:
        systemd.notify("STOPPING=1")
        await messaging.stop()


class FrontDaemon(Configured):
    """Answers the web's questions by asking the shards: `vigil.web.daemon.Daemon`."""

    def __init__(self, shards: Shards, reload: Reload, profiles: Profiles) -> None:
        super().__init__(reload, profiles)
        self._shards = shards

    @property
    def model(self) -> Model:
        """The model that finds objects."""
        return self._shards.models[MAIN_MODEL]

    def trouble(self) -> str:
        """Return why some cameras are not watched; empty when all are."""
        return self._shards.trouble()

    async def metrics(self) -> bytes:
        """Return the Prometheus exposition of all processes."""
        return await self._shards.expose()

    async def cameras(self) -> Sequence[CameraView]:
        """Return every camera of the configuration."""
        return await self._shards.views()

    async def snapshot(self, camera: str) -> bytes | None:
        """Return a JPEG of the camera's latest inferred frame with boxes; raises `KeyError` if unknown."""
        return await self._shards.picture(camera)

    async def command(self, command: CameraCommand | SettingCommand) -> None:
        """Enable, disable, restart or set something of a camera; raises `KeyError` if unknown."""
        await self._shards.command(command)

    async def detect(self, image: Image, confidence: float) -> Detections:
        """Find objects in a picture, in its turn; raises `RetryableError` when none can look at it."""
        return await self._shards.detect(image, confidence)
