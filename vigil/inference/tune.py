"""Finds how many workers and how large batches pay off, by a short measurement at the first start.

What the settings say in numbers is never measured. On a CPU batches gain nothing and the question is whether
all cores, or half of them where two share a unit, do more; on a device it is the batch.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np

from vigil.inference.engine import EngineMemoryError
from vigil.inference.measured import Measured, machine

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vigil.config.model import ModelConfig
    from vigil.core.types import Float32
    from vigil.inference.engine import Engine
    from vigil.inference.measured import Measurements
    from vigil.inference.schedule import Shape

_LEAST_GAIN = 1.05
_SECONDS = 0.25
"""How long each candidate runs, after a warm-up: two of workers or seven of batches, under two seconds."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """How many threads call the engine, and the most images that one call carries."""

    workers: int
    max_batch: int


def tune(
    engine: Engine,
    shape: Shape,
    digest: str,
    settings: ModelConfig,
    measurements: Measurements,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> Tuned:
    """Return what pays off for inputs of `shape`, measured or remembered; `digest` is the weights' own.

    Raises `EngineError` if the engine fails at a single image.
    """
    if settings_decide(engine, settings):
        return Tuned(engine.workers, engine.max_batch)
    key = {
        "what": "workers and batch",
        "engine": engine.name,
        "device": engine.device,
        "weights": digest,
        "shape": f"{shape[0]}x{shape[1]}",
        "machine": machine(),
        "asked": f"{settings.workers} workers, {settings.max_batch} images",
    }
    found = measurements.recall(key)
    if found is None or set(found.values) != {"workers", "max_batch"}:
        tuned = _measure(engine, shape, clock)
        today = datetime.now(UTC).date().isoformat()
        measurements.remember(key, Measured(today, {"workers": tuned.workers, "max_batch": tuned.max_batch}))
        return tuned
    return Tuned(int(found.values["workers"]), int(found.values["max_batch"]))


def settings_decide(engine: Engine, settings: ModelConfig) -> bool:
    """Return whether there is nothing to find out: the number in question is given, or has one candidate."""
    if engine.device == "cpu":
        return settings.workers != "auto" or len(worker_steps(engine.workers)) == 1
    return settings.max_batch != "auto" or engine.max_batch == 1


def worker_steps(most: int) -> list[int]:
    """Return the numbers of workers to try on a CPU: all cores, and half of them where there are many."""
    return [most // 2, most] if most > 2 else [most]  # noqa: PLR2004 -- two cores are no two threads of one


def batch_steps(most: int) -> list[int]:
    """Return the batch sizes to try: 1, 2, 4 ... and the most itself."""
    return sorted({most, *(1 << power for power in range(most.bit_length()))})


def climb(steps: Sequence[int], rate: Callable[[int], float | None]) -> int:
    """Return the last step that brought at least a twentieth more than the one before it.

    `rate` is asked in order, and not beyond the first step that fails (`None`) or gains too little.
    """
    best, last = steps[0], 0.0
    for step in steps:
        found = rate(step)
        if found is None or found < last * _LEAST_GAIN:
            break
        best, last = step, found
    return best


def throughput(
    engine: Engine, batch: Float32, workers: int, clock: Callable[[], float], seconds: float = _SECONDS
) -> float:
    """Return images per second with so many threads calling at once, each of them warm."""

    def work(until: float) -> int:
        calls = 0
        while not calls or clock() < until:
            engine.run(batch)
            calls += 1
        return calls * len(batch)

    with ThreadPoolExecutor(workers, thread_name_prefix="tune") as pool:
        list(pool.map(engine.run, [batch] * workers))
        start = clock()
        images = sum(pool.map(work, [start + seconds] * workers))
        return images / max(clock() - start, 1e-9)


def _measure(engine: Engine, shape: Shape, clock: Callable[[], float]) -> Tuned:
    def rate(workers: int, images: int) -> float | None:
        try:
            return throughput(engine, np.zeros((images, 3, *shape), np.float32), workers, clock)
        except EngineMemoryError:
            if images == 1:
                raise
            return None

    if engine.device == "cpu":
        workers = climb(worker_steps(engine.workers), lambda number: rate(number, engine.max_batch))
        return Tuned(workers, engine.max_batch)
    images = climb(batch_steps(engine.max_batch), lambda number: rate(engine.workers, number))
    return Tuned(engine.workers, images)
