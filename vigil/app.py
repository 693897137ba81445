"""The composition root: what vigil is made of, in the order in which it starts."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from vigil.aio.bus import Bus
from vigil.aio.tasks import Backoff, keep_running
from vigil.aio.threads import call_in_thread
from vigil.analytics.pipeline import Pipelines
from vigil.daemon import LiveDaemon
from vigil.inference.backends import open_engine
from vigil.inference.detector import Detector
from vigil.inference.loop import InferenceLoop
from vigil.metrics import Metrics
from vigil.sinks.broker import EmbeddedBroker
from vigil.sinks.messages import Messages
from vigil.sinks.publisher import MqttPublisher
from vigil.supervisor import Supervisor
from vigil.systemd import Notifier
from vigil.web.server import WebServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from vigil.config.model import Config, ModelConfig, MqttConfig
    from vigil.core.types import BusMessage

log = logging.getLogger(__name__)

_LOCAL = "127.0.0.1"
_BROKER_BACKOFF = Backoff(first=1.0, longest=10.0)


async def run(
    config: Config, weights: Path, environ: Mapping[str, str], started: Callable[[], None] = lambda: None
) -> None:
    """Run the daemon until cancelled; `started` is called once everything is up.

    Raises `CannotStartError`, alone or in an exception group, when something that it needs is missing.
    """
    metrics, systemd = Metrics(), Notifier(environ)
    bus: Bus[BusMessage] = Bus(on_drop=metrics.sink_dropped)
    async with _broker(config.mqtt) as (host, port):
        detector = await call_in_thread(lambda: open_detector(weights, config.model), name="open-detector")
        metrics.describe(model=detector.model.name, engine=detector.engine.name)
        pipelines = Pipelines(bus.publish_threadsafe)
        loop = InferenceLoop(detector, pipelines, metrics)
        supervisor = Supervisor(config, loop, pipelines, bus, metrics)
        messages = Messages(config.mqtt.topic_prefix, detector.model, detector.engine.name)
        publisher = MqttPublisher(config.mqtt, (host, port), messages, bus.subscribe("mqtt"), metrics)
        publisher.introduce(supervisor.statuses, supervisor.labels)
        daemon = LiveDaemon(config, loop, supervisor, metrics)
        web = WebServer(daemon, config.http)
        await web.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(loop.run(), name="inference")
            group.create_task(supervisor.run(), name="supervisor")
            group.create_task(publisher.run(), name="mqtt")
            group.create_task(web.run(), name="web")
            group.create_task(systemd.feed_watchdog(daemon.healthy), name="watchdog")
            daemon.started = True
            systemd.notify("READY=1")
            started()


def open_detector(weights: Path, settings: ModelConfig) -> Detector:
    """Load the model once and warm it up; blocks. Raises `CannotStartError`."""
    engine = open_engine(weights, settings)
    detector = Detector(engine, size=settings.size, iou=settings.iou)
    detector.warm_up()
    log.info("model %s on %s, %d workers", engine.model.name, engine.name, engine.workers)
    return detector


@asynccontextmanager
async def _broker(settings: MqttConfig) -> AsyncIterator[tuple[str, int]]:
    """Give the broker's address; without a configured one, of an embedded one that lives as long as this."""
    if settings.host is not None:
        yield settings.host, settings.port
        return
    broker = EmbeddedBroker(_LOCAL, settings.port)
    await broker.start()
    watch = asyncio.create_task(
        keep_running(broker.run_once, name="broker", backoff=_BROKER_BACKOFF), name="broker"
    )
    try:
        yield _LOCAL, settings.port
    finally:
        watch.cancel()
        await asyncio.wait([watch])
        await broker.stop()
