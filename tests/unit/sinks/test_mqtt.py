"""The session's rules over a client of paho that goes nowhere."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import MQTTMessage, MQTTMessageInfo
from paho.mqtt.enums import MQTTErrorCode

from tests.support.fakes import PATIENCE
from vigil.config.model import MqttConfig
from vigil.metrics import Metrics
from vigil.sinks import mqtt
from vigil.sinks.dialect import Message
from vigil.sinks.mqtt import BrokerError, Session

if TYPE_CHECKING:
    from collections.abc import Callable

WILL = Message("vigil/status", b"offline", 1, retain=True)
DETECTIONS, COUNT = Message("d", b"{}"), Message("c", b"1", 1, retain=True)


class Code:
    """A reason code of the broker."""

    def __init__(self, text: str = "Success", *, failure: bool = False) -> None:
        self.is_failure = failure
        self._text = text

    def __str__(self) -> str:
        return self._text


class FakeClient:
    """Accepts what it is given; `answer` says how the broker takes the connection."""

    answer: Code | Exception | None = Code()
    on_connect: Callable[..., None]
    on_disconnect: Callable[..., None]
    on_publish: Callable[..., None]
    on_message: Callable[..., None]
    connect_timeout = 0.0

    def __init__(self, *_args: Any, **options: Any) -> None:
        self.options = options
        self.login: tuple[str, str | None] | None = None
        self.will: tuple[Any, ...] = ()
        self.said: list[tuple[Any, ...]] = []
        self.wanted: list[tuple[str, int]] = []
        self.ended: list[str] = []
        self.rc = MQTTErrorCode.MQTT_ERR_SUCCESS

    def max_inflight_messages_set(self, _count: int) -> None:
        """Take it."""

    def will_set(self, *will: Any) -> None:
        """Note."""
        self.will = will

    def username_pw_set(self, username: str, password: str | None) -> None:
        """Note."""
        self.login = (username, password)

    def connect(self, *_address: Any) -> None:
        """Connect, or not."""
        if isinstance(self.answer, Exception):
            raise self.answer

    def loop_start(self) -> None:
        """Let the broker answer."""
        if isinstance(self.answer, Code):
            self.on_connect(self, None, None, self.answer, None)

    def loop_stop(self) -> None:
        """Note."""
        self.ended.append("thread")

    def disconnect(self) -> None:
        """Note."""
        self.ended.append("connection")

    def subscribe(self, topic_filter: str, qos: int) -> None:
        """Note."""
        self.wanted.append((topic_filter, qos))

    def publish(self, *message: Any) -> MQTTMessageInfo:
        """Take a message, which never reaches anybody."""
        self.said.append(message)
        info = MQTTMessageInfo(len(self.said))
        info.rc = self.rc
        return info


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FakeClient:
    """Put one fake client in the place of paho's."""
    client = FakeClient()

    def make(*args: Any, **options: Any) -> FakeClient:
        FakeClient.__init__(client, *args, **options)
        return client

    monkeypatch.setattr("vigil.sinks.mqtt.Client", make)
    return client


def session(
    metrics: Metrics | None = None,
    on_message: Callable[[Message], None] = lambda _message: None,
    **settings: Any,
) -> Session:
    """Return a session to a broker that is not there."""
    chosen = MqttConfig.model_validate({"host": "broker", **settings})
    return Session(chosen, ("broker", 1883), WILL, metrics or Metrics(), on_message)


async def test_slow_broker_costs_detections_and_never_state(client: FakeClient) -> None:
    """When nothing gets through any more, further detections are dropped and counted; counts still go."""
    metrics = Metrics()
    slow = session(metrics)
    for _ in range(mqtt._MAX_PENDING + 5):
        slow.publish(DETECTIONS)
    slow.publish(COUNT)
    dropped = metrics.registry.get_sample_value("vigil_mqtt_dropped_total", {"reason": "slow_broker"})
    assert dropped == 5
    assert len(client.said) == mqtt._MAX_PENDING + 1
    assert client.said[-1] == ("c", b"1", 1, True)
    assert slow.pending == mqtt._MAX_PENDING + 1


async def test_broker_that_catches_up_gets_detections_again(client: FakeClient) -> None:
    """Each message that has left makes room for one."""
    busy = session()
    for _ in range(mqtt._MAX_PENDING):
        busy.publish(DETECTIONS)
    client.on_publish(client, None, 1, None, None)
    busy.publish(DETECTIONS)
    assert len(client.said) == mqtt._MAX_PENDING + 1


async def test_message_into_a_lost_connection_is_counted(client: FakeClient) -> None:
    """What paho does not take is a drop, and nothing is pending because of it."""
    metrics = Metrics()
    lost = session(metrics)
    client.rc = MQTTErrorCode.MQTT_ERR_NO_CONN
    lost.publish(COUNT)
    value = metrics.registry.get_sample_value
    assert value("vigil_mqtt_dropped_total", {"reason": "disconnected"}) == 1
    assert value("vigil_mqtt_published_total") == 0
    assert lost.pending == 0


async def test_will_login_and_name_are_set_before_connecting(client: FakeClient) -> None:
    """The last will, the login and a name of one's own go with the connection."""
    session(username="vigil", password="sesame", client_id="me")
    assert client.will == ("vigil/status", b"offline", 1, True)
    assert client.login == ("vigil", "sesame")
    assert client.options["client_id"] == "me"
    names = set()
    for _ in range(2):
        session()
        names.add(client.options["client_id"])
    assert len(names) == 2


async def test_connection_opens_and_its_loss_is_told(client: FakeClient) -> None:
    """`open` returns once the broker has said yes; `lost` once it went away; `close` ends the thread."""
    connection = session()
    async with asyncio.timeout(PATIENCE):
        await connection.open()
        lost = asyncio.ensure_future(connection.lost())
        await asyncio.sleep(0)
        assert not lost.done()
        client.on_disconnect(client, None, None, Code("gone"), None)
        await lost
        await connection.close()
    assert client.ended == ["connection", "thread"]


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "broker broker:1883: .*Connection refused"),
        (Code("Not authorized", failure=True), "broker broker:1883 refuses: Not authorized"),
    ],
)
async def test_refusal_says_why(client: FakeClient, answer: Code | Exception, message: str) -> None:
    """A broker that cannot be reached or says no is a retryable error that names it and its reason."""
    client.answer = answer
    connection = session()
    client.answer = answer
    with pytest.raises(BrokerError, match=message):
        await asyncio.wait_for(connection.open(), PATIENCE)


async def test_broker_that_never_answers_is_left(client: FakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who accepts and stays silent is not waited for for ever."""
    monkeypatch.setattr(mqtt, "_ANSWER_TIMEOUT", 0)
    connection = session()
    client.answer = None
    with pytest.raises(BrokerError, match="accepts and does not answer"):
        await asyncio.wait_for(connection.open(), PATIENCE)


@pytest.mark.looptime
async def test_draining_ends_when_empty_or_out_of_patience(client: FakeClient) -> None:
    """The goodbye waits for what is under way, and no longer than it may."""
    loop, parting = asyncio.get_running_loop(), session()
    started = loop.time()
    await parting.drained(2)
    assert loop.time() == started
    parting.publish(COUNT)
    await parting.drained(2)
    assert loop.time() - started == pytest.approx(2, abs=0.05)
    loop.call_later(0.5, client.on_publish, client, None, 1, None, None)
    await parting.drained(2)
    assert loop.time() - started == pytest.approx(2.5, abs=0.05)


def arriving(topic: str, payload: bytes, *, retained: bool = False) -> MQTTMessage:
    """Return a message as paho hands it over."""
    message = MQTTMessage(topic=topic.encode())
    message.payload = payload
    message.retain = retained
    return message


async def test_what_arrives_is_heard_on_the_loop(client: FakeClient) -> None:
    """What was subscribed to comes, certain to arrive, from the network thread to the loop's own."""
    heard: list[tuple[str, bytes, bool]] = []
    there, home = asyncio.Event(), threading.get_ident()

    def hear(message: Message) -> None:
        heard.append((message.topic, message.payload, threading.get_ident() == home))
        there.set()

    connection = session(on_message=hear)
    connection.subscribe("vigil/+/enabled/set")
    assert client.wanted == [("vigil/+/enabled/set", 1)]
    network = threading.Thread(
        target=client.on_message, args=(client, None, arriving("vigil/drive/enabled/set", b"OFF"))
    )
    network.start()
    async with asyncio.timeout(PATIENCE):
        await there.wait()
    network.join(PATIENCE)
    assert heard == [("vigil/drive/enabled/set", b"OFF", True)]


async def test_retained_command_is_not_obeyed(client: FakeClient) -> None:
    """A command that a broker kept was meant for an earlier vigil: it must not switch a camera off again."""
    heard: list[Message] = []
    connection = session(on_message=heard.append)
    connection.subscribe("vigil/+/enabled/set")
    client.on_message(client, None, arriving("vigil/drive/enabled/set", b"OFF", retained=True))
    client.on_message(client, None, arriving("vigil/drive/enabled/set", b"ON"))
    await asyncio.sleep(0)
    assert [message.payload for message in heard] == [b"ON"]
