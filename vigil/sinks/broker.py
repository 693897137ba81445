"""The embedded MQTT broker, seen from vigil: a process of its own, so that it takes nothing from the loop.

The child (`vigil.sinks.embedded`) is told everything over its standard input, so that no secret stands in
arguments or environment. It says `ready` once it listens and ends when its standard input closes, so it never
outlives vigil, however vigil ends. MQTT 3.1.1 only, fit for a small home.
"""

from __future__ import annotations

import asyncio
import errno
import json
import logging
import secrets
import socket
import sys
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from vigil.errors import CannotStartError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

READY = b"ready\n"
PORT_KEY, HOST_KEY = "mqtt.port", "mqtt.embedded.host"
"""The keys that say where the broker listens."""
_READY_TIMEOUT = 15.0
_STOP_TIMEOUT = 3.0


@dataclass(frozen=True, slots=True)
class Orders:
    """What the broker's process is told at its start."""

    host: str
    port: int
    users: dict[str, str] = field(repr=False)
    """Passwords by user name."""
    anonymous: bool
    """Whether those without a name of `users` may come in."""
    retained: str | None
    """The file in which retained messages survive."""


@dataclass(frozen=True, slots=True)
class Login:
    """The login of vigil's own client, made up at each start."""

    username: str = field(default_factory=lambda: f"vigil-{secrets.token_hex(8)}")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)


class BrokerDiedError(RetryableError):
    """The embedded broker's process ended by itself."""

    reason = "broker"


def check_free(host: str, port: int, key: str, host_key: str | None = None) -> None:
    """Raise `CannotStartError` if nobody can listen at this address.

    It names the configuration `key` of the port, or `host_key`, if there is one, where the host is to blame.
    """
    named = host_key or key
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise CannotStartError(
            f"{named}: {host}:{port} cannot be used ({error.strerror}); choose another {named}"
        ) from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is taken by another program" if taken else f"cannot be used ({error.strerror})"
            blamed = named if error.errno == errno.EADDRNOTAVAIL else key
            raise CannotStartError(f"{blamed}: {host}:{port} {why}; choose another {blamed}") from error


class EmbeddedBroker:
    """Runs the broker's process: `start`, then `run_once` until it ends, `stop` at last."""

    def __init__(
        self, host: str, port: int, users: Mapping[str, str] | None = None, retained: Path | None = None
    ) -> None:
        """`users` are passwords by name; without any everybody may come in."""
        self.login = Login()
        self._host = host
        self.port = port
        self._users = users or {}
        self._retained = retained
        self._process: asyncio.subprocess.Process | None = None
        self._listening = asyncio.Lock()  # to what the process says: one at a time

    @property
    def pid(self) -> int:
        """The process's id; 0 while there is none."""
        return 0 if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process and wait until it listens; raises `CannotStartError`."""
        check_free(self._host, self.port, PORT_KEY, HOST_KEY)
        self._process = await self._spawn()

    async def run_once(self) -> None:
        """Wait until the process ends, which it never should; starts it first if it is not there."""
        if self._process is None:
            try:
                self._process = await self._spawn()
            except CannotStartError as error:  # at the start it is fatal; now it can only be tried again
                raise BrokerDiedError(str(error)) from error
        process = self._process
        async with asyncio.TaskGroup() as group:
            group.create_task(self._relay(process), name="broker-log")
            status = await process.wait()
        self._process = None
        raise BrokerDiedError(f"the embedded broker ended with status {status}")

    async def stop(self) -> None:
        """End the process; it writes down what is retained before it goes."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        assert process.stdin is not None  # noqa: S101 -- a pipe was asked for
        process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                await self._end_of(process)
        except TimeoutError:
            process.kill()
            await self._end_of(process)

    async def _end_of(self, process: asyncio.subprocess.Process) -> None:
        """Wait until the process has ended, and its pipes with it, which would be left open otherwise."""
        assert process.stdout is not None  # noqa: S101 -- a pipe was asked for
        assert process.stderr is not None  # noqa: S101 -- as above
        await process.wait()
        await process.stdout.read()
        async with self._listening:
            await process.stderr.read()

    async def _relay(self, process: asyncio.subprocess.Process) -> None:
        """Log what the process has to say."""
        assert process.stderr is not None  # noqa: S101 -- a pipe was asked for
        async with self._listening:
            async for line in process.stderr:
                log.warning("embedded broker: %s", line.decode(errors="replace").rstrip())

    async def _spawn(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "vigil.sinks.embedded",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            # A Ctrl-C in the terminal is for vigil, which ends its broker last.
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101 -- a pipe was asked for
        assert process.stdout is not None  # noqa: S101 -- as above
        with suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(_READY_TIMEOUT):
                process.stdin.write(json.dumps(asdict(self._orders())).encode() + b"\n")
                await process.stdin.drain()
                if await process.stdout.readline() == READY:
                    return process
        with suppress(ProcessLookupError):
            process.kill()
        _, errors = await process.communicate()
        why = f" ({errors.decode(errors='replace').splitlines()[-1]})" if errors.strip() else ""
        raise CannotStartError(f"mqtt: the embedded broker did not start on {self._host}:{self.port}{why}")

    def _orders(self) -> Orders:
        users = {**self._users, self.login.username: self.login.password}
        kept = None if self._retained is None else str(self._retained.absolute())
        return Orders(self._host, self.port, users, anonymous=not self._users, retained=kept)
