"""The composition root: what vigil is made of, in the order in which it starts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vigil.aio.bus import Bus
from vigil.aio.threads import call_in_thread
from vigil.analytics.pipeline import Pipelines
from vigil.commanded import Commanded
from vigil.core.types import MAIN_MODEL, ProfileCommand
from vigil.daemon import LiveDaemon
from vigil.inference.loop import InferenceLoop
from vigil.inference.service import open_service
from vigil.inference.store import cache_folder
from vigil.memory import Memory
from vigil.messaging import Messaging
from vigil.metrics import Metrics
from vigil.profiles import Choice, Profiles
from vigil.reload import Reload
from vigil.snapshots import Snapshots
from vigil.stats import Stats
from vigil.supervisor import Supervisor
from vigil.systemd import Notifier
from vigil.web.server import WebServer

if TYPE_CHECKING:
    from vigil.config.model import Config
    from vigil.core.types import BusMessage, Command
    from vigil.inference.service import Service
    from vigil.launch import Setup


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
    services = await call_in_thread(lambda: open_services(setup), name="open-models")
    loaded = {name: service.loaded for name, service in services.items()}
    metrics.describe(loaded.values())
    snapshots = Snapshots(bus.publish, metrics)
    pipelines = Pipelines(bus.publish_threadsafe, snapshots.offer)
    loop = InferenceLoop(services, pipelines, metrics, analyst=pipelines)
    supervisor = Supervisor(config, loop, pipelines, bus, metrics, memory.totals(), commanded.cameras)
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


def obey(command: Command, supervisor: Supervisor, profiles: Profiles) -> None:
    """Hand a wish to the part that can fulfil it."""
    if isinstance(command, ProfileCommand):
        profiles.request(command)
    else:
        supervisor.request(command)


def held_commands(config: Config, choice: Choice, supervisor: Supervisor) -> Commanded:
    """Return what is to be there again after a restart."""
    return Commanded(choice.chosen, supervisor.held()) if config.commands.keep else Commanded()


def announce(supervisor: Supervisor, profiles: Profiles, stats: Stats) -> None:
    """Tell the bus everything that a new publisher has to know."""
    supervisor.announce()
    profiles.announce()
    stats.announce()


def open_services(setup: Setup) -> dict[str, Service]:
    """Load every model of the configuration, each once; blocks. Raises `CannotStartError`."""
    models = {MAIN_MODEL: setup.config.model, **setup.config.models}
    cache = cache_folder(setup.environ)
    return {name: open_service(setup.weights[name], each, cache) for name, each in models.items()}
