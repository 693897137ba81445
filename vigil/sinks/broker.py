"""The embedded MQTT broker: `amqtt` in a process of its own, so that it takes nothing from the loop.

The child (`python -m vigil.sinks.broker HOST PORT`) says `ready` once it listens and ends when its standard
input closes, so it never outlives vigil, however vigil ends. MQTT 3.1.1 only, fit for a small home.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from contextlib import suppress

from vigil.errors import CannotStartError, RetryableError

_READY = b"ready\n"
_READY_TIMEOUT = 15.0
_STOP_TIMEOUT = 3.0


class BrokerDiedError(RetryableError):
    """The embedded broker's process ended by itself."""

    reason = "broker"


def check_free(host: str, port: int, key: str) -> None:
    """Raise `CannotStartError` naming the configuration `key` if nobody can listen at this address."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise CannotStartError(
            f"{key}: {host}:{port} cannot be used ({error.strerror}); choose another {key}"
        ) from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            why = "is taken by another program" if taken else f"cannot be used ({error.strerror})"
            raise CannotStartError(f"{key}: {host}:{port} {why}; choose another {key}") from error


class EmbeddedBroker:
    """Runs the broker's process: `start`, then `watch` until it ends, `stop` at last."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the process and wait until it listens; raises `CannotStartError`."""
        check_free(self._host, self._port, "mqtt.port")
        self._process = await self._spawn()

    async def run_once(self) -> None:
        """Wait until the process ends, which it never should; starts it first if it is not there."""
        if self._process is None:
            try:
                self._process = await self._spawn()
            except CannotStartError as error:  # at the start it is fatal; now it can only be tried again
                raise BrokerDiedError(str(error)) from error
        status = await self._process.wait()
        self._process = None
        raise BrokerDiedError(f"the embedded broker ended with status {status}")

    async def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            async with asyncio.timeout(_STOP_TIMEOUT):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _spawn(self) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            __name__,
            self._host,
            str(self._port),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # A Ctrl-C in the terminal is for vigil, which ends its broker last.
            start_new_session=True,
        )
        assert process.stdout is not None  # noqa: S101 -- a pipe was asked for
        with suppress(TimeoutError):
            async with asyncio.timeout(_READY_TIMEOUT):
                if await process.stdout.readline() == _READY:
                    return process
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise CannotStartError(f"mqtt: the embedded broker did not start on {self._host}:{self._port}")


async def _serve(host: str, port: int) -> None:
    from amqtt.broker import Broker  # noqa: PLC0415 -- only the child needs it

    anonymous = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    broker = Broker(
        {"listeners": {"default": {"type": "tcp", "bind": f"{host}:{port}"}}, "plugins": anonymous}
    )
    await broker.start()
    os.write(1, _READY)
    loop = asyncio.get_running_loop()
    parent = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(parent), sys.stdin)
    await parent.read()
    await broker.shutdown()


if __name__ == "__main__":
    import logging

    logging.basicConfig(level=logging.ERROR)
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
