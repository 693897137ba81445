"""One camera's Prometheus series, looked up once, so that counting a frame costs microseconds."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from vigil.core.events import Crossings, EventType, Totals
from vigil.core.types import CameraState, Condition, topic_label
from vigil.metrics.drift import LabelDrift

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from prometheus_client import Counter, Gauge

    from vigil.core.events import Event
    from vigil.core.types import CameraHealth
    from vigil.metrics import Metrics

_RATE_WINDOW = 10.0
"""Seconds over which frame rates are averaged."""
_WAYS = ("in", "out")
_LATENCIES = 4096
"""Latencies of single results that are kept for a report, a minute's worth of the fastest camera."""

FRAME_DROPS = ("overwritten", "not_due", "quiet", "engine_failed", "unreadable")
"""Why a frame of a healthy camera is not inferred: too much work, more frames than wanted,
nothing moves, a fault."""

DECODE_MODES = ("full", "keyframes", "packets")
"""How much of a stream is decoded."""

WAKE_CAUSES = ("motion", "packet_size", "demand", "overflow")
"""What ends a rest, in which not all is decoded."""

CAPTURE_FAILURES = (
    "refused",
    "timeout",
    "unauthorized",
    "not_found",
    "unsupported",
    "decode",
    "ended",
    "stalled",
    "error",
)


class RateMeter:
    """Events per second over the last ten seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: deque[float] = deque()  # changed by one thread only: the one that counts
        self._since = 0.0

    def add(self) -> None:
        """Count one event."""
        now = self._clock()
        while self._times and self._times[0] < now - _RATE_WINDOW:
            self._times.popleft()
        if not self._times:
            self._since = now
        self._times.append(now)

    def rate(self) -> float:
        """Return the rate over the window, or since events began to come if that is less."""
        now = self._clock()
        recent = [at for at in self._times.copy() if at >= now - _RATE_WINDOW]
        span = min(_RATE_WINDOW, now - self._since)
        # The first event only begins the time that is measured.
        began_within = bool(recent) and recent[0] == self._since
        return (len(recent) - began_within) / span if recent and span > 0 else 0.0


class CameraMetrics:
    """One camera's series with their labels resolved, so that counting a frame costs microseconds."""

    def __init__(self, metrics: Metrics, camera: str) -> None:
        self._metrics = metrics
        self._camera = camera
        self._captures = RateMeter()
        self._inferences = RateMeter()
        self._drift = LabelDrift(time.monotonic)
        self._last_captured: float | None = None
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)  # touched on the loop only
        self._up = metrics.camera_up.labels(camera)
        self._states = {state: metrics.camera_state.labels(camera, state) for state in CameraState}
        self._conditions = {kind: metrics.camera_condition.labels(camera, kind) for kind in Condition}
        self._captured = metrics.captured.labels(camera)
        self._decoded = metrics.decoded.labels(camera)
        self._inferred = metrics.frames_inferred.labels(camera)
        self._decode_cpu = metrics.decode_cpu.labels(camera)
        self._inference_time = metrics.inference_time.labels(camera)
        self._latency = metrics.capture_to_publish.labels(camera)
        self._snapshots = metrics.snapshots_taken.labels(camera)
        self._modes = {mode: metrics.decode_mode.labels(camera, mode) for mode in DECODE_MODES}
        self._wakes = {cause: metrics.wakes.labels(camera, cause) for cause in WAKE_CAUSES}
        self._dropped = {reason: metrics.dropped.labels(camera, reason) for reason in FRAME_DROPS}
        self._reconnects = {reason: metrics.reconnects.labels(camera, reason) for reason in CAPTURE_FAILURES}
        self._detections: dict[str, Counter] = {}
        self._objects: dict[str, Gauge] = {}
        self._events: dict[str, Counter] = {}
        self._zones: dict[tuple[str, str], Gauge] = {}
        self._lines: dict[tuple[str, str], tuple[Counter, Counter]] = {}
        # Kept here: asking a family would mean looking through every camera's series.
        self._aimed: dict[Counter | Gauge, set[tuple[str, ...]]] = {}
        self._totals = Totals()
        self._told: tuple[object, object] = (None, None)
        self.decode_mode = "full"
        self.decoding("full")
        self.refresh()

    def aim(
        self,
        target_fps: float,
        counts: Mapping[str, int],
        zones: Mapping[str, Mapping[str, int]],
        totals: Totals,
    ) -> None:
        """Set how often the camera is inferred, and what it reports; what it reports no more goes."""
        metrics, camera = self._metrics, self._camera
        metrics.target_fps.labels(camera).set(target_fps)
        self._drift.keep(counts)
        for family in (metrics.detections, metrics.objects, metrics.events):
            self._keep(family, {(topic_label(label),) for label in counts})
        self._keep(
            metrics.zone_objects, {(zone, topic_label(label)) for zone in zones for label in zones[zone]}
        )
        self._keep(
            metrics.line_crossings,
            {
                (line, topic_label(label), way)
                for line, labels in totals.lines.items()
                for label in labels
                for way in _WAYS
            },
        )
        self._detections = {label: metrics.detections.labels(camera, topic_label(label)) for label in counts}
        self._objects = {label: metrics.objects.labels(camera, topic_label(label)) for label in counts}
        self._events = {label: metrics.events.labels(camera, topic_label(label)) for label in counts}
        self._zones = {
            (zone, label): metrics.zone_objects.labels(camera, zone, topic_label(label))
            for zone, labels in zones.items()
            for label in labels
        }
        self._lines = {
            (line, label): self._crossings(line, label)
            for line, labels in totals.lines.items()
            for label in labels
        }
        self._totals = totals
        self.told(counts, zones, ())

    @property
    def capture_fps(self) -> float:
        """Frames per second from the camera."""
        return self._captures.rate()

    @property
    def inference_fps(self) -> float:
        """Inferred frames per second."""
        return self._inferences.rate()

    def health(self, health: CameraHealth) -> None:
        """Note how the camera is."""
        self._up.set(health.state is CameraState.LIVE)
        for state, series in self._states.items():
            series.set(state is health.state)
        for condition, series in self._conditions.items():
            series.set(condition is health.condition)

    def reconnecting(self, reason: str) -> None:
        """Count a capture that ended."""
        self._reconnects[reason].inc()

    def captured(self, captured_at: float) -> None:
        """Count a frame that arrived, decoded or not."""
        self._captured.inc()
        self._captures.add()
        self._last_captured = captured_at

    def decoded(self) -> None:
        """Count a frame that was decoded."""
        self._decoded.inc()

    def spent(self, cpu_seconds: float) -> None:
        """Count what capture and decoding took."""
        self._decode_cpu.inc(max(0.0, cpu_seconds))

    def decoding(self, mode: str) -> None:
        """Note how much of the stream is decoded from now on."""
        self.decode_mode = mode
        for each, series in self._modes.items():
            series.set(each == mode)

    def woke(self, cause: str) -> None:
        """Count the end of a rest."""
        self._wakes[cause].inc()

    def dropped(self, reason: str) -> None:
        """Count a frame that will not be inferred."""
        self._dropped[reason].inc()

    def inferred(self, class_ids: Sequence[int], names: Sequence[str]) -> None:
        """Count an inferred frame and its detections."""
        self._inferred.inc()
        self._inferences.add()
        for class_id in set(class_ids):
            # An inference that was under way when the labels changed may still know others.
            if (series := self._detections.get(names[class_id])) is not None:
                number = class_ids.count(class_id)
                series.inc(number)
                self._drift.count(names[class_id], number)

    def took(self, seconds: float) -> None:
        """Count an engine worker's time for a frame."""
        self._inference_time.inc(seconds)

    def told(
        self, counts: Mapping[str, int], zones: Mapping[str, Mapping[str, int]], events: Sequence[Event]
    ) -> None:
        """Take over the confirmed counts, and count the events that begin."""
        for event in events:
            if event.type is EventType.NEW and (series := self._events.get(event.label)) is not None:
                series.inc()
        # What did not change is the very same object: most frames change nothing.
        if self._told[0] is counts and self._told[1] is zones:
            return
        self._told = (counts, zones)
        for label, number in counts.items():
            if (gauge := self._objects.get(label)) is not None:
                gauge.set(number)
        for zone, labels in zones.items():
            for label, number in labels.items():
                if (gauge := self._zones.get((zone, label))) is not None:
                    gauge.set(number)

    def crossed(self, totals: Totals) -> None:
        """Count the crossings by which the totals have grown."""
        if totals is self._totals:
            return
        for (line, label), (inwards, outwards) in self._lines.items():
            now = totals.lines.get(line, {}).get(label, Crossings())
            before = self._totals.lines.get(line, {}).get(label, Crossings())
            inwards.inc(max(0, now.inwards - before.inwards))
            outwards.inc(max(0, now.outwards - before.outwards))
        self._totals = totals

    def published(self, captured_at: float) -> None:
        """Measure the way of a result from its frame's arrival to now."""
        latency = max(0.0, time.time() - captured_at)
        self._latency.observe(latency)
        self._latencies.append(latency)

    def take_latencies(self) -> list[float]:
        """Return the latencies, in seconds, measured since they were taken last; of very many the latest."""
        taken = list(self._latencies)
        self._latencies.clear()
        return taken

    def pictured(self) -> None:
        """Count a picture of an event."""
        self._snapshots.inc()

    def thread_abandoned(self) -> None:
        """Count a capture thread that would not end."""
        self._metrics.threads_abandoned.inc()

    def refresh(self) -> None:
        """Bring the gauges that depend on the time of day up to date."""
        self._metrics.capture_fps.labels(self._camera).set(self._captures.rate())
        self._metrics.inference_fps.labels(self._camera).set(self._inferences.rate())
        age = 0.0 if self._last_captured is None else max(0.0, time.time() - self._last_captured)
        self._metrics.frame_age.labels(self._camera).set(age)
        self._metrics.label_drift.labels(self._camera).set(self._drift.distance())

    def remove(self) -> None:
        """Remove every series that carries this camera's label."""
        for family in self._metrics.of_cameras:
            family.remove_by_labels({"camera": self._camera})

    def _keep(self, family: Counter | Gauge, wanted: set[tuple[str, ...]]) -> None:
        """Remove this camera's series of a family but for those of the `wanted` labels, which follow."""
        for gone in self._aimed.get(family, set()) - wanted:
            family.remove(self._camera, *gone)
        self._aimed[family] = wanted

    def _crossings(self, line: str, label: str) -> tuple[Counter, Counter]:
        inwards, outwards = (
            self._metrics.line_crossings.labels(self._camera, line, topic_label(label), way) for way in _WAYS
        )
        return inwards, outwards
