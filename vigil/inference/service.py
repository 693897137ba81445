"""A model in service: its detector, how hard it is driven, and how to get a new one."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigil.core.types import Loaded
from vigil.errors import CannotStartError
from vigil.inference.choose import Chooser
from vigil.inference.detector import Detector
from vigil.inference.engine import EngineError
from vigil.inference.export import find_export
from vigil.inference.measured import Measurements
from vigil.inference.tune import tune

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.inference.engine import Engine

log = logging.getLogger(__name__)

_USUAL = (1920, 1080)
"""Width and height of the frames that the engine is tuned for."""


@dataclass(slots=True, eq=False)
class Service:
    """A model that cameras can ask for; `Pool` replaces its detector when the engine fails."""

    detector: Detector
    workers: int
    """Threads that pay off."""
    max_batch: int
    """Frames at once that pay off."""
    timeout: float
    """Seconds that one batch may take."""
    reopen: Callable[[], Detector]
    """Loads the model again; blocks. Raises `CannotStartError`."""
    why: str = ""
    """Why it runs on this engine, for people."""

    @property
    def limit(self) -> int:
        """Most frames in one batch, now."""
        return min(self.max_batch, self.detector.batch_limit)

    @property
    def loaded(self) -> Loaded:
        """What people are told of it."""
        return Loaded(self.detector.model.name, self.detector.engine.name, self.why)


def open_service(weights: Path, settings: ModelConfig, cache: Path | None) -> Service:
    """Load a model once and warm it up; blocks. Raises `CannotStartError`.

    `cache` is where vigil keeps what it measured and built before, if anywhere.
    """
    chooser = Chooser(cache, find_export)
    chosen = chooser.choose(weights, settings)

    def open_detector() -> Detector:
        return _detector(chooser.choose(weights, settings).engine, settings)

    try:
        detector = _detector(chosen.engine, settings)
        shape = detector.shape_of(*_USUAL)
        tuned = tune(chosen.engine, shape, chosen.digest, settings, Measurements(cache))
    except EngineError as error:
        raise CannotStartError(
            f"model.name: {weights} does not run on {chosen.engine.name}: {error}"
        ) from error
    log.info(
        "model %s on %s: %d workers, %d frames at once; %s",
        detector.model.name,
        chosen.engine.name,
        tuned.workers,
        tuned.max_batch,
        chosen.why,
    )
    return Service(detector, tuned.workers, tuned.max_batch, settings.timeout, open_detector, chosen.why)


def _detector(engine: Engine, settings: ModelConfig) -> Detector:
    detector = Detector(engine, size=settings.size, iou=settings.iou, labels=settings.labels)
    detector.warm_up()
    return detector
