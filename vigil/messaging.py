"""MQTT as a whole: the publisher and, without a configured broker, the embedded one, replaced on a reload."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vigil.aio.tasks import Backoff, keep_running
from vigil.sinks.broker import HOST_KEY, PORT_KEY, EmbeddedBroker, check_free
from vigil.sinks.frigate.dialect import Frigate
from vigil.sinks.homeassistant.dialect import HomeAssistant
from vigil.sinks.messages import Messages
from vigil.sinks.native import Native
from vigil.sinks.outbox import Outbox, limits_of
from vigil.sinks.publisher import MqttPublisher

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping
    from pathlib import Path

    from vigil.aio.bus import Bus
    from vigil.config.model import Config
    from vigil.config.mqtt import MqttConfig
    from vigil.core.types import BusMessage, Command, Loaded
    from vigil.metrics import Metrics
    from vigil.sinks.dialect import Dialect
    from vigil.sinks.homeassistant.dialect import Told

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where a broker that listens on every network is reached from its own machine."""
_BROKER_BACKOFF = Backoff(first=1.0, longest=10.0)


class Messaging:
    """Runs a publisher against the broker of the present settings."""

    def __init__(
        self,
        config: Config,
        loaded: Mapping[str, Loaded],
        bus: Bus[BusMessage],
        metrics: Metrics,
        on_command: Callable[[Command], None],
        announced: MutableMapping[str, Told] | None = None,
        *,
        retained: Path | None = None,
        outbox: Path | None = None,
    ) -> None:
        """`announced` is what Home Assistant was told earlier, by topic, and is kept up to date.

        `retained` is where an embedded broker keeps its retained messages, if it may. `outbox` is the file
        where messages wait for the broker; without one they wait in memory.
        """
        self._config = config
        self._announced: MutableMapping[str, Told] = {} if announced is None else announced
        self._retained = retained
        self._loaded = loaded
        self._bus = bus
        self._metrics = metrics
        self._on_command = on_command
        self._outbox = Outbox(outbox, limits_of(config.mqtt), metrics)
        self._broker: EmbeddedBroker | None = None
        self._changed = asyncio.Event()

    async def start(self) -> None:
        """Start the outbox and the embedded broker, if one is wanted; raises `CannotStartError`."""
        self._broker = self._embedded()
        if self._broker is not None:
            await self._broker.start()
        self._outbox.start()

    async def stop(self) -> None:
        """End the outbox and the embedded broker, which go last, so that goodbyes are heard."""
        await asyncio.gather(self._outbox.close(), self._stop_broker())

    async def _stop_broker(self) -> None:
        broker, self._broker = self._broker, None
        if broker is not None:
            await broker.stop()

    async def run(self, announce: Callable[[], None]) -> None:
        """Publish until cancelled; `announce` has every camera told to a publisher that is new."""
        while True:
            await self._run_until_changed(announce)
            await self._stop_broker()
            # Started, and if need be started again, by its watch: a reload never ends vigil.
            self._broker = self._embedded()

    def check(self, settings: MqttConfig) -> None:
        """Raise `CannotStartError` if new settings ask for an address where nobody can listen."""
        same_broker = self._settings.host is None and self._settings.port == settings.port
        if settings.host is None:
            # The present broker holds the port until it is replaced.
            port = 0 if same_broker else settings.port
            check_free(settings.embedded.host, port, PORT_KEY, HOST_KEY)

    def apply(self, config: Config) -> None:
        """Say goodbye to the present broker and go on with the one of `config`."""
        self._config = config
        self._outbox.limit(limits_of(config.mqtt))
        self._changed.set()

    @property
    def _settings(self) -> MqttConfig:
        return self._config.mqtt

    def _embedded(self) -> EmbeddedBroker | None:
        """Return the broker that the settings ask for, not started."""
        if self._settings.host is not None:
            return None
        embedded = self._settings.embedded
        users = {
            name: user.password.get_secret_value()
            for name, user in embedded.users.items()
            if user.password is not None
        }
        kept = self._retained if embedded.persistence else None
        return EmbeddedBroker(embedded.host, self._settings.port, users, kept)

    def _reached(self) -> tuple[MqttConfig, tuple[str, int]]:
        """Return how vigil's own client reaches the broker: with which settings, at which host and port."""
        settings = self._settings
        if self._broker is None:
            return settings, (settings.host or settings.embedded.host, settings.port)
        login, host = self._broker.login, settings.embedded.host
        return settings.with_login(login.username, login.password), (
            _EVERYWHERE.get(host, host),
            settings.port,
        )

    async def _run_until_changed(self, announce: Callable[[], None]) -> None:
        self._changed.clear()
        settings, address = self._reached()
        with self._bus.subscription("mqtt") as subscription:
            messages = Messages(settings.topic_prefix, self._loaded)
            publisher = MqttPublisher(
                settings,
                address,
                messages.daemon_status(online=False),
                self._dialects(messages),
                subscription,
                self._metrics,
                self._on_command,
                self._outbox,
            )
            async with asyncio.TaskGroup() as group:
                running = [group.create_task(publisher.run(), name="mqtt-publisher")]
                if self._broker is not None:
                    watch = keep_running(self._broker.run_once, name="broker", backoff=_BROKER_BACKOFF)
                    running.append(group.create_task(watch, name="broker"))
                announce()
                publisher.announced()
                await self._changed.wait()
                for task in running:
                    task.cancel()

    def _dialects(self, messages: Messages) -> list[Dialect]:
        """Return what is spoken; vigil's own topics first, for they have the last word."""
        config, prefix = self._config, self._config.mqtt.topic_prefix
        spoken: list[Dialect] = [
            Native(messages),
            HomeAssistant(config.homeassistant, prefix, config.cameras, self._announced),
        ]
        if config.compat.frigate:
            spoken.append(
                Frigate(
                    config.compat.frigate_prefix,
                    lambda camera, setting, payload: messages.command(
                        f"{prefix}/{camera}/{setting}/set", payload
                    ),
                )
            )
        return spoken
