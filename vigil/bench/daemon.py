"""vigil as a process of its own, as users have it: started, scraped, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import socket
import sys
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from vigil.bench import usage
from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_READY_WITHIN = 120.0
_STOP_WITHIN = 15.0
_PAUSE = 0.1
_ANSWER_WITHIN = 10.0
_LOG_TAIL = 2000
_KEPT = ("VIGIL_ASSETS", "VIGIL_CACHE")
_SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_SYSTEMD = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}


@dataclass(frozen=True, slots=True)
class Sample:
    """One line of `/metrics`."""

    name: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Scrape:
    """What `/metrics` said at one moment."""

    samples: tuple[Sample, ...]

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a series over all that carry these labels; 0 where there is none."""
        return sum(sample.value for sample in self._of(name, labels))

    def by_camera(self, name: str, **labels: str) -> dict[str, float]:
        """Return a series of every camera."""
        return {sample.labels["camera"]: sample.value for sample in self._of(name, labels)}

    def _of(self, name: str, labels: Mapping[str, str]) -> list[Sample]:
        return [
            sample
            for sample in self.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]


def parse(text: str) -> Scrape:
    """Read Prometheus' text format."""
    return Scrape(
        tuple(
            Sample(found[1], dict(_LABEL.findall(found[2] or "")), float(found[3]))
            for found in _SAMPLE.finditer(text)
        )
    )


class Daemon:
    """`vigil run` with a configuration, from the start of an `async with` block to its end."""

    def __init__(
        self, folder: Path, configuration: Mapping[str, Any], module: str = "vigil", **environ: str
    ) -> None:
        """`folder` gets the configuration and the log; `module` is what runs, `environ` is added to ours."""
        self._module = module
        self._extra = environ
        self._port = free_port()
        self._config = folder / "vigil.yaml"
        self._log = folder / "vigil.log"
        self._configuration = {**configuration, "http": {"port": self._port}}
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        # JSON is YAML.
        await asyncio.to_thread(self._config.write_text, json.dumps(self._configuration), "utf-8")
        with self._log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self._module, "run", "-c", str(self._config)),
                env=_environ() | self._extra,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            await self._ready()
        except BaseException:
            with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
                self._process.kill()
            await self._process.wait()
            raise
        return self

    async def __aexit__(self, *_error: object) -> None:
        await end(self._running)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._running.pid

    @property
    def cpu_seconds(self) -> float:
        """CPU time so far, of children too."""
        return usage.cpu_seconds(self.pid)

    async def scrape(self) -> Scrape:
        """Return what `/metrics` says now; raises `CannotStartError` where the process is gone."""
        try:
            return parse((await asyncio.to_thread(self._get, "/metrics")).decode())
        except OSError as error:
            raise self._failed("does not answer") from error

    async def _ready(self) -> None:
        try:
            async with asyncio.timeout(_READY_WITHIN):
                while not await asyncio.to_thread(self._is_ready):
                    if self._running.returncode is not None:
                        raise self._failed(f"ended with status {self._running.returncode}")
                    await asyncio.sleep(_PAUSE)
        except TimeoutError:
            raise self._failed(f"was not ready within {_READY_WITHIN:g} s") from None

    def _is_ready(self) -> bool:
        try:
            self._get("/ready")
        except OSError:
            return False
        return True

    def _get(self, path: str) -> bytes:
        address = f"http://127.0.0.1:{self._port}{path}"
        with urllib.request.urlopen(address, timeout=_ANSWER_WITHIN) as answer:
            body: bytes = answer.read()
        return body

    @property
    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise CannotStartError("the process is not started: use `async with`")
        return self._process

    def _failed(self, what: str) -> CannotStartError:
        log = self._log.read_text("utf-8", errors="replace")[-_LOG_TAIL:]
        return CannotStartError(f"vigil {what}; its log ends with:\n{log}")


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _environ() -> dict[str, str]:
    """Return this process's environment without what would change the configuration."""
    return {
        name: value
        for name, value in os.environ.items()
        if (name in _KEPT or not name.startswith("VIGIL_")) and name not in _SYSTEMD
    }


async def end(process: asyncio.subprocess.Process) -> None:
    """End a process in order, or by force where that takes too long."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        async with asyncio.timeout(_STOP_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
