"""Fake engines in service, as `InferenceLoop` takes them, and a loop over them with real worker threads."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.support.fakes import PATIENCE, FakeEngine, one_person
from vigil.core.types import MAIN_MODEL
from vigil.inference.detector import Detector
from vigil.inference.loop import InferenceLoop
from vigil.inference.service import Service
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from tests.support.fakes import Gate
    from vigil.core.types import Detections, Float32, Frame

    Answer = Callable[[Float32], Float32]


def detector(engine: FakeEngine | None = None) -> Detector:
    """Return a detector over a fake engine."""
    return Detector(engine or FakeEngine(), size=640, iou=0.7)


def service(
    engine: FakeEngine | None = None,
    *,
    timeout: float = 30.0,
    reopen: Callable[[], Detector] = detector,
) -> Service:
    """Return a fake engine in service, with its own numbers of workers and frames at once."""
    engine = engine or FakeEngine()
    return Service(detector(engine), engine.workers, engine.max_batch, timeout, reopen)


class Engines:
    """The engines that a device gets one after the other: the first now, the next when that one failed.

    The last of the answers is that of all further engines.
    """

    def __init__(
        self,
        *answers: Answer,
        device: str = "cpu",
        workers: int = 1,
        max_batch: int = 4,
        timeout: float = 30.0,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """`before` is called, in a thread, before an engine is opened again."""
        self.opened: list[FakeEngine] = []
        self._answers = answers
        self._device = device
        self._workers = workers
        self._max_batch = max_batch
        self._before = before
        self.service = service(self._open(), timeout=timeout, reopen=self._reopen)

    def _open(self) -> FakeEngine:
        answer = self._answers[min(len(self.opened), len(self._answers) - 1)]
        engine = FakeEngine(answer, workers=self._workers, max_batch=self._max_batch)
        engine.device = self._device
        self.opened.append(engine)
        return engine

    def _reopen(self) -> Detector:
        self._before()
        return detector(self._open())


class Handler:
    """Collects what the workers hand over; `arrived` is set in the loop for each batch."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[Frame], list[Detections]]] = []
        self.arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    @property
    def seen(self) -> list[tuple[str, int]]:
        """Return camera and number of every frame that came, in order."""
        return [(each.camera, each.seq) for frames, _ in self.batches for each in frames]

    def handle(self, frames: Sequence[Frame], found: Sequence[Detections]) -> None:
        """Take one batch."""
        self.batches.append((list(frames), list(found)))
        self._loop.call_soon_threadsafe(self.arrived.set)

    async def next(self) -> None:
        """Wait for a batch."""
        async with asyncio.timeout(PATIENCE):
            await self.arrived.wait()
        self.arrived.clear()


class Bench:
    """A loop over services with cameras of the main model that always want a frame."""

    def __init__(
        self, services: Mapping[str, Service], *, cameras: Iterable[str] = "ab", max_uploads: int = 32
    ) -> None:
        self.handler = Handler()
        self.metrics = Metrics()
        self.loop = InferenceLoop(services, self.handler, self.metrics, max_uploads=max_uploads)
        for camera in cameras:
            self.add(camera)

    def add(self, camera: str, model: str = MAIN_MODEL) -> None:
        """Add a camera that always wants a frame."""
        self.metrics.add_camera(camera)
        self.loop.set_camera(camera, fps=1e6, weight=1, floor=0.5, model=model)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """Run the workers."""
        task = asyncio.ensure_future(self.loop.run())
        await asyncio.sleep(0)
        try:
            yield task
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            assert task.done()

    def dropped(self, camera: str, reason: str) -> float | None:
        """Return what was counted."""
        return self.value("frames_dropped_total", camera=camera, reason=reason)

    def failures(self, device: str = "cpu") -> float | None:
        """Return how many failures of a device's engine were counted."""
        return self.value("engine_failures_total", device=device)

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.metrics.registry.get_sample_value(f"vigil_{name}", labels)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds that other threads bring about."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


async def reached(gate: Gate) -> None:
    """Wait until a worker stands at the gate."""
    assert await asyncio.to_thread(gate.reached.wait, PATIENCE)


def held(gate: Gate) -> Answer:
    """Return an engine's answer that waits at the gate."""

    def answer(batch: Float32) -> Float32:
        gate.pass_through()
        return one_person(batch)

    return answer


def failing(error: Exception) -> Answer:
    """Return an engine's answer that is an error."""

    def answer(_batch: Float32) -> Float32:
        raise error

    return answer
