"""The MQTT sink: results and states in, messages out, everything retained said again on each connect."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from vigil.aio.tasks import Backoff, keep_running
from vigil.core.types import BusMessage, CameraStatus, Result, StatusChange
from vigil.sinks.mqtt import BrokerError, Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vigil.aio.bus import Subscription
    from vigil.config.model import MqttConfig
    from vigil.metrics import Metrics
    from vigil.sinks.messages import Message, Messages

log = logging.getLogger(__name__)

_BACKOFF = Backoff(first=1.0, longest=30.0)
_GOODBYE = 2.0
"""Seconds that the last messages get when vigil stops."""


class MqttPublisher:
    """Keeps a session to the broker and tells it what happens."""

    name = "mqtt"

    def __init__(
        self,
        settings: MqttConfig,
        address: tuple[str, int],
        messages: Messages,
        subscription: Subscription[BusMessage],
        metrics: Metrics,
    ) -> None:
        """`address` is the broker's host and port, which are not in `settings` for an embedded one."""
        self._settings = settings
        self._address = address
        self._messages = messages
        self._subscription = subscription
        self._metrics = metrics
        self._session: Session | None = None
        self._retained: dict[str, Message] = {}
        self._counts: dict[str, Mapping[str, int]] = {}
        self._online: set[str] = set()
        self._complained = False

    def introduce(self, cameras: Mapping[str, CameraStatus], labels: Mapping[str, Iterable[str]]) -> None:
        """Set the first retained state: who is there, and every count at 0."""
        self._keep([self._messages.daemon_status(online=True), self._messages.info(list(cameras))])
        for camera, status in cameras.items():
            self._keep([self._messages.camera_status(camera, status)])
            self._count(camera, dict.fromkeys(labels[camera], 0))

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
            if isinstance(message, Result):
                self._tell(message)
            else:
                self._status(message)

    def _status(self, change: StatusChange) -> None:
        self._keep([self._messages.camera_status(change.camera, change.status)])
        if change.status is CameraStatus.ONLINE:
            self._online.add(change.camera)
        else:
            # Nobody is seen by a camera that does not see, whatever results are still on their way.
            self._online.discard(change.camera)
            self._count(change.camera, dict.fromkeys(self._counts.get(change.camera, {}), 0))

    def _tell(self, result: Result) -> None:
        if result.camera in self._online and self._counts.get(result.camera) != result.counts:
            self._count(result.camera, result.counts)
        if self._session is None:
            self._metrics.mqtt_dropped.labels("disconnected").inc()
            return
        self._session.publish(self._messages.detections(result))
        self._metrics.camera(result.camera).published(result.captured_at)

    def _count(self, camera: str, counts: Mapping[str, int]) -> None:
        self._counts[camera] = counts
        self._keep(self._messages.objects(camera, counts))

    def _keep(self, messages: Iterable[Message]) -> None:
        """Publish what changed of the retained state, now or at the next connect."""
        for message in messages:
            if self._retained.get(message.topic) != message:
                self._retained[message.topic] = message
                if self._session is not None:
                    self._session.publish(message)

    async def _run_session(self) -> None:
        """Hold one connection; raises `BrokerError` when it cannot be had or is lost."""
        host, port = self._address
        will = self._messages.daemon_status(online=False)
        session = Session(self._settings, host, port, will, self._metrics)
        try:
            await session.open()
            log.info("mqtt: connected to %s:%d", host, port)
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

    def _away(self, error: Exception, wait: float) -> None:
        if not self._complained:
            self._complained = True
            log.warning("mqtt: %s; trying again in %.1f s, then quietly", error, wait)

    async def _goodbye(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        for camera, counts in self._counts.items():
            for message in self._messages.objects(camera, dict.fromkeys(counts, 0)):
                session.publish(message)
            session.publish(self._messages.camera_status(camera, CameraStatus.OFFLINE))
        session.publish(self._messages.daemon_status(online=False))
        await session.drained(_GOODBYE)
        await session.close()
