"""Every way to a real broker, and the one line that says why there is none."""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.broker import mosquitto, recorder
from tests.support.certificates import Authority
from tests.support.daemon import free_port
from tests.support.fakes import MODEL, boxes
from tests.support.talking import talking
from vigil.aio.tasks import Backoff
from vigil.core.types import Action, CameraCommand, Result
from vigil.sinks.broker import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.support.broker import Recorder
    from tests.support.talking import Talking


@asynccontextmanager
async def broker(*settings: str) -> AsyncIterator[tuple[int, int, Recorder]]:
    """Run a mosquitto with a second listener; gives its port, the plain one, and who listens there."""
    port = free_port()
    listener = f"listener {port} 127.0.0.1"
    async with (
        mosquitto(None, listener, *settings, "user root") as plain,
        recorder(plain, "vigil/#") as heard,
    ):
        yield port, plain, heard


async def check_both_ways(port: int, plain: int, heard: Recorder, **settings: Any) -> None:
    """Fail unless everything works over a connection with such settings: state, events, commands, goodbye."""
    async with talking("cam0", port=port, **settings) as vigil:
        await heard.until(lambda: heard.last("vigil/cam0/status") == b"online", within=10)
        vigil.happen(1)
        await heard.until(lambda: heard.objects("vigil/cam0/events"), within=10)
        await heard.until(lambda: vigil.value("outbox_pending") == 0, within=10)
        await command(plain, "vigil/cam0/enabled/set", "OFF")
        await heard.until(lambda: vigil.commands == [CameraCommand("cam0", Action.DISABLE)], within=10)
    await heard.until(lambda: heard.last("vigil/status") == b"offline")
    assert heard.last("vigil/cam0/status") == b"offline", "a goodbye, not the last will"


async def command(port: int, topic: str, payload: str) -> None:
    """Publish as another program does."""
    process = await asyncio.create_subprocess_exec(
        "mosquitto_pub", "-p", str(port), "-t", topic, "-m", payload, "-q", "1"
    )
    assert await process.wait() == 0


@pytest.mark.parametrize("protocol", ["3.1.1", "5", "auto"])
async def test_both_versions_of_mqtt(protocol: str) -> None:
    """MQTT 3.1.1 and 5 do all that is needed."""
    async with broker() as (port, plain, heard):
        await check_both_ways(port, plain, heard, protocol=protocol)


async def test_broker_of_the_old_version_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker that knows no MQTT 5, and says nothing of it, is spoken to in 3.1.1 without being told to."""
    monkeypatch.setattr("vigil.sinks.mqtt._ANSWER_TIMEOUT", 1.0)
    old = EmbeddedBroker("127.0.0.1", free_port())
    await old.start()
    try:
        async with recorder(old.port, "vigil/#") as heard:
            await check_both_ways(old.port, old.port, heard)
    finally:
        await old.stop()


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_web_socket(protocol: str) -> None:
    """MQTT over a WebSocket does all that is needed."""
    async with broker("protocol websockets") as (port, plain, heard):
        await check_both_ways(port, plain, heard, transport="websocket", protocol=protocol)


def served(identity: Any, *more: str) -> tuple[str, ...]:
    """Return the settings of a listener with TLS."""
    return (f"certfile {identity.certificate}", f"keyfile {identity.key}", *more)


async def test_tls_with_an_authority_of_its_own_and_a_client_certificate(tmp_path: Path) -> None:
    """A broker that proves itself and asks for the same is talked to over TLS, and over a WebSocket in it."""
    authority = Authority(tmp_path)
    vigil = authority.vouch("vigil")
    asks = (f"cafile {authority.identity.certificate}", "require_certificate true")
    tls = {
        "ca_file": authority.identity.certificate,
        "certificate_file": vigil.certificate,
        "key_file": vigil.key,
    }
    async with broker(*served(authority.vouch("broker"), *asks)) as (port, plain, heard):
        await check_both_ways(port, plain, heard, tls=tls)
    async with broker("protocol websockets", *served(authority.vouch("broker"))) as (port, plain, heard):
        await check_both_ways(port, plain, heard, tls=tls, transport="websocket")


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_login(tmp_path: Path, caplog: pytest.LogCaptureFixture, protocol: str) -> None:
    """The right password from a file lets in; a wrong one is one line that names the keys, not the secret."""
    passwords, secret = tmp_path / "passwords", tmp_path / "secret"
    process = await asyncio.create_subprocess_exec(
        "mosquitto_passwd", "-b", "-c", str(passwords), "vigil", "sesame", stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0
    lines = ("allow_anonymous false", f"password_file {passwords}", "user root")
    async with mosquitto(None, *lines) as port:
        keys: dict[str, Any] = {
            "username": "vigil",
            "password_file": secret,
            "port": port,
            "protocol": protocol,
        }
        secret.write_text("sesame\n")
        async with talking("cam0", **keys):
            assert warnings(caplog) == []
        secret.write_text("open-up\n")
        async with talking("cam0", connected=False, **keys):
            assert "look at mqtt.username and mqtt.password" in await told(caplog, "refuses")
    assert "open-up" not in caplog.text
    assert "sesame" not in caplog.text


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have vigil try again after tenths of a second."""
    monkeypatch.setattr("vigil.sinks.publisher._BACKOFF", Backoff(least=0.1, first=0.1, longest=0.2))


async def told(caplog: pytest.LogCaptureFixture, text: str) -> str:
    """Return the only warning, once there is one, which has `text`; wants `soon`."""
    async with asyncio.timeout(15):
        while not (lines := warnings(caplog)):
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.6)  # a second try must not be a second line
    assert warnings(caplog) == lines
    (line,) = lines
    assert text in line
    return line


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was complained of."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.usefixtures("soon")
async def test_wrong_authority_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A broker whose certificate somebody else vouches for is not talked to; the line names the key."""
    other = Authority(tmp_path / "other")
    tls = {"ca_file": other.identity.certificate}
    async with (
        broker(*served(Authority(tmp_path).vouch("broker"))) as (port, _, _),
        talking("cam0", connected=False, port=port, tls=tls),
    ):
        line = await told(caplog, "certificate is not accepted")
    assert "mqtt.tls.ca_file" in line


@pytest.mark.usefixtures("soon")
async def test_wrong_name_is_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A certificate for another address is not accepted, whoever vouches for it."""
    authority = Authority(tmp_path)
    tls = {"ca_file": authority.identity.certificate}
    async with (
        broker(*served(authority.vouch("broker", "10.0.0.9"))) as (port, _, _),
        talking("cam0", connected=False, port=port, tls=tls),
    ):
        assert "127.0.0.1" in await told(caplog, "certificate is not accepted")


@pytest.mark.usefixtures("soon")
async def test_missing_client_certificate_is_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that asks for a certificate and gets none hangs up; the line says what it may want."""
    authority = Authority(tmp_path)
    asks = (f"cafile {authority.identity.certificate}", "require_certificate true")
    tls = {"ca_file": authority.identity.certificate}
    async with (
        broker(*served(authority.vouch("broker"), *asks)) as (port, _, _),
        talking("cam0", connected=False, port=port, tls=tls),
    ):
        line = await told(caplog, "it may want another client certificate")
    assert "mqtt.tls" in line


@pytest.mark.usefixtures("soon")
async def test_files_that_are_no_certificates_are_one_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A certificate file that holds something else is told with its key and its path."""
    wrong = tmp_path / "wrong.pem"
    wrong.write_text("nothing\n")
    async with talking("cam0", connected=False, tls={"ca_file": wrong}):
        assert f"mqtt.tls.ca_file: {wrong}" in await told(caplog, "cannot be used")


@pytest.mark.usefixtures("soon")
async def test_plain_port_for_tls_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """TLS to a port that speaks none fails with a line that says so."""
    async with broker() as (port, _, _), talking("cam0", connected=False, port=port, tls={}):
        await told(caplog, "broker 127.0.0.1")


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
async def test_two_clients_of_one_name(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, protocol: str
) -> None:
    """Two vigils with one `client_id`: each says so in one line with the key, and they stop throwing out."""
    caplog.set_level(logging.INFO)
    # Both count as short what lasts less than two seconds, so three of them are over soon.
    monkeypatch.setattr("vigil.sinks.publisher._SHORT", 2.0)
    monkeypatch.setattr("vigil.sinks.publisher._BACKOFF", Backoff(least=0.2, first=0.2, longest=30.0))
    keys: dict[str, Any] = {"client_id": "twin", "protocol": protocol}
    async with (
        mosquitto() as port,
        talking("cam0", port=port, **keys) as first,
        talking("cam1", port=port, connected=False, **keys) as second,
    ):
        async with asyncio.timeout(30):
            while "another client connects with the name 'twin'" not in caplog.text:
                await asyncio.sleep(0.05)
        await asyncio.sleep(2)
        before = len(caplog.records)
        await asyncio.sleep(3)
        assert len(caplog.records) - before <= 1
        assert first.value("mqtt_connected") or second.value("mqtt_connected")
    rivals = [line for line in warnings(caplog) if "'twin'" in line]
    assert 1 <= len(rivals) <= 2
    assert all("mqtt.client_id" in line for line in rivals)


@asynccontextmanager
async def server(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    """Listen on a port and give each connection to `answer`, until the end."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]  # this runs in one
        await answer(reader, writer)

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        for task in tasks:
            task.cancel()
        listener.close()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.usefixtures("soon")
async def test_broker_that_accepts_and_says_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A port that accepts and stays silent is told in one line, and vigil ends as quickly as ever."""
    monkeypatch.setattr("vigil.sinks.mqtt._ANSWER_TIMEOUT", 0.3)

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            writer.close()

    async with server(silent) as port, talking("cam0", connected=False, port=port):
        await told(caplog, "accepts and does not answer")


@pytest.mark.usefixtures("soon")
async def test_broker_that_falls_silent_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """A connection without a sign of life is given up after two keepalives, and tried again."""
    accepted: list[int] = []

    async def dying(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.append(1)
        try:
            await reader.read(256)
            writer.write(b"\x20\x02\x00\x00")
            while await reader.read(1 << 16):
                pass
        finally:
            writer.close()

    keys: dict[str, Any] = {"protocol": "3.1.1", "keepalive": "1s"}
    async with server(dying) as port, talking("cam0", port=port, **keys):
        assert "the connection is lost" in await told(caplog, "lost")
        async with asyncio.timeout(10):
            while len(accepted) < 2:
                await asyncio.sleep(0.05)


async def test_connections_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many connections, made, refused and broken off, leave neither a thread nor a socket."""
    monkeypatch.setattr("vigil.sinks.publisher._BACKOFF", Backoff(least=0.01, first=0.01, longest=0.02))
    hung_up: list[int] = []

    async def moody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hung_up.append(1)
        await reader.read(256)
        if len(hung_up) % 2:
            writer.write(b"\x20\x02\x00\x00")
            await writer.drain()
        writer.close()

    async with server(moody) as port, talking("cam0", connected=False, port=port, protocol="3.1.1"):
        async with asyncio.timeout(20):
            await until_more(hung_up, 10)
            threads, files = threading.active_count(), open_files()
            await until_more(hung_up, 100)
        assert threading.active_count() <= threads + 2
        assert open_files() <= files + 10


async def until_more(counted: list[int], count: int) -> None:
    """Wait until so many have been counted."""
    while len(counted) < count:
        await asyncio.sleep(0.01)


def open_files() -> int:
    """Return how many files and sockets this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def frame(number: int) -> Result:
    """Return a result of the camera `cam0` of some size."""
    found = boxes(*[(1, 2, 3, 4, 0.9, 0)] * 20)
    return Result("cam0", number, 0.0, 1280, 720, MODEL, found, {"person": 0})


async def test_slow_broker_gets_the_newest_frames() -> None:
    """A broker that stops reading holds nothing up: old frames go, counted; it reads on with the newest."""
    go_on, arrived = asyncio.Event(), bytearray()

    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(256)
            writer.write(b"\x20\x02\x00\x00")
            await go_on.wait()
            while data := await reader.read(1 << 16):
                arrived.extend(data)
        finally:
            writer.close()

    async with server(slow) as port, talking("cam0", port=port, protocol="3.1.1") as vigil:
        last = await flood(vigil)
        assert vigil.value("mqtt_dropped_total", reason="slow_broker")
        go_on.set()
        async with asyncio.timeout(10):
            while b'"seq":%d,' % last not in arrived:
                await asyncio.sleep(0.02)
    dropped = vigil.value("mqtt_dropped_total", reason="slow_broker") or 0
    assert arrived.count(b"vigil/cam0/detections") + dropped == last


async def flood(vigil: Talking) -> int:
    """Have frames seen until the broker's socket is full and some fell away; returns the last number."""
    number = 0
    async with asyncio.timeout(30):
        while (vigil.value("mqtt_dropped_total", reason="slow_broker") or 0) < 100:
            number += 1
            vigil.bus.publish([frame(number)])
            await asyncio.sleep(0)
    return number
