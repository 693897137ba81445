"""The embedded broker as people have it: who may come in, what survives, and that commands arrive."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.assets import photograph
from tests.support.broker import recorder
from tests.support.daemon import DaemonProcess, clean_environ, free_port
from tests.support.wire import CONNACK, hello, wire
from vigil.errors import CannotStartError
from vigil.sinks.broker import EmbeddedBroker, check_free
from vigil.sinks.retained import Kept, RetainedStore

LOGIN = ("ha", "s3cret-of-ha")
OTHER = ("kitchen", "s3cret-of-kitchen")
WRITTEN_WITHIN = 1.5
"""Seconds after which what is retained is on disk; a second is promised."""


def write_config(folder: Path, embedded: str = "") -> str:
    """Write a configuration of one photo camera with this as `mqtt.embedded`; returns its path."""
    photo = f"photo:{photograph('zidane')}?size=640x360&fps=10"
    path = folder / "vigil.yaml"
    path.write_text(
        f"model: {{size: 320}}\nmqtt:\n  embedded: {{{embedded}}}\n"
        f"cameras:\n  cam: {{url: '{photo}', detect: {{fps: 2, classes: [person]}}}}\n"
    )
    return str(path)


def users(*logins: tuple[str, str]) -> str:
    """Return the YAML of some users."""
    return f"users: {{{', '.join(f'{name}: {{password: {password}}}' for name, password in logins)}}}"


def child_of(pid: int) -> int:
    """Return the only child of a process: vigil's broker."""
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


async def code_of(port: int, login: tuple[str, str] | None) -> int:
    """Return what the broker answers to a login: 0 is welcome."""
    async with wire(port, hello("tried", login=login)) as connection:
        return (await connection.hears(CONNACK)).body[1]


async def run_client(*arguments: str) -> None:
    """Run one of mosquitto's clients to its end."""
    process = await asyncio.create_subprocess_exec(*arguments)
    assert await process.wait() == 0


async def test_users_come_in_and_nobody_else(tmp_path: Path) -> None:
    """The users and vigil itself are let in; no password is in arguments, environment or log."""
    config = write_config(tmp_path, users(LOGIN))
    environ = {"VIGIL_STATE": str(tmp_path / "state")}
    async with DaemonProcess("run", "-c", config, environ=environ) as daemon:
        port = daemon.mqtt_port
        async with recorder(port, login=LOGIN) as heard:
            for topic in ("vigil/cam/status", "vigil/status"):  # vigil's own is said last
                await heard.until(lambda topic=topic: heard.last(topic) == b"online")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        assert [await code_of(port, login) for login in (LOGIN, None, (LOGIN[0], "x"), ("x", LOGIN[1]))] == [
            *(0, 4, 4, 4)
        ]
        broker = child_of(daemon.pid)
        visible = b"".join(Path(f"/proc/{broker}/{file}").read_bytes() for file in ("cmdline", "environ"))
        assert b"vigil.sinks.embedded" in visible
        assert LOGIN[1].encode() not in visible
        await daemon.wait_for_log("turned away: wrong user name or password")
    assert LOGIN[1] not in daemon.log


async def test_a_reload_changes_the_users(tmp_path: Path) -> None:
    """A saved file starts the broker anew: the new user comes in, the old one no more, vigil as before."""
    config = write_config(tmp_path, users(LOGIN))
    environ = {"VIGIL_STATE": str(tmp_path / "state")}
    async with DaemonProcess("run", "-c", config, environ=environ) as daemon:
        write_config(tmp_path, users(OTHER))
        await daemon.wait_for_log("configuration taken over: broker")
        await daemon.wait_for_log_count("mqtt: connected", 2)
        assert [await code_of(daemon.mqtt_port, login) for login in (LOGIN, OTHER)] == [4, 0]
        async with recorder(daemon.mqtt_port, login=OTHER) as heard:
            await heard.until(lambda: heard.last("vigil/cam/status") == b"online")


@pytest.mark.parametrize("persistence", ["true", "false"])
async def test_what_others_retain_survives(tmp_path: Path, persistence: str) -> None:
    """Retained messages are there after SIGKILL of the broker and of vigil, and not without persistence."""
    config = write_config(tmp_path, f"persistence: {persistence}")
    environ = {"VIGIL_STATE": str(tmp_path / "state")}
    async with DaemonProcess("run", "-c", config, environ=environ) as daemon:
        port = daemon.mqtt_port
        for topic in ("lamp/state", "lamp/gone"):
            await run_client("mosquitto_pub", "-p", str(port), "-t", topic, "-m", "ON", "-r")
        await run_client("mosquitto_pub", "-p", str(port), "-t", "lamp/gone", "-n", "-r")
        await asyncio.sleep(WRITTEN_WITHIN)
        os.kill(child_of(daemon.pid), signal.SIGKILL)
        await daemon.wait_for_log_count("mqtt: connected", 2, within=30)
        async with recorder(port) as heard:
            await heard.until(lambda: heard.last("vigil/cam/status") == b"online")
            lamp = b"ON" if persistence == "true" else None
            await heard.until(lambda: heard.last("lamp/state") == lamp)
        await run_client("mosquitto_pub", "-p", str(port), "-t", "lamp/late", "-m", "1", "-r")
        # The broker sees vigil's end and writes before its own, however little time there was.
        await daemon.kill()
    async with (
        DaemonProcess("run", "-c", config, environ=environ) as daemon,
        recorder(daemon.mqtt_port) as heard,
    ):
        await heard.until(lambda: heard.last("vigil/cam/status") == b"online")
        wanted = {"lamp/state", "lamp/late"} if persistence == "true" else set()
        # What is retained comes in any order.
        await heard.until(lambda: {topic for topic in heard.retained if topic.startswith("lamp/")} == wanted)
    assert bool(list(tmp_path.glob("state/retained-*"))) == (persistence == "true")


async def test_every_command_arrives(tmp_path: Path) -> None:
    """Commands of clients that say them and leave are obeyed, whoever listens to all that is retained."""
    config = write_config(tmp_path)
    environ = {"VIGIL_STATE": str(tmp_path / "state")}
    async with (
        DaemonProcess("run", "-c", config, environ=environ) as daemon,
        recorder(daemon.mqtt_port) as heard,
    ):
        await heard.until(lambda: heard.last("vigil/cam/enabled/state") == b"ON")
        for number in range(20):
            wanted = "ON" if number % 2 else "OFF"
            quality = str(number // 2 % 2)
            client = ("mosquitto_pub", "-p", str(daemon.mqtt_port), "-q", quality)
            await run_client(*client, "-t", "vigil/cam/enabled/set", "-m", wanted)
            await heard.until(lambda wanted=wanted: heard.last("vigil/cam/enabled/state") == wanted.encode())  # type: ignore[misc]  # mypy cannot infer a lambda with a default


async def test_silent_client_is_gone(tmp_path: Path) -> None:
    """A client that is silent for one and a half times its keep-alive is hung up on, its last will said."""
    broker = EmbeddedBroker("127.0.0.1", free_port(), retained=tmp_path / "retained.sqlite")
    await broker.start()
    try:
        async with recorder(broker.port) as heard:
            async with wire(broker.port, hello("frail", will=("w", "gone"), keepalive=1)) as frail:
                await frail.hears(CONNACK)
                await frail.ended()
            await heard.until(lambda: heard.last("w") == b"gone")
    finally:
        await broker.stop()
    assert RetainedStore(tmp_path / "retained.sqlite").read() == {"w": Kept(b"gone", 1)}


async def test_all_networks_and_version_6() -> None:
    """The broker listens where it is told to, on IPv6 as well; its start says why it cannot."""
    for host, reached in (("0.0.0.0", "127.0.0.1"), ("::1", "::1"), ("localhost", "localhost")):
        broker = EmbeddedBroker(host, free_port(), {LOGIN[0]: LOGIN[1]})
        await broker.start()
        try:
            _, writer = await asyncio.open_connection(reached, broker.port)
            writer.close()
        finally:
            await broker.stop()
        check_free(host, broker.port, "mqtt.port")
    with pytest.raises(CannotStartError, match=r"mqtt\.embedded\.host: 192\.0\.2\.1"):
        await EmbeddedBroker("192.0.2.1", free_port()).start()


def test_check_refuses_an_open_broker(tmp_path: Path) -> None:
    """`vigil check` says at which line a broker would be open to a network, and what to do."""
    config = write_config(tmp_path, "host: 0.0.0.0")
    done = subprocess.run(
        [sys.executable, "-m", "vigil", "check", "-c", config],
        capture_output=True,
        text=True,
        env=clean_environ(),
        check=False,
    )
    assert done.returncode == 2
    assert (
        f'{config}:3:20: mqtt.embedded.host: "0.0.0.0" lets in everybody who reaches it; '
        "add `users`, or listen on 127.0.0.1" in done.stdout + done.stderr
    )
