"""MQTT as a whole: the publisher and, without a configured broker, the embedded one, replaced on a reload."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vigil.aio.tasks import Backoff, keep_running
from vigil.sinks.broker import EmbeddedBroker, check_free
from vigil.sinks.messages import Messages
from vigil.sinks.native import Native
from vigil.sinks.publisher import MqttPublisher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vigil.aio.bus import Bus
    from vigil.config.model import MqttConfig
    from vigil.core.types import BusMessage, Command, Loaded
    from vigil.metrics import Metrics

_LOCAL = "127.0.0.1"
_BROKER_BACKOFF = Backoff(first=1.0, longest=10.0)


class Messaging:
    """Runs a publisher against the broker of the present settings."""

    def __init__(
        self,
        settings: MqttConfig,
        loaded: Mapping[str, Loaded],
        bus: Bus[BusMessage],
        metrics: Metrics,
        on_command: Callable[[Command], None],
    ) -> None:
        self._settings = settings
        self._loaded = loaded
        self._bus = bus
        self._metrics = metrics
        self._on_command = on_command
        self._broker: EmbeddedBroker | None = None
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Start the embedded broker, if one is wanted; raises `CannotStartError`."""
        if self._settings.host is None:
            self._broker = EmbeddedBroker(_LOCAL, self._settings.port)
            await self._broker.start()

    async def stop(self) -> None:
        """End the embedded broker, if there is one; it goes last, so that goodbyes are heard."""
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.stop()

    async def run(self, announce: Callable[[], None]) -> None:
        """Publish until cancelled; `announce` has every camera told to a publisher that is new."""
        while True:
            await self._run_until_changed(announce)
            await self.stop()
            if self._settings.host is None:
                # Started, and if need be started again, by its watch: a reload never ends vigil.
                self._broker = EmbeddedBroker(_LOCAL, self._settings.port)

    def check(self, settings: MqttConfig) -> None:
        """Raise `CannotStartError` if new settings ask for a port that is taken."""
        same_broker = self._settings.host is None and self._settings.port == settings.port
        if settings.host is None and not same_broker:
            check_free(_LOCAL, settings.port, "mqtt.port")

    def apply(self, settings: MqttConfig) -> None:
        """Say goodbye to the present broker and go on with the one of `settings`."""
        self._settings = settings
        self._changed.set()

    async def _run_until_changed(self, announce: Callable[[], None]) -> None:
        self._changed.clear()
        settings = self._settings
        with self._bus.subscription("mqtt") as subscription:
            messages = Messages(settings.topic_prefix, self._loaded)
            publisher = MqttPublisher(
                settings,
                (settings.host or _LOCAL, settings.port),
                messages.daemon_status(online=False),
                [Native(messages)],
                subscription,
                self._metrics,
                self._on_command,
            )
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(publisher.run(), name="mqtt-publisher")]
                if self._broker is not None:
                    watch = keep_running(self._broker.run_once, name="broker", backoff=_BROKER_BACKOFF)
                    running.append(group.create_task(watch, name="broker"))
                announce()
                await self._changed.wait()
                for task in running:
                    task.cancel()
