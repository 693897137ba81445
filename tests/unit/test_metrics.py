"""The Prometheus series: there from the start at 0, counted once, gone with their camera."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.fakes import PATIENCE, Clock, Gate, event
from vigil import __version__
from vigil.core.events import Crossings, EventType, Totals
from vigil.core.types import CameraHealth, CameraState, Condition, Loaded
from vigil.metrics import Metrics
from vigil.metrics.camera import CAPTURE_FAILURES, CameraMetrics, RateMeter

if TYPE_CHECKING:
    from prometheus_client.samples import Sample

COUNTED = {
    "vigil_camera_up",
    "vigil_camera_state",
    "vigil_camera_condition",
    "vigil_camera_capture_fps",
    "vigil_camera_inference_fps",
    "vigil_camera_frame_age_seconds",
    "vigil_camera_reconnects_total",
    "vigil_frames_captured_total",
    "vigil_frames_decoded_total",
    "vigil_frames_inferred_total",
    "vigil_frames_dropped_total",
    "vigil_detections_total",
    "vigil_objects",
    "vigil_events_total",
    "vigil_zone_objects",
    "vigil_line_crossings_total",
    "vigil_capture_to_publish_seconds_count",
    "vigil_decode_cpu_seconds_total",
    "vigil_camera_inference_seconds_total",
    "vigil_label_drift",
}


LABELLED = (
    "vigil_objects",
    "vigil_detections_total",
    "vigil_events_total",
    "vigil_zone_objects",
    "vigil_line_crossings_total",
)
NAMES = ("person", "car", "cell phone")
LIVE = CameraHealth("drive", CameraState.LIVE)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the metrics a clock that the test sets."""
    clock = Clock()
    monkeypatch.setattr("vigil.metrics.time", clock)
    monkeypatch.setattr("vigil.metrics.camera.time", clock)
    return clock


def added(metrics: Metrics, name: str, *labels: str) -> CameraMetrics:
    """Add a camera that reports these labels, asks for 5 inferences/s, and has a zone and a line."""
    camera = metrics.add_camera(name)
    aim(camera, *labels)
    return camera


def aim(camera: CameraMetrics, *labels: str, fps: float = 5.0, zone: str = "gate") -> None:
    """Set what a camera reports."""
    none = dict.fromkeys(labels, 0)
    camera.aim(fps, none, {zone: none}, Totals({"entry": dict.fromkeys(labels, Crossings())}))


def samples(metrics: Metrics) -> list[Sample]:
    """Return every sample of the exposition."""
    families = text_string_to_metric_families(metrics.render().decode())
    return [sample for family in families for sample in family.samples]


def of(metrics: Metrics, camera: str) -> dict[str, list[float]]:
    """Return a camera's values by series name."""
    found: dict[str, list[float]] = {}
    for sample in samples(metrics):
        if sample.labels.get("camera") == camera:
            found.setdefault(sample.name, []).append(sample.value)
    return found


def test_camera_has_its_series_from_the_start() -> None:
    """Every series of a camera exists at 0 before its first frame, and its target is told."""
    metrics = Metrics()
    added(metrics, "drive", "person", "cell phone")
    found = of(metrics, "drive")
    assert set(found) >= COUNTED
    assert all(value == 0 for name in COUNTED for value in found[name])
    assert found["vigil_camera_target_fps"] == [5]
    assert len(found["vigil_camera_reconnects_total"]) == len(CAPTURE_FAILURES)
    assert len(found["vigil_camera_state"]) == len(CameraState)
    assert len(found["vigil_camera_condition"]) == len(Condition)


def test_removed_camera_leaves_no_series() -> None:
    """After its removal nothing carries the camera's label, and the other one keeps all."""
    metrics = Metrics()
    for camera in ("drive", "door"):
        added(metrics, camera, "person")
    before = of(metrics, "door")
    metrics.remove_camera("drive")
    assert of(metrics, "drive") == {}
    assert set(of(metrics, "door")) == set(before)
    assert metrics.camera("drive") is None


def test_removed_camera_can_come_back_at_nought() -> None:
    """A camera that is added again starts counting anew."""
    metrics = Metrics()
    added(metrics, "drive", "person").captured(0.0)
    metrics.remove_camera("drive")
    added(metrics, "drive", "person")
    assert of(metrics, "drive")["vigil_frames_captured_total"] == [0]


async def test_nobody_waits_for_an_exposition(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop goes on while the text is made; whoever asks meanwhile gets one of their own, in turn."""
    metrics, gate, made = Metrics(), Gate(), list[threading.Thread]()

    def slowly(registry: CollectorRegistry) -> bytes:
        made.append(threading.current_thread())
        gate.pass_through()
        return generate_latest(registry)

    monkeypatch.setattr("vigil.metrics.generate_latest", slowly)
    first, second = (asyncio.ensure_future(metrics.exposition()) for _ in range(2))
    await asyncio.to_thread(gate.reached.wait, PATIENCE)
    metrics.saturation.set(0.5)
    assert (len(made), first.done()) == (1, False)
    gate.open()
    async with asyncio.timeout(PATIENCE):
        texts = await asyncio.gather(first, second)
    assert [b"vigil_saturation_ratio 0.5" in text for text in texts] == [True, True]
    assert threading.current_thread() not in made


def test_frames_are_counted(clock: Clock) -> None:
    """Frames that came, those decoded, their CPU time, drops, reconnects, detections and counts add up."""
    metrics = Metrics()
    camera = added(metrics, "drive", "person", "cell phone")
    for _ in range(3):
        camera.captured(clock.now)
        camera.decoded()
        camera.spent(0.25)
    camera.captured(clock.now)
    camera.spent(-1.0)
    camera.dropped("not_due")
    camera.reconnecting("stalled")
    camera.inferred([0, 0], NAMES)
    camera.told(
        {"person": 1, "cell phone": 0}, {"gate": {"person": 1, "cell phone": 0}}, [event(label="person")]
    )
    camera.health(LIVE)
    value = metrics.registry.get_sample_value
    drive = {"camera": "drive"}
    assert value("vigil_frames_captured_total", drive) == 4
    assert value("vigil_frames_decoded_total", drive) == 3
    assert value("vigil_decode_cpu_seconds_total", drive) == 0.75
    assert value("vigil_frames_dropped_total", {**drive, "reason": "not_due"}) == 1
    assert value("vigil_frames_dropped_total", {**drive, "reason": "overwritten"}) == 0
    assert value("vigil_camera_reconnects_total", {**drive, "reason": "stalled"}) == 1
    assert value("vigil_detections_total", {**drive, "label": "person"}) == 2
    assert value("vigil_objects", {**drive, "label": "person"}) == 1
    assert value("vigil_camera_up", drive) == 1
    assert value("vigil_zone_objects", {**drive, "zone": "gate", "label": "person"}) == 1
    assert value("vigil_events_total", {**drive, "label": "person"}) == 1


def test_ages_and_latencies_are_measured_from_capture(clock: Clock) -> None:
    """The newest frame's age and the way to publication count from its arrival, and are never negative."""
    metrics = Metrics()
    camera = added(metrics, "drive", "person")
    camera.captured(clock.now)
    clock.now += 2.5
    camera.published(clock.now - 0.2)
    camera.published(clock.now + 3)
    found = of(metrics, "drive")
    assert found["vigil_camera_frame_age_seconds"] == [2.5]
    assert found["vigil_capture_to_publish_seconds_sum"] == [pytest.approx(0.2)]
    assert found["vigil_capture_to_publish_seconds_count"] == [2]


def test_rate_is_that_of_the_last_ten_seconds(clock: Clock) -> None:
    """A camera's rate is right within seconds, and falls to nought ten seconds after its end."""
    meter = RateMeter(clock.monotonic)
    assert meter.rate() == 0
    for _ in range(20):
        clock.now += 0.2
        meter.add()
        meter.rate()
    assert meter.rate() == pytest.approx(5, rel=0.01)
    for _ in range(12):
        clock.now += 1
        meter.rate()
    assert meter.rate() == 0


def test_rate_does_not_depend_on_who_asks(clock: Clock) -> None:
    """A meter that is asked all the time and one that is never asked say the same."""
    asked, alone = RateMeter(clock.monotonic), RateMeter(clock.monotonic)
    for number in range(300):
        clock.now += 0.1 if number < 150 else 0.5
        for meter in (asked, alone):
            meter.add()
        asked.rate()
    assert asked.rate() == alone.rate() == pytest.approx(2, abs=0.11)


def test_rate_of_the_first_seconds_is_not_too_high(clock: Clock) -> None:
    """A camera that has just begun is measured over the time since, and one frame alone is no rate."""
    meter = RateMeter(clock.monotonic)
    meter.add()
    assert meter.rate() == 0
    clock.now += 0.5
    meter.add()
    assert meter.rate() == pytest.approx(2)


def test_rate_after_a_pause_begins_anew(clock: Clock) -> None:
    """The time without events does not count against a camera that came back."""
    meter = RateMeter(clock.monotonic)
    meter.add()
    clock.now += 100
    for _ in range(11):
        meter.add()
        clock.now += 0.1
    assert meter.rate() == pytest.approx(10 / 1.1)


def test_health_is_one_of_each_kind() -> None:
    """Exactly one state and one condition are 1, and `up` means live."""
    metrics = Metrics()
    camera = added(metrics, "drive", "person")

    def ones(family: str) -> list[str]:
        named = [sample for sample in samples(metrics) if sample.name == f"vigil_camera_{family}"]
        return [sample.labels[family] for sample in named if sample.value == 1]

    def up() -> float | None:
        return metrics.registry.get_sample_value("vigil_camera_up", {"camera": "drive"})

    assert (ones("state"), ones("condition"), up()) == ([], [], 0)
    camera.health(CameraHealth("drive", CameraState.LIVE, condition=Condition.FROZEN))
    assert (ones("state"), ones("condition"), up()) == (["live"], ["frozen"], 1)
    camera.health(CameraHealth("drive", CameraState.STALLED, "stalled"))
    assert (ones("state"), ones("condition"), up()) == (["stalled"], ["ok"], 0)


def labels_of(metrics: Metrics, name: str) -> set[str]:
    """Return the labels that a family has series for."""
    return {sample.labels["label"] for sample in samples(metrics) if sample.name == name}


def test_labels_follow_the_configuration() -> None:
    """A label that is reported no more loses its series, a new one starts at 0, the others go on counting."""
    metrics = Metrics()
    camera = added(metrics, "drive", "person", "cell phone")
    camera.inferred([0, 0, 2], NAMES)
    aim(camera, "person", "car", fps=2.0, zone="door")
    for name in LABELLED:
        assert labels_of(metrics, name) == {"person", "car"}
    zones = {sample.labels["zone"] for sample in samples(metrics) if sample.name == "vigil_zone_objects"}
    assert zones == {"door"}
    value = metrics.registry.get_sample_value
    assert value("vigil_detections_total", {"camera": "drive", "label": "person"}) == 2
    assert value("vigil_detections_total", {"camera": "drive", "label": "car"}) == 0
    assert value("vigil_camera_target_fps", {"camera": "drive"}) == 2


def test_inference_that_was_under_way_survives_new_labels() -> None:
    """A worker that still counts a label that has just gone raises nothing: it would end the daemon."""
    metrics = Metrics()
    camera = added(metrics, "drive", "person", "car")
    aim(camera, "person")
    camera.inferred([0, 1], NAMES)
    both = {"person": 1, "car": 1}
    camera.told(both, {"gate": both, "gone": both}, [event(label="person"), event(label="car")])
    assert metrics.registry.get_sample_value("vigil_objects", {"camera": "drive", "label": "person"}) == 1
    assert labels_of(metrics, "vigil_objects") == {"person"}


def test_events_are_counted_when_they_begin() -> None:
    """Updates and ends of an event count nothing more."""
    metrics = Metrics()
    camera = added(metrics, "drive", "person")
    for kind in EventType:
        camera.told({}, {}, [event(kind)])
    assert (
        metrics.registry.get_sample_value("vigil_events_total", {"camera": "drive", "label": "person"}) == 1
    )


def test_crossings_count_from_where_the_totals_stood() -> None:
    """What was kept from before the start is no crossing of now; each later one counts in its direction."""
    metrics = Metrics()
    camera = metrics.add_camera("drive")
    camera.aim(5.0, {"person": 0}, {}, Totals({"entry": {"person": Crossings(100, 50)}}))
    way = {"camera": "drive", "line": "entry", "label": "person"}

    def counted() -> tuple[float | None, float | None]:
        value = metrics.registry.get_sample_value
        name = "vigil_line_crossings_total"
        return value(name, {**way, "direction": "in"}), value(name, {**way, "direction": "out"})

    assert counted() == (0, 0)
    camera.crossed(Totals({"entry": {"person": Crossings(102, 51)}}))
    assert counted() == (2, 1)


def test_reload_is_told(clock: Clock) -> None:
    """A reload's outcome shows at once; the time is that of the last good one."""
    metrics = Metrics()
    value = metrics.registry.get_sample_value
    metrics.reloaded(successful=True)
    good = clock.now
    clock.now += 5
    assert value("vigil_config_last_reload_successful") == 1
    metrics.reloaded(successful=False)
    assert value("vigil_config_last_reload_successful") == 0
    assert value("vigil_config_last_reload_success_timestamp_seconds") == good


def test_nothing_is_exported_twice() -> None:
    """No two samples have the same name and labels, and the process tells about itself."""
    metrics = Metrics()
    metrics.describe([Loaded("yolo11n", "onnxruntime cpu", "measured")])
    added(metrics, "drive", "person")
    metrics.inferred(4, 0.02, ["drive"])
    metrics.sink_dropped("mqtt")
    keys = [(sample.name, frozenset(sample.labels.items())) for sample in samples(metrics)]
    assert len(keys) == len(set(keys))
    names = {name for name, _ in keys}
    assert {"process_cpu_seconds_total", "vigil_batch_size_count", "vigil_mqtt_dropped_total"} <= names
    about = {"version": __version__, "model": "yolo11n", "engine": "onnxruntime cpu"}
    assert metrics.registry.get_sample_value("vigil_build_info", about) == 1
    assert metrics.registry.get_sample_value("vigil_bus_dropped_total", {"sink": "mqtt"}) == 1


def everything() -> Metrics:
    """Return the metrics of a daemon with two cameras that saw everything there is."""
    metrics = Metrics()
    metrics.describe([Loaded("yolo11n", "onnxruntime cpu", "measured")])
    metrics.engine_failures.labels("cpu")
    metrics.reloaded(successful=True)
    for name in ("drive", "door"):
        camera = added(metrics, name, "person")
        camera.health(LIVE)
        camera.captured(0.0)
        camera.decoded()
        camera.spent(0.01)
        camera.inferred([0], NAMES)
        camera.told({"person": 1}, {"gate": {"person": 1}}, [event(label="person")])
        camera.crossed(Totals({"entry": {"person": Crossings(1, 0)}}))
        camera.published(0.0)
    metrics.inferred(2, 0.1, ["drive", "door"])
    return metrics


def test_every_family_has_a_series_from_the_start() -> None:
    """Before anything happens each family of vigil has help and a sample; all counters stand at 0."""
    metrics = Metrics()
    metrics.describe([Loaded("yolo11n", "onnxruntime cpu", "measured")])
    metrics.engine_failures.labels("cpu")  # the inference loop's, whose devices are known to it
    added(metrics, "drive", "person")
    text = metrics.render().decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    for family in metrics.families:
        found = families[family.name.removesuffix("_total")]
        assert found.documentation == family.meaning
        assert found.type == family.kind
        assert found.samples, family.name
        if family.kind != "gauge":
            assert {sample.value for sample in found.samples} == {0}


PROMISED = """
build_info camera_up camera_capture_fps camera_inference_fps camera_frame_age_seconds
camera_reconnects_total frames_captured_total frames_decoded_total frames_inferred_total frames_dropped_total
detections_total objects zone_objects line_crossings_total events_total inference_seconds batch_size
capture_to_publish_seconds decode_cpu_seconds_total saturation_ratio label_drift mqtt_connected
mqtt_published_total mqtt_dropped_total outbox_pending config_last_reload_successful
config_last_reload_success_timestamp_seconds
"""


def test_every_promised_series_is_defined() -> None:
    """What the design names is there, under the prefix and with the camera's label where it is a camera's."""
    families = {family.name: family for family in Metrics().families}
    assert {f"vigil_{name}" for name in PROMISED.split()} <= families.keys()
    assert all(re.fullmatch(r"vigil_[a-z_]+", name) for name in families)


def test_what_waits_and_is_given_up_is_defined() -> None:
    """The outbox's series stand at 0 before there is an outbox, one for each reason."""
    value = Metrics().registry.get_sample_value
    assert value("vigil_outbox_pending") == 0
    assert [value("vigil_outbox_dropped_total", {"reason": reason}) for reason in ("size", "age")] == [0, 0]
    assert value("vigil_bus_dropped_total", {"sink": "mqtt"}) == 0


def test_a_batch_costs_its_cameras_their_share() -> None:
    """A worker's time is divided by the frames of its batch; an upload's share is no camera's."""
    metrics = Metrics()
    for name in ("drive", "door"):
        added(metrics, name, "person")
    metrics.inferred(4, 0.2, ["drive", "door", "gone"])
    value = metrics.registry.get_sample_value
    costs = [value("vigil_camera_inference_seconds_total", {"camera": name}) for name in ("drive", "door")]
    assert costs == [pytest.approx(0.05)] * 2
    assert value("vigil_inference_seconds_sum") == 0.2


def test_drift_is_brought_up_to_date_when_asked(clock: Clock) -> None:
    """A mix that differs from the habit shows in the next scrape."""
    metrics = Metrics()
    camera = added(metrics, "drive", "person", "car")
    for day in range(20):
        camera.inferred([0] * 5000 if day < 18 else [1] * 5000, NAMES)
        clock.now += 24 * 3600
        metrics.render()
    [drift] = of(metrics, "drive")["vigil_label_drift"]
    assert 0.3 < drift <= 1


def test_what_happens_once_counts_once() -> None:
    """A frame, a detection, an event and a crossing add 1 to one series, however often somebody scrapes."""
    metrics = everything()
    for _ in range(3):
        metrics.render()
    totals: dict[str, float] = {}
    for sample in samples(metrics):
        if sample.name.startswith("vigil_") and sample.name.endswith(("_total", "_count")):
            totals[sample.name] = totals.get(sample.name, 0) + sample.value
    happened = {
        "vigil_frames_captured_total": 2,
        "vigil_frames_decoded_total": 2,
        "vigil_frames_inferred_total": 2,
        "vigil_detections_total": 2,
        "vigil_events_total": 2,
        "vigil_line_crossings_total": 2,
        "vigil_capture_to_publish_seconds_count": 2,
        "vigil_inference_seconds_count": 1,
        "vigil_batch_size_count": 1,
        "vigil_decode_cpu_seconds_total": 0.02,
        "vigil_camera_inference_seconds_total": 0.1,
    }
    assert {name: value for name, value in totals.items() if value} == pytest.approx(happened)


def test_no_value_is_told_by_two_names() -> None:
    """No two families have the same name or the same meaning (Frigate tells some values twice)."""
    families = Metrics().families
    assert len({family.name for family in families}) == len(families)
    assert len({family.meaning for family in families}) == len(families)


def test_no_series_names_a_process() -> None:
    """A restart continues every series: no label holds what each process has anew (Frigate's `pid`)."""
    labels = {name for family in Metrics().families for name in family.labels}
    assert not {name for name in labels if re.search("pid|process|thread|cmdline|port|session", name)}
    first, second = everything(), everything()
    keys = [
        {(sample.name, frozenset(sample.labels.items())) for sample in samples(each)}
        for each in (first, second)
    ]
    assert keys[0] == keys[1]


def test_a_camera_has_one_label_name() -> None:
    """Whatever belongs to a camera calls it `camera`, everywhere (Frigate has `camera_name` beside it)."""
    names = {"drive", "door"}
    for sample in samples(everything()):
        assert {label for label, value in sample.labels.items() if value in names} <= {"camera"}
    for family in Metrics().families:
        assert family.name.startswith("vigil_camera_") <= ("camera" in family.labels)
        assert [label for label in family.labels if label.startswith("camera")] in ([], ["camera"])


def test_counters_never_fall() -> None:
    """No counter is a number of rows: when objects, events and other cameras go, none falls."""
    metrics = everything()

    def counters() -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(metrics.render().decode())
            if family.type == "counter"
            for sample in family.samples
            if sample.labels.get("camera") != "door" and sample.name.startswith("vigil_")
        }

    before = counters()
    drive = metrics.camera("drive")
    assert drive is not None
    drive.told({"person": 0}, {"gate": {"person": 0}}, [event(EventType.END, label="person")])
    drive.crossed(Totals({"entry": {"person": Crossings()}}))
    drive.health(CameraHealth("drive", CameraState.OFFLINE, "refused"))
    aim(drive, "person")
    metrics.remove_camera("door")
    after = counters()
    assert after.keys() == before.keys()
    assert all(after[key] >= before[key] for key in before)
    assert any(value > 0 for value in before.values())
