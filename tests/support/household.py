"""A supervisor with sources that tests hold in their hands, over a real inference loop that nobody runs."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from tests.support.fakes import MODEL, PATIENCE, FakeImage, FakeSource
from tests.support.serving import service
from vigil.aio.bus import Bus
from vigil.analytics.pipeline import Pipelines
from vigil.config.model import Config
from vigil.core.types import MAIN_MODEL, BusMessage, CameraHealth, CameraState
from vigil.inference.loop import InferenceLoop
from vigil.metrics import Metrics
from vigil.supervisor import Supervisor
from vigil.video.source import Picture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    import pytest

    from vigil.config.model import CameraConfig
    from vigil.core.events import Totals
    from vigil.core.settings import Held
    from vigil.core.types import Frame
    from vigil.video.source import Pause


def config_of(cameras: Mapping[str, Mapping[str, Any]], **sections: Any) -> Config:
    """Return a configuration; a camera's `url` is made of its name unless it is given."""
    named = {name: {"url": f"rtsp://10.0.0.5/{name}", **keys} for name, keys in cameras.items()}
    return Config.model_validate({"cameras": named, **sections})


class NotingLoop(InferenceLoop):
    """The real loop, which nobody runs, and the numbers of the frames that it was offered."""

    def __init__(self, handler: Pipelines, metrics: Metrics) -> None:
        super().__init__({MAIN_MODEL: service()}, handler, metrics)
        self.offered: list[tuple[str, int]] = []

    def offer(self, frame: Frame) -> None:
        """Note the frame and take it."""
        super().offer(frame)
        self.offered.append((frame.camera, frame.seq))


class House:
    """A supervisor for a configuration, the sources that it opened, and all that the bus was told."""

    def __init__(
        self,
        monkeypatch: pytest.MonkeyPatch,
        config: Config,
        totals: Mapping[str, Totals] | None = None,
        held: Mapping[str, Mapping[str, Held]] | None = None,
    ) -> None:
        monkeypatch.setattr("vigil.supervisor.open_source", self._open)
        self.metrics = Metrics()
        self.bus: Bus[BusMessage] = Bus()
        self.pipelines = Pipelines(self.bus.publish_threadsafe)
        self.loop = NotingLoop(self.pipelines, self.metrics)
        self.opened: list[tuple[CameraConfig, FakeSource]] = []
        self.heard: list[BusMessage] = []
        self.supervisor = Supervisor(config, self.loop, self.pipelines, self.bus, self.metrics, totals, held)
        self._heard_more = asyncio.Event()
        self._subscription = self.bus.subscribe("test")

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the supervisor until every enabled camera is live, and stop it at the end."""
        listening = asyncio.ensure_future(self._listen())
        task = asyncio.ensure_future(self.supervisor.run())
        try:
            for view in self.supervisor.views():
                if view.state is not CameraState.DISABLED:
                    await self.until(CameraHealth(view.name, CameraState.LIVE))
            yield
        finally:
            for each in (task, listening):
                each.cancel()
            async with asyncio.timeout(PATIENCE):
                await asyncio.wait([task, listening])

    async def until(self, message: BusMessage, since: int = 0) -> None:
        """Wait until this has been told, after the first `since` messages."""
        async with asyncio.timeout(PATIENCE):
            while message not in self.heard[since:]:
                self._heard_more.clear()
                await self._heard_more.wait()

    async def captured(self, camera: str, *numbers: int) -> None:
        """Wait until these are the numbers of the frames that a camera has offered."""
        async with asyncio.timeout(PATIENCE):
            while [seq for name, seq in self.loop.offered if name == camera] != [*numbers]:
                await asyncio.sleep(0)

    async def settled(self) -> list[BusMessage]:
        """Return what was told up to now."""
        for _ in range(5):
            await asyncio.sleep(0)
        return list(self.heard)

    def sources(self, camera: str) -> list[FakeSource]:
        """Return the sources that were opened for a camera's address."""
        return [source for config, source in self.opened if config.url.rpartition("/")[2] == camera]

    def state(self, camera: str) -> CameraState:
        """Return how a camera is."""
        return next(view.state for view in self.supervisor.views() if view.name == camera)

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.metrics.registry.get_sample_value(f"vigil_{name}", labels)

    def _open(self, config: CameraConfig, pause: Pause, **_governor: object) -> FakeSource:
        source = FakeSource(_until_stopped(pause))
        self.opened.append((config, source))
        return source

    async def _listen(self) -> None:
        async for message in self._subscription:
            self.heard.append(message)
            self._heard_more.set()


def _until_stopped(pause: Callable[[float], bool]) -> Iterator[Picture]:
    yield Picture(100.0, None, FakeImage())
    assert pause(PATIENCE), "nobody stopped the source"


LABELS = MODEL.names
