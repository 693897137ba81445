"""The MQTT sink: what happens goes in, messages go out, everything retained is said again on each connect."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from vigil.aio.tasks import Backoff, keep_running
from vigil.core.types import Result
from vigil.sinks.dialect import SayAgain
from vigil.sinks.mqtt import BrokerError, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vigil.aio.bus import Subscription
    from vigil.config.model import MqttConfig
    from vigil.core.types import BusMessage, Command
    from vigil.metrics import Metrics
    from vigil.sinks.dialect import Dialect, Message

log = logging.getLogger(__name__)

_BACKOFF = Backoff(first=1.0, longest=30.0)
_GOODBYE = 2.0
"""Seconds that the last messages get when vigil stops."""


class MqttPublisher:
    """Keeps a session to the broker, tells it what happens in every dialect, and hears what is asked."""

    def __init__(
        self,
        settings: MqttConfig,
        address: tuple[str, int],
        will: Message,
        dialects: Sequence[Dialect],
        subscription: Subscription[BusMessage],
        metrics: Metrics,
        on_command: Callable[[Command], None],
    ) -> None:
        """`address` is the broker's host and port, which are not in `settings` for an embedded one.

        The first of the `dialects` has the last word when vigil stops.
        """
        self._settings = settings
        self._address = address
        self._will = will
        self._dialects = dialects
        self._subscription = subscription
        self._metrics = metrics
        self._on_command = on_command
        self._session: Session | None = None
        self._retained: dict[str, Message] = {}
        self._complained = False
        for dialect in dialects:
            self._send(dialect.opening())

    async def run(self) -> None:
        """Publish until cancelled; then leave counts at 0 and `offline` behind."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._consume(), name="mqtt-consume")
                group.create_task(
                    keep_running(self._run_session, name="mqtt", backoff=_BACKOFF, on_failure=self._away),
                    name="mqtt-session",
                )
        finally:
            await self._goodbye()

    async def _consume(self) -> None:
        async for message in self._subscription:
            self._take(message)

    def _take(self, message: BusMessage) -> None:
        for dialect in self._dialects:
            self._send(dialect.take(message))
        if isinstance(message, Result):
            self._tell(message)

    def _tell(self, result: Result) -> None:
        """Say what was seen in a frame, now or never."""
        if self._session is None:
            self._metrics.mqtt_dropped.labels("disconnected").inc()
            return
        for dialect in self._dialects:
            self._send(dialect.frame(result))
        if (series := self._metrics.camera(result.camera)) is not None:
            series.published(result.captured_at)

    def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.retain:
                self._keep(message)
            elif self._session is not None:
                self._session.publish(message)
            else:
                self._metrics.mqtt_dropped.labels("disconnected").inc()

    def _keep(self, message: Message) -> None:
        """Publish what changed of the retained state, now or at the next connect."""
        if self._retained.get(message.topic) != message:
            self._retained[message.topic] = message
            if self._session is not None:
                self._session.publish(message)

    async def _run_session(self) -> None:
        """Hold one connection; raises `BrokerError` when it cannot be had or is lost."""
        host, port = self._address
        session = Session(self._settings, self._address, self._will, self._metrics, self._hear)
        try:
            await session.open()
            log.info("mqtt: connected to %s:%d", host, port)
            for dialect in self._dialects:
                for topic_filter in dialect.listens:
                    session.subscribe(topic_filter)
            self._session, self._complained = session, False
            self._metrics.mqtt_connected.set(1)
            self._say_again()
            await session.lost()
            raise BrokerError(f"broker {host}:{port}: the connection is lost")
        finally:
            self._metrics.mqtt_connected.set(0)
            # When vigil stops, an open session stays for the goodbye.
            if self._session is not session or not asyncio.current_task().cancelling():  # type: ignore[union-attr]  # runs in a task
                self._session = None
                await session.close()

    def _say_again(self) -> None:
        if self._session is not None:
            for message in self._retained.values():
                self._session.publish(message)

    def _hear(self, message: Message) -> None:
        """Hand on what is asked for; what makes no sense, or names no camera of ours, is only a log line."""
        for dialect in self._dialects:
            try:
                asked = dialect.hear(message.topic, message.payload)
            except ValueError as error:
                log.warning("mqtt: %s says %r: %s", message.topic, message.payload[:40], error)
                return
            if isinstance(asked, SayAgain):
                self._say_again()
            elif asked is not None:
                self._on_command(asked)

    def _away(self, error: Exception, wait: float) -> None:
        if not self._complained:
            self._complained = True
            log.warning("mqtt: %s; trying again in %.1f s, then quietly", error, wait)

    async def _goodbye(self) -> None:
        # What the parts that have stopped already said last: the ends of events.
        for last in self._subscription.drain():
            self._take(last)
        session, self._session = self._session, None
        if session is None:
            return
        for dialect in reversed(self._dialects):
            for message in dialect.goodbye():
                session.publish(message)
        await session.drained(_GOODBYE)
        await session.close()
