"""The session's rules over a client of paho that goes nowhere."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode, MQTTProtocolVersion

from tests.support.fakes import PATIENCE
from vigil.config.mqtt import MqttConfig
from vigil.metrics import Metrics
from vigil.sinks import lane, mqtt
from vigil.sinks.dialect import Message
from vigil.sinks.mqtt import Session
from vigil.sinks.wire import BrokerError, LoginError, RivalError, UnknownVersionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WILL = Message("vigil/status", b"offline", 1, retain=True)
DETECTIONS, COUNT = Message("d", b"{}"), Message("c", b"1", 1, retain=True)
EVENT = Message("e", b"event", 1, durable=True)


class Code:
    """A reason code of the broker."""

    def __init__(self, text: str = "Success", value: int = 0, *, failure: bool = False) -> None:
        self.is_failure = failure
        self.value = value
        self._text = text

    def __str__(self) -> str:
        return self._text


class FakeClient:
    """Accepts what it is given; `answer` says how the broker takes the connection.

    Its other end of a line of sockets is the broker's: a byte there has something to be read.
    """

    answer: Code | Exception | None = Code()
    on_connect: Callable[..., None]
    on_disconnect: Callable[..., None]
    on_publish: Callable[..., None] | None = None
    on_message: Callable[..., None]
    on_log: Callable[..., None] | None
    on_socket_register_write: Callable[..., None]
    on_socket_close: Callable[..., None] | None = None
    connect_timeout = 0.0

    def __init__(self, *_args: Any, **options: Any) -> None:
        self.options = options
        self.properties: Any = None
        self.login: tuple[str, str | None] | None = None
        self.will: tuple[Any, ...] = ()
        self.said: list[tuple[Any, ...]] = []
        self.wanted: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.rc = MQTTErrorCode.MQTT_ERR_SUCCESS
        self.blocked = False
        self.reads: list[Callable[[], None]] = []
        self.heard_more = asyncio.Event()
        self._line: tuple[socket.socket, socket.socket] | None = None

    def max_inflight_messages_set(self, _count: int) -> None:
        """Take it."""

    def will_set(self, *will: Any) -> None:
        """Note."""
        self.will = will

    def username_pw_set(self, username: str, password: str | None) -> None:
        """Note."""
        self.login = (username, password)

    def connect(self, *_address: Any) -> None:
        """Connect, or not, and let the broker answer."""
        if isinstance(self.answer, Exception):
            raise self.answer
        listener = socket.create_server(("127.0.0.1", 0))
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
        listener.close()
        self._line = near, far
        if isinstance(self.answer, Code):
            self.on_connect(self, None, None, self.answer, self.properties)

    def socket(self) -> socket.socket | None:
        """Return the line."""
        return None if self._line is None else self._line[0]

    def want_write(self) -> bool:
        """Tell whether the broker takes nothing just now."""
        return self.blocked

    def loop_read(self) -> None:
        """Read what the broker says, if it says anything."""
        if self._line is not None:
            self._line[0].recv(1)
        if self.reads:
            self.reads.pop(0)()

    def acknowledge(self, number: int, code: Code) -> None:
        """Have the broker's word for a message read."""
        assert self.on_publish is not None, "nobody listens while paho reads"
        self.on_publish(self, None, number, code, None)

    def say(self, what: Callable[[], None]) -> None:
        """Have the broker say something."""
        assert self._line is not None
        self.reads.append(what)
        self._line[1].send(b"!")

    def loop_write(self) -> None:
        """Write nothing."""

    def loop_misc(self) -> None:
        """Do nothing."""

    def disconnect(self) -> None:
        """Note."""
        self.ended.append("connection")
        self.hang_up()

    def hang_up(self) -> None:
        """Close both ends."""
        line, self._line = self._line, None
        if line is not None and self.on_socket_close is not None:
            self.on_socket_close(self, None, line[0])
        for end in line or ():
            end.close()

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Note."""
        self.wanted.append((topic_filter, qos))

    def publish(self, *message: Any) -> MQTTMessageInfo:
        """Take a message, which never reaches anybody."""
        self.said.append(message)
        self.heard_more.set()
        info = MQTTMessageInfo(len(self.said))
        info.rc = self.rc
        return info


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeClient]:
    """Put one fake client in the place of paho's."""
    client = FakeClient()

    def make(*args: Any, **options: Any) -> FakeClient:
        FakeClient.__init__(client, *args, **options)
        return client

    monkeypatch.setattr("vigil.sinks.mqtt.Client", make)
    yield client
    client.hang_up()


def session(
    metrics: Metrics | None = None,
    on_message: Callable[[Message], None] = lambda _message: None,
    *,
    protocol: str = "3.1.1",
    **settings: Any,
) -> Session:
    """Return a session to a broker that is not there."""
    chosen = MqttConfig.model_validate({"host": "broker", **settings})
    return Session(
        chosen,
        ("broker", 1883),
        WILL,
        metrics or Metrics(),
        on_message,
        client_id="me",
        protocol=protocol,
    )


def payloads(client: FakeClient) -> list[bytes]:
    """Return the payloads of all that the client was given."""
    return [payload for _topic, payload, _qos, _retain in client.said]


async def test_slow_broker_gets_the_newest_of_each_camera(client: FakeClient) -> None:
    """While nothing gets through, a frame takes the place of its camera's last one, counted; counts stay."""
    metrics = Metrics()
    slow = session(metrics)
    client.blocked = True
    for number in range(5):
        slow.publish_frame(Message("a/detections", b"a%d" % number))
        slow.publish_frame(Message("b/detections", b"b%d" % number))
    slow.publish(COUNT)
    slow._load()
    assert client.said == []
    client.blocked = False
    slow._load()
    assert payloads(client) == [b"1", b"a4", b"b4"]
    value = metrics.registry.get_sample_value
    assert value("vigil_mqtt_dropped_total", {"reason": "slow_broker"}) == 8
    assert value("vigil_mqtt_published_total") == 3
    assert slow.pending == 1, "the broker owes its word for the count alone"


async def test_slow_broker_gets_the_newest_state(client: FakeClient) -> None:
    """Of a retained topic the newest value waits alone, in its place, and that is no drop."""
    metrics = Metrics()
    slow = session(metrics)
    for number in range(3):
        slow.publish(Message("count", b"%d" % number, 1, retain=True))
        slow.publish(Message("motion", b"ON", 1, retain=True))
    slow._load()
    assert payloads(client) == [b"2", b"ON"]
    dropped = metrics.registry.get_sample_value("vigil_mqtt_dropped_total", {"reason": "slow_broker"})
    assert dropped == 0
    assert slow.pending == 2


async def test_what_nobody_keeps_is_bounded(client: FakeClient) -> None:
    """Past a thousand that wait, what is neither retained nor to be acknowledged is refused, counted."""
    metrics = Metrics()
    slow = session(metrics)
    for _ in range(lane.MOST + 5):
        slow.publish(DETECTIONS)
    slow.publish(COUNT)
    slow.publish(EVENT, lambda: None)
    dropped = metrics.registry.get_sample_value("vigil_mqtt_dropped_total", {"reason": "slow_broker"})
    assert dropped == 5
    assert slow.pending == lane.MOST + 2
    while slow._load():
        pass
    assert payloads(client)[-2:] == [b"1", b"event"]


async def test_unacknowledged_messages_are_a_window(client: FakeClient) -> None:
    """No more than the window waits for the broker's word, in order; frames need none and go on."""
    arrived: list[int] = []
    busy = session()
    for number in range(mqtt._WINDOW + 2):
        busy.publish(EVENT, lambda number=number: arrived.append(number))  # type: ignore[misc]  # mypy cannot infer it
    busy._load()
    busy.publish_frame(DETECTIONS)
    busy._load()
    assert len(client.said) == mqtt._WINDOW + 1
    assert payloads(client)[-1] == b"{}"
    client.reads.append(lambda: client.acknowledge(1, Code()))
    busy._read()
    busy._load()
    assert arrived == [0]
    assert len(client.said) == mqtt._WINDOW + 2


async def test_broker_says_how_much_it_takes(client: FakeClient) -> None:
    """A broker of MQTT 5 that wants fewer at a time, or smaller ones, gets that; the rest is told of."""
    metrics, arrived = Metrics(), list[str]()
    narrow = session(metrics, protocol="5")
    client.on_connect(client, None, None, Code(), SimpleNamespace(ReceiveMaximum=2, MaximumPacketSize=100))
    narrow.publish(Message("e", b"x" * 100, 1), lambda: arrived.append("large"))
    for _ in range(3):
        narrow.publish(EVENT, lambda: arrived.append("small"))
    assert narrow._load(), "there is room for one more in the place of what was too large"
    assert not narrow._load()
    assert payloads(client) == [b"event", b"event"]
    assert arrived == ["large"], "a message that no broker takes would hold up all others for ever"
    assert metrics.registry.get_sample_value("vigil_mqtt_dropped_total", {"reason": "refused"}) == 1


async def test_message_that_the_broker_refuses_is_counted(client: FakeClient) -> None:
    """A refusal is an answer too: the message is a drop, and the next ones go on."""
    metrics, arrived = Metrics(), list[bool]()
    refused = session(metrics, protocol="5")
    refused.publish(EVENT, lambda: arrived.append(True))
    refused._load()
    client.reads.append(lambda: client.acknowledge(1, Code("Not authorized", failure=True)))
    refused._read()
    assert arrived == [True]
    assert refused.pending == 0
    assert metrics.registry.get_sample_value("vigil_mqtt_dropped_total", {"reason": "refused"}) == 1


async def test_message_into_a_lost_connection_is_counted(client: FakeClient) -> None:
    """What paho does not take is a drop, and nothing is pending because of it."""
    metrics = Metrics()
    lost = session(metrics)
    client.rc = MQTTErrorCode.MQTT_ERR_NO_CONN
    lost.publish(COUNT)
    lost._load()
    value = metrics.registry.get_sample_value
    assert value("vigil_mqtt_dropped_total", {"reason": "disconnected"}) == 1
    assert value("vigil_mqtt_published_total") == 0
    assert lost.pending == 0


async def test_will_login_and_name_are_set_before_connecting(client: FakeClient) -> None:
    """The last will, the login, the name and the version of MQTT go with the connection."""
    session(username="vigil", password="sesame", protocol="5")
    assert client.will == ("vigil/status", b"offline", 1, True)
    assert client.login == ("vigil", "sesame")
    assert client.options["client_id"] == "me"
    assert client.options["protocol"] is MQTTProtocolVersion.MQTTv5


async def test_connection_opens_and_its_loss_is_told(client: FakeClient) -> None:
    """`open` returns once the broker has said yes; `lost` once it went away; `close` says goodbye."""
    connection = session()
    async with asyncio.timeout(PATIENCE):
        await connection.open()
        lost = asyncio.ensure_future(connection.lost())
        await asyncio.sleep(0)
        assert not lost.done()
        connection.publish(COUNT)
        await client.heard_more.wait()
        client.on_disconnect(client, None, None, Code("gone"), None)
        assert "the connection is lost (gone)" in str(await lost)
        await connection.close()
    assert client.ended == ["connection"]


async def test_outbox_publishes_from_its_own_thread(client: FakeClient) -> None:
    """Any thread may publish: the loop is woken for it, and says there when it has arrived."""
    connection, arrived = session(), asyncio.Event()
    async with asyncio.timeout(PATIENCE):
        await connection.open()
        await asyncio.to_thread(connection.publish_threadsafe, EVENT, arrived.set)
        await client.heard_more.wait()
        assert connection.pending == 1
        client.say(lambda: client.acknowledge(1, Code()))
        await arrived.wait()
        assert connection.pending == 0
        await connection.close()


async def test_what_needs_no_acknowledgement_has_arrived_when_it_is_written(client: FakeClient) -> None:
    """Quality of service 0 is done when the socket has taken everything, and not before."""
    connection, arrived = session(), list[int]()
    async with asyncio.timeout(PATIENCE):
        await connection.open()
        connection.publish(DETECTIONS, lambda: arrived.append(1))
        connection._load()
        client.blocked = True
        connection._carry()
        assert (arrived, connection.pending) == ([], 1)
        client.blocked = False
        await asyncio.sleep(0)  # the socket takes more all the time, and the loop knows
        await asyncio.sleep(0)
        assert (arrived, connection.pending) == ([1], 0)
        await connection.close()


def silent_broker() -> tuple[socket.socket, Callable[[], socket.socket]]:
    """Return a listener, and what accepts one client there and says yes to it; nothing else is ever read."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> socket.socket:
        client, _ = listener.accept()
        client.recv(1024)
        client.sendall(b"\x20\x02\x00\x00")
        return client

    return listener, accept


async def test_broker_that_reads_nothing_holds_nobody_up() -> None:
    """The loop goes on while a broker takes nothing, however much is to be said; so does the goodbye."""
    listener, accept = silent_broker()
    chosen = MqttConfig.model_validate({"host": "127.0.0.1"})
    connection = Session(
        chosen, listener.getsockname(), WILL, Metrics(), print, client_id="me", protocol="3.1.1"
    )
    loop = asyncio.get_running_loop()
    with listener:
        accepted = loop.run_in_executor(None, accept)
        async with asyncio.timeout(PATIENCE):
            await connection.open()
            for number in range(100):
                connection.publish(Message(f"picture/{number}", bytes(200_000), retain=True))
            for _ in range(20):
                await asyncio.sleep(0)
            assert connection.pending, "all that was fitted into the buffers of sockets"
            assert connection._waits_to_write
            started = loop.time()
            await connection.close()
            assert loop.time() - started < 5 * mqtt._FAREWELL
            (await accepted).close()


async def test_mistake_ends_the_connection_and_is_told(client: FakeClient) -> None:
    """An error that nobody expects, in a step on the loop, is told by the loop; the connection ends."""
    connection, told = session(), list[Any]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: told.append(context["exception"]))
    mistake = ZeroDivisionError("a mistake")

    def make_a_mistake() -> None:
        raise mistake

    async with asyncio.timeout(PATIENCE):
        await connection.open()
        client.say(make_a_mistake)
        assert "the connection is lost" in str(await connection.lost())
        await connection.close()
    assert told == [mistake]


@pytest.mark.parametrize(
    ("answer", "message", "kind"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "broker:1883: .*Connection refused", BrokerError),
        (Code("Server busy", failure=True), "broker broker:1883 refuses: Server busy", BrokerError),
        (Code("Not authorized", 0x87, failure=True), "refuses: Not authorized; .*mqtt.username", LoginError),
        (Code("Unsupported", 0x84, failure=True), "refuses: Unsupported; .*protocol", UnknownVersionError),
    ],
)
async def test_refusal_says_why(
    client: FakeClient, answer: Code | Exception, message: str, kind: type[BrokerError]
) -> None:
    """A broker that cannot be reached or says no is a retryable error that names it and its reason."""
    client.answer = answer
    connection = session()
    client.answer = answer
    with pytest.raises(BrokerError, match=message) as refused:
        await asyncio.wait_for(connection.open(), PATIENCE)
    await connection.close()
    assert type(refused.value) is kind
    assert refused.value.slow is (kind is LoginError), "hammering a login locks it"


async def test_broker_that_never_answers_is_left(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who accepts and stays silent is not waited for for ever."""
    monkeypatch.setattr(mqtt, "_ANSWER_TIMEOUT", 0)
    connection = session()
    client.answer = None
    with pytest.raises(BrokerError, match="accepts and does not answer"):
        await asyncio.wait_for(connection.open(), PATIENCE)
    await connection.close()


async def test_broker_that_hangs_up_without_an_answer_may_not_know_the_version(client: FakeClient) -> None:
    """An old broker closes the connection of a version that it does not know, and says nothing."""
    connection = session(protocol="5")
    client.answer = None
    opening = asyncio.ensure_future(connection.open())
    await asyncio.sleep(0)
    client.on_disconnect(client, None, None, Code("Unspecified error"), None)
    with pytest.raises(UnknownVersionError, match="without an answer"):
        await asyncio.wait_for(opening, PATIENCE)
    await connection.close()


async def test_second_client_of_the_same_name_is_told(client: FakeClient) -> None:
    """A broker of MQTT 5 says that somebody took over: the error names the key and is tried rarely."""
    connection = session(protocol="5")
    client.on_connect(client, None, None, Code(), None)
    client.on_disconnect(client, None, None, Code("Session taken over", 0x8E), None)
    error = await asyncio.wait_for(connection.lost(), PATIENCE)
    await connection.close()
    assert isinstance(error, RivalError)
    assert error.slow
    assert "'me'; give each a mqtt.client_id" in str(error)


@pytest.mark.looptime
async def test_draining_ends_when_empty_or_out_of_patience(client: FakeClient) -> None:
    """The goodbye waits for what is under way, and no longer than it may."""
    loop, parting = asyncio.get_running_loop(), session()
    started = loop.time()
    await parting.drained(2)
    assert loop.time() == started
    parting.publish(COUNT)
    parting._load()
    await parting.drained(2)
    assert loop.time() - started == pytest.approx(2, abs=0.05)
    client.reads.append(lambda: client.acknowledge(1, Code()))
    loop.call_later(0.5, parting._read)
    await parting.drained(2)
    assert loop.time() - started == pytest.approx(2.5, abs=0.05)


def arriving(topic: str, payload: bytes, *, retained: bool = False) -> MQTTMessage:
    """Return a message as paho hands it over."""
    message = MQTTMessage(topic=topic.encode())
    message.payload = payload
    message.retain = retained
    return message


async def test_what_arrives_is_heard_on_the_loop(client: FakeClient) -> None:
    """What was subscribed to comes, certain to arrive, when paho is out of the way."""
    heard: list[tuple[str, bytes, bool]] = []
    there, reading = asyncio.Event(), False

    def hear(message: Message) -> None:
        heard.append((message.topic, message.payload, reading))
        there.set()

    def arrive() -> None:
        nonlocal reading
        reading = True
        client.on_message(client, None, arriving("vigil/drive/enabled/set", b"OFF"))
        reading = False

    connection = session(on_message=hear)
    async with asyncio.timeout(PATIENCE):
        await connection.open()
        connection.subscribe("vigil/+/enabled/set")
        assert client.wanted == [("vigil/+/enabled/set", 1)]
        client.say(arrive)
        await there.wait()
        await connection.close()
    assert heard == [("vigil/drive/enabled/set", b"OFF", False)]


async def test_retained_command_is_not_obeyed(client: FakeClient) -> None:
    """A command that a broker kept was meant for an earlier vigil: it must not switch a camera off again."""
    heard: list[Message] = []
    connection = session(on_message=heard.append)
    connection.subscribe("vigil/+/enabled/set")
    client.on_message(client, None, arriving("vigil/drive/enabled/set", b"OFF", retained=True))
    client.on_message(client, None, arriving("vigil/drive/enabled/set", b"ON"))
    await asyncio.sleep(0)
    assert [message.payload for message in heard] == [b"ON"]
