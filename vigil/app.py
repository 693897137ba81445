"""The composition root: what vigil is made of, in the order in which it starts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from vigil.aio.bus import Bus
from vigil.aio.threads import call_in_thread
from vigil.analytics.pipeline import Pipelines
from vigil.commanded import Commanded
from vigil.core.types import ProfileCommand
from vigil.daemon import LiveDaemon
from vigil.gpu.decoders import Decoders
from vigil.gpu.nvml import Nvml
from vigil.inference.loop import InferenceLoop
from vigil.inference.replicas import is_replica
from vigil.memory import Memory
from vigil.messaging import Messaging
from vigil.metrics import Metrics
from vigil.placement import Placement, open_services
from vigil.profiles import Choice, Profiles
from vigil.reload import Reload
from vigil.snapshots import Snapshots
from vigil.stats import Stats
from vigil.supervisor import Supervisor
from vigil.systemd import Notifier
from vigil.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.config.model import Config
    from vigil.core.settings import Held
    from vigil.core.types import BusMessage, CameraCommand, Command, SettingCommand
    from vigil.launch import Setup


class Cameras(Protocol):
    """All cameras, in this process or in others."""

    def request(self, command: CameraCommand | SettingCommand) -> None:
        """Do what was asked as soon as possible."""

    def held(self) -> Mapping[str, Mapping[str, Held]]:
        """Return what is set of every camera instead of what its configuration says."""

    def announce(self) -> None:
        """Tell the bus of every camera and how it is."""


async def run(setup: Setup) -> None:
    """Run the daemon until cancelled.

    Raises `CannotStartError`, alone or in an exception group, when something that it needs is missing.
    """
    memory = Memory(setup.path, setup.environ)
    commanded = memory.commanded(keep=setup.config.commands.keep)
    choice = Choice(chosen=commanded.profile)
    profile = choice.pick(setup.config)
    config = setup.config.under(profile)
    metrics, systemd = Metrics(), Notifier(setup.environ)
    bus: Bus[BusMessage] = Bus(on_drop=metrics.sink_dropped)
    opener = setup.open_services or open_services
    services = await call_in_thread(
        lambda: opener(setup.config, setup.weights, setup.environ), name="open-models"
    )
    metrics.describe(service.loaded for service in services.values())
    loaded = {name: service.loaded for name, service in services.items() if not is_replica(name)}
    snapshots = Snapshots(bus.publish, metrics)
    pipelines = Pipelines(bus.publish_threadsafe, snapshots.offer)
    loop = InferenceLoop(services, pipelines, metrics, analyst=pipelines)
    decoders = Decoders(Nvml(setup.environ))
    placement = Placement(services, decoders)
    supervisor = Supervisor(
        config, loop, pipelines, bus, metrics, memory.totals(), commanded.cameras, placement
    )
    messaging = Messaging(
        config,
        loaded,
        bus,
        metrics,
        lambda command: obey(command, supervisor, profiles),
        memory.announced,
        retained=memory.retained,
        outbox=memory.outbox,
    )
    reload = Reload(setup.config, setup.load_again, supervisor, messaging, metrics, choice.pick, profile)
    reload.check_profiles(setup.config)
    profiles = Profiles(choice, reload, bus)
    stats = Stats(supervisor, loop, bus)
    daemon = LiveDaemon(loop, supervisor, reload, profiles, metrics)
    web = WebServer(daemon, config.http)
    await messaging.start()
    try:
        await web.start()
        # Stopped in the opposite order, so that what the others say last still reaches the broker.
        async with asyncio.TaskGroup() as sinks:
            sinks.create_task(messaging.run(lambda: announce(supervisor, profiles, stats)), name="mqtt")
            async with asyncio.TaskGroup() as group:
                group.create_task(loop.run(), name="inference")
                group.create_task(supervisor.run(), name="supervisor")
                group.create_task(snapshots.run(supervisor), name="snapshots")
                group.create_task(
                    memory.run(supervisor.totals, lambda: held_commands(reload.config, choice, supervisor)),
                    name="memory",
                )
                group.create_task(decoders.run(supervisor.pixel_rates), name="decoders")
                group.create_task(web.run(), name="web")
                group.create_task(reload.run(setup.path, setup.reload_requested, setup.loaded), name="reload")
                group.create_task(profiles.run(), name="profiles")
                group.create_task(stats.run(), name="stats")
                group.create_task(systemd.feed_watchdog(daemon.healthy), name="watchdog")
                daemon.started = True
                systemd.notify("READY=1")
                setup.started()
    finally:
        systemd.notify("STOPPING=1")
        await messaging.stop()


def obey(command: Command, cameras: Cameras, profiles: Profiles) -> None:
    """Hand a wish to the part that can fulfil it."""
    if isinstance(command, ProfileCommand):
        profiles.request(command)
    else:
        cameras.request(command)


def held_commands(config: Config, choice: Choice, cameras: Cameras) -> Commanded:
    """Return what is to be there again after a restart."""
    return Commanded(choice.chosen, cameras.held()) if config.commands.keep else Commanded()


def announce(cameras: Cameras, profiles: Profiles, stats: Stats) -> None:
    """Tell the bus everything that a new publisher has to know."""
    cameras.announce()
    profiles.announce()
    stats.announce()
