"""A small asyncio face on `paho-mqtt`, whose socket the event loop serves itself. Only importer of paho.

One `Session` is one connection with a client of its own: what an old connection had not delivered dies
with it, so that no stale retained value can arrive after a fresh one.

What blocks (names, connecting, the handshake of TLS) is done in a thread. From then on the loop has paho
read where there is something to read (`loop_read`), and hands it messages in batches, which it writes as far
as the socket takes them (`loop_write`): no other thread has to be woken for a message, and a broker that is
slow or dead holds nobody up.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion

from vigil.aio.threads import Bell, call_in_thread
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

    from paho.mqtt.client import SocketLike

    from vigil.config.mqtt import MqttConfig
    from vigil.metrics import Metrics

_CONNECT_TIMEOUT = 5.0
_ANSWER_TIMEOUT = 10.0
_TICK = 1.0
_FAREWELL = 0.25
"""Seconds that the last bytes may take when a session is closed."""
_WINDOW = 100
"""Most messages that the broker may owe its word for; a broker of MQTT 5 can ask for fewer."""
_BATCH = 100
"""Messages that are written before others on the loop have their turn."""
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
        self._heard = on_message
        self._will = will
        self._metrics = metrics
        self._client_id = client_id
        self._loop = asyncio.get_running_loop()
        self._answered, self._lost = asyncio.Event(), asyncio.Event()
        self._refusal: BrokerError | None = None
        self._lane = Lane()
        self._bell = Bell(partial(self._do, self._carry))
        self._tick: asyncio.TimerHandle | None = None
        self._closing = False
        self._in_flight: dict[int, Callable[[], None] | None] = {}
        self._unwritten: list[Callable[[], None]] = []
        """Whom to tell once paho has written everything: nobody acknowledges quality of service 0."""
        self._line: SocketLike | None = None
        """The socket, for as long as the loop serves it."""
        self._waits_to_write = False
        self._window, self._largest = _WINDOW, 0
        self._connected = False
        self._last_error = ""
        self._protocol = protocol
        self._client = self._make_client()

    @property
    def pending(self) -> int:
        """Messages that were published and are not finished; what paho writes just now counts as one."""
        return len(self._lane) + len(self._in_flight) + self._client.want_write()

    @property
    def _broker(self) -> str:
        return f"broker {self._address[0]}:{self._address[1]}"

    async def open(self) -> None:
        """Connect; raises `BrokerError` that says why not."""
        host, port = self._address
        keepalive = max(1, round(self._settings.keepalive))
        try:
            await call_in_thread(lambda: self._connect(host, port, keepalive), name="mqtt-connect")
        except (OSError, ValueError) as error:
            raise why_not(self._broker, error) from error
        self._do(self._serve)
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
        self._bell.ring()

    def publish(self, message: Message, done: Callable[[], None] | None = None) -> None:
        """Send without waiting; `done` is called when it has arrived.

        What is neither retained nor has a `done` is dropped, counted, when the broker is slow.
        """
        self._put(message, done)
        self._bell.ring()

    def publish_threadsafe(self, message: Message, done: Callable[[], None] | None = None) -> None:
        """Publish from any thread; `done` is called on the loop."""
        self._put(message, done)
        self._bell.ring_threadsafe()

    def publish_frame(self, message: Message) -> None:
        """Send what is said of a frame; with a slow broker it takes the place of an older one, counted."""
        if self._lane.put_frame(message) is Fate.REPLACED:
            self._drop("slow_broker")
        self._bell.ring()

    async def lost(self) -> BrokerError:
        """Wait until the connection is lost; returns why."""
        await self._lost.wait()
        return self._refusal or BrokerError(f"{self._broker}: the connection is lost")

    async def drained(self, patience: float) -> None:
        """Wait until all that was published has left, but no longer than `patience` seconds."""
        until = self._loop.time() + patience
        # Asked for once in a session's life: an event that every message would have to set costs more.
        while self.pending and self._loop.time() < until:  # noqa: ASYNC110 -- as said above
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        """Send what paho still has, then goodbye, so that the last will stays unsaid; in bounded time."""
        self._closing = True
        if self._tick is not None:
            self._tick.cancel()
        if self._line is not None:
            self._client.disconnect()
            self._do(self._carry)
        if self._line is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), _FAREWELL)
        self._hang_up()

    def _put(self, message: Message, done: Callable[[], None] | None) -> None:
        if self._lane.put(Parcel(message, done)) is Fate.REFUSED:
            self._drop("slow_broker")

    def _connect(self, host: str, port: int, keepalive: int) -> None:
        self._client.connect(host, port, keepalive)
        # Nobody waits any more for a connection that was given up while it was made.
        if self._closing and (line := self._client.socket()) is not None:
            line.close()

    def _do(self, step: Callable[[], None]) -> None:
        """Do a step; a mistake in it ends the connection, and the loop tells of it."""
        sound = False
        try:
            step()
            sound = True
        finally:
            if not sound:
                self._hang_up()

    def _serve(self) -> None:
        """Have the loop read and write from now on."""
        self._line = line = self._client.socket()
        if line is None:
            self._hang_up()
            return
        without_delay(line.fileno())
        self._client.on_socket_close = self._let_go
        self._loop.add_reader(line.fileno(), self._do, self._read)
        self._look_after()

    def _look_after(self) -> None:
        """Ask whether the broker is still there, now and then."""
        self._client.loop_misc()
        self._carry()
        if self._line is not None:
            self._tick = self._loop.call_later(_TICK, self._do, self._look_after)

    def _read(self) -> None:
        # Nobody listens while paho writes: it would make ten microseconds' worth of objects for each message
        # of quality of service 0.
        self._client.on_publish = self._on_publish
        self._client.loop_read()
        self._client.on_publish = None
        # Bytes that TLS has deciphered already are none that the loop knows of.
        deciphered = getattr(self._line, "pending", None)
        if deciphered is not None and deciphered():
            self._loop.call_soon(self._do, self._read)
        self._carry()

    def _carry(self) -> None:
        """Have paho write what it has and what waits for it, as far as the socket takes it."""
        if self._line is None:
            return
        if self._client.want_write():
            self._client.loop_write()
        if not self._closing and self._load():
            self._bell.ring()
        waits = self._client.want_write()
        if self._unwritten and not waits:
            written, self._unwritten = self._unwritten, []
            for done in written:
                done()
        if waits is not self._waits_to_write:
            self._wait_to_write(waits)

    def _wait_to_write(self, waits: bool) -> None:  # noqa: FBT001 -- what it sets
        """Carry on when the socket takes more, or wait for that no longer."""
        if self._line is None:
            return
        self._waits_to_write = waits
        if waits:
            self._loop.add_writer(self._line.fileno(), self._do, self._carry)
        else:
            self._loop.remove_writer(self._line.fileno())

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
        if message.qos:
            self._in_flight[sent.mid] = parcel.done
        elif parcel.done is not None:
            self._unwritten.append(parcel.done)
        return True

    def _hang_up(self) -> None:
        """Close the connection, if paho has not, and have everybody who waits for it know."""
        line = self._line or self._client.socket()
        self._let_go()
        if line is not None:
            line.close()
        if self._refusal is None:
            self._refusal = BrokerError(f"{self._broker}: the connection is lost")
        self._answered.set()
        self._lost.set()

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
            self._loop.call_soon(self._heard, Message(message.topic, bytes(message.payload)))

    def _on_publish(self, _client: Client, _data: Any, number: int, code: Any, _properties: Any) -> None:
        done = self._in_flight.pop(number, None)
        if code.is_failure:
            self._metrics.mqtt_dropped.labels("refused").inc()
        if done is not None:
            done()

    def _let_go(self, *_paho: Any) -> None:
        """Serve the socket no longer, which is about to be closed."""
        if self._line is not None:
            self._loop.remove_reader(self._line.fileno())
            self._loop.remove_writer(self._line.fileno())
            self._line = None

    def _drop(self, reason: str) -> None:
        self._metrics.mqtt_dropped.labels(reason).inc()
