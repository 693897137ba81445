"""vigil as a process of its own, as users have it: started, asked over HTTP, stopped; its log kept.

    async with DaemonProcess("run", "-c", str(config)) as daemon:
        cameras = await daemon.get_json("/api/cameras")
        await daemon.kill()

The ports are free ones, handed over in the environment, so that tests can run beside each other.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

ROOT: Final = Path(__file__).parents[2]
"""The checkout; its code is what runs, whatever is installed."""

READY_WITHIN: Final = 120.0
"""Seconds that a start may take: the first one on a machine fetches weights."""
STOP_WITHIN: Final = 15.0
"""Seconds that an orderly stop may take; vigil promises ten."""

_PAUSE: Final = 0.05
_ANSWER_WITHIN: Final = aiohttp.ClientTimeout(total=10.0)
_KEPT: Final = ("VIGIL_ASSETS", "VIGIL_CACHE")
_SYSTEMD: Final = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}


class DaemonError(Exception):
    """The process did not do what a test needs of it; the message ends with its log."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def clean_environ(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without what would change vigil's configuration, plus `extra`."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if (name in _KEPT or not name.startswith("VIGIL_")) and name not in _SYSTEMD
    }
    ours = {"VIGIL_STATE": state_folder(), "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    return {**kept, **ours, **(extra or {})}


@cache
def state_folder() -> str:
    """Return a folder for what vigil keeps over restarts, which is gone when the tests are done."""
    folder = tempfile.mkdtemp(prefix="vigil-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class DaemonProcess:
    """`python -m vigil …` from the start of an `async with` block to its end.

    Entering waits until `/ready` says so and raises `DaemonError` if that takes longer than `ready_within`
    seconds or the process ends before; with `ready_within=None` it only starts the process.
    """

    def __init__(
        self,
        *arguments: str,
        environ: Mapping[str, str] | None = None,
        http_port: int | None = None,
        mqtt_port: int | None = None,
        ready_within: float | None = READY_WITHIN,
    ) -> None:
        """`environ` is added to this process's environment and wins over the ports."""
        self.http_port = http_port or free_port()
        self.mqtt_port = mqtt_port or free_port()
        ports = {"VIGIL_HTTP__PORT": str(self.http_port), "VIGIL_MQTT__PORT": str(self.mqtt_port)}
        self._environ = clean_environ({**ports, **(environ or {})})
        self._command = (sys.executable, "-m", "vigil", *arguments)
        self._ready_within = ready_within
        self._lines: list[str] = []
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            *self._command,
            cwd=ROOT,
            env=self._environ,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        self._reader = asyncio.create_task(self._read(self._process), name="daemon-log")
        if self._ready_within is not None:
            try:
                await self.ready(self._ready_within)
            except BaseException:
                await self.kill()
                raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self.returncode is None:
            await self.stop()

    @property
    def log(self) -> str:
        """All that the process has written so far, standard output and error together."""
        return "".join(self._lines)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._running.pid

    @property
    def returncode(self) -> int | None:
        """The exit status, negative for a signal; `None` while it runs."""
        return self._running.returncode

    def url(self, path: str = "/") -> str:
        """Return the address of `path` on the daemon."""
        return f"http://127.0.0.1:{self.http_port}{path}"

    async def get(self, path: str) -> bytes:
        """Return the body of `GET path`; raises `aiohttp.ClientError` for another status than 2xx."""
        async with (
            aiohttp.ClientSession(raise_for_status=True, timeout=_ANSWER_WITHIN) as session,
            session.get(self.url(path)) as response,
        ):
            return await response.read()

    async def get_json(self, path: str) -> Any:
        """Return the JSON value that `GET path` answers; raises as `get` does."""
        return json.loads(await self.get(path))

    async def ready(self, within: float = READY_WITHIN) -> None:
        """Wait until `/ready` answers 200."""
        await self.until(self._is_ready, within, "be ready")

    async def wait_for_log(self, text: str, within: float = 10.0) -> None:
        """Wait until `text` stands in the log."""

        async def logged() -> bool:
            return text in self.log

        await self.until(logged, within, f"log {text!r}")

    async def wait_for_log_count(self, text: str, count: int, within: float = 10.0) -> None:
        """Wait until `count` lines of the log hold `text`."""

        async def logged() -> bool:
            return self.log.count(text) >= count

        await self.until(logged, within, f"log {text!r} {count} times")

    async def until(self, condition: Callable[[], Awaitable[bool]], within: float, what: str) -> None:
        """Wait for `condition()`; raises `DaemonError` when it comes too late or the process ends first."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + within
        while not await condition():
            if self.returncode is not None:
                await self._drained()
                if await condition():
                    return
                raise self._error(f"ended with status {self.returncode} before it could {what}")
            if clock() > deadline:
                raise self._error(f"did not {what} within {within:g} s")
            await asyncio.sleep(_PAUSE)

    async def stop(self, within: float = STOP_WITHIN, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the process to stop and return its exit status; one that does not is killed and an error."""
        if self.returncode is None:
            self._running.send_signal(number)
        return await self.ended(within)

    async def ended(self, within: float) -> int:
        """Wait for the end and return the exit status; a process that goes on is killed and an error."""
        try:
            async with asyncio.timeout(within):
                status = await self._running.wait()
        except TimeoutError:
            await self.kill()
            raise self._error(f"did not end within {within:g} s") from None
        await self._drained()
        return status

    async def kill(self) -> None:
        """End the process at once, as a crash or the kernel would (SIGKILL)."""
        if self.returncode is None:
            self._running.kill()
            await self._running.wait()
        await self._drained()

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise DaemonError("the process is not started: use `async with`")
        return self._process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        async for line in process.stdout:
            self._lines.append(line.decode(errors="replace"))

    async def _drained(self) -> None:
        """Wait for the rest of the log, which children (the embedded broker) hold open for longer."""
        if self._reader is not None:
            await asyncio.wait([self._reader], timeout=5.0)
            self._reader.cancel()

    async def _is_ready(self) -> bool:
        try:
            await self.get("/ready")
        except (aiohttp.ClientError, TimeoutError):
            return False
        return True

    def _error(self, what: str) -> DaemonError:
        return DaemonError(f"{' '.join(self._command[1:])} {what}; its log:\n{self.log}")
