"""How much of the CPU time that a saturated vigil uses goes into decoding and inference alone.

The ideal is what libavcodec takes for the frames that were decoded and the engine for the images that were
inferred, each measured by itself with every core busy, right after the run.
"""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from vigil.bench import alone, rig
from vigil.bench.footage import WALKERS, encode_as_camera, find, pictures
from vigil.bench.rtsp import RtspLabProcess
from vigil.config.model import ModelConfig
from vigil.errors import CannotStartError
from vigil.inference.service import open_service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

HEIGHTS = (720, 1080)


@dataclass(frozen=True, slots=True)
class Part:
    """One size of clips: CPU seconds, frames and images of the same stretch of time."""

    cameras: int
    seconds: float
    decoded: int
    inferred: int
    decode_ms: float
    """CPU milliseconds of libavcodec per frame, alone."""
    engine_ms: float
    """CPU milliseconds of the engine per image, alone."""
    used_cpu_seconds: float
    saturation: float

    @property
    def ideal_cpu_seconds(self) -> float:
        """What the frames and images would have taken by themselves."""
        return (self.decoded * self.decode_ms + self.inferred * self.engine_ms) / 1000

    @property
    def efficiency(self) -> float:
        """The ideal over what was used."""
        return self.ideal_cpu_seconds / self.used_cpu_seconds


@dataclass(frozen=True, slots=True)
class Efficiency:
    """All sizes, by their rows."""

    parts: Mapping[int, Part]

    @property
    def ideal_cpu_seconds(self) -> float:
        """The sum over all sizes."""
        return sum(part.ideal_cpu_seconds for part in self.parts.values())

    @property
    def used_cpu_seconds(self) -> float:
        """The sum over all sizes."""
        return sum(part.used_cpu_seconds for part in self.parts.values())

    def to_json(self) -> dict[str, object]:
        """Return it as one object."""
        sizes = {
            f"{height}p": {
                "efficiency": round(part.efficiency, 4),
                "ideal_cpu_seconds": round(part.ideal_cpu_seconds, 3),
                **{name: round(value, 3) for name, value in asdict(part).items()},
            }
            for height, part in self.parts.items()
        }
        return {
            "efficiency": round(self.ideal_cpu_seconds / self.used_cpu_seconds, 4),
            "ideal_cpu_seconds": round(self.ideal_cpu_seconds, 3),
            "used_cpu_seconds": round(self.used_cpu_seconds, 3),
            "sizes": sizes,
        }


@dataclass(frozen=True, slots=True)
class Order:
    """What is measured, and for how long."""

    weights: Path
    footage: Path | None
    engine: str = "auto"
    heights: Sequence[int] = HEIGHTS
    cameras: int = 8
    fps: float = 15.0
    """Asked for by each camera: far more than the machine can do."""
    seconds: float = 60.0
    settle: float = 12.0
    clip_seconds: float = 20.0
    rounds: int = 3
    """Turns of decoder and engine alone."""


async def measure(order: Order, folder: Path, tick: Callable[[str], None]) -> Efficiency:
    """Measure every size; raises `CannotStartError` without footage."""
    parts = {}
    for height in order.heights:
        tick(f"{height}p: making the clip")
        shown = pictures(find(WALKERS, order.footage), height, end=order.clip_seconds)
        clip = encode_as_camera(folder / f"{height}.mp4", shown)
        parts[height] = await _part(order, clip, height, tick)
    return Efficiency(parts)


async def _part(order: Order, clip: Path, height: int, tick: Callable[[str], None]) -> Part:
    async with RtspLabProcess() as lab:
        cameras = {
            f"c{number}": rig.camera(
                await lab.add(
                    f"/c{number}", clip, start="live", begin=number * order.clip_seconds / order.cameras
                ),
                order.fps,
            )
            for number in range(order.cameras)
        }
        configuration = {"model": rig.model(order.weights, order.engine), "cameras": cameras}
        async with rig.watching(configuration) as running:
            tick(f"{height}p: {order.cameras} cameras")
            daemon = running.daemon
            if not await rig.captured(daemon, order.cameras):
                raise CannotStartError("not every camera came up")
            await asyncio.sleep(order.settle)
            before, cpu, started = await daemon.scrape(), daemon.cpu_seconds, _now()
            await asyncio.sleep(order.seconds)
            after, used, seconds = await daemon.scrape(), daemon.cpu_seconds - cpu, _now() - started
    decoded, inferred = (
        round(after.total(name) - before.total(name))
        for name in ("vigil_frames_decoded_total", "vigil_frames_inferred_total")
    )
    if not inferred:
        raise CannotStartError("no frame was inferred")
    tick(f"{height}p: decoder and engine alone")
    decode, engine = await asyncio.to_thread(_alone, order, clip, height)
    saturation = after.total("vigil_saturation_ratio")
    return Part(order.cameras, seconds, decoded, inferred, 1000 * decode, 1000 * engine, used, saturation)


def _alone(order: Order, clip: Path, height: int) -> tuple[float, float]:
    """Return CPU seconds per frame and per image, the medians of rounds in turn."""
    service = open_service(order.weights, ModelConfig.model_validate({"engine": order.engine}), None)
    shape = service.detector.shape_of(round(height * 16 / 9), height)
    decode, engine = [], []
    for _ in range(order.rounds):
        decode.append(alone.decoding(clip))
        engine.append(alone.inferring(service.detector, shape))
    service.detector.engine.close()
    return statistics.median(decode), statistics.median(engine)


def _now() -> float:
    return asyncio.get_running_loop().time()
