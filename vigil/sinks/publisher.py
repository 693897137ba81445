"""The MQTT sink: results and states in, messages out, everything retained said again on each connect."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from vigil.aio.tasks import Backoff, keep_running
from vigil.core.events import Event
from vigil.core.types import (
    BusMessage,
    CameraGone,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    MotionChanged,
    ProfileChanged,
    ProfileCommand,
    Result,
)
from vigil.sinks.messages import Message
from vigil.sinks.mqtt import BrokerError, Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from vigil.aio.bus import Subscription
    from vigil.config.model import MqttConfig
    from vigil.core.types import Command
    from vigil.metrics import Metrics
    from vigil.sinks.messages import Messages

log = logging.getLogger(__name__)

_BACKOFF = Backoff(first=1.0, longest=30.0)
_GOODBYE = 2.0
"""Seconds that the last messages get when vigil stops."""


class MqttPublisher:
    """Keeps a session to the broker, tells it what happens, and hears what is asked of cameras."""

    def __init__(
        self,
        settings: MqttConfig,
        address: tuple[str, int],
        messages: Messages,
        subscription: Subscription[BusMessage],
        metrics: Metrics,
        on_command: Callable[[Command], None],
    ) -> None:
        """`address` is the broker's host and port, which are not in `settings` for an embedded one."""
        self._settings = settings
        self._address = address
        self._messages = messages
        self._subscription = subscription
        self._metrics = metrics
        self._on_command = on_command
        self._session: Session | None = None
        self._retained: dict[str, Message] = {}
        self._known: dict[str, CameraIntroduced] = {}
        self._live: set[str] = set()
        self._complained = False
        self._keep([messages.daemon_status(online=True)])

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
        match message:
            case Result():
                self._tell(message)
            case Event():
                self._tell_event(message)
            case MotionChanged(camera, on):
                if camera in self._known:
                    self._keep([self._messages.motion(camera, on=on)])
            case CameraHealth():
                self._tell_health(message)
            case CameraIntroduced():
                self._introduce(message)
            case CameraGone(camera):
                self._forget(camera)
            case ProfileChanged(active):
                self._keep([self._messages.profile(active)])

    def _tell(self, result: Result) -> None:
        known = self._known.get(result.camera)
        if known is None:
            return  # a last result of a camera that is gone
        if result.camera in self._live and known.fits(result):
            self._update(known, result)
        if self._session is None:
            self._metrics.mqtt_dropped.labels("disconnected").inc()
            return
        self._session.publish(self._messages.detections(result))
        if (series := self._metrics.camera(result.camera)) is not None:
            series.published(result.captured_at)

    def _update(self, known: CameraIntroduced, result: Result) -> None:
        """Tell what a result changed of a camera's counts; what it left alone is the very same object."""
        camera = result.camera
        if result.counts is not known.counts:
            self._keep(self._messages.objects(camera, result.counts))
        if result.zones is not known.zones:
            self._keep(self._messages.zones(camera, result.zones))
        if result.totals is not known.totals:
            self._keep(self._messages.lines(camera, result.totals))
        self._known[camera] = CameraIntroduced(camera, result.counts, result.zones, result.totals)

    def _tell_event(self, event: Event) -> None:
        if event.camera not in self._known:
            return
        if self._session is None:
            self._metrics.mqtt_dropped.labels("disconnected").inc()
            return
        self._session.publish(self._messages.event(event))

    def _tell_health(self, health: CameraHealth) -> None:
        self._keep(self._messages.camera_health(health))
        if health.state is CameraState.LIVE:
            self._live.add(health.camera)
        else:
            # Nobody is seen by a camera that does not see, whatever results are still on their way.
            self._live.discard(health.camera)
            if (known := self._known.get(health.camera)) is not None:
                self._say(known.emptied())

    def _introduce(self, camera: CameraIntroduced) -> None:
        """Start with a camera's state, and take back what it reports no more."""
        before = self._known.get(camera.camera)
        self._say(camera)
        if before is not None:
            now = {message.topic for message in self._state(camera)}
            self._retract(message.topic for message in self._state(before) if message.topic not in now)
        self._keep([self._messages.info(self._known)])

    def _say(self, camera: CameraIntroduced) -> None:
        self._known[camera.camera] = camera
        self._keep(self._state(camera))

    def _state(self, camera: CameraIntroduced) -> list[Message]:
        """Return all that is retained of what a camera has seen."""
        return [
            *self._messages.objects(camera.camera, camera.counts),
            *self._messages.zones(camera.camera, camera.zones),
            *self._messages.lines(camera.camera, camera.totals),
        ]

    def _forget(self, camera: str) -> None:
        """Take back everything that was said of a camera."""
        known = self._known.pop(camera, None)
        self._live.discard(camera)
        gone = self._messages.camera_health(CameraHealth(camera, CameraState.DISABLED))
        gone.append(self._messages.motion(camera, on=False))
        self._retract(message.topic for message in [*gone, *(self._state(known) if known else ())])
        self._keep([self._messages.info(self._known)])

    def _keep(self, messages: Iterable[Message]) -> None:
        """Publish what changed of the retained state, now or at the next connect."""
        for message in messages:
            if self._retained.get(message.topic) != message:
                self._retained[message.topic] = message
                if self._session is not None:
                    self._session.publish(message)

    def _retract(self, topics: Iterable[str]) -> None:
        """Have the broker forget topics; an empty retained message does that."""
        self._keep(Message(topic, b"", qos=1, retain=True) for topic in topics)

    async def _run_session(self) -> None:
        """Hold one connection; raises `BrokerError` when it cannot be had or is lost."""
        host, port = self._address
        will = self._messages.daemon_status(online=False)
        session = Session(self._settings, self._address, will, self._metrics, self._command)
        try:
            await session.open()
            log.info("mqtt: connected to %s:%d", host, port)
            session.subscribe(self._messages.commands)
            session.subscribe(self._messages.profile_command)
            self._session, self._complained = session, False
            self._metrics.mqtt_connected.set(1)
            for message in self._retained.values():
                session.publish(message)
            await session.lost()
            raise BrokerError(f"broker {host}:{port}: the connection is lost")
        finally:
            self._metrics.mqtt_connected.set(0)
            # When vigil stops, an open session stays for the goodbye.
            if self._session is not session or not asyncio.current_task().cancelling():  # type: ignore[union-attr]  # runs in a task
                self._session = None
                await session.close()

    def _command(self, message: Message) -> None:
        """Hand a command on; one that makes no sense, or names no camera of ours, is only a log line."""
        try:
            command = self._messages.command(message.topic, message.payload)
        except ValueError as error:
            log.warning("mqtt: %s says %r: %s", message.topic, message.payload[:40], error)
            return
        if isinstance(command, ProfileCommand) or command.camera in self._known:
            self._on_command(command)
        else:
            log.warning("mqtt: %s: there is no camera %r", message.topic, command.camera)

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
        for camera, known in self._known.items():
            status, health, _switch = self._messages.camera_health(
                CameraHealth(camera, CameraState.OFFLINE, "stopped")
            )
            still = self._messages.motion(camera, on=False)
            for message in (*self._state(known.emptied()), still, status, health):
                session.publish(message)
        session.publish(self._messages.daemon_status(online=False))
        await session.drained(_GOODBYE)
        await session.close()
