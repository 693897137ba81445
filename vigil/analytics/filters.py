"""Which of a model's boxes a camera reports: its classes, each with its own least confidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from vigil.config.model import DetectConfig
    from vigil.core.types import Detections, Float32, Int32, Model

_NEVER = np.float32(np.inf)


@dataclass(frozen=True, slots=True, eq=False)
class ClassFilter:
    """A confidence threshold per class id, infinite for classes that are not wanted."""

    thresholds: Float32

    @property
    def floor(self) -> float:
        """The least confidence that any class can be reported with."""
        return float(self.thresholds.min())

    @property
    def wanted(self) -> list[int]:
        """The ids of the reported classes, ascending."""
        return [int(index) for index in np.flatnonzero(np.isfinite(self.thresholds))]

    def labels(self, model: Model) -> list[str]:
        """Return the labels of the reported classes."""
        return [model.names[index] for index in self.wanted]

    def apply(self, detections: Detections) -> Detections:
        """Return the boxes that the camera reports."""
        keep = detections.confidence >= self.thresholds[detections.class_id]
        return detections if keep.all() else detections.select(keep)


def class_filter(camera: str, detect: DetectConfig, default: float, model: Model) -> ClassFilter:
    """Build a camera's filter; raises `CannotStartError` for a class that the model does not know."""
    every = detect.confidence if isinstance(detect.confidence, float) else default
    thresholds = np.full(len(model.names), _NEVER, np.float32)
    wanted = list(model.names) if detect.classes is None else detect.classes
    thresholds[_ids(camera, "detect.classes", wanted, model)] = every
    if isinstance(detect.confidence, dict):
        for label, least in detect.confidence.items():
            index = _ids(camera, "detect.confidence", [label], model)
            thresholds[index] = np.where(np.isfinite(thresholds[index]), least, _NEVER)
    return ClassFilter(thresholds)


def _ids(camera: str, key: str, labels: list[str], model: Model) -> Int32:
    try:
        return model.ids_of(labels)
    except KeyError as error:
        raise CannotStartError(
            f"cameras.{camera}.{key}: {model.name} knows no class {error.args[0]!r}; "
            f"it knows {', '.join(model.names)}"
        ) from None
