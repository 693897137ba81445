"""Shards whose "processes" are tasks of the test: real code at both ends of real sockets, fake cameras."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.fakes import PATIENCE, FakeImage, FakeSource
from tests.support.serving import service
from vigil.aio.bus import Bus
from vigil.core.types import MAIN_MODEL, BusMessage, CameraHealth, CameraState
from vigil.launch import Setup
from vigil.metrics import Metrics
from vigil.shards import child
from vigil.shards.cameras import Shards
from vigil.shards.channel import Channel
from vigil.video.source import Picture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    import pytest

    from vigil.config.model import CameraConfig, Config
    from vigil.core.events import Totals
    from vigil.core.settings import Held
    from vigil.inference.service import Service
    from vigil.video.source import Pause


def fake_services(
    config: Config, weights: Mapping[str, Path], environ: Mapping[str, str]
) -> dict[str, Service]:
    """Return one fake engine, which sees a person in every picture."""
    _ = config, weights, environ
    return {MAIN_MODEL: service()}


class TaskProcess:
    """A process that is a task; `kill` ends it in the midst of whatever it does."""

    pid = 4711

    def __init__(self, theirs: socket.socket) -> None:
        self.returncode: int | None = None
        self._socket = theirs
        self._task = asyncio.create_task(child.serve(theirs), name="child")
        self._task.add_done_callback(self._ended)

    def kill(self) -> None:
        """Die as of SIGKILL: nothing more is said."""
        if self.returncode is None:
            self.returncode = -signal.SIGKILL
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)
            self._task.cancel()

    async def wait(self) -> int:
        """Wait for the end."""
        await asyncio.wait([self._task])
        assert self.returncode is not None
        return self.returncode

    def _ended(self, task: asyncio.Task[int]) -> None:
        if self.returncode is None:
            self.returncode = -signal.SIGKILL if task.cancelled() else task.result()


class ManyHouses:
    """Cameras over several shards, and all that the front's bus was told."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        config: Config,
        number: int = 2,
        totals: Mapping[str, Totals] | None = None,
        held: Mapping[str, Mapping[str, Held]] | None = None,
    ) -> None:
        monkeypatch.setattr("vigil.supervisor.open_source", self._open)
        monkeypatch.setattr("vigil.shards.child.logging_setup.set_up", lambda _settings: None)
        self.processes: list[TaskProcess] = []
        self.environs: list[Mapping[str, str]] = []
        self.opened: list[str] = []
        """The addresses of the cameras that were opened."""
        self.heard: list[BusMessage] = []
        self.metrics = Metrics()
        self.bus: Bus[BusMessage] = Bus()
        weights = {MAIN_MODEL: Path("weights.onnx")}
        setup = Setup(
            config, Path("vigil.yaml"), None, lambda: config, weights, {}, open_services=fake_services
        )
        self.shards = Shards(
            setup, config, number, self.bus, self.metrics, totals or {}, held or {}, self._start
        )
        self._subscription = self.bus.subscribe("test")
        self._heard_more = asyncio.Event()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run until every camera is live, and stop at the end."""
        listening = asyncio.ensure_future(self._listen())
        await self.shards.start()
        task = asyncio.ensure_future(self.shards.run())
        try:
            for view in await self.shards.views():
                if view.state is not CameraState.DISABLED:
                    await self.until(CameraHealth(view.name, CameraState.LIVE))
            yield
        finally:
            task.cancel()
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([task])
            await asyncio.sleep(0)
            listening.cancel()

    async def until(self, message: BusMessage, since: int = 0) -> None:
        """Wait until this has been told, after the first `since` messages."""
        await self.hears(lambda told: message in told, since)

    async def hears(self, wanted: Callable[[list[BusMessage]], bool], since: int = 0) -> None:
        """Wait until what has been told, after the first `since` messages, is as wanted."""
        async with asyncio.timeout(PATIENCE):
            while not wanted(self.heard[since:]):
                self._heard_more.clear()
                await self._heard_more.wait()

    async def _start(self, environ: Mapping[str, str]) -> tuple[TaskProcess, Channel]:
        ours, theirs = socket.socketpair()
        self.environs.append(environ)
        self.processes.append(TaskProcess(theirs))
        return self.processes[-1], await Channel.over(ours)

    async def _listen(self) -> None:
        async for message in self._subscription:
            self.heard.append(message)
            self._heard_more.set()

    def _open(self, config: CameraConfig, pause: Pause, **_governor: object) -> FakeSource:
        self.opened.append(config.url.rpartition("/")[2])
        return FakeSource(_until_stopped(pause))


def _until_stopped(pause: Callable[[float], bool]) -> Iterator[Picture]:
    at = 100.0
    while not pause(0.02):
        yield Picture(at, None, FakeImage())
        at += 0.1
