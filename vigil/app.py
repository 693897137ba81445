"""The composition root: what vigil is made of, in the order in which it starts."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from vigil.aio.bus import Bus
from vigil.aio.threads import call_in_thread
from vigil.analytics.pipeline import Pipelines
from vigil.daemon import LiveDaemon
from vigil.inference.backends import open_engine
from vigil.inference.detector import Detector
from vigil.inference.loop import InferenceLoop
from vigil.messaging import Messaging
from vigil.metrics import Metrics
from vigil.reload import Reload
from vigil.supervisor import Supervisor
from vigil.systemd import Notifier
from vigil.web.server import WebServer

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.core.types import BusMessage
    from vigil.launch import Setup

log = logging.getLogger(__name__)


async def run(setup: Setup) -> None:
    """Run the daemon until cancelled.

    Raises `CannotStartError`, alone or in an exception group, when something that it needs is missing.
    """
    config = setup.config
    metrics, systemd = Metrics(), Notifier(setup.environ)
    bus: Bus[BusMessage] = Bus(on_drop=metrics.sink_dropped)
    detector = await call_in_thread(lambda: open_detector(setup.weights, config.model), name="open-detector")
    metrics.describe(model=detector.model.name, engine=detector.engine.name)
    pipelines = Pipelines(bus.publish_threadsafe)
    loop = InferenceLoop(detector, pipelines, metrics)
    supervisor = Supervisor(config, loop, pipelines, bus, metrics)
    messaging = Messaging(config.mqtt, detector, bus, metrics, supervisor.request)
    reload = Reload(config, setup.load_again, supervisor, messaging, metrics)
    daemon = LiveDaemon(loop, supervisor, reload, metrics)
    web = WebServer(daemon, config.http)
    await messaging.start()
    try:
        await web.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(messaging.run(supervisor.announce), name="mqtt")
            group.create_task(loop.run(), name="inference")
            group.create_task(supervisor.run(), name="supervisor")
            group.create_task(web.run(), name="web")
            group.create_task(reload.run(setup.path, setup.reload_requested, setup.loaded), name="reload")
            group.create_task(systemd.feed_watchdog(daemon.healthy), name="watchdog")
            daemon.started = True
            systemd.notify("READY=1")
            setup.started()
    finally:
        systemd.notify("STOPPING=1")
        await messaging.stop()


def open_detector(weights: Path, settings: ModelConfig) -> Detector:
    """Load the model once and warm it up; blocks. Raises `CannotStartError`."""
    engine = open_engine(weights, settings)
    detector = Detector(engine, size=settings.size, iou=settings.iou)
    detector.warm_up()
    log.info("model %s on %s, %d workers", engine.model.name, engine.name, engine.workers)
    return detector
