"""The MQTT sink: what happens goes in, messages go out, each kind delivered as it needs.

Everything retained is said again on each connect; durable messages go through the outbox; what was seen in
a frame is said now or never. What an earlier start left with the broker and nobody says any more is taken
back.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from functools import partial
from typing import TYPE_CHECKING

from vigil.aio.tasks import Backoff, keep_running
from vigil.core.types import Result
from vigil.sinks.dialect import Message, SayAgain
from vigil.sinks.mqtt import Session
from vigil.sinks.outbox import AtOnce, Outbox, limits_of
from vigil.sinks.wire import BrokerError, LoginError, RivalError, UnknownVersionError, rival

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vigil.aio.bus import Subscription
    from vigil.config.mqtt import MqttConfig
    from vigil.core.types import BusMessage, Command
    from vigil.metrics import Metrics
    from vigil.sinks.dialect import Dialect

log = logging.getLogger(__name__)

_BACKOFF = Backoff(first=1.0, longest=30.0)
_GOODBYE = 2.0
"""Seconds that the last messages get when vigil stops."""
_SHORT = 5.0
"""Seconds under which a connection that was made and lost is a short one."""
_FLAPS = 3
"""Short connections in a row that can only be somebody else's who has the same name."""
_STEADY = 600.0
"""Seconds without a rival after which the next one is worth a line again: longer than any wait."""


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
        outbox: Outbox | None = None,
    ) -> None:
        """`address` is the broker's host and port, which are not in `settings` for an embedded one.

        The first of the `dialects` has the last word when vigil stops. Without an `outbox` durable messages
        wait in memory.
        """
        self._settings = settings
        self._address = address
        self._broker = f"{address[0]}:{address[1]}"
        self._will = will
        self._dialects = dialects
        self._subscription = subscription
        self._metrics = metrics
        self._on_command = on_command
        self._outbox = outbox or _in_memory(settings, metrics)
        self._session: Session | None = None
        self._retained: dict[str, Message] = {}
        self._noted: set[str] = set()
        self._staying: set[str] = set()
        self._full, self._until_full = asyncio.Event(), 0
        self._told: type[Exception] | None = None
        self._flaps = 0
        self._speaks_old = False
        for dialect in dialects:
            self._send(dialect.opening())

    def announced(self) -> None:
        """Hear that all that is retained stands on the bus now; what nobody has said then is taken back."""
        self._until_full = self._subscription.waiting
        if not self._until_full:
            self._full.set()

    async def run(self) -> None:
        """Publish until cancelled; then leave counts at 0 and `offline` behind."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._consume(), name="mqtt-consume")
                group.create_task(self._take_back_leftovers(), name="mqtt-leftovers")
                group.create_task(
                    keep_running(self._run_session, name="mqtt", backoff=_BACKOFF, on_failure=self._away),
                    name="mqtt-session",
                )
        finally:
            await self._goodbye()

    async def _consume(self) -> None:
        async for message in self._subscription:
            self._take(message)
            if self._until_full:
                self._until_full -= 1
                if not self._until_full:
                    self._full.set()

    async def _take_back_leftovers(self) -> None:
        """Have the broker forget what an earlier start, or other settings, said and nobody says any more."""
        await self._full.wait()
        try:
            earlier = await self._outbox.topics(self._broker)
        except TimeoutError:
            return  # the disk hangs; the next start can do it
        for topic in sorted(earlier - self._retained.keys() - self._staying):
            self._keep(Message(topic, b"", qos=1, retain=True))

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
            for message in dialect.frame(result):
                self._session.publish_frame(message)
        if (series := self._metrics.camera(result.camera)) is not None:
            series.published(result.captured_at)

    def _send(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if message.durable:
                self._outbox.put(message)
            elif message.retain:
                self._keep(message)
            elif self._session is not None:
                self._session.publish(message)
            else:
                self._metrics.mqtt_dropped.labels("disconnected").inc()

    def _keep(self, message: Message) -> None:
        """Publish what changed of the retained state, now or at the next connect."""
        if message.stays:
            self._staying.add(message.topic)
        elif self._retained.get(message.topic) != message:
            self._retained[message.topic] = message
            if message.payload and message.topic not in self._noted:
                self._noted.add(message.topic)
                self._outbox.said(self._broker, message.topic)
            if self._session is not None:
                self._say(self._session, message)

    def _say(self, session: Session, message: Message) -> None:
        session.publish(message, None if message.payload else partial(self._taken_back, message.topic))

    def _taken_back(self, topic: str) -> None:
        """Forget a topic that the broker has forgotten."""
        if not self._retained[topic].payload:
            self._noted.discard(topic)
            self._outbox.taken_back(self._broker, topic)

    async def _run_session(self) -> None:
        """Hold one connection; raises `BrokerError` when it cannot be had or is lost."""
        name = self._settings.client_id or await self._own_name()
        protocols = self._protocols()
        for protocol in protocols:
            session = Session(
                self._settings,
                self._address,
                self._will,
                self._metrics,
                self._hear,
                client_id=name,
                protocol=protocol,
            )
            try:
                await self._open(session)
                self._speaks_old |= protocol != protocols[0]
                await self._hold(session, name)
            except UnknownVersionError:
                if protocol == protocols[-1]:
                    raise
            finally:
                self._metrics.mqtt_connected.set(0)
                # When vigil stops, an open session stays for the goodbye.
                if self._session is not session or not asyncio.current_task().cancelling():  # type: ignore[union-attr]  # runs in a task
                    self._session = None
                    self._outbox.detach()
                    await session.close()

    async def _open(self, session: Session) -> None:
        try:
            await session.open()
        except BrokerError:
            self._flaps = 0  # a rival's broker lets everybody in
            raise

    def _protocols(self) -> Sequence[str]:
        """Return the versions of MQTT to try."""
        if self._settings.host is None or self._speaks_old:
            return ("3.1.1",)  # all that the embedded broker speaks
        return ("5", "3.1.1") if self._settings.protocol == "auto" else (self._settings.protocol,)

    async def _own_name(self) -> str:
        """Return a name that stays, so that a broker ends an old connection, will and all, before the new."""
        try:
            return await self._outbox.client_id()
        except TimeoutError:
            return f"vigil-{secrets.token_hex(6)}"

    async def _hold(self, session: Session, name: str) -> None:
        """Speak until the connection is lost, which is raised."""
        for dialect in self._dialects:
            for topic_filter in dialect.listens:
                session.subscribe(topic_filter)
        self._session = session
        self._metrics.mqtt_connected.set(1)
        self._say_again()
        self._outbox.attach(session.publish_threadsafe)
        loop = asyncio.get_running_loop()
        since, steady = loop.time(), None
        if self._told is RivalError:
            steady = loop.call_later(_STEADY, self._connected)
        else:
            self._connected()
        try:
            error = await session.lost()
        finally:
            if steady is not None:
                steady.cancel()
        self._flaps = self._flaps + 1 if loop.time() - since < _SHORT else 0
        raise rival(f"broker {self._broker}", name) if self._flaps >= _FLAPS else error

    def _connected(self) -> None:
        self._told = None
        log.info("mqtt: connected to %s", self._broker)

    def _say_again(self) -> None:
        """Say everything retained, and last that vigil is there.

        After a crash the broker holds old counts, which must not become valid before they are right.
        """
        if self._session is not None:
            for message in sorted(self._retained.values(), key=lambda each: each.topic == self._will.topic):
                self._say(self._session, message)

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
        """Tell of a trouble once, until it is over or one that a person has to mend takes its place."""
        kind = type(error) if isinstance(error, RivalError | LoginError) else BrokerError
        if kind is not self._told:
            self._told = kind
            log.warning("mqtt: %s; trying again in %.1f s, then quietly", error, wait)

    async def _goodbye(self) -> None:
        # What the parts that have stopped already said last: the ends of events.
        for last in self._subscription.drain():
            self._take(last)
        session, self._session = self._session, None
        if session is None:
            return
        until = asyncio.get_running_loop().time() + _GOODBYE
        await self._outbox.drained(_GOODBYE / 2)
        self._outbox.detach()
        for dialect in reversed(self._dialects):
            for message in dialect.goodbye():
                session.publish(message)
        await session.drained(until - asyncio.get_running_loop().time())
        await session.close()


def _in_memory(settings: MqttConfig, metrics: Metrics) -> Outbox:
    outbox = Outbox(None, limits_of(settings), metrics, AtOnce)
    outbox.start()
    return outbox
