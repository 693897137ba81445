"""What happens to a camera's boxes between the detector and the sinks.

Runs in the inference workers; the loop hears of a whole batch at once. Boxes are filtered, all cameras of a
batch are tracked together, and each camera's scene makes counts, crossings and events of its tracks.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vigil.analytics.association import CameraSettings
from vigil.analytics.interest import interest_of
from vigil.analytics.scene import Scene
from vigil.analytics.sharpness import sharpness_of
from vigil.analytics.tracker import Tracker
from vigil.core.events import EventType
from vigil.core.types import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vigil.analytics.filters import ClassFilter
    from vigil.analytics.scene import Rules, SceneResult
    from vigil.analytics.tracks import Tracks
    from vigil.core.events import BestView, Event, Totals
    from vigil.core.interest import Interest, Rows
    from vigil.core.types import BusMessage, Detections, Float32, Frame, Model
    from vigil.metrics.camera import CameraMetrics

log = logging.getLogger(__name__)

_MISTAKE = "%s: its objects are forgotten because of an error that vigil does not know"


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """A camera's latest inferred frame with what was found in it."""

    frame: Frame
    model: Model
    detections: Detections


class CameraPipeline:
    """One camera's filter and scene; any thread may call."""

    def __init__(
        self,
        camera: str,
        model: Model,
        class_filter: ClassFilter,
        rules: Rules,
        metrics: CameraMetrics,
        random_bits: Callable[[int], int],
        totals: Totals | None = None,
    ) -> None:
        """Count on from `totals`; raises `CannotStartError` for a class that the model does not know."""
        self.class_filter = class_filter
        self.labels = class_filter.labels(model)
        self.sight: Sight | None = None
        self._rules = rules
        self._random_bits = random_bits
        self._scene = Scene(camera, model, class_filter, rules, random_bits, totals)
        self._camera = camera
        self._model = model
        self._patience = rules.tracking.patience
        self._metrics = metrics
        self._away = False
        # What was told last, for a scene that fails half way through a frame cannot be asked.
        self._open: dict[str, Event] = {}
        self._totals = totals
        self._lock = threading.Lock()  # a worker's `result` against the loop's `forget`

    @property
    def tracker_settings(self) -> CameraSettings:
        """What the tracker is to go by: the user's threshold decides, within what it was made for."""
        usual, least = CameraSettings(), self.class_filter.floor
        return CameraSettings(min(usual.high, least), min(usual.begin, least), self._patience)

    @property
    def away(self) -> bool:
        """Whether the camera does not see, so that frames of it which are still in flight mean nothing."""
        return self._away

    @property
    def counts(self) -> Mapping[str, int]:
        """The confirmed objects by label, `0` included."""
        return self.state.counts

    @property
    def state(self) -> SceneResult:
        """All counts and totals as they stand."""
        with self._lock:
            return self._scene.state()

    def admit(self, frame: Frame, found: Detections) -> Detections:
        """Return the boxes that the tracker is to be given."""
        return self.class_filter.admit(found, frame.image.width, frame.image.height)

    def result(self, frame: Frame, detections: Detections, tracks: Tracks) -> tuple[Result, SceneResult]:
        """Return what sinks are told of a frame, its admitted boxes and its tracks, and what it means."""
        with self._lock:
            size = frame.image.width, frame.image.height
            sharpness = sharpness_of(frame.image)
            scene = self._scene.update(frame.captured_at, *size, detections, tracks, sharpness)
            for event in scene.events:
                self._open[event.id] = event
                if event.type is EventType.END:
                    del self._open[event.id]
            self._totals = scene.totals
            return self._told(frame, _tracked(detections, tracks), scene), scene

    def refine(self, class_filter: ClassFilter) -> None:
        """Go by other confidences of the same classes; objects and their events go on."""
        with self._lock:
            self.class_filter = class_filter
            self._scene.refine(class_filter)

    def resume(self) -> None:
        """Note that the camera sees again."""
        with self._lock:
            self._away = False

    def forget(self, now: float) -> Sequence[Event]:
        """Drop what was seen and end its events: nobody is seen by a camera that does not see."""
        with self._lock:
            self._away = True
            self.sight = None
            self._open.clear()
            scene = self._scene.close(now)
            self._metrics.told(scene.counts, scene.zones, scene.events)
            return scene.events

    def start_over(self, now: float) -> Sequence[Event]:
        """Begin anew after a fault of analytics: no objects, the same totals; returns what that ends."""
        with self._lock:
            self._scene = Scene(
                self._camera, self._model, self.class_filter, self._rules, self._random_bits, self._totals
            )
            ended = [replace(event, type=EventType.END, end_time=now) for event in self._open.values()]
            self._open.clear()
            nobody = self._scene.state()
            self._metrics.told(nobody.counts, nobody.zones, ended)
            return ended

    def _told(self, frame: Frame, detections: Detections, scene: SceneResult) -> Result:
        reported = self.class_filter.reported(detections)
        shown, zones = detections, scene.detection_zones
        if np.count_nonzero(reported) < len(reported):
            shown = detections.select(reported)
            zones = [each for each, told in zip(zones, reported.tolist(), strict=False) if told]
        self.sight = Sight(frame, self._model, shown)
        self._metrics.inferred(shown.class_id.tolist(), self._model.names)
        self._metrics.told(scene.counts, scene.zones, scene.events)
        self._metrics.crossed(scene.totals)
        return Result(
            self._camera,
            frame.seq,
            frame.captured_at,
            frame.image.width,
            frame.image.height,
            self._model,
            shown,
            scene.counts,
            zones,
            scene.zones,
            scene.totals,
        )


class Watcher(Protocol):
    """Looks for motion, and wants to know what inferred frames showed; called from inference workers."""

    def inferred(self, frame: Frame, *, active: bool) -> None:
        """Note that a frame was inferred, and whether it shows anything that may move on."""

    def moved(self) -> Float32 | None:
        """Return where things moved since this was asked last, `(m, 4)` in fractions; `None` if unknown."""


class Pipelines:
    """The pipelines of all cameras; takes a batch from the detector and publishes its results at once."""

    def __init__(
        self,
        publish: Callable[[Sequence[BusMessage]], None],
        on_views: Callable[[Frame, Sequence[BestView]], None] = lambda _frame, _views: None,
    ) -> None:
        """`publish(messages)` and `on_views(frame, views)` are called from inference workers."""
        self._publish = publish
        self._on_views = on_views
        self._watchers: dict[str, Watcher] = {}
        self._cameras: dict[str, CameraPipeline] = {}
        self._tracker = Tracker()
        self._latest: dict[str, tuple[int, Tracks]] = {}  # by camera: of which frame, and what it showed
        # A batch is looked at and published as a whole before its camera is forgotten, or after: the end of
        # an event never overtakes its beginning, and nothing in flight outlives its camera.
        self._lock = threading.Lock()

    def add(self, camera: str, pipeline: CameraPipeline, watcher: Watcher | None = None) -> None:
        """Start handling a camera's frames, or handle them with another pipeline from now on."""
        with self._lock:
            if watcher is not None:
                self._watchers[camera] = watcher
            self._tracker.set_camera(camera, pipeline.tracker_settings)
            self._cameras[camera] = pipeline

    def remove(self, camera: str) -> None:
        """Forget a camera; a frame of it that is still in flight is ignored."""
        with self._lock:
            self._cameras.pop(camera, None)
            self._watchers.pop(camera, None)
            self._latest.pop(camera, None)
            self._tracker.remove(camera)

    def get(self, camera: str) -> CameraPipeline | None:
        """Return a camera's pipeline."""
        return self._cameras.get(camera)

    def forget(self, camera: str, now: float) -> Sequence[Event]:
        """Drop what a camera that is away has seen; returns the events that this ends.

        Until it sees again, frames of it that are still in flight are ignored.
        """
        with self._lock:
            self._latest.pop(camera, None)
            self._tracker.forget(camera)
            return self._cameras[camera].forget(now)

    def interest(self, frame: Frame) -> Interest | None:
        """Return what is of interest in a camera's next frame; `None` where it is not known what moves."""
        camera, image = frame.camera, frame.image
        with self._lock:
            watcher = self._watchers.get(camera)
            moved = None if watcher is None else watcher.moved()
            if moved is None:
                return None
            seq, tracks = self._latest.get(camera, (-1, None))
            predicted = self._tracker.predict(camera, frame.captured_at)
        moving = moved * np.array([image.width, image.height] * 2, np.float32)
        return interest_of(tracks, predicted, moving, frame.captured_at, seq=seq)

    def admitted(self, frame: Frame, found: Detections) -> Rows:
        """Return the rows of those boxes of a frame that its camera takes note of, ascending."""
        numbers = np.arange(len(found), dtype=np.int32)
        pipeline = self._cameras.get(frame.camera)
        if pipeline is not None:
            numbers = pipeline.admit(frame, replace(found, tracker_id=numbers)).tracker_id
        return numbers.astype(np.intp)

    def handle(self, frames: Sequence[Frame], found: Sequence[Detections]) -> None:
        """Take one batch's frames and the boxes of each."""
        with self._lock:
            known = [
                _Seen(pipeline, frame, detections)
                for frame, detections in zip(frames, found, strict=True)
                if (pipeline := self._cameras.get(frame.camera)) is not None and not pipeline.away
            ]
            self._publish(self._told(known))

    def _told(self, seen: Sequence[_Seen]) -> list[BusMessage]:
        """Return what is told of these frames; those that cannot be tracked together are each by itself."""
        try:
            admitted = [each.pipeline.admit(each.frame, each.detections) for each in seen]
            frames = [each.frame for each in seen]
            tracks = self._tracker.update(
                [frame.camera for frame in frames], [frame.captured_at for frame in frames], admitted
            )
        except Exception:  # the edge of a camera: the others of the batch must not suffer from a mistake
            if len(seen) > 1:
                return [message for each in seen for message in self._told([each])]
            log.exception(_MISTAKE, seen[0].frame.camera)
            return self._start_over(seen[0])
        told: list[BusMessage] = []
        for each, detections, theirs in zip(seen, admitted, tracks, strict=True):
            told += self._one(each, detections, theirs)
        return told

    def _one(self, seen: _Seen, detections: Detections, tracks: Tracks) -> Sequence[BusMessage]:
        """Return what is told of one camera's frame; its trouble is its own."""
        frame = seen.frame
        try:
            result, scene = seen.pipeline.result(frame, detections, tracks)
        except Exception:  # the edge of a camera, as above
            log.exception(_MISTAKE, frame.camera)
            return self._start_over(seen)
        self._latest[frame.camera] = frame.seq, tracks
        if (watcher := self._watchers.get(frame.camera)) is not None:
            watcher.inferred(frame, active=scene.active)
        if scene.views:
            self._on_views(frame, scene.views)
        return [result, *scene.events]

    def _start_over(self, seen: _Seen) -> list[BusMessage]:
        """Forget a camera's objects; returns the events that this ends."""
        self._latest.pop(seen.frame.camera, None)
        self._tracker.forget(seen.frame.camera)
        return list(seen.pipeline.start_over(seen.frame.captured_at))


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """A frame of a camera, and what the detector found in it."""

    pipeline: CameraPipeline
    frame: Frame
    detections: Detections


def _tracked(detections: Detections, tracks: Tracks) -> Detections:
    """Return the detections with the ids of the tracks that own them."""
    owned = (tracks.detection >= 0).nonzero()[0]
    detections.tracker_id[tracks.detection[owned]] = tracks.tracker_id[owned]
    return detections
