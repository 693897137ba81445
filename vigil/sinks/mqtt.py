"""A small asyncio face on `paho-mqtt`, driven by a network thread of our own. Only importer of paho.

One `Session` is one connection with a client of its own: what an old connection had not delivered dies
with it, so that no stale retained value can arrive after a fresh one.

The thread hands messages to paho in batches and lets it write and read where there is something to write
and to read (`loop_write`, `loop_read`): publishing from other threads into paho's own loop costs two to three
times as much for each message, most of it in handing the interpreter's lock to and fro.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion

from vigil.aio.threads import Bell, Post, Signal, Worker, call_in_thread
from vigil.sinks.dialect import Message
from vigil.sinks.lane import Fate, Lane, Parcel
from vigil.sinks.wire import (
    BrokerError,
    LoginError,
    UnknownVersionError,
    rival,
    tls_context,
    why_not,
    without_delay,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.config.model import MqttConfig
    from vigil.metrics import Metrics

_CONNECT_TIMEOUT = 5.0
_ANSWER_TIMEOUT = 10.0
_TICK = 1.0
_FAREWELL = 0.25
"""Seconds that the last bytes may take when a session is closed."""
_WINDOW = 100
"""Most messages that the broker may owe its word for; a broker of MQTT 5 can ask for fewer."""
_BATCH = 100
_ENVELOPE = 32
"""Bytes of a packet beside topic and payload, at most."""
_BAD_LOGIN = {0x86, 0x87}
_UNKNOWN_VERSION = 0x84
_TAKEN_OVER = 0x8E


class Session:
    """One connection to the broker, from `open` to `close`."""

    def __init__(
        self,
        settings: MqttConfig,
        address: tuple[str, int],
        will: Message,
        metrics: Metrics,
        on_message: Callable[[Message], None],
        *,
        client_id: str,
        protocol: str,
    ) -> None:
        """`address` is host and port; `on_message` hears, on the loop, what `subscribe` asked for.

        Raises `BrokerError` for certificates that cannot be used.
        """
        self._settings = settings
        self._address = address
        self._arrived = Post(on_message)
        self._will = will
        self._metrics = metrics
        self._client_id = client_id
        self._answered, self._lost = Signal(), Signal()
        self._refusal: BrokerError | None = None
        self._lane = Lane()
        self._bell: Bell | None = None
        self._pending: deque[None] = deque()  # appended by who publishes, popped by the network thread
        self._worker: Worker[None] | None = None
        self._closing = False
        # The network thread's own.
        self._in_flight: dict[int, Callable[[], None] | None] = {}
        self._window, self._largest = _WINDOW, 0
        self._connected = False
        self._last_error = ""
        self._protocol = protocol
        self._client = self._make_client()

    @property
    def pending(self) -> int:
        """Messages that were published and are not finished."""
        return len(self._pending)

    @property
    def _broker(self) -> str:
        return f"broker {self._address[0]}:{self._address[1]}"

    async def open(self) -> None:
        """Connect; raises `BrokerError` that says why not."""
        bell = self._bell = Bell()
        host, port = self._address
        keepalive = max(1, round(self._settings.keepalive))
        try:
            await call_in_thread(lambda: self._connect(host, port, keepalive), name="mqtt-connect")
        except (OSError, ValueError) as error:
            raise why_not(self._broker, error) from error
        self._worker = Worker(lambda: self._carry(bell), name="mqtt-network")
        try:
            async with asyncio.timeout(_ANSWER_TIMEOUT):
                await self._answered.wait()
        except TimeoutError:
            says = f"{self._broker} accepts and does not answer"
            # Some brokers of MQTT 3.1.1 stay silent when they are asked for 5.
            raise (UnknownVersionError(says) if self._protocol == "5" else BrokerError(says)) from None
        if self._refusal is not None:
            raise self._refusal

    def subscribe(self, topic_filter: str) -> None:
        """Ask for messages."""
        self._client.subscribe(topic_filter, qos=1)
        self._ring()

    def publish(self, message: Message, done: Callable[[], None] | None = None) -> None:
        """Send without waiting, from any thread; `done` is called, in another, when it has arrived.

        What is neither retained nor has a `done` is dropped, counted, when the broker is slow.
        """
        self._pending.append(None)
        match self._lane.put(Parcel(message, done)):
            case Fate.REFUSED:
                self._drop("slow_broker")
            case Fate.REPLACED:
                self._finished()
        self._ring()

    def publish_frame(self, message: Message) -> None:
        """Send what is said of a frame; with a slow broker it takes the place of an older one, counted."""
        self._pending.append(None)
        if self._lane.put_frame(message) is Fate.REPLACED:
            self._drop("slow_broker")
        self._ring()

    async def lost(self) -> BrokerError:
        """Wait until the connection is lost; returns why."""
        await self._lost.wait()
        if self._worker is not None and await self._worker.ended_within(_FAREWELL):
            await self._worker.wait()  # a mistake that ended it is one to be told
        return self._refusal or BrokerError(f"{self._broker}: the connection is lost")

    async def drained(self, patience: float) -> None:
        """Wait until all that was published has left, but no longer than `patience` seconds."""
        until = asyncio.get_running_loop().time() + patience
        # The network thread empties it; a wake-up of the loop for each message would cost more.
        while self._pending and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 -- as said above
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Say goodbye (so that the last will stays unsaid) and end the network thread."""
        self._closing = True
        self._ring()
        if self._worker is not None:
            await self._worker.ended_within(2 * _FAREWELL)
        if self._bell is not None:
            self._bell.close()

    def _ring(self) -> None:
        """Wake the network thread, if there is one."""
        if self._bell is not None:
            self._bell.ring()

    def _connect(self, host: str, port: int, keepalive: int) -> None:
        self._client.connect(host, port, keepalive)
        # Nobody waits any more for a connection that was given up while it was made.
        if self._closing and (line := self._client.socket()) is not None:
            line.close()

    def _carry(self, bell: Bell) -> None:
        """Carry everything there and back until the connection ends: the network thread."""
        try:
            with selectors.DefaultSelector() as selector:
                self._carry_on(selector, bell)
        finally:
            if self._refusal is None:
                self._refusal = BrokerError(f"{self._broker}: the connection is lost")
            self._answered.set()
            self._lost.set()

    def _carry_on(self, selector: selectors.BaseSelector, bell: Bell) -> None:
        client, line = self._client, self._client.socket()
        if line is None:
            return
        without_delay(line.fileno())
        selector.register(bell, selectors.EVENT_READ)
        selector.register(line, selectors.EVENT_READ)
        waiting_to_write, looked_after = False, time.monotonic()
        while not self._closing:
            busy = self._load()
            if client.socket() is None:
                return
            if client.want_write() != waiting_to_write:
                waiting_to_write = not waiting_to_write
                wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if waiting_to_write else 0)
                selector.modify(line, wanted)
            # Bytes that TLS has deciphered already are none that a selector knows of.
            deciphered = hasattr(line, "pending") and line.pending()
            self._attend(selector, 0.0 if busy or deciphered else _TICK)
            if deciphered:
                client.loop_read()
            if time.monotonic() - looked_after >= _TICK:
                looked_after = time.monotonic()
                client.loop_misc()
        self._part()

    def _attend(self, selector: selectors.BaseSelector, patience: float) -> None:
        """Read and write where it can be done at once, or wait for that."""
        for key, events in selector.select(patience):
            if isinstance(key.fileobj, Bell):
                key.fileobj.hear()
                continue
            if events & selectors.EVENT_READ:
                self._client.loop_read()
            if events & selectors.EVENT_WRITE:
                self._client.loop_write()

    def _load(self) -> bool:
        """Give paho what there is room for; returns whether there is more."""
        if self._client.want_write():
            return False
        parcels = self._lane.take(self._window - len(self._in_flight), _BATCH)
        given = sum(self._give(parcel) for parcel in parcels)
        if given:
            self._metrics.mqtt_published.inc(given)
            self._client.loop_write()
        return len(parcels) == _BATCH or given < len(parcels)

    def _give(self, parcel: Parcel) -> bool:
        """Hand a message to paho; returns whether it took it."""
        message = parcel.message
        if self._largest and len(message.topic) + len(message.payload) + _ENVELOPE > self._largest:
            self._drop("refused")
            if parcel.done is not None:
                parcel.done()
            return False
        sent = self._client.publish(message.topic, message.payload, message.qos, message.retain)
        if sent.rc is not MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._drop("disconnected")
            return False
        if message.qos or parcel.done is not None:
            self._in_flight[sent.mid] = parcel.done
        return True

    def _part(self) -> None:
        """Send what paho still has, the goodbye last, in bounded time."""
        line = self._client.socket()
        self._client.disconnect()
        until = time.monotonic() + _FAREWELL
        while self._client.socket() is not None and time.monotonic() < until:
            with selectors.DefaultSelector() as selector:
                selector.register(self._client.socket(), selectors.EVENT_WRITE)  # type: ignore[arg-type]  # has a fileno
                selector.select(_FAREWELL)
            self._client.loop_write()
        if self._client.socket() is not None and line is not None:
            line.close()

    def _make_client(self) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._client_id,
            protocol=MQTTProtocolVersion.MQTTv5 if self._protocol == "5" else MQTTProtocolVersion.MQTTv311,
            transport="websockets" if settings.transport == "websocket" else "tcp",
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_TIMEOUT
        client.max_inflight_messages_set(0)  # the window is kept here
        # With somebody to call, paho does not write each packet where it is made, but in `loop_write`.
        client.on_socket_register_write = lambda *_: None
        if settings.transport == "websocket":
            client.ws_set_options(path=settings.websocket_path)
        if settings.tls is not None:
            client.tls_set_context(tls_context(settings.tls))
        client.will_set(self._will.topic, self._will.payload, self._will.qos, self._will.retain)
        if settings.username is not None:
            password = settings.password.get_secret_value() if settings.password else None
            client.username_pw_set(settings.username, password)
        client.on_log = self._on_log
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_connect(self, client: Client, _data: Any, _flags: Any, code: Any, properties: Any) -> None:
        if code.is_failure:
            self._refusal = self._refused(code)
        else:
            self._connected = True
            client.on_log = None  # it costs, for every packet
        self._window = min(_WINDOW, getattr(properties, "ReceiveMaximum", _WINDOW))
        self._largest = getattr(properties, "MaximumPacketSize", 0)
        self._answered.set()

    def _refused(self, code: Any) -> BrokerError:
        says = f"{self._broker} refuses: {code}"
        if code.value in _BAD_LOGIN:
            return LoginError(f"{says}; look at mqtt.username and mqtt.password")
        if code.value == _UNKNOWN_VERSION:
            return UnknownVersionError(f"{says}; look at mqtt.protocol")
        return BrokerError(says)

    def _on_disconnect(self, _client: Client, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        if self._refusal is None:
            self._refusal = self._why_lost(code)
        self._answered.set()
        self._lost.set()

    def _why_lost(self, code: Any) -> BrokerError:
        if code.value == _TAKEN_OVER:
            return rival(self._broker, self._client_id)
        if self._connected:
            return BrokerError(f"{self._broker}: the connection is lost ({code})")
        says = f"{self._broker} closes the connection without an answer"
        if self._settings.tls is None:
            return UnknownVersionError(says)
        detail = f" ({self._last_error})" if self._last_error else ""
        return UnknownVersionError(f"{says}{detail}; it may want another client certificate (mqtt.tls)")

    def _on_log(self, _client: Client, _data: Any, level: int, text: str) -> None:
        """Keep what TLS says of a refusal, which paho tells its log alone."""
        if level == LogLevel.MQTT_LOG_ERR:
            self._last_error = text

    def _on_message(self, _client: Client, _data: Any, message: MQTTMessage) -> None:
        # A retained command is an old one, said to somebody who is no longer there.
        if not message.retain:
            self._arrived(Message(message.topic, bytes(message.payload)))

    def _on_publish(self, _client: Client, _data: Any, number: int, code: Any, _properties: Any) -> None:
        done = self._in_flight.pop(number, None)
        if code.is_failure:
            self._metrics.mqtt_dropped.labels("refused").inc()
        if done is not None:
            done()
        self._finished()

    def _drop(self, reason: str) -> None:
        self._metrics.mqtt_dropped.labels(reason).inc()
        self._finished()

    def _finished(self) -> None:
        try:
            self._pending.pop()
        except IndexError:
            return  # both threads took the last one: nothing is pending, which is what counts
