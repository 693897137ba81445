"""Messages to systemd over a real datagram socket."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from vigil.systemd import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen where systemd would."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(tmp_path / "notify"))
        channel.setblocking(False)
        yield channel


def heard(listener: socket.socket) -> list[str]:
    """Return what was said so far."""
    messages = []
    while True:
        try:
            messages.append(listener.recv(4096).decode())
        except BlockingIOError:
            return messages


def environ(listener: socket.socket, **more: str) -> dict[str, str]:
    """Return the environment that systemd would give."""
    return {"NOTIFY_SOCKET": listener.getsockname(), **more}


def test_state_is_sent(listener: socket.socket) -> None:
    """Each state is one datagram."""
    notifier = Notifier(environ(listener))
    notifier.notify("READY=1")
    notifier.notify("STOPPING=1")
    assert heard(listener) == ["READY=1", "STOPPING=1"]


def test_abstract_address_is_understood() -> None:
    """An address that starts with @ lies in the abstract namespace."""
    name = f"vigil-test-{os.getpid()}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as channel:
        channel.bind(f"\0{name}")
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).notify("READY=1")
        assert channel.recv(4096) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@vigil-nobody-here"])
def test_silent_where_nobody_listens(address: str) -> None:
    """Without systemd, or with an address left over from another place, nothing is said and nothing fails."""
    Notifier({"NOTIFY_SOCKET": address}).notify("READY=1")
    Notifier({}).notify("READY=1")


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog_is_for_this_process(given: dict[str, str], seconds: float | None) -> None:
    """The watchdog's period is in seconds, and only if it is meant for this process."""
    assert Notifier(given).watchdog == seconds


@pytest.mark.looptime
async def test_watchdog_is_fed_twice_a_period_while_alive(listener: socket.socket) -> None:
    """Keep-alives come every half period as long as there is progress, and stop when there is none."""
    alive = True
    notifier = Notifier(environ(listener, WATCHDOG_USEC="10000000"))
    task = asyncio.ensure_future(notifier.feed_watchdog(lambda: alive))
    await asyncio.sleep(12)
    assert heard(listener) == ["WATCHDOG=1"] * 3  # at 0, 5 and 10 s
    alive = False
    await asyncio.sleep(100)
    assert heard(listener) == []
    alive = True
    await asyncio.sleep(5)
    assert heard(listener) == ["WATCHDOG=1"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.looptime
async def test_no_watchdog_is_no_work() -> None:
    """Without a watchdog feeding ends at once."""
    async with asyncio.timeout(1):
        await Notifier({}).feed_watchdog(lambda: True)
