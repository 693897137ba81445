"""From boxes to results and events: a camera's own trouble, and nothing seen by a camera that is away."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.fakes import MODEL, PATIENCE, boxes, frame
from vigil.analytics import association, tracker
from vigil.analytics.association import CameraSettings
from vigil.analytics.filters import class_filter
from vigil.analytics.pipeline import CameraPipeline, Pipelines
from vigil.analytics.scene import Rules, Scene
from vigil.config.analytics import LineConfig, TrackingConfig, ZoneConfig
from vigil.config.model import DetectConfig
from vigil.core.events import Crossings, Event, EventType, Totals
from vigil.core.types import UNTRACKED, Detections, Result
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vigil.core.types import BusMessage, Float32, Frame

LEFT = ZoneConfig.model_validate({"polygon": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]], "inertia": "0s"})
MIDDLE = LineConfig.model_validate({"from": [0.5, 1], "to": [0.5, 0]})
RULES = Rules(TrackingConfig(), {"left": LEFT}, {"middle": MIDDLE})


def person(x: float, confidence: float = 0.9) -> tuple[float, float, float, float, float, int]:
    """Return a person whose feet are at `x` of 1280 pixels."""
    return (x - 30, 200, x + 30, 400, confidence, 0)


class Watcher:
    """Notes what inferred frames showed."""

    def __init__(self) -> None:
        self.active: list[bool] = []

    def inferred(self, frame: Frame, *, active: bool) -> None:
        """Note it."""
        assert frame.camera
        self.active.append(active)

    def moved(self) -> Float32 | None:
        """Return that nothing did."""
        return np.empty((0, 4), np.float32)


class House:
    """Pipelines with the cameras `a` and `b`, and all that they published."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.published: list[Sequence[BusMessage]] = []
        self.pipelines = Pipelines(self.published.append)
        self.watchers = {name: Watcher() for name in "ab"}
        for name in "ab":
            self.add(name)

    def add(self, name: str, totals: Totals | None = None, **detect: Any) -> CameraPipeline:
        """Give a camera a new pipeline."""
        wanted = class_filter(
            name, DetectConfig(**{"classes": ["person", "cell phone"], **detect}), 0.5, MODEL
        )
        series = self.metrics.camera(name) or self.metrics.add_camera(name)
        bits = random.Random(name).getrandbits  # noqa: S311 -- the same ids in each run
        pipeline = CameraPipeline(name, MODEL, wanted, RULES, series, bits, totals)
        state = pipeline.state
        series.aim(5.0, state.counts, state.zones, state.totals)
        self.pipelines.add(name, pipeline, self.watchers[name])
        return pipeline

    def show(self, camera: str, at: float, *rows: tuple[float, ...]) -> Sequence[BusMessage]:
        """Have one frame of a camera handled and return what was published."""
        self.pipelines.handle([frame(camera, round(at * 10), at)], [boxes(*rows)])  # type: ignore[arg-type]  # rows of six
        return self.published[-1]

    def stand(self, camera: str, x: float, *, since: float = 0.0, frames: int = 5) -> Sequence[BusMessage]:
        """Show a person who stands at `x` for some frames; returns all that was published."""
        told: list[BusMessage] = []
        for number in range(frames):
            told += self.show(camera, since + number * 0.2, person(x))
        return told

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.metrics.registry.get_sample_value(f"vigil_{name}", labels)

    def pipeline(self, camera: str) -> CameraPipeline:
        """Return a camera's pipeline."""
        found = self.pipelines.get(camera)
        assert found is not None
        return found


@pytest.fixture
def house() -> House:
    """Return two cameras that report people and phones, with a zone and a line each."""
    return House()


def results(told: Sequence[BusMessage]) -> list[Result]:
    """Return the results among messages."""
    return [message for message in told if isinstance(message, Result)]


def events(told: Sequence[BusMessage]) -> list[Event]:
    """Return the events among messages."""
    return [message for message in told if isinstance(message, Event)]


def test_result_tells_the_frame_and_what_was_found(house: House) -> None:
    """A result has the frame's identity and size, the wanted and confident boxes, and a count per label."""
    (result,) = results(house.show("a", 12.5, person(100), (0, 0, 5, 5, 0.9, 1), person(600, 0.2)))
    assert (result.camera, result.seq, result.captured_at) == ("a", 125, 12.5)
    assert (result.width, result.height, result.model) == (1280, 720, MODEL)
    assert result.detections.xyxy.tolist() == [[70, 200, 130, 400]]
    assert result.counts == {"person": 0, "cell phone": 0}


def test_somebody_who_stays_is_counted_and_told_once(house: House) -> None:
    """Three detections make an object: it counts, in its zone as well, and one event begins."""
    told = house.stand("a", 200)
    assert [result.counts["person"] for result in results(told)] == [0, 0, 1, 1, 1]
    assert results(told)[-1].zones == {"left": {"person": 1, "cell phone": 0}}
    assert [event.type for event in events(told) if event.type is EventType.NEW] == [EventType.NEW]
    assert house.value("objects", camera="a", label="person") == 1
    assert house.value("zone_objects", camera="a", zone="left", label="person") == 1
    assert house.value("events_total", camera="a", label="person") == 1


def test_detections_say_whose_they_are(house: House) -> None:
    """Boxes carry their track's id, the same over time, and the zones of their object."""
    told = results(house.stand("a", 200))
    ids = {int(result.detections.tracker_id[0]) for result in told}
    assert len(ids) == 1
    assert UNTRACKED not in ids
    assert told[-1].detection_zones == [("left",)]


def test_weak_boxes_keep_a_track_and_are_not_reported(house: House) -> None:
    """What is seen faintly goes on being counted, while its box is left out."""
    house.stand("a", 200)
    (result,) = results(house.show("a", 1.0, person(200, 0.2)))
    assert len(result.detections) == 0
    assert result.counts["person"] == 1
    assert result.detection_zones == []


def test_single_ghost_is_nobody(house: House) -> None:
    """A box of one frame makes neither a count nor an event."""
    told = [*house.show("a", 0.0, person(200)), *house.show("a", 0.2), *house.show("a", 0.4)]
    assert [result.counts["person"] for result in results(told)] == [0, 0, 0]
    assert events(told) == []


def test_threshold_of_the_user_is_the_trackers(house: House) -> None:
    """A camera that is content with less has tracks begin with less; one that wants more does not."""
    content = house.add("a", confidence=0.25).tracker_settings
    assert content == CameraSettings(0.25, 0.25, 3.0)
    assert house.add("a", confidence=0.9).tracker_settings == CameraSettings(0.5, 0.6, 3.0)
    assert house.add("b", confidence=0.3).class_filter.tracking_floor == 0.1


def test_crossings_add_up_and_go_on(house: House) -> None:
    """A line's totals count on from what was kept, and the metric counts what is new only."""
    house.add("a", Totals({"middle": {"person": Crossings(7, 2)}}))
    for number in range(20):
        told = house.show("a", number * 0.2, person(300 + 40 * number))
    (result,) = results(told)
    crossed = result.totals.lines["middle"]["person"]
    assert {crossed.inwards - 7, crossed.outwards - 2} == {0, 1}
    way = {"camera": "a", "line": "middle", "label": "person"}
    assert house.value("line_crossings_total", **way, direction="in") == crossed.inwards - 7
    assert house.value("line_crossings_total", **way, direction="out") == crossed.outwards - 2


def test_latest_sight_is_kept_for_pictures(house: House) -> None:
    """The latest frame and its reported boxes can be shown."""
    (result,) = results(house.show("a", 1.0, person(200)))
    sight = house.pipeline("a").sight
    assert sight is not None
    assert (sight.frame.seq, sight.model) == (10, MODEL)
    assert sight.detections is result.detections


def test_camera_that_went_away_ends_its_events_and_sees_nobody(house: House) -> None:
    """Forgetting ends each event once and zeroes counts and gauges; totals stay, the picture goes."""
    house.add("a", Totals({"middle": {"person": Crossings(7, 2)}}))
    house.stand("a", 200)
    (ended,) = house.pipelines.forget("a", 5.0)
    assert ended.type is EventType.END
    assert not house.pipelines.forget("a", 6.0)
    pipeline = house.pipeline("a")
    assert pipeline.counts == {"person": 0, "cell phone": 0}
    assert pipeline.state.zones == {"left": {"person": 0, "cell phone": 0}}
    assert pipeline.state.totals.lines["middle"]["person"] == Crossings(7, 2)
    assert pipeline.sight is None
    assert house.value("objects", camera="a", label="person") == 0
    assert house.value("zone_objects", camera="a", zone="left", label="person") == 0


def test_frame_in_flight_brings_nobody_back(house: House) -> None:
    """Frames that were being inferred when their camera went away are told to nobody."""
    house.pipelines.forget("a", 0.0)
    assert house.stand("a", 200) == []
    assert house.pipeline("a").sight is None
    house.pipeline("a").resume()
    assert events(house.stand("a", 200, since=10.0))


def test_one_cameras_mistake_is_its_own(
    house: House, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in a camera's scene ends its events, forgets its objects and leaves the others alone."""
    house.stand("a", 200)
    update = Scene.update

    def fail(scene: Scene, *given: Any) -> Any:
        if given[0] == 9.0:
            raise ZeroDivisionError
        return update(scene, *given)

    monkeypatch.setattr(Scene, "update", fail)
    frames = [frame("a", 1, 9.0), frame("b", 2, 9.1)]
    house.pipelines.handle(frames, [boxes(person(200)), boxes(person(100))])
    told = house.published[-1]
    assert [event.type for event in events(told)] == [EventType.END]
    assert [result.camera for result in results(told)] == ["b"]
    assert "a: its objects are forgotten because of an error" in caplog.text
    assert results(house.show("a", 10.0, person(200)))[0].counts["person"] == 0


def unknown_class() -> Detections:
    """Return what no filter can look up."""
    return boxes((70, 200, 130, 400, 0.9, 99))


def five_sides() -> Detections:
    """Return what the filter lets pass and the tracker cannot put together with anything."""
    found = boxes(person(200))
    return Detections.untracked(np.zeros((1, 5), np.float32), found.confidence, found.class_id)


@pytest.mark.parametrize("broken", [unknown_class, five_sides])
@pytest.mark.parametrize("order", ["ab", "ba"])
def test_boxes_that_break_the_batch_are_one_cameras_trouble(
    house: House, caplog: pytest.LogCaptureFixture, broken: Callable[[], Detections], order: str
) -> None:
    """A camera whose boxes cannot be filtered or tracked is handled by itself; the other's tracks go on."""
    begun = {name: events(house.stand(name, 200)) for name in "ab"}
    before = house.published[-1]
    found = {"a": broken(), "b": boxes(person(200))}
    house.pipelines.handle([frame(name, 9, 1.0) for name in order], [found[name] for name in order])
    told = house.published[-1]
    assert [(event.id, event.type) for event in events(told)] == [(begun["a"][0].id, EventType.END)]
    (result,) = results(told)
    assert (result.camera, result.counts["person"]) == ("b", 1)
    assert result.detections.tracker_id.tolist() == results(before)[-1].detections.tracker_id.tolist()
    assert [record.message.partition(":")[0] for record in caplog.records] == ["a"]
    assert house.watchers["a"].active == [True] * 5
    assert results(house.show("a", 1.2, person(200)))[0].counts["person"] == 0


def test_tracker_that_fails_on_a_batch_goes_on_camera_by_camera(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both cameras' tracks are after the failure what they would be without it, and no row is used twice."""
    alone = House()
    for each in (house, alone):
        for name in "ab":
            each.stand(name, 200)
            each.show(name, 1.0, person(230), person(900))
            each.show(name, 1.2, person(230))
    with monkeypatch.context() as broken:
        associate = association.associate

        def fail_together(known: Any, seen: Any, least: Any, settings: Any) -> Any:
            if len(least) > 1:
                raise ZeroDivisionError
            return associate(known, seen, least, settings)

        broken.setattr(tracker, "associate", fail_together)
        batch = [boxes(person(260)), boxes(person(260))]
        house.pipelines.handle([frame("a", 1, 5.0), frame("b", 1, 5.0)], batch)
    for name in "ab":
        alone.show(name, 5.0, person(260))
    for each in (house, alone):
        for name in "ab":
            each.show(name, 5.2, person(300), person(600))
    told, expected = results(house.published[-1]), results(alone.published[-1])
    assert told[0].detections.tracker_id.tolist() == expected[0].detections.tracker_id.tolist()
    assert told[0].detections.xyxy.tolist() == expected[0].detections.xyxy.tolist()
    rows = [row for camera in house.pipelines._tracker._cameras.values() for row in camera.rows.tolist()]
    assert len(rows) == len(set(rows))
    assert not set(rows) & set(house.pipelines._tracker._table._free)


@pytest.mark.parametrize(
    "step",
    ["objects.Objects.follow", "confirm.Confirmation.grow", "lines.Lines.update", "events.Chronicle.due"],
)
def test_mistake_half_way_through_a_frame_ends_what_was_told(
    house: House, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Wherever it strikes, each event that was told ends, once and no other does, and counting goes on."""
    begun = events(house.stand("a", 200))
    with monkeypatch.context() as broken:
        broken.setattr(f"vigil.analytics.{step}", lambda *_: 1 / 0)
        told = house.show("a", 1.0, person(200), person(900))
        assert house.show("a", 1.2, person(200), person(900)) == []
    assert [(event.id, event.type, event.end_time) for event in events(told)] == [
        (begun[0].id, EventType.END, 1.0)
    ]
    assert results(told) == []
    assert house.value("objects", camera="a", label="person") == 0
    assert house.pipelines.forget("a", 2.0) == []
    house.pipeline("a").resume()
    assert [event.type for event in events(house.stand("a", 200, since=3.0))] == [EventType.NEW]


def test_frame_in_flight_begins_no_track(house: House) -> None:
    """Who is seen after the camera came back was not seen before it."""
    house.pipelines.forget("a", 0.0)
    house.stand("a", 200)
    house.pipeline("a").resume()
    (begun,) = events(house.stand("a", 200, since=1.4))
    assert begun.start_time == 1.4


def test_end_never_overtakes_its_beginning(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera is forgotten before a batch or after its results are published, not between the two."""
    order: list[str] = []

    def forget() -> None:
        house.pipelines.forget("a", 1.0)
        order.append("forgotten")

    loop = threading.Thread(target=forget)

    def publish(told: Sequence[BusMessage]) -> None:
        loop.start()
        loop.join(0.05)
        order.append("published")
        house.published.append(told)

    monkeypatch.setattr(house.pipelines, "_publish", publish)
    house.show("a", 0.0, person(200))
    loop.join(PATIENCE)
    assert order == ["published", "forgotten"]


def test_watchers_hear_whether_anything_may_move(house: House) -> None:
    """Somebody keeps a camera awake, an empty picture does not."""
    house.show("a", 0.0)
    house.show("a", 0.2, person(200))
    assert house.watchers["a"].active == [False, True]
    assert house.watchers["b"].active == []


def test_batch_is_published_at_once(house: House) -> None:
    """Results of one batch are published together, in order; a removed camera's frame is left out."""
    frames = [frame("a", 1, 1.0), frame("gone", 2, 1.0), frame("b", 3, 1.0)]
    house.pipelines.handle(frames, [boxes() for _ in frames])
    assert [[result.seq for result in results(batch)] for batch in house.published] == [[1, 3]]
    house.pipelines.remove("a")
    house.pipelines.remove("a")
    assert house.pipelines.get("a") is None
    house.pipelines.handle(frames[:1], [boxes()])
    assert house.published[-1] == []


def test_forgetting_may_come_at_any_moment(house: House) -> None:
    """The loop's `forget` while workers deliver raises nothing and leaves nobody in view."""
    stop = threading.Event()

    def deliver(found: Detections) -> None:
        number = 0
        while not stop.is_set() and number < 2000:
            number += 1
            house.pipelines.handle([frame("a", number, number * 0.2)], [found])

    worker = threading.Thread(target=deliver, args=(boxes(person(200)),))
    worker.start()
    for number in range(50):
        house.pipelines.forget("a", float(number))
        house.pipeline("a").resume()
    house.pipelines.forget("a", 1e6)
    stop.set()
    worker.join(PATIENCE)
    assert not worker.is_alive()
    assert house.pipeline("a").counts["person"] == 0
