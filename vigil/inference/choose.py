"""Chooses the runtime and the device for weights, and says why in one sentence.

The weights' ending says which runtimes can run them. A device comes before the CPU, and is passed over where
it does not start; of several runtimes on the CPU the faster one is taken, measured at the first start.
"""

from __future__ import annotations

import logging
import statistics
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vigil.errors import CannotStartError
from vigil.inference.backends import Installed
from vigil.inference.backends.providers import tensorrt_folder
from vigil.inference.candidates import Candidate, able, comparison, reason, tiers
from vigil.inference.engine import EngineError
from vigil.inference.letterbox import input_shape
from vigil.inference.measured import Measured, Measurements, digest, machine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.core.types import Float32
    from vigil.inference.engine import Engine

log = logging.getLogger(__name__)

_SECONDS = 0.5
"""How long each runtime is measured."""
_FRAME = (1920, 1080)
"""Size of the frames whose input shape is measured."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The engine, one plain sentence on why it is this one, the file that it runs, and that file's sha256."""

    engine: Engine
    why: str
    weights: Path
    digest: str


class Runtimes(Protocol):
    """The runtimes that are there; `backends.Installed` are those of this Python."""

    def version(self, runtime: str) -> str | None:
        """Return a runtime's version, `None` if it is not installed."""

    def devices(self, runtime: str) -> Sequence[str]:
        """Return the kinds of device that an installed runtime has something for."""

    def open(
        self, runtime: str, weights: Path, settings: ModelConfig, device: str, cache: Path | None
    ) -> Engine:
        """Load `weights`; raises `CannotStartError`."""


class ExportFinder(Protocol):
    """Finds an export that was made of a checkpoint for this machine."""

    def __call__(self, weights: Path, settings: ModelConfig, cache: Path) -> Path | None:
        """Return the export's path, `None` if there is none."""


@dataclass(frozen=True, slots=True)
class Chooser:
    """What choosing needs beside weights and settings; the defaults are the real ones."""

    cache: Path | None
    find_export: ExportFinder | None = None
    runtimes: Runtimes = field(default_factory=Installed)
    clock: Callable[[], float] = time.perf_counter
    today: Callable[[], date] = lambda: datetime.now(UTC).date()
    busy: Callable[[], float] = time.thread_time
    """CPU seconds of this thread: engines on the CPU compute in the thread that calls them."""

    def choose(self, weights: Path, settings: ModelConfig) -> Chosen:
        """Load `weights`, or their export, where they run best; blocks. Raises `CannotStartError`."""
        path = self._exported(weights, settings)
        tiers = self._tiers(able(path, settings, self._installed), settings.device)
        for tier in tiers[:-1]:
            try:
                return self._take(tier, path, settings, weights)
            except CannotStartError as error:
                log.warning("%s is passed over: %s", tier[0].device, error)
        return self._take(tiers[-1], path, settings, weights)

    def _installed(self, runtime: str) -> bool:
        return self.runtimes.version(runtime) is not None

    def _exported(self, weights: Path, settings: ModelConfig) -> Path:
        """Return the export of a .pt, or of weights that are wanted in 8 bits, if there is one."""
        may = (weights.suffix == ".pt" or settings.precision == "int8") and settings.engine != "ultralytics"
        if not may or self.find_export is None or self.cache is None:
            return weights
        return self.find_export(weights, settings, self.cache) or weights

    def _tiers(self, runtimes: Sequence[str], device: str) -> list[list[Candidate]]:
        """Return the candidates by device, the best device first; see `tiers`."""
        visible = {runtime: self.runtimes.devices(runtime) for runtime in runtimes}
        built = self.cache is not None and any(tensorrt_folder(self.cache).glob("*.engine"))
        return tiers(visible, device, tensorrt_built=built)

    def _take(self, tier: list[Candidate], path: Path, settings: ModelConfig, weights: Path) -> Chosen:
        if len(tier) > 1 and tier[0].device == "cpu":
            engine, why = self._fastest(tier, path, settings)
        else:
            engine, why = self._open(tier[0], path, settings), reason(tier[0], settings)
        origin = "" if path == weights else f", from the export of {weights.name}"
        return Chosen(engine, why + origin, path, digest(path))

    def _open(self, candidate: Candidate, path: Path, settings: ModelConfig) -> Engine:
        return self.runtimes.open(candidate.runtime, path, settings, candidate.device, self.cache)

    def _fastest(self, tier: list[Candidate], path: Path, settings: ModelConfig) -> tuple[Engine, str]:
        """Return the engine that is the fastest by a measurement, remembered or made now."""
        measurements = Measurements(self.cache)
        key = {
            "what": "runtime",
            "runtimes": ", ".join(f"{item.runtime} {self.runtimes.version(item.runtime)}" for item in tier),
            "weights": digest(path),
            "size": f"{settings.size} {settings.precision}",
            "machine": machine(),
        }
        engines: dict[str, Engine] = {}
        found = measurements.recall(key)
        if found is None or not set(found.values) <= {item.runtime for item in tier}:
            engines = self._startable(tier, path, settings)
            found = Measured(self.today().isoformat(), _rates(engines, settings, self.clock, self.busy))
            measurements.remember(key, found)
        best = max(found.values, key=lambda runtime: found.values[runtime])
        for runtime in set(engines) - {best}:
            engines[runtime].close()
        engine = engines.get(best) or self._open(Candidate(best, tier[0].device), path, settings)
        return engine, comparison(best, tier[0].device, found)

    def _startable(self, tier: list[Candidate], path: Path, settings: ModelConfig) -> dict[str, Engine]:
        """Return the engines of a tier that load and run; raises the last error if none does."""
        engines: dict[str, Engine] = {}
        failed: CannotStartError | None = None
        for candidate in tier:
            try:
                engine = self._open(candidate, path, settings)
                engine.run(_blank(engine, settings))
                engines[candidate.runtime] = engine
            except (CannotStartError, EngineError) as error:
                log.warning("%s is passed over: %s", candidate.runtime, error)
                failed = error if isinstance(error, CannotStartError) else CannotStartError(str(error))
        if failed is not None and not engines:
            raise failed
        return engines


def _blank(engine: Engine, settings: ModelConfig) -> Float32:
    shape = engine.fixed_shape or input_shape(*_FRAME, settings.size, engine.weights.stride)
    return np.zeros((1, 3, *shape), np.float32)


def _rates(
    engines: Mapping[str, Engine],
    settings: ModelConfig,
    clock: Callable[[], float],
    busy: Callable[[], float],
) -> dict[str, float]:
    """Return images per CPU second by the median of calls made in turn: what else runs here counts little."""
    batches = {runtime: _blank(engine, settings) for runtime, engine in engines.items()}
    taken: dict[str, list[float]] = {runtime: [] for runtime in engines}
    end = clock() + _SECONDS * len(engines)
    while not all(taken.values()) or clock() < end:
        for runtime, engine in engines.items():
            start = busy()
            engine.run(batches[runtime])
            taken[runtime].append(max(busy() - start, 1e-9))
    return {runtime: 1 / statistics.median(times) for runtime, times in taken.items()}
