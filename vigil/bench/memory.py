"""What a camera costs in memory, and whether memory grows.

vigil runs with one 1080p camera, then with several for a long time. The slope is that of a straight line
through the samples of the long run without its first fifth, with the standard error of that slope beside it,
for which samples that follow one another closely count less than others.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.bench import rig, usage
from vigil.bench.clips import texture, yuv420
from vigil.bench.figures import trend
from vigil.bench.footage import FPS, encode_as_camera
from vigil.bench.rtsp import RtspLabProcess
from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from vigil.core.types import UInt8

_WIDTH, _HEIGHT = 1920, 1080
_CLIP_SECONDS = 4
_WARM_UP = 0.2
_LATEST = 0.2
"""Share of a run's samples, from its end, whose median is its memory."""
_LEAST_SAMPLES = 5


@dataclass(frozen=True, slots=True)
class Memory:
    """10^6 bytes; the slope with its standard error."""

    mb_per_camera: float
    slope_mb_per_hour: float
    slope_error_mb_per_hour: float
    first_camera_mb: float
    all_cameras_mb: float
    cameras: int
    minutes: float
    server_mb: float
    """Of the cameras' server, which is none of vigil's."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is measured, and for how long."""

    weights: Path
    engine: str = "auto"
    cameras: int = 5
    seconds: float = 1800.0
    """Length of the long run; the one with a single camera takes a tenth of it."""
    every: float = 5.0
    fps: float = 5.0
    when: str = "always"


async def measure(order: Order, folder: Path, tick: Callable[[str], None]) -> Memory:
    """Measure both runs; raises `CannotStartError`."""
    tick("making the clip")
    clip = lively_clip(folder / "lively.mp4")
    single = await _run(order, clip, 1, order.seconds / 10, tick)
    several = await _run(order, clip, order.cameras, order.seconds, tick)
    return summary(order, single, several)


@dataclass(frozen=True, slots=True)
class Samples:
    """When (seconds) and how much (10^6 bytes), and the server's at the end."""

    seconds: tuple[float, ...]
    mb: tuple[float, ...]
    server_mb: float

    @property
    def latest(self) -> float:
        """The memory at the end of the run."""
        return statistics.median(self.mb[-max(1, round(len(self.mb) * _LATEST)) :])


def summary(order: Order, single: Samples, several: Samples) -> Memory:
    """Return the figures of two runs."""
    steady = round(len(several.mb) * _WARM_UP)
    slope = trend(several.seconds[steady:], several.mb[steady:])
    return Memory(
        (several.latest - single.latest) / (order.cameras - 1),
        slope.per_hour,
        slope.error,
        single.latest,
        several.latest,
        order.cameras,
        order.seconds / 60,
        several.server_mb,
    )


def lively_clip(path: Path) -> Path:
    """Encode a 1080p clip in which everything moves, with noise."""

    def shown() -> Iterator[UInt8]:
        luma = texture(np.random.default_rng(0), _WIDTH, _HEIGHT)
        for number in range(_CLIP_SECONDS * FPS):
            yield yuv420(np.roll(luma, 2 * number, axis=1), "yuv420p").to_ndarray().astype(np.uint8)

    return encode_as_camera(path, shown())


async def _run(
    order: Order, clip: Path, cameras: int, seconds: float, tick: Callable[[str], None]
) -> Samples:
    """Run vigil with so many cameras and sample its memory."""
    async with RtspLabProcess() as lab:
        watched = {
            f"c{number}": rig.camera(
                await lab.add(f"/c{number}", clip, start="live", begin=number * _CLIP_SECONDS / cameras),
                order.fps,
                order.when,
            )
            for number in range(cameras)
        }
        configuration = {"model": rig.model(order.weights, order.engine), "cameras": watched}
        async with rig.watching(configuration) as running:
            if not await rig.captured(running.daemon, cameras):
                raise CannotStartError("not every camera came up")
            times, memory = await _sample(running.daemon.pid, order.every, seconds, cameras, tick)
            return Samples(tuple(times), tuple(memory), usage.resident_mb(lab.pid))


async def _sample(
    pid: int, every: float, seconds: float, cameras: int, tick: Callable[[str], None]
) -> tuple[Sequence[float], Sequence[float]]:
    loop = asyncio.get_running_loop()
    started = loop.time()
    times: list[float] = []
    memory: list[float] = []
    while (passed := loop.time() - started) < seconds or len(times) < _LEAST_SAMPLES:
        times.append(passed)
        memory.append(usage.resident_mb(pid))
        tick(f"{cameras} cameras, {passed / 60:.0f} of {seconds / 60:.0f} minutes: {memory[-1]:.0f} MB")
        await asyncio.sleep(every)
    return times, memory
