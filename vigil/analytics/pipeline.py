"""What happens to a camera's boxes between the detector and the sinks.

Runs in the inference workers; the loop hears of a whole batch at once.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.core.types import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from vigil.analytics.filters import ClassFilter
    from vigil.core.types import Detections, Frame, Model
    from vigil.metrics import CameraMetrics

_WINDOW = 3
"""Inferences over which a count is confirmed: the median of an odd few forgives one miss or one ghost."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A camera's latest inferred frame with what was found in it."""

    frame: Frame
    detections: Detections


class CameraPipeline:
    """One camera's filter and counts."""

    def __init__(self, model: Model, class_filter: ClassFilter, metrics: CameraMetrics) -> None:
        self.class_filter = class_filter
        self.labels = {index: model.names[index] for index in class_filter.wanted}
        self.sight: Sight | None = None
        self.counts: dict[str, int] = dict.fromkeys(self.labels.values(), 0)
        self._metrics = metrics
        self._recent: deque[NDArray[np.intp]] = deque(maxlen=_WINDOW)
        self._classes = len(model.names)
        self._away = False
        self._lock = threading.Lock()  # a worker's `result` against the loop's `forget`

    def result(self, frame: Frame, found: Detections) -> Result:
        """Return what sinks are told of this frame; `counts` are medians over the last few frames."""
        with self._lock:
            return self._result(frame, self.class_filter.apply(found))

    def _result(self, frame: Frame, detections: Detections) -> Result:
        if self._away:
            return _told(frame, detections, self.counts)
        self.sight = Sight(frame, detections)
        seen = np.bincount(detections.class_id, minlength=self._classes)
        self._recent.append(seen)
        confirmed = np.median(np.stack(self._recent), axis=0).astype(int)
        counts = {label: int(confirmed[index]) for index, label in self.labels.items()}
        self.counts = counts
        self._metrics.inferred(
            {self.labels[index]: int(seen[index]) for index in np.flatnonzero(seen).tolist()}, counts
        )
        return _told(frame, detections, counts)

    def resume(self) -> None:
        """Note that the camera sees again."""
        with self._lock:
            self._away = False

    def forget(self) -> None:
        """Drop what was seen: the camera is away, and nobody is seen by a camera that does not see."""
        with self._lock:
            self._away = True
            self._recent.clear()
            self.sight = None
            self.counts = dict.fromkeys(self.labels.values(), 0)
            self._metrics.inferred_nothing()


def _told(frame: Frame, detections: Detections, counts: Mapping[str, int]) -> Result:
    image = frame.image
    return Result(frame.camera, frame.seq, frame.captured_at, image.width, image.height, detections, counts)


class Pipelines:
    """The pipelines of all cameras; takes a batch from the detector and publishes its results at once."""

    def __init__(self, publish: Callable[[Sequence[Result]], None]) -> None:
        """`publish(results)` is called from inference workers."""
        self._publish = publish
        self._cameras: dict[str, CameraPipeline] = {}

    def add(self, camera: str, pipeline: CameraPipeline) -> None:
        """Start handling a camera's frames."""
        self._cameras[camera] = pipeline

    def remove(self, camera: str) -> None:
        """Forget a camera; a frame of it that is still in flight is ignored."""
        self._cameras.pop(camera, None)

    def get(self, camera: str) -> CameraPipeline | None:
        """Return a camera's pipeline."""
        return self._cameras.get(camera)

    def handle(self, frames: Sequence[Frame], found: Sequence[Detections]) -> None:
        """Take one batch's frames and the boxes of each."""
        results = []
        for frame, detections in zip(frames, found, strict=True):
            pipeline = self._cameras.get(frame.camera)
            if pipeline is not None:
                results.append(pipeline.result(frame, detections))
        self._publish(results)
