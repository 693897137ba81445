"""From boxes to results: confirmed counts, and nothing seen by a camera that is away."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import MODEL, PATIENCE, boxes, frame
from vigil.analytics.filters import class_filter
from vigil.analytics.pipeline import CameraPipeline, Pipelines
from vigil.config.model import DetectConfig
from vigil.core.types import Detections
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Result

PERSON, PHONE = (10, 20, 30, 40, 0.9, 0), (10, 20, 30, 40, 0.9, 2)


@pytest.fixture
def metrics() -> Metrics:
    """Return the daemon's series with the camera `a`."""
    metrics = Metrics()
    metrics.add_camera("a", ["person", "cell phone"], 5.0)
    return metrics


@pytest.fixture
def pipeline(metrics: Metrics) -> CameraPipeline:
    """Return the pipeline of the camera `a`, which reports people and phones."""
    detect = DetectConfig(classes=["person", "cell phone"])
    series = metrics.camera("a")
    assert series is not None
    return CameraPipeline(MODEL, class_filter("a", detect, 0.5, MODEL), series)


def seen(pipeline: CameraPipeline, people: int) -> int:
    """Show the pipeline so many people and return its confirmed count."""
    return pipeline.result(frame(), boxes(*[PERSON] * people)).counts["person"]


def gauge(metrics: Metrics, label: str) -> float | None:
    """Return what Prometheus is told of objects in view."""
    return metrics.registry.get_sample_value("vigil_objects", {"camera": "a", "label": label})


def test_result_tells_the_frame_and_what_was_found(pipeline: CameraPipeline) -> None:
    """A result carries the frame's identity and size, the filtered boxes, and a count for each label."""
    found = boxes(PERSON, (0, 0, 5, 5, 0.9, 1), (0, 0, 5, 5, 0.2, 0))
    result = pipeline.result(frame("a", 7, 123.5), found)
    assert (result.camera, result.seq, result.captured_at) == ("a", 7, 123.5)
    assert (result.width, result.height) == (1280, 720)
    assert result.detections.xyxy.tolist() == [[10, 20, 30, 40]]
    assert result.counts == {"person": 1, "cell phone": 0}


def test_single_miss_and_single_ghost_are_forgiven(pipeline: CameraPipeline) -> None:
    """A count is the median of three frames: one frame without, or with too many, changes nothing."""
    assert [seen(pipeline, people) for people in (1, 1, 0, 1, 3, 1, 1)] == [1, 1, 1, 1, 1, 1, 1]


def test_counts_follow_what_lasts(pipeline: CameraPipeline) -> None:
    """What is there or gone for two frames of three is told."""
    assert [seen(pipeline, people) for people in (0, 2, 2, 2, 0, 0)] == [0, 1, 2, 2, 2, 0]


def test_labels_are_counted_apart(pipeline: CameraPipeline) -> None:
    """People and phones have their own counts, and boxes keep the model's ids."""
    result = pipeline.result(frame(), boxes(PERSON, PERSON, PHONE))
    assert result.counts == {"person": 2, "cell phone": 1}


def test_latest_sight_is_kept_for_pictures(pipeline: CameraPipeline) -> None:
    """The latest frame and its reported boxes can be shown."""
    shown = frame()
    result = pipeline.result(shown, boxes(PERSON))
    sight = pipeline.sight
    assert sight is not None
    assert sight.frame is shown
    assert sight.detections is result.detections


def test_metrics_hear_of_every_inference(pipeline: CameraPipeline, metrics: Metrics) -> None:
    """Inferred frames and detections are counted, and the gauge shows the confirmed count."""
    pipeline.result(frame(), boxes(PERSON, PHONE))
    pipeline.result(frame(), boxes(PERSON))
    value = metrics.registry.get_sample_value
    assert value("vigil_frames_inferred_total", {"camera": "a"}) == 2
    assert value("vigil_detections_total", {"camera": "a", "label": "person"}) == 2
    assert value("vigil_detections_total", {"camera": "a", "label": "cell_phone"}) == 1
    assert (gauge(metrics, "person"), gauge(metrics, "cell_phone")) == (1, 0)


def test_camera_that_went_away_sees_nobody(pipeline: CameraPipeline, metrics: Metrics) -> None:
    """Forgetting zeroes counts and gauges and takes the picture away."""
    seen(pipeline, 2)
    pipeline.forget()
    assert pipeline.counts == {"person": 0, "cell phone": 0}
    assert pipeline.sight is None
    assert gauge(metrics, "person") == 0


def test_frame_in_flight_brings_nobody_back(pipeline: CameraPipeline, metrics: Metrics) -> None:
    """A frame that was waiting or being inferred when its camera went away changes nothing any more."""
    seen(pipeline, 2)
    pipeline.forget()
    seen(pipeline, 2)
    assert pipeline.counts == {"person": 0, "cell phone": 0}
    assert pipeline.sight is None
    assert gauge(metrics, "person") == 0


class Interrupted(deque[object]):
    """A window that another thread forgets right after a frame was added, unless something holds it off."""

    thread: threading.Thread

    def append(self, item: object, /) -> None:
        """Add `item`, and give the other thread every chance."""
        super().append(item)
        self.thread.start()
        self.thread.join(0.05)


def test_forgetting_may_come_at_any_moment(pipeline: CameraPipeline) -> None:
    """The loop's `forget` in the middle of a worker's `result` raises nothing: it would end the daemon."""
    window = Interrupted(maxlen=3)
    window.thread = threading.Thread(target=pipeline.forget)
    pipeline._recent = window  # type: ignore[assignment]  # a window all the same
    seen(pipeline, 1)
    window.thread.join(PATIENCE)
    assert pipeline.counts["person"] == 0


def test_batch_is_published_at_once(pipeline: CameraPipeline) -> None:
    """Results of one batch are published together, in order; a removed camera's frame is left out."""
    published: list[Sequence[Result]] = []
    pipelines = Pipelines(published.append)
    pipelines.add("a", pipeline)
    frames = [frame("a", 1), frame("gone", 2), frame("a", 3)]
    pipelines.handle(frames, [Detections.empty()] * 3)
    assert [[result.seq for result in batch] for batch in published] == [[1, 3]]
    assert pipelines.get("a") is pipeline
    pipelines.remove("a")
    pipelines.remove("a")
    assert pipelines.get("a") is None
