"""One exposition of several processes: valid, nothing twice, nothing summed that is no sum."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from vigil.core.types import CameraHealth, CameraState
from vigil.metrics import Metrics
from vigil.shards.exposition import Merger


class Sides:
    """A front and two shards with a camera each."""

    def __init__(self) -> None:
        self.front, self.shards = Metrics(), {0: Metrics(), 1: Metrics()}
        for number, camera in enumerate("ab"):
            self.front.add_camera(camera)
            self.shards[number].add_camera(camera)
        self.merger = Merger()

    def merged(self, *, without: int | None = None) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Return every series of the merged exposition, which must be one that Prometheus would take."""
        texts = {n: each.render().decode() for n, each in self.shards.items() if n != without}
        away = ["ab"[without]] if without is not None else []
        text = self.merger.merge(self.front.render().decode(), texts, away)
        found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
        names: set[str] = set()
        for family in text_string_to_metric_families(text):
            assert family.name not in names, "a family comes once"
            names.add(family.name)
            for sample in family.samples:
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in found, "a series comes once"
                found[key] = sample.value
        return found

    def value(self, name: str, *, without: int | None = None, **labels: str) -> float | None:
        """Return one series."""
        return self.merged(without=without).get((f"vigil_{name}", tuple(sorted(labels.items()))))


def test_same_series_as_one_process() -> None:
    """Neither more nor fewer series than one process has of the same cameras."""
    one = Metrics()
    for camera in "ab":
        one.add_camera(camera)
    sides = Sides()
    found = {name for name, _ in sides.merged()}
    alone = {sample.name for family in one.registry.collect() for sample in family.samples}
    assert found == alone


def test_cameras_are_those_of_their_shards() -> None:
    """A camera's series are its shard's; the time to publication, which the front knows, is the front's."""
    sides = Sides()
    for number, camera in enumerate("ab"):
        series = sides.shards[number].camera(camera)
        assert series is not None
        series.health(CameraHealth(camera, CameraState.LIVE))
        for _ in range(number + 2):
            series.decoded()
        mine = sides.front.camera(camera)
        assert mine is not None
        mine.published(0.0)
    assert sides.value("frames_decoded_total", camera="a") == 2
    assert sides.value("frames_decoded_total", camera="b") == 3
    assert sides.value("camera_up", camera="b") == 1
    assert sides.value("capture_to_publish_seconds_count", camera="a") == 1


def test_whole_processes_are_summed_and_the_fullest_engine_is_told() -> None:
    """Counters, histograms and what processes take are sums; saturation, a ratio, is the highest."""
    sides = Sides()
    sides.shards[0].saturation.set(0.5)
    sides.shards[1].saturation.set(1.5)
    sides.shards[0].inferred(1, 0.01)
    sides.shards[1].inferred(4, 0.2)
    sides.front.mqtt_published.inc(7)
    sides.front.mqtt_connected.set(1)
    assert sides.value("saturation_ratio") == 1.5
    assert sides.value("inference_seconds_count") == 2
    assert sides.value("batch_size_bucket", le="1.0") == 1
    assert sides.value("batch_size_bucket", le="4.0") == 2
    assert sides.value("mqtt_published_total") == 7
    assert sides.value("mqtt_connected") == 1
    every = sides.merged()
    own = sides.front.registry.get_sample_value("process_cpu_seconds_total")
    start = sides.front.registry.get_sample_value("process_start_time_seconds")
    assert own is not None
    assert every["process_cpu_seconds_total", ()] > 2 * own
    assert every["process_start_time_seconds", ()] == start


def test_counters_do_not_fall_when_a_shard_dies() -> None:
    """What a dead process had counted stays in the sums, whoever comes after it."""
    sides = Sides()
    sides.shards[0].inferred(1, 0.01)
    sides.shards[1].inferred(1, 0.01)
    sides.shards[1].engine_failures.labels("cuda:0").inc()
    assert sides.value("inference_seconds_count") == 2
    assert sides.value("inference_seconds_count", without=1) == 2
    sides.merger.died(1)
    assert sides.value("inference_seconds_count", without=1) == 2
    assert sides.value("engine_failures_total", without=1, device="cuda:0") == 1
    sides.shards[1] = Metrics()
    sides.shards[1].add_camera("b")
    sides.shards[1].inferred(1, 0.01)
    assert sides.value("inference_seconds_count") == 3
    assert sides.value("inference_seconds_count") == 3
    sides.merger.died(1)
    assert sides.value("inference_seconds_count", without=1) == 3


def test_cameras_of_a_dead_shard_are_down() -> None:
    """A camera that nobody watches keeps its series, and is not up."""
    sides = Sides()
    series = sides.front.camera("b")
    assert series is not None
    series.health(CameraHealth("b", CameraState.OFFLINE, "crashed"))
    assert sides.value("camera_up", without=1, camera="b") == 0
    assert sides.value("camera_state", without=1, camera="b", state="offline") == 1
    assert sides.value("camera_up", without=1, camera="a") == 0
