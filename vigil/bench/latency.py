"""How old results are: from a frame's arrival to its publication, and from the glass to a subscriber.

A real vigil, a real broker and cameras of the laboratory in a process of its own. Saturation is found first,
by cameras that ask for every frame; loads are shares of that. The glass is the moment at which the server
sent the frame: the painted clock of `timecode` tells which one it was.
"""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from vigil.bench import rig
from vigil.bench.alone import engine_ms
from vigil.bench.figures import percentile
from vigil.bench.footage import FPS
from vigil.bench.rtsp import RtspLabProcess
from vigil.bench.timecode import HEIGHT, WIDTH, Clock, make_clock, paint
from vigil.config.model import ModelConfig
from vigil.errors import CannotStartError
from vigil.inference.service import open_service
from vigil.video.photo import ArrayImage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from vigil.bench.subscriber import Heard
    from vigil.core.types import UInt8
    from vigil.inference.detector import Detector

LOADS = (25, 50, 90, 200)
_SATURATED = 1.05
"""Cameras ask for so much more than an engine alone could do, at least, while saturation is looked for."""
_LEAST_CAMERAS = 4
_CALIBRATED_ON = 5


@dataclass(frozen=True, slots=True)
class Latency:
    """One load, milliseconds; `engine_ms` is an inference alone, right before, `batch_ms` one as it went."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    engine_ms: float
    glass_p50_ms: float
    glass_p95_ms: float
    glass_p99_ms: float
    batch_ms: float
    results: int
    asked_per_second: float
    results_per_second: float
    cores: float


@dataclass(frozen=True, slots=True)
class Latencies:
    """All loads, and what they are shares of."""

    loads: Mapping[int, Latency]
    capacity: float
    """Results per second at saturation."""
    cameras: int

    def to_json(self) -> dict[str, object]:
        """Return it as one object."""
        loads = {
            str(load): {
                name: None if math.isnan(value) else round(value, 2) for name, value in asdict(found).items()
            }
            for load, found in self.loads.items()
        }
        return {"loads": loads, "capacity_per_second": round(self.capacity, 2), "cameras": self.cameras}


@dataclass(frozen=True, slots=True)
class Order:
    """What is measured, and for how long."""

    weights: Path
    photograph: UInt8
    """`bus`, `(h, w, 3)` BGR."""
    engine: str = "auto"
    loads: Sequence[int] = LOADS
    seconds: float = 30.0
    settle: float = 16.0


async def measure(order: Order, folder: Path, tick: Callable[[str], None]) -> Latencies:
    """Measure every load; raises `CannotStartError`."""
    tick("painting the clock")
    clock = make_clock(folder / "clock.mp4", order.photograph)
    service = open_service(order.weights, ModelConfig.model_validate({"engine": order.engine}), None)
    detector = service.detector
    shape = detector.shape_of(WIDTH, HEIGHT)
    clock = Clock(clock.clip, clock.frames, read_offset(detector, order.photograph))
    alone = 1000 * service.workers / engine_ms(detector, shape)
    cameras = max(_LEAST_CAMERAS, math.ceil(_SATURATED * alone / FPS))
    tick("looking for saturation")
    capacity = (await _run(order, clock, [float(FPS)] * cameras, math.nan)).results_per_second
    if not capacity:
        raise CannotStartError("no result came at saturation")
    loads: dict[int, Latency] = {}
    for load in order.loads:
        tick(f"{load} % of {capacity:.1f} results/s")
        each = min(FPS, load / 100 * capacity / cameras)
        loads[load] = await _run(order, clock, [each] * cameras, engine_ms(detector, shape))
    detector.engine.close()
    return Latencies(loads, capacity, cameras)


def read_offset(detector: Detector, photograph: UInt8) -> float:
    """Return where the detector sees the middle of who stands at the left edge.

    Raises `CannotStartError` for a detector that does not see just one person there.
    """
    letterbox, offsets = detector.letterbox(), []
    for number, frame in enumerate(paint(photograph)):
        if number == _CALIBRATED_ON:
            break
        [found] = detector.detect(letterbox, [ArrayImage(frame)], [0.5], detector.shape_of(WIDTH, HEIGHT))
        if len(found.xyxy) != 1:
            raise CannotStartError(f"the model sees {len(found.xyxy)} objects in the painted clock, not one")
        left, _, right, _ = found.xyxy[0]
        offsets.append(float(left + right) / 2 - Clock.place(number))
    return sum(offsets) / len(offsets)


async def _run(order: Order, clock: Clock, rates: Sequence[float], engine: float) -> Latency:
    """Run vigil with one camera per rate and measure after it has settled."""
    async with RtspLabProcess() as lab:
        urls = {
            f"c{number}": await lab.add(
                f"/c{number}", clock.clip, start="live", begin=number / len(rates) * clock.seconds
            )
            for number in range(len(rates))
        }
        origins = {name: await lab.origin(f"/{name}") for name in urls}
        cameras = {name: rig.camera(url, rate) for (name, url), rate in zip(urls.items(), rates, strict=True)}
        configuration = {"model": rig.model(order.weights, order.engine), "cameras": cameras}
        async with rig.watching(configuration) as running:
            if not await rig.captured(running.daemon, len(rates)):
                raise CannotStartError("not every camera came up")
            await asyncio.sleep(order.settle)
            before, cpu, started = await running.daemon.scrape(), running.daemon.cpu_seconds, time.time()
            await asyncio.sleep(order.seconds)
            after, used, ended = await running.daemon.scrape(), running.daemon.cpu_seconds - cpu, time.time()
            heard = [each for each in list(running.heard) if started <= each.published_at < ended]
    batches, spent = (
        after.total(name) - before.total(name)
        for name in ("vigil_inference_seconds_count", "vigil_inference_seconds_sum")
    )
    ages = [1000 * (each.published_at - each.captured_at) for each in heard]
    glass = glass_ms(heard, clock, origins)
    return Latency(
        p50_ms=percentile(ages, 50),
        p95_ms=percentile(ages, 95),
        p99_ms=percentile(ages, 99),
        engine_ms=engine,
        glass_p50_ms=percentile(glass, 50),
        glass_p95_ms=percentile(glass, 95),
        glass_p99_ms=percentile(glass, 99),
        batch_ms=1000 * spent / batches if batches else math.nan,
        results=len(heard),
        asked_per_second=sum(rates),
        results_per_second=len(heard) / (ended - started),
        cores=used / (ended - started),
    )


def glass_ms(heard: Sequence[Heard], clock: Clock, origins: Mapping[str, float]) -> list[float]:
    """Return the milliseconds from a frame's sending to its being heard of, where its clock can be read."""
    numbers = ((each, clock.number(each.boxes)) for each in heard)
    return [
        1000 * clock.age(number, each.heard_at, origins[each.camera])
        for each, number in numbers
        if number is not None
    ]
