"""Every Prometheus series of vigil, in one injected object; hot-path handles are looked up once per camera.

Counters count, nothing is exported twice, a camera's series exist from its start with value 0 and go when
the camera goes.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from vigil import __version__
from vigil.core.types import CameraState, Condition, topic_label

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from vigil.core.types import CameraHealth

_RATE_WINDOW = 10.0
"""Seconds over which frame rates are averaged."""

_LATENCY = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
_INFERENCE = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
_BATCH = (1, 2, 4, 8, 16, 32, 64)

OFFER_DROPS = ("overwritten", "not_due")
"""Why a frame of a healthy camera is not inferred: more work than engine, or more frames than wanted."""

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


class Metrics:
    """The daemon's series; one per process, handed to whoever counts."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        # A creation time beside every counter would be a quarter of the series.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated in the library
        self.registry = registry or CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._cameras: dict[str, CameraMetrics] = {}
        self._build = self._gauge(
            "build_info", "Version, model and engine; the value is always 1.", "version", "model", "engine"
        )
        self._define_camera_series()
        self._define_engine_series()
        self._define_sink_series()

    def _define_camera_series(self) -> None:
        self.camera_up = self._gauge("camera_up", "Whether the camera delivers frames.", "camera")
        self.camera_state = self._gauge(
            "camera_state", "1 for the state that the camera is in.", "camera", "state"
        )
        self.camera_condition = self._gauge(
            "camera_condition", "1 for what the camera's picture is like.", "camera", "condition"
        )
        self.capture_fps = self._gauge(
            "camera_capture_fps", "Frames per second from the camera, over 10 s.", "camera"
        )
        self.inference_fps = self._gauge(
            "camera_inference_fps", "Inferred frames per second, over 10 s.", "camera"
        )
        self.target_fps = self._gauge(
            "camera_target_fps", "Inferred frames per second that the configuration asks for.", "camera"
        )
        self.frame_age = self._gauge(
            "camera_frame_age_seconds", "Age of the camera's newest frame.", "camera"
        )
        self.reconnects = self._counter(
            "camera_reconnects", "Captures that ended and are tried again.", "camera", "reason"
        )
        self.captured = self._counter("frames_captured", "Frames that arrived.", "camera")
        self.decoded = self._counter("frames_decoded", "Frames that were decoded.", "camera")
        self.frames_inferred = self._counter(
            "frames_inferred", "Frames that went through the model.", "camera"
        )
        self.dropped = self._counter(
            "frames_dropped",
            "Frames that did not: not_due (unwanted), overwritten (overload).",
            "camera",
            "reason",
        )
        self.detections = self._counter("detections", "Detections by label.", "camera", "label")
        self.objects = self._gauge("objects", "Confirmed objects in view now.", "camera", "label")
        self.capture_to_publish = self._histogram(
            "capture_to_publish_seconds",
            "From a frame's arrival to its result being published.",
            _LATENCY,
            "camera",
        )
        self.decode_cpu = self._counter("decode_cpu_seconds", "CPU time of capture and decoding.", "camera")

    def _define_engine_series(self) -> None:
        self.inference_seconds = self._histogram(
            "inference_seconds", "One batch: preparing, running, reading the boxes.", _INFERENCE
        )
        self.batch_size = self._histogram("batch_size", "Frames in a batch.", _BATCH)
        self.reload_successful = self._gauge(
            "config_last_reload_successful", "Whether the last reload of the configuration was taken over."
        )
        self.reload_time = self._gauge(
            "config_last_reload_success_timestamp_seconds", "Unix time of the last successful reload."
        )
        self.threads_abandoned = self._counter("capture_threads_abandoned", "Capture threads that hung.")

    def _define_sink_series(self) -> None:
        self.mqtt_connected = self._gauge("mqtt_connected", "Whether the broker is connected.")
        self.mqtt_published = self._counter("mqtt_published", "Messages given to the broker's connection.")
        self.mqtt_dropped = self._counter("mqtt_dropped", "Messages that were not published.", "reason")
        self.bus_dropped = self._counter("bus_dropped", "Messages that a slow sink lost.", "sink")
        for reason in ("disconnected", "slow_broker"):
            self.mqtt_dropped.labels(reason)

    def describe(self, *, model: str, engine: str) -> None:
        """Say what runs."""
        self._build.labels(__version__, model, engine).set(1)

    def add_camera(self, camera: str, labels: Iterable[str], target_fps: float) -> CameraMetrics:
        """Create a camera's series, all of them, at 0."""
        self._cameras[camera] = CameraMetrics(self, camera, labels, target_fps)
        return self._cameras[camera]

    def camera(self, camera: str) -> CameraMetrics | None:
        """Return the handles of a camera; nothing for one that has just gone."""
        return self._cameras.get(camera)

    def remove_camera(self, camera: str) -> None:
        """Remove a camera's series."""
        self._cameras.pop(camera).remove()

    def reloaded(self, *, successful: bool) -> None:
        """Note how a reload, or the first load, of the configuration ended."""
        self.reload_successful.set(successful)
        if successful:
            self.reload_time.set(time.time())

    def sink_dropped(self, sink: str) -> None:
        """Count a message that a slow sink lost."""
        self.bus_dropped.labels(sink).inc()

    def inferred(self, frames: int, seconds: float) -> None:
        """Count a batch."""
        self.inference_seconds.observe(seconds)
        self.batch_size.observe(frames)

    def render(self) -> bytes:
        """Return the exposition text, rates and ages brought up to date."""
        for camera in list(self._cameras.values()):
            camera.refresh()
        return generate_latest(self.registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        return Gauge(f"vigil_{name}", help_text, labels, registry=self.registry)

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        return Counter(f"vigil_{name}", help_text, labels, registry=self.registry)

    def _histogram(self, name: str, help_text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"vigil_{name}", help_text, labels, registry=self.registry, buckets=buckets)


class CameraMetrics:
    """One camera's series with their labels resolved, so that counting a frame costs microseconds."""

    def __init__(self, metrics: Metrics, camera: str, labels: Iterable[str], target_fps: float) -> None:
        self._metrics = metrics
        self._camera = camera
        self._captures = RateMeter()
        self._inferences = RateMeter()
        self._last_captured: float | None = None
        self._up = metrics.camera_up.labels(camera)
        self._states = {state: metrics.camera_state.labels(camera, state) for state in CameraState}
        self._conditions = {kind: metrics.camera_condition.labels(camera, kind) for kind in Condition}
        self._captured = metrics.captured.labels(camera)
        self._decoded = metrics.decoded.labels(camera)
        self._inferred = metrics.frames_inferred.labels(camera)
        self._decode_cpu = metrics.decode_cpu.labels(camera)
        self._latency = metrics.capture_to_publish.labels(camera)
        self._dropped = {reason: metrics.dropped.labels(camera, reason) for reason in OFFER_DROPS}
        self._reconnects = {reason: metrics.reconnects.labels(camera, reason) for reason in CAPTURE_FAILURES}
        self._detections: dict[str, Counter] = {}
        self._objects: dict[str, Gauge] = {}
        self.aim(labels, target_fps)
        self.refresh()

    def aim(self, labels: Iterable[str], target_fps: float) -> None:
        """Set what the camera reports and how often; labels that it reports no more lose their series."""
        metrics, camera = self._metrics, self._camera
        for gone in self._objects.keys() - set(labels):
            metrics.objects.remove(camera, topic_label(gone))
            metrics.detections.remove(camera, topic_label(gone))
        self._detections = {label: metrics.detections.labels(camera, topic_label(label)) for label in labels}
        self._objects = {label: metrics.objects.labels(camera, topic_label(label)) for label in labels}
        metrics.target_fps.labels(camera).set(target_fps)

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

    def decoded(self, captured_at: float, cpu_seconds: float) -> None:
        """Count a frame that arrived and was decoded."""
        self._captured.inc()
        self._decoded.inc()
        self._decode_cpu.inc(max(0.0, cpu_seconds))
        self._captures.add()
        self._last_captured = captured_at

    def dropped(self, reason: str) -> None:
        """Count a frame that will not be inferred."""
        self._dropped[reason].inc()

    def inferred(self, seen: Mapping[str, int], counts: Mapping[str, int]) -> None:
        """Count an inferred frame: detections by label, and the confirmed counts."""
        self._inferred.inc()
        self._inferences.add()
        # An inference that was under way when the labels changed may still know others.
        for label, number in seen.items():
            if label in self._detections:
                self._detections[label].inc(number)
        for label, number in counts.items():
            if label in self._objects:
                self._objects[label].set(number)

    def inferred_nothing(self) -> None:
        """Note that nobody is in view, because there is no view."""
        for gauge in self._objects.values():
            gauge.set(0)

    def published(self, captured_at: float) -> None:
        """Measure the way of a result from its frame's arrival to now."""
        self._latency.observe(max(0.0, time.time() - captured_at))

    def thread_abandoned(self) -> None:
        """Count a capture thread that would not end."""
        self._metrics.threads_abandoned.inc()

    def refresh(self) -> None:
        """Bring the gauges that depend on the time of day up to date."""
        self._metrics.capture_fps.labels(self._camera).set(self._captures.rate())
        self._metrics.inference_fps.labels(self._camera).set(self._inferences.rate())
        age = 0.0 if self._last_captured is None else max(0.0, time.time() - self._last_captured)
        self._metrics.frame_age.labels(self._camera).set(age)

    def remove(self) -> None:
        """Remove every series that carries this camera's label."""
        metrics = self._metrics
        for family in (
            metrics.camera_up,
            metrics.camera_state,
            metrics.camera_condition,
            metrics.capture_fps,
            metrics.inference_fps,
            metrics.target_fps,
            metrics.frame_age,
            metrics.reconnects,
            metrics.captured,
            metrics.decoded,
            metrics.frames_inferred,
            metrics.dropped,
            metrics.detections,
            metrics.objects,
            metrics.capture_to_publish,
            metrics.decode_cpu,
        ):
            family.remove_by_labels({"camera": self._camera})
