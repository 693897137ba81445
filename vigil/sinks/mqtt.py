"""A small asyncio face on `paho-mqtt`, whose network thread carries the traffic. Only importer of paho.

One `Session` is one connection with a client of its own: what an old connection had not delivered dies
with it, so that no stale retained value can arrive after a fresh one.
"""

from __future__ import annotations

import asyncio
import secrets
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion

from vigil.aio.threads import Post, Signal, call_in_thread
from vigil.errors import RetryableError
from vigil.sinks.dialect import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.config.model import MqttConfig
    from vigil.metrics import Metrics

_CONNECT_TIMEOUT = 5.0
_ANSWER_TIMEOUT = 10.0
_MAX_PENDING = 1000
"""Messages on their way to the broker past which frames' detections are dropped: the newest wins."""


class BrokerError(RetryableError):
    """The broker cannot be reached, refuses, or went away."""

    reason = "broker"


class Session:
    """One connection to the broker, from `open` to `close`."""

    def __init__(
        self,
        settings: MqttConfig,
        address: tuple[str, int],
        will: Message,
        metrics: Metrics,
        on_message: Callable[[Message], None],
    ) -> None:
        """`address` is host and port; `on_message` hears, on the loop, what `subscribe` asked for."""
        self._settings = settings
        self._address = address
        self._arrived = Post(on_message)
        self._will = will
        self._metrics = metrics
        self._answered, self._lost = Signal(), Signal()
        self._refusal = ""
        self._pending: deque[None] = deque()  # appended by the loop, popped by the network thread
        self._client = self._make_client()

    @property
    def pending(self) -> int:
        """Messages given to the network thread and not finished."""
        return len(self._pending)

    async def open(self) -> None:
        """Connect; raises `BrokerError` that says why not."""
        host, port = self._address
        try:
            await call_in_thread(
                lambda: self._client.connect(host, port, round(self._settings.keepalive)), name="mqtt-connect"
            )
        except (OSError, ssl.SSLError, ValueError) as error:
            raise BrokerError(f"broker {host}:{port}: {error}") from error
        self._client.loop_start()
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                await self._answered.wait()
        except TimeoutError:
            raise BrokerError(f"broker {host}:{port} accepts and does not answer") from None
        if self._refusal:
            raise BrokerError(f"broker {host}:{port} refuses: {self._refusal}")

    def subscribe(self, topic_filter: str) -> None:
        """Ask for messages."""
        self._client.subscribe(topic_filter, qos=1)

    def publish(self, message: Message) -> None:
        """Send without waiting; what nobody retains is dropped, counted, when the broker is slow."""
        if not message.retain and len(self._pending) >= _MAX_PENDING:
            self._metrics.mqtt_dropped.labels("slow_broker").inc()
            return
        self._pending.append(None)
        sent = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        if sent.rc is MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._metrics.mqtt_published.inc()
        else:
            self._finished()
            self._metrics.mqtt_dropped.labels("disconnected").inc()

    async def lost(self) -> None:
        """Wait until the connection is lost."""
        await self._lost.wait()

    async def drained(self, patience: float) -> None:
        """Wait until all that was published has left, but no longer than `patience` seconds."""
        until = asyncio.get_running_loop().time() + patience
        # The network thread empties it; a wake-up of the loop for each message would cost more.
        while self._pending and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 -- as said above
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Say goodbye (so that the last will stays unsaid) and end the network thread."""
        await call_in_thread(self._end, name="mqtt-close")

    def _end(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _make_client(self) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id or f"vigil-{secrets.token_hex(4)}",
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_TIMEOUT
        # The default of 20 unacknowledged messages would turn every burst of counts into round trips.
        client.max_inflight_messages_set(_MAX_PENDING)
        client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.retain)
        if settings.username is not None:
            password = settings.password.get_secret_value() if settings.password else None
            client.username_pw_set(settings.username, password)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        self._refusal = str(code) if code.is_failure else ""
        self._answered.set()

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if not self._refusal:
            self._refusal = f"it closed the connection ({code})"
        self._answered.set()
        self._lost.set()

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        # A retained command is an old one, said to somebody who is no longer there.
        if not message.retain:
            self._arrived(Message(message.topic, bytes(message.payload)))

    def _on_publish(self, _client: Client, _data: Any, _id: int, _code: Any, _properties: Any) -> None:
        self._finished()

    def _finished(self) -> None:
        try:
            self._pending.pop()
        except IndexError:
            return  # both threads took the last one: nothing is pending, which is what counts
