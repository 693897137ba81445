"""Which of a model's boxes a camera takes note of: its classes, sizes, shapes, places and confidences.

Two thresholds are kept per class. The tracker is given boxes down to `LOW` (`admit`), because a box that is
too faint to start an object still continues one (BYTE); only what reaches the user's confidence is reported
(`apply`), and only objects whose median does are confirmed. What stands, by the centre of the box's lower
edge, inside a mask is taken no note of at all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.core.geometry import Polygons, anchors, areas, aspects
from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.config.analytics import Masks, ObjectFilter
    from vigil.config.model import DetectConfig
    from vigil.core.geometry import Bools, Floats
    from vigil.core.types import Detections, Float32, Int32, Model

LOW = 0.1
"""The confidence from which on a box can continue a track, unless the user's own threshold is lower yet."""

EVERY = "*"
"""The key of a filter for all classes."""

_NEVER = np.float32(np.inf)
_BOTTOM = np.ones(1)
_BOUNDS = (("min_area", 0.0), ("max_area", np.inf), ("min_aspect", 0.0), ("max_aspect", np.inf))


@dataclass(frozen=True, slots=True, eq=False)
class ShapeFilter:
    """Bounds `(4, classes)` by class id: least and greatest area, as a fraction, and aspect."""

    bounds: Floats

    def passes(self, class_id: Int32, boxes: Floats, frame_aspect: float) -> Bools:
        """Tell `(n,)` which boxes `(n, 4)`, in fractions of a frame of that width / height, are within."""
        least_area, most_area, least_aspect, most_aspect = self.bounds[:, class_id]
        area, aspect = areas(boxes), aspects(boxes, frame_aspect)
        within = (least_area <= area) & (area <= most_area)
        return np.asarray(within & (least_aspect <= aspect) & (aspect <= most_aspect))


@dataclass(frozen=True, slots=True, eq=False)
class ClassFilter:
    """A confidence threshold per class id, infinite for classes that are not wanted; shapes and masks."""

    thresholds: Float32
    shape: ShapeFilter | None = None
    masks: Polygons | None = None

    @property
    def floor(self) -> float:
        """The least confidence that any class can be reported with."""
        return float(self.thresholds.min())

    @property
    def tracking_floor(self) -> float:
        """The least confidence that is of any use to the tracker: what the detector is to be asked for."""
        return min(LOW, self.floor)

    @property
    def wanted(self) -> list[int]:
        """The ids of the reported classes, ascending."""
        return [int(index) for index in np.flatnonzero(np.isfinite(self.thresholds))]

    def labels(self, model: Model) -> list[str]:
        """Return the labels of the reported classes."""
        return [model.names[index] for index in self.wanted]

    def apply(self, detections: Detections) -> Detections:
        """Return the boxes that are confident enough to be reported."""
        keep = self.reported(detections)
        return detections if keep.all() else detections.select(keep)

    def reported(self, detections: Detections) -> Bools:
        """Tell `(n,)` which boxes are confident enough to be reported."""
        return np.asarray(detections.confidence >= self.thresholds[detections.class_id])

    def admit(self, detections: Detections, width: int, height: int) -> Detections:
        """Return the boxes for the tracker: of wanted classes and shapes, down to `LOW`, not masked."""
        if not len(detections):
            return detections
        least = self.thresholds[detections.class_id]
        keep = (detections.confidence >= np.minimum(least, LOW)) & np.isfinite(least)
        numbers = np.isfinite(detections.xyxy)
        if np.count_nonzero(numbers) < numbers.size:
            keep &= numbers.all(axis=1)
        admitted = detections if np.count_nonzero(keep) == len(keep) else detections.select(keep)
        if not len(admitted) or (self.shape is None and self.masks is None):
            return admitted
        keep = self._stands(admitted, width, height)
        return admitted if keep.all() else admitted.select(keep)

    def _stands(self, detections: Detections, width: int, height: int) -> Bools:
        boxes = detections.xyxy / np.array([width, height, width, height], np.float64)
        keep = np.ones(len(boxes), np.bool_)
        if self.shape is not None:
            keep &= self.shape.passes(detections.class_id, boxes, width / height)
        if self.masks is not None:
            keep &= ~self.masks.contain(anchors(boxes, _BOTTOM)).any(axis=1)
        return keep


def class_filter(
    camera: str,
    detect: DetectConfig,
    default: float,
    model: Model,
    filters: Mapping[str, ObjectFilter] | None = None,
    masks: Masks = (),
) -> ClassFilter:
    """Build a camera's filter; raises `CannotStartError` for a class that the model does not know."""
    every = detect.confidence if isinstance(detect.confidence, float) else default
    thresholds = np.full(len(model.names), _NEVER, np.float32)
    wanted = list(model.names) if detect.classes is None else detect.classes
    thresholds[class_ids(camera, "detect.classes", wanted, model)] = every
    if isinstance(detect.confidence, dict):
        for label, least in detect.confidence.items():
            index = class_ids(camera, "detect.confidence", [label], model)
            thresholds[index] = np.where(np.isfinite(thresholds[index]), least, _NEVER)
    shape = shape_filter(camera, "filters", filters or {}, model)
    return ClassFilter(thresholds, shape, Polygons(masks) if masks else None)


def shape_filter(
    camera: str, key: str, filters: Mapping[str, ObjectFilter], model: Model
) -> ShapeFilter | None:
    """Build the filter of a section's `filters`, `None` where there are none; raises `CannotStartError`."""
    if not filters:
        return None
    bounds = np.array([[free] * len(model.names) for _, free in _BOUNDS])
    # What is said of every class comes first, so that a class's own values win.
    for label in sorted(filters, key=lambda label: label != EVERY):
        ids = slice(None) if label == EVERY else class_ids(camera, key, [label], model)
        for row, (name, _) in zip(bounds, _BOUNDS, strict=True):
            limit = getattr(filters[label], name)
            row[ids] = row[ids] if limit is None else limit
    return ShapeFilter(bounds)


def class_ids(camera: str, key: str, labels: Sequence[str], model: Model) -> Int32:
    """Return the ids of labels of the configuration; raises `CannotStartError` with the key to change."""
    try:
        return model.ids_of(labels)
    except KeyError as error:
        raise CannotStartError(
            f"cameras.{camera}.{key}: {model.name} knows no class {error.args[0]!r}; "
            f"it knows {', '.join(model.names)}"
        ) from None
