"""The embedded broker's process: it starts, it is watched, it ends, and it never takes another's port."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from vigil.errors import CannotStartError, RetryableError
from vigil.sinks.broker import BrokerDiedError, EmbeddedBroker, check_free

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LIMIT = 30.0
"""Seconds for anything that starts a process."""


def listener(port: int = 0) -> socket.socket:
    """Listen, on any port if none is given."""
    return socket.create_server(("127.0.0.1", port))


def free_port() -> int:
    """Return a port on which nobody listens."""
    with listener() as server:
        return int(server.getsockname()[1])


@asynccontextmanager
async def started(port: int) -> AsyncIterator[EmbeddedBroker]:
    """Run a broker."""
    broker = EmbeddedBroker("127.0.0.1", port)
    async with asyncio.timeout(LIMIT):
        await broker.start()
        try:
            yield broker
        finally:
            await broker.stop()


async def test_broker_listens_from_start_to_stop() -> None:
    """After `start` it accepts a client, after `stop` its port is free, and a second `stop` is harmless."""
    port = free_port()
    async with started(port) as broker:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        await broker.stop()
        check_free("127.0.0.1", port, "mqtt.port")


async def test_broker_that_dies_is_told_and_comes_back() -> None:
    """A killed broker is a retryable error, and the next run starts another one."""
    port = free_port()
    async with started(port) as broker:
        await died(broker)
        again = asyncio.ensure_future(broker.run_once())
        while broker._process is None:
            await asyncio.sleep(0)
        again.cancel()
        await asyncio.wait([again])
        with pytest.raises(CannotStartError):
            check_free("127.0.0.1", port, "mqtt.port")


async def test_broker_that_cannot_come_back_is_tried_again() -> None:
    """Once vigil runs, a broker whose port somebody took meanwhile must not be given up for good."""
    port = free_port()
    async with started(port) as broker:
        await died(broker)
        with listener(port), pytest.raises(RetryableError):
            await broker.run_once()


async def died(broker: EmbeddedBroker) -> None:
    """Kill the broker's process and wait until that is told."""
    assert broker._process is not None
    os.kill(broker._process.pid, signal.SIGKILL)
    with pytest.raises(BrokerDiedError):
        await broker.run_once()


async def test_broker_ends_with_its_parent() -> None:
    """When its standard input closes, as when vigil is killed, the broker ends by itself."""
    async with started(free_port()) as broker:
        process = broker._process
        assert process is not None
        assert process.stdin is not None
        process.stdin.close()
        assert await process.wait() == 0


async def test_taken_port_cannot_start() -> None:
    """A port that another program has is named with its key, before any process is started."""
    with listener() as server:
        port = server.getsockname()[1]
        broker = EmbeddedBroker("127.0.0.1", port)
        with pytest.raises(CannotStartError, match=rf"mqtt\.port: 127\.0\.0\.1:{port} is taken"):
            await broker.start()
        assert broker._process is None


def test_foreign_address_cannot_be_used() -> None:
    """An address that this machine does not have is not said to be taken."""
    with pytest.raises(CannotStartError, match=r"http\.host: 192\.0\.2\.1:80 cannot be used"):
        check_free("192.0.2.1", 80, "http.host")


def test_unknown_host_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that leads nowhere is an error for people, like any other bad address."""

    def nowhere(*_args: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("vigil.sinks.broker.socket.getaddrinfo", nowhere)
    with pytest.raises(CannotStartError, match=r"http\.host: nowhere:80"):
        check_free("nowhere", 80, "http.host")
