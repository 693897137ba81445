"""A shard's process: `python -m vigil.shards.child <descriptor>`.

Some of the cameras with capture, inference and analytics of their own. It hears its orders, and tells what
happens, over a socket that it inherits; everything that others see (MQTT, HTTP, files) is its front's. It
ends when the front says so or is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, assert_never

from vigil import log as logging_setup
from vigil.aio.bus import Bus
from vigil.aio.threads import call_in_thread, take_short_turns
from vigil.analytics.pipeline import Pipelines
from vigil.config.diff import diff
from vigil.daemon import snapshot_of, trouble_of
from vigil.errors import FatalError, VigilError, cause_of
from vigil.gpu.decoders import Decoders
from vigil.gpu.nvml import Nvml
from vigil.inference.loop import InferenceLoop
from vigil.inference.replicas import is_replica
from vigil.metrics import Metrics
from vigil.placement import Placement, open_services
from vigil.shards.channel import Channel, ClosedError
from vigil.shards.split import part_of_workers
from vigil.shards.wire import (
    Answer,
    Apply,
    Asked,
    Detect,
    Encoder,
    Expose,
    Failed,
    Go,
    Orders,
    Perform,
    Picture,
    Pulse,
    Ready,
    Show,
    Stop,
    Told,
)
from vigil.snapshots import Snapshots
from vigil.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.aio.bus import Subscription
    from vigil.config.model import Config
    from vigil.core.types import BusMessage
    from vigil.inference.service import Service
    from vigil.shards.wire import Question

log = logging.getLogger(__name__)

_PULSE = 1.0
_ORPHANED = 12.0
"""Seconds after the front's end at which a shard that still runs is ended by force."""


class Watcher:
    """The parts of `vigil.app` that look at cameras, and what they are asked."""

    def __init__(self, orders: Orders, services: dict[str, Service], channel: Channel) -> None:
        """Put the parts together; raises `CannotStartError` for a class that a model does not know."""
        self._channel = channel
        self._config = orders.config
        self._services = services
        self._metrics = Metrics()
        self._bus: Bus[BusMessage] = Bus(on_drop=self._metrics.sink_dropped)
        self._snapshots = Snapshots(self._bus.publish, self._metrics)
        pipelines = Pipelines(self._bus.publish_threadsafe, self._snapshots.offer)
        self._loop = InferenceLoop(services, pipelines, self._metrics, analyst=pipelines)
        self._decoders = Decoders(Nvml(os.environ))
        placement = Placement(services, self._decoders)
        self._supervisor = Supervisor(
            orders.config,
            self._loop,
            pipelines,
            self._bus,
            self._metrics,
            orders.totals,
            orders.held,
            placement,
        )

    async def run(self, stop: Callable[[], None]) -> None:
        """Watch until cancelled; `stop` is called when the front wants that, or is gone."""
        models = {name: service.detector.model for name, service in self._services.items()}
        encoder = Encoder(models)
        # In the metrics it counts as what it stands in for.
        with self._bus.subscription("mqtt") as subscription:
            self._supervisor.announce()
            loaded = {
                name: service.loaded for name, service in self._services.items() if not is_replica(name)
            }
            # Introductions come as they are: the encoder only notes what both ends know.
            told = encoder.encode(subscription.drain())
            await self._channel.send(Ready(loaded, models, told))  # type: ignore[arg-type]  # no results yet
            try:
                async with asyncio.TaskGroup() as sinks:
                    sinks.create_task(self._tell(subscription, encoder), name="tell")
                    await self._watch(stop)
            finally:
                await self._channel.send(Told(encoder.encode(subscription.drain())))

    async def _watch(self, stop: Callable[[], None]) -> None:
        questions: asyncio.Queue[Asked] = asyncio.Queue()
        go = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._hear(questions, go, stop), name="hear")
            await go.wait()
            group.create_task(self._loop.run(), name="inference")
            group.create_task(self._supervisor.run(), name="supervisor")
            group.create_task(self._snapshots.run(self._supervisor), name="snapshots")
            group.create_task(self._decoders.run(self._supervisor.pixel_rates), name="decoders")
            group.create_task(self._beat(), name="pulse")
            while True:
                asked = await questions.get()
                group.create_task(self._answer(asked), name="answer")

    async def _hear(
        self, questions: asyncio.Queue[Asked], go: asyncio.Event, stop: Callable[[], None]
    ) -> None:
        """Take what the front says, until it says no more."""
        with suppress(ClosedError):
            while not isinstance(said := await self._channel.receive(), Stop):
                if isinstance(said, Go):
                    go.set()
                elif isinstance(said, Asked):
                    questions.put_nowait(said)
        stop()

    async def _tell(self, subscription: Subscription[BusMessage], encoder: Encoder) -> None:
        """Pass on what happens, all that waits at a time."""
        async for first in subscription:
            await self._channel.send(Told(encoder.encode([first, *subscription.drain()])))

    async def _beat(self) -> None:
        while True:
            pulse = Pulse(trouble_of(self._loop), self._loop.saturation, self._supervisor.stats())
            await self._channel.send(pulse)
            await asyncio.sleep(_PULSE)

    async def _answer(self, asked: Asked) -> None:
        try:
            answer = Answer(asked.number, await self._do(asked.question))
        except (VigilError, KeyError) as error:
            answer = Answer(asked.number, error=error)
        except Exception as error:  # the edge of a request
            log.exception("a question of the front failed")
            answer = Answer(asked.number, error=RuntimeError(repr(error)))
        await self._channel.send(answer)

    async def _do(self, question: Question) -> object:
        match question:
            case Perform(command):
                await self._supervisor.command(command)
                return None
            case Apply(config):
                await self._apply(config)
                return None
            case Show():
                return self._supervisor.views()
            case Picture(camera):
                return await snapshot_of(self._supervisor, camera)
            case Expose():
                return await self._metrics.exposition()
            case Detect(image, confidence):
                return await self._loop.detect(image, confidence)
            case _:
                assert_never(question)

    async def _apply(self, config: Config) -> None:
        # Noted before anything is waited for: the next one is compared with this one.
        changes, self._config = diff(self._config, config), config
        if changes.log:
            logging_setup.set_up(config.log)
        await self._supervisor.apply(config, changes)


async def serve(connected: socket.socket) -> int:
    """Do as the front says over `connected`; returns the exit status."""
    take_short_turns()
    channel = await Channel.over(connected)
    try:
        orders = await channel.receive()
        assert isinstance(orders, Orders), "orders come first"  # noqa: S101 -- the front's promise
        logging_setup.set_up(orders.config.log)
        return await _run(await _ready(orders, channel))
    except ClosedError:
        return 0
    except FatalError as error:
        await channel.send(Failed(str(error)))
        return error.exit_status
    finally:
        await channel.close()


async def _ready(orders: Orders, channel: Channel) -> Watcher:
    """Return what does as it is ordered; raises `CannotStartError`."""
    opener = orders.open_services or open_services
    services = await call_in_thread(
        lambda: opener(orders.config, orders.weights, os.environ), name="open-models"
    )
    _share(services, orders)
    return Watcher(orders, services, channel)


async def _run(watcher: Watcher) -> int:
    watching = asyncio.create_task(watcher.run(lambda: _end(watching)), name="shard")
    try:
        await watching
    except asyncio.CancelledError:
        return 0
    except BaseExceptionGroup as group:
        error = cause_of(group)
        if not isinstance(error, VigilError):
            raise
        log.error("%s", error)  # noqa: TRY400 -- its text says it all
        return error.exit_status
    return 0


def _end(watching: asyncio.Task[None]) -> None:
    watching.cancel()


def _share(services: dict[str, Service], orders: Orders) -> None:
    """Leave the other shards their part of the processor."""
    for service in services.values():
        if service.detector.engine.device == "cpu":
            service.workers = part_of_workers(service.workers, orders.shard, orders.shards)


def _end_without_front() -> None:
    """End a process whose loop does not see that the front is gone; its standard input closes with it."""
    while os.read(0, 1):
        pass
    time.sleep(_ORPHANED)
    os._exit(1)


def main() -> None:
    """Watch for whoever started this."""
    # A signal to the group, from a terminal or from systemd, is for the front, which ends its shards.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_without_front, name="orphan", daemon=True).start()
    sys.exit(asyncio.run(serve(socket.socket(fileno=int(sys.argv[1])))))


if __name__ == "__main__":
    main()
