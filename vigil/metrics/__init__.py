"""Every Prometheus series of vigil, in one injected object; hot-path handles are looked up once per camera.

Counters count, nothing is exported twice, a camera's series exist from its start with value 0 and go when
the camera goes.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

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
from vigil.aio.threads import call_in_thread
from vigil.metrics.camera import CameraMetrics

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vigil.core.types import Loaded

_Series = TypeVar("_Series", Counter, Gauge, Histogram)

_LATENCY = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.35, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0)
_INFERENCE = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5)
_BATCH = (1, 2, 4, 8, 16, 32, 64)

MQTT_DROPS = ("disconnected", "slow_broker", "refused")
OUTBOX_DROPS = ("size", "age")
"""Why an event that waits for the broker is given up: too many wait, or it has waited too long."""
SNAPSHOT_DROPS = ("busy", "unreadable")
SINKS = ("mqtt",)
"""Who listens to the bus."""


@dataclass(frozen=True, slots=True)
class Family:
    """What Prometheus is told of a name: all series that differ by their labels only."""

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


class Metrics:
    """The daemon's series; one per process, handed to whoever counts."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        # A creation time beside every counter would be a quarter of the series.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # not annotated in the library
        self.registry = registry or CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self.families: list[Family] = []
        """Every family that vigil defines, in full names."""
        self._exposing = asyncio.Lock()
        self.of_cameras: list[Counter | Gauge | Histogram] = []
        """Those whose series go with their camera."""
        self._cameras: dict[str, CameraMetrics] = {}
        self._build = self._gauge(
            "build_info", "Version, model and engine; the value is always 1.", "version", "model", "engine"
        )
        self._define_camera_series()
        self._define_engine_series()
        self._define_sink_series()

    def _define_camera_series(self) -> None:
        # As long as there are series: a list, nothing to follow.
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
        self.decode_mode = self._gauge(
            "camera_decode_mode", "1 for how much of the camera's stream is decoded.", "camera", "mode"
        )
        self.wakes = self._counter(
            "camera_wakes", "Ends of a rest, after which all is decoded again.", "camera", "cause"
        )
        self.frames_inferred = self._counter(
            "frames_inferred", "Frames that went through the model.", "camera"
        )
        self.dropped = self._counter(
            "frames_dropped",
            "Frames that did not: not_due (unwanted), quiet (nothing moves), overwritten (overload), faults.",
            "camera",
            "reason",
        )
        self.detections = self._counter("detections", "Detections by label.", "camera", "label")
        self.objects = self._gauge("objects", "Confirmed objects in view now.", "camera", "label")
        self.events = self._counter("events", "Events that began, by label.", "camera", "label")
        self.zone_objects = self._gauge(
            "zone_objects", "Confirmed objects in a zone now.", "camera", "zone", "label"
        )
        self.line_crossings = self._counter(
            "line_crossings", "Objects that crossed a line.", "camera", "line", "label", "direction"
        )
        self.snapshots_taken = self._counter("snapshots_taken", "Pictures taken of events.", "camera")
        self.capture_to_publish = self._histogram(
            "capture_to_publish_seconds",
            "From a frame's arrival to its result being published.",
            _LATENCY,
            "camera",
        )
        self.decode_cpu = self._counter("decode_cpu_seconds", "CPU time of capture and decoding.", "camera")
        self.inference_time = self._counter(
            "camera_inference_seconds",
            "Time of engine workers; a batch's is divided by its frames.",
            "camera",
        )
        self.label_drift = self._gauge(
            "label_drift",
            "How far the mix of labels over a day is from that over two weeks, 0 to 1 (Jensen-Shannon).",
            "camera",
        )

    def _define_engine_series(self) -> None:
        self.inference_seconds = self._histogram(
            "inference_seconds", "One batch: preparing, running, reading the boxes.", _INFERENCE
        )
        self.batch_size = self._histogram("batch_size", "Frames in a batch.", _BATCH)
        self.saturation = self._gauge(
            "saturation_ratio", "Engine time that cameras ask for over what there is; over 1 they get less."
        )
        self.packed_frames = self._counter(
            "packed_frames",
            "Frames that may be looked at in parts: whole, parts, or unlooked (nothing to look at).",
            "how",
        )
        self.canvases_run = self._counter("canvases", "Inputs made of parts of several frames.")
        self.canvas_size = self._counter("canvas_size", "How large canvases were, in whole inputs.")
        self.canvas_area = self._counter("canvas_area", "How much of canvases was filled, in whole inputs.")
        self.boxes_cut = self._counter("packed_boxes_cut", "Boxes that the edge of a part has cut.")
        for how in ("whole", "parts", "unlooked"):
            self.packed_frames.labels(how)
        self.engine_failures = self._counter(
            "engine_failures", "Engines that failed and were started again.", "device"
        )
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
        self.snapshots_dropped = self._counter(
            "snapshots_dropped", "Views of events of which no picture was made.", "reason"
        )
        self.outbox_pending = self._gauge("outbox_pending", "Events that wait for the broker.")
        self.outbox_dropped = self._counter(
            "outbox_dropped", "Events given up: too many waited (size), or for too long (age).", "reason"
        )
        for reason in SNAPSHOT_DROPS:
            self.snapshots_dropped.labels(reason)
        for reason in MQTT_DROPS:
            self.mqtt_dropped.labels(reason)
        for reason in OUTBOX_DROPS:
            self.outbox_dropped.labels(reason)
        for sink in SINKS:
            self.bus_dropped.labels(sink)

    def describe(self, loaded: Iterable[Loaded]) -> None:
        """Say what runs: a series per model."""
        for each in loaded:
            self._build.labels(__version__, each.model, each.engine).set(1)

    def add_camera(self, camera: str) -> CameraMetrics:
        """Create a camera's series at 0; `CameraMetrics.aim` adds those of what it reports."""
        self._cameras[camera] = CameraMetrics(self, camera)
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

    def inferred(self, frames: int, seconds: float, cameras: Iterable[str] = ()) -> None:
        """Count a batch; `cameras` are those whose frames were in it."""
        self.inference_seconds.observe(seconds)
        self.batch_size.observe(frames)
        for camera in cameras:
            if (series := self._cameras.get(camera)) is not None:
                series.took(seconds / frames)

    def packed(self, how: str, cut: int) -> None:
        """Count a frame that may be looked at in parts, and its boxes that were cut."""
        self.packed_frames.labels(how).inc()
        self.boxes_cut.inc(cut)

    def canvases(self, sizes: Sequence[float], filled: Sequence[float]) -> None:
        """Count canvases: how large each is and how much of it is filled, in whole inputs."""
        self.canvases_run.inc(len(sizes))
        self.canvas_size.inc(sum(sizes))
        self.canvas_area.inc(sum(filled))

    def render(self) -> bytes:
        """Return the exposition text, rates and ages brought up to date."""
        self._refresh()
        return generate_latest(self.registry)

    async def exposition(self) -> bytes:
        """Return the same, made in a thread: for many cameras it takes longer than results may wait."""
        async with self._exposing:
            self._refresh()
            return await call_in_thread(partial(generate_latest, self.registry), name="exposition")

    def _refresh(self) -> None:
        for camera in list(self._cameras.values()):
            camera.refresh()

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        series = Gauge(f"vigil_{name}", meaning, labels, registry=self.registry)
        return self._defined(series, Family(f"vigil_{name}", "gauge", labels, meaning))

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        series = Counter(f"vigil_{name}", meaning, labels, registry=self.registry)
        return self._defined(series, Family(f"vigil_{name}_total", "counter", labels, meaning))

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        series = Histogram(f"vigil_{name}", meaning, labels, registry=self.registry, buckets=buckets)
        return self._defined(series, Family(f"vigil_{name}", "histogram", labels, meaning, buckets))

    def _defined(self, series: _Series, family: Family) -> _Series:
        self.families.append(family)
        if "camera" in family.labels:
            self.of_cameras.append(series)
        return series
