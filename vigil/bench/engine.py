"""What vigil costs over the bare runtime: the same engine called in a loop, and through the inference loop.

Both get as many threads as the service has workers. The bare side has its input tensors ready; the loop takes
frames of cameras that always have the next one, letterboxes them, reads the boxes and hands them to nobody.
Rounds are taken in turn and the medians compared, so that a busy machine harms both alike.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vigil.core.types import MAIN_MODEL, Frame
from vigil.inference.loop import InferenceLoop
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vigil.core.types import Detections, Float32, Image
    from vigil.inference.service import Service

ROUNDS = 5
SECONDS = 2.0
"""Length of a turn: shorter than an overload must last until the budget believes in it."""
_SETTLE = 0.25
_FLOOR = 0.5
_FPS = 1e6
"""Turns per second that cameras ask for: every frame is due when it comes, however fast the engine is."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn did: images, wall-clock seconds, CPU seconds of the whole process."""

    images: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds

    @property
    def cpu_ms(self) -> float:
        """CPU milliseconds per image."""
        return 1000 * self.cpu / max(self.images, 1)


@dataclass(frozen=True, slots=True)
class Figures:
    """Medians of one backend; `ratio_to_bare` is of images per second, 1 where vigil costs nothing."""

    engine: str
    batch: int
    workers: int
    images_per_second: float
    cpu_ms_per_image: float
    bare_images_per_second: float
    bare_cpu_ms_per_image: float
    ratio_to_bare: float


def measure(
    services: Mapping[str, Service],
    image: Image,
    tick: Callable[[str], None],
    *,
    rounds: int = ROUNDS,
    seconds: float = SECONDS,
) -> dict[str, Figures]:
    """Return the figures of each service by its name; `tick` hears whose turn comes. Blocks."""
    bare: dict[str, list[Turn]] = {name: [] for name in services}
    loop: dict[str, list[Turn]] = {name: [] for name in services}
    for _ in range(rounds):
        for name, service in services.items():
            tick(f"{name}, bare")
            bare[name].append(run_bare(service, image, seconds))
            tick(f"{name}, vigil")
            loop[name].append(asyncio.run(run_loop(service, image, seconds)))
    return {name: figures(service, bare[name], loop[name]) for name, service in services.items()}


def figures(service: Service, bare: Sequence[Turn], loop: Sequence[Turn]) -> Figures:
    """Return the medians of turns that were taken in pairs; the ratio is the median of the pairs' ratios."""
    return Figures(
        engine=service.detector.engine.name,
        batch=service.limit,
        workers=service.workers,
        images_per_second=statistics.median(turn.rate for turn in loop),
        cpu_ms_per_image=statistics.median(turn.cpu_ms for turn in loop),
        bare_images_per_second=statistics.median(turn.rate for turn in bare),
        bare_cpu_ms_per_image=statistics.median(turn.cpu_ms for turn in bare),
        ratio_to_bare=statistics.median(
            ours.rate / theirs.rate for ours, theirs in zip(loop, bare, strict=True)
        ),
    )


def run_bare(service: Service, image: Image, seconds: float) -> Turn:
    """Call the engine for so long with tensors that are ready, in as many threads as there are workers."""
    detector, limit = service.detector, service.limit
    shape = detector.shape_of(image.width, image.height)
    batch = detector.letterbox().fill([image] * limit, shape)[0]
    stop = threading.Event()
    with ThreadPoolExecutor(service.workers) as pool:
        copies = [np.array(batch) for _ in range(service.workers)]
        for copy in copies:
            detector.engine.run(copy)
        clock = _Clock()
        calls = [pool.submit(_call, service, copy, stop) for copy in copies]
        time.sleep(seconds)
        stop.set()
        done = sum(call.result() for call in calls)
    return clock.turn(done * limit)


def _call(service: Service, batch: Float32, stop: threading.Event) -> int:
    """Return how many calls were made until told to stop."""
    calls = 0
    while not stop.is_set():
        service.detector.engine.run(batch)
        calls += 1
    return calls


async def run_loop(service: Service, image: Image, seconds: float) -> Turn:
    """Drive vigil's own inference loop for so long with more frames than it can take."""
    cameras = Cameras(image)
    loop = InferenceLoop({MAIN_MODEL: service}, cameras, Metrics())
    cameras.connect(loop, 2 * service.workers * service.limit)
    task = asyncio.create_task(loop.run(), name="inference")
    await asyncio.sleep(_SETTLE)
    before, clock = cameras.inferred, _Clock()
    await asyncio.sleep(seconds)
    turn = clock.turn(cameras.inferred - before)
    task.cancel()
    await asyncio.wait([task])
    return turn


class Cameras:
    """Cameras whose next frame is there as soon as the last one is through: a `ResultHandler`."""

    def __init__(self, image: Image) -> None:
        self.inferred = 0
        """Frames that came back."""
        self._image = image
        self._lock = threading.Lock()
        self._loop: InferenceLoop | None = None

    def connect(self, loop: InferenceLoop, cameras: int) -> None:
        """Offer the first frame of each camera."""
        self._loop = loop
        for number in range(cameras):
            name = f"camera-{number}"
            loop.set_camera(name, fps=_FPS, weight=1.0, floor=_FLOOR)
            loop.offer(Frame(name, 1, time.time(), None, self._image))

    def handle(self, frames: Sequence[Frame], found: Sequence[Detections]) -> None:
        """Count a batch's frames and offer the next ones."""
        with self._lock:
            self.inferred += len(found)
        for frame in frames:
            if self._loop is not None:
                self._loop.offer(Frame(frame.camera, frame.seq + 1, time.time(), None, frame.image))


@dataclass(frozen=True, slots=True)
class _Clock:
    """Wall-clock and CPU seconds since it was made."""

    wall: float = field(default_factory=time.perf_counter)
    cpu: float = field(default_factory=time.process_time)

    def turn(self, images: int) -> Turn:
        """Return a turn that ends now."""
        return Turn(images, time.perf_counter() - self.wall, time.process_time() - self.cpu)
