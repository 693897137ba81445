"""The process around the daemon: signals, exit statuses, free ports."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import PATIENCE
from vigil import process
from vigil.config.model import CameraConfig, Config
from vigil.core.types import MAIN_MODEL
from vigil.errors import CannotStartError
from vigil.launch import Setup

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONFIG = Config(cameras={"drive": CameraConfig(url="rtsp://10.0.0.5/a")})


@contextmanager
def taken() -> Iterator[int]:
    """Hold a port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def setup() -> Setup:
    """Return what the command line would hand over."""
    return Setup(CONFIG, Path("vigil.yaml"), None, lambda: CONFIG, {MAIN_MODEL: Path("weights.onnx")}, {})


def serve(monkeypatch: pytest.MonkeyPatch, daemon: Callable[..., object]) -> int:
    """Serve with this coroutine function in place of `app.run`."""
    monkeypatch.setattr("vigil.process.app.run", daemon)
    return process.serve(setup())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_in_order(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C cancel the daemon, which gets to say goodbye, and the status is 0."""
    said: list[str] = []

    async def daemon(*_args: object) -> None:
        os.kill(os.getpid(), number)
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            said.append("goodbye")

    assert serve(monkeypatch, daemon) == process.OK
    assert said == ["goodbye"]


def test_hangup_asks_for_a_reload_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGHUP sets what the reload waits for, each time anew, and the daemon goes on."""
    reloads = 0

    async def daemon(given: Setup) -> None:
        nonlocal reloads
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGHUP)
            async with asyncio.timeout(PATIENCE):
                await given.reload_requested.wait()
            given.reload_requested.clear()
            reloads += 1
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(PATIENCE)

    assert serve(monkeypatch, daemon) == process.OK
    assert reloads == 2


def test_second_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon that hangs in its goodbye is ended by a second signal, with the shell's status for it."""
    ended: list[int] = []
    monkeypatch.setattr("vigil.process.os._exit", ended.append)
    monkeypatch.setattr("vigil.process._SAME_SIGNAL", -1.0)

    async def daemon(*_args: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            async with asyncio.timeout(PATIENCE):
                while not ended:
                    await asyncio.sleep(0)

    serve(monkeypatch, daemon)
    assert ended == [128 + signal.SIGINT]


def test_one_signal_that_comes_twice_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `timeout` sends to the group and to the process within a moment is one wish to stop, in order."""
    ended: list[int] = []
    monkeypatch.setattr("vigil.process.os._exit", ended.append)
    monkeypatch.setattr("vigil.process._SAME_SIGNAL", PATIENCE)

    async def daemon(*_args: object) -> None:
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            await asyncio.sleep(PATIENCE)
        finally:
            os.kill(os.getpid(), signal.SIGTERM)
            for _ in range(10):
                await asyncio.sleep(0)

    assert serve(monkeypatch, daemon) == process.OK
    assert ended == []


@pytest.mark.parametrize(
    ("error", "status", "level"),
    [
        (CannotStartError("http.port: taken"), CannotStartError.exit_status, logging.ERROR),
        (
            ExceptionGroup("g", [ExceptionGroup("h", [CannotStartError("x")])]),
            CannotStartError.exit_status,
            logging.ERROR,
        ),
        (ZeroDivisionError("bug"), process.CRASHED, logging.CRITICAL),
        (ExceptionGroup("g", [ZeroDivisionError("bug")]), process.CRASHED, logging.CRITICAL),
    ],
)
def test_status_tells_what_ended_it(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: Exception,
    status: int,
    level: int,
) -> None:
    """What cannot start is one line and status 3; what nobody foresaw has a traceback and status 1."""

    async def daemon(*_args: object) -> None:
        raise error

    assert serve(monkeypatch, daemon) == status
    (record,) = [each for each in caplog.records if each.name == "vigil.process"]
    assert record.levelno == level
    assert bool(record.exc_info) == (status == process.CRASHED)


def test_missing_piece_among_other_errors_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a group of errors, the one that a person can mend decides, whatever its place."""

    async def daemon(*_args: object) -> None:
        raise ExceptionGroup("g", [OSError("closing"), CannotStartError("model.name: none")])

    assert serve(monkeypatch, daemon) == CannotStartError.exit_status


def test_daemon_that_just_ends_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """A daemon does not end by itself: if it does, the service manager must start it again."""

    async def daemon(*_args: object) -> None:
        pass

    assert serve(monkeypatch, daemon) == process.CRASHED


def with_ports(mqtt: int, http: int) -> Config:
    """Return the configuration with these ports."""
    return Config.model_validate(
        {"cameras": {"drive": {"url": "rtsp://10.0.0.5/a"}}, "mqtt": {"port": mqtt}, "http": {"port": http}}
    )


def test_demo_moves_away_from_taken_ports() -> None:
    """A taken port is replaced by the next free one, and nothing else changes."""
    with taken() as mqtt, taken() as http:
        moved = process.with_free_ports(with_ports(mqtt, http))
    assert moved.mqtt.port > mqtt
    assert moved.http.port > http
    assert moved.cameras == CONFIG.cameras


def test_demo_keeps_free_ports() -> None:
    """Ports that nobody has stay as they are."""
    with taken() as mqtt, taken() as http:
        pass
    moved = process.with_free_ports(with_ports(mqtt, http))
    assert (moved.mqtt.port, moved.http.port) == (mqtt, http)


def test_demo_never_takes_one_port_twice() -> None:
    """When the broker has to move to the port that the web page wants, the page moves too."""
    with taken() as mqtt:
        moved = process.with_free_ports(with_ports(mqtt, mqtt + 1))
    assert moved.mqtt.port != moved.http.port


def test_no_free_port_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a hundred taken ports the demo gives up, naming the key."""

    def always_taken(_host: str, _port: int, key: str) -> None:
        raise CannotStartError(key)

    monkeypatch.setattr("vigil.process.check_free", always_taken)
    with pytest.raises(CannotStartError, match=r"mqtt\.port: no free port from 1883 to 1982"):
        process.with_free_ports(with_ports(1883, 8080))
