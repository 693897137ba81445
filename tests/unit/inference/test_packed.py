"""Batches looked at in parts, by an engine that finds white rectangles: whose boxes come back, from where."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.fakes import FakeEngine
from tests.support.serving import detector
from tests.support.white import white
from vigil.core.interest import Interest
from vigil.core.types import MAIN_MODEL, Detections, Frame
from vigil.inference.attentions import Attentions, Regions
from vigil.inference.packed import Packed, Packing
from vigil.inference.schedule import Batch, Upload
from vigil.metrics import Metrics
from vigil.video.photo import ArrayImage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.core.interest import Rows
    from vigil.core.types import Float32
    from vigil.inference.schedule import Shape

    Box = tuple[int, int, int, int]

SHAPE = (384, 640)
SIZE = (1280, 720)
NOTHING = np.empty((0, 4))
DEVICE = "cpu"


class Engine(FakeEngine):
    """Counts its inputs."""

    def __init__(self, device: str = DEVICE, fixed_shape: Shape | None = None) -> None:
        super().__init__(white, fixed_shape=fixed_shape)
        self.device = device
        self.inputs = 0

    def run(self, batch: Float32) -> list[Float32]:
        """Find what is white."""
        self.inputs += len(batch)
        return super().run(batch)


class Analyst:
    """Says that what is white moves, and takes note of everything."""

    def __init__(self, white: Mapping[str, list[Box]]) -> None:
        self.white = white
        self.known = True
        self.still = False
        self._seq: dict[str, int] = {}

    def interest(self, frame: Frame) -> Interest | None:
        """Return motion where the camera's picture is white."""
        if not self.known:
            return None
        moves = [] if self.still else self.white[frame.camera]
        moving = np.array(moves, np.float32).reshape(-1, 4)
        none = np.empty(0)
        rows = np.empty(0, np.intp)
        return Interest(NOTHING, NOTHING, none, rows, none, moving, seq=self._seq.get(frame.camera, -1))

    def admitted(self, frame: Frame, found: Detections) -> Rows:
        """Take note of all."""
        self._seq[frame.camera] = frame.seq
        return np.arange(len(found))


class Lab:
    """Cameras with white rectangles in their pictures, looked at in parts."""

    def __init__(self, cameras: Mapping[str, list[Box]], engine: Engine | None = None) -> None:
        self.engine = engine or Engine()
        self.analyst = Analyst(cameras)
        self.attentions = Attentions(self.analyst)
        self.metrics = Metrics()
        self.detector = detector(self.engine)
        self.packing = Packing(self.attentions, self.metrics)
        self._letterbox = self.detector.letterbox()
        self._seq = 0
        for camera in cameras:
            self.attentions.set_camera(camera, Regions.ON)

    def frame(self, camera: str, at: float) -> Frame:
        """Return a camera's picture."""
        pixels = np.full((SIZE[1], SIZE[0], 3), 114, np.uint8)
        for left, top, right, bottom in self.analyst.white[camera]:
            pixels[top:bottom, left:right] = 255
        self._seq += 1
        return Frame(camera, self._seq, at, None, ArrayImage(pixels))

    def look(self, at: float, limit: int = 1) -> Packed:
        """Look at a frame of every camera, at once."""
        frames = tuple(self.frame(camera, at) for camera in self.analyst.white)
        batch = Batch(MAIN_MODEL, SHAPE, frames, (0.5,) * len(frames), (), packed=True)
        return self.packing.detect(self.detector, self._letterbox, batch, limit)

    def begin(self) -> None:
        """Be over the whole frames of the first second."""
        for at in (0.0, 0.5):
            self.look(at, limit=len(self.analyst.white))
        self.engine.inputs = 0

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.metrics.registry.get_sample_value(f"vigil_{name}", labels)


THREE: dict[str, list[Box]] = {
    "a": [(100, 80, 180, 240)],
    "b": [(1000, 400, 1080, 560), (200, 200, 280, 360)],
    "c": [],
}


def near(found: Detections | None, wanted: list[Box]) -> bool:
    """Tell whether the boxes are these, within a pixel of the input."""
    assert found is not None
    got = sorted(found.xyxy.tolist())
    return len(got) == len(wanted) and bool(np.allclose(got, sorted(wanted), atol=SIZE[0] / SHAPE[1]))


def test_parts_of_several_cameras_share_an_input() -> None:
    """Each camera gets its own boxes back, in its own pixels, for one input that all of them share."""
    lab = Lab(THREE)
    lab.begin()
    packed = lab.look(1.1)
    assert lab.engine.inputs == 1
    assert all(near(found, THREE[camera]) for camera, found in zip(THREE, packed.found, strict=True))
    assert lab.value("packed_frames_total", how="parts") == 2
    assert lab.value("packed_frames_total", how="unlooked") == 1
    assert lab.value("canvases_total") == 1
    filled = lab.value("canvas_area_total")
    assert filled is not None
    assert 0 < filled < packed.inputs < 0.5
    assert lab.value("canvas_size_total") == packed.inputs


def test_canvases_are_no_larger_than_what_lies_on_them() -> None:
    """What each is, is what it costs; each keeps its own pixels until the next batch."""
    crowded = [(x, y, x + 100, y + 200) for x in range(20, 1200, 260) for y in (40, 400)]
    lab = Lab({"b": THREE["b"], "a": crowded})
    lab.begin()
    packed = lab.look(1.1, limit=2)
    height, width = packed.layouts[0].shape
    assert lab.engine.batches[-1] == (1, 3, height, width)
    assert height * width < SHAPE[0] * SHAPE[1]
    assert near(packed.found[0], THREE["b"])
    assert near(packed.found[1], crowded)
    for canvas, layout in zip(packed.canvases, packed.layouts, strict=True):
        assert canvas.shape == (3, *layout.shape)
        for each in layout.on:
            part = canvas[:, each.top :, each.left :][:, : each.region.height, : each.region.width]
            assert part.max() > 0.9


@pytest.mark.parametrize("engine", [Engine("cuda:0"), Engine(fixed_shape=SHAPE)], ids=["device", "fixed"])
def test_an_engine_of_few_shapes_has_canvases_of_one(engine: Engine) -> None:
    """A device prepares for each shape, and some weights take one only: canvases are as large as frames."""
    lab = Lab(THREE, engine)
    lab.begin()
    packed = lab.look(1.1)
    assert packed.inputs == engine.inputs == 1
    assert engine.batches[-1] == (1, 3, *SHAPE)
    assert all(near(found, THREE[camera]) for camera, found in zip(THREE, packed.found, strict=True))


def test_at_first_all_is_looked_at() -> None:
    """A camera's first second is whole frames; those for which there is no input are postponed."""
    lab = Lab(THREE)
    packed = lab.look(0.0)
    assert lab.engine.inputs == packed.inputs == 1
    assert near(packed.found[0], THREE["a"])
    assert packed.found[1:] == [None, None]


def test_what_finds_no_room_is_postponed_and_its_motion_kept() -> None:
    """The first frame is looked at whatever it takes; a later one waits, and is found when it comes again."""
    crowded = [(x, y, x + 100, y + 200) for x in range(20, 1200, 260) for y in (40, 400)]
    lab = Lab(dict.fromkeys("abc", crowded))
    lab.begin()
    first = lab.look(1.1)
    assert near(first.found[0], crowded)
    assert first.found[2] is None
    # Nothing moves any more, but what moved has not been seen yet.
    lab.analyst.white = {"c": crowded, "a": crowded}
    lab.analyst.still = True
    assert near(lab.look(1.2).found[0], crowded)


def test_without_knowledge_of_motion_frames_are_whole() -> None:
    """A camera of which it is not known what moves is looked at whole, and begins anew afterwards."""
    lab = Lab({"a": THREE["a"]})
    lab.begin()
    lab.analyst.known = False
    assert near(lab.look(1.1).found[0], THREE["a"])
    lab.analyst.known = True
    lab.look(1.2)
    assert lab.value("packed_frames_total", how="whole") == 3
    assert lab.value("packed_frames_total", how="parts") == 0


def test_a_result_from_elsewhere_makes_a_camera_begin_anew() -> None:
    """What analytics remember must be what was seen here: another frame's rows mean nothing."""
    lab = Lab({"a": THREE["a"]})
    lab.begin()
    lab.analyst.admitted(
        lab.frame("a", 0.9), lab.detector.detect_inputs(np.zeros((1, 3, *SHAPE), np.float32), [0.5])[0]
    )
    lab.look(1.1)
    assert lab.value("packed_frames_total", how="parts") == 0


@pytest.mark.parametrize(("told", "whole"), [((5,), 3), ((5, 3), 20), ((3, 0), 20)])
def test_who_is_looked_at_late_is_not_judged_by_it(told: Sequence[float], whole: int) -> None:
    """A camera whose whole frames show what nobody expected has only those, unless looks come late."""
    lab = Lab({"a": THREE["a"]})
    lab.begin()
    for fps in told:
        lab.attentions.expect("a", fps)
    for number in range(1, 31):
        lab.look(0.5 + 0.35 * number)
    before = lab.value("packed_frames_total", how="whole") or 0
    for number in range(31, 51):
        lab.look(0.5 + 0.35 * number)
    assert (lab.value("packed_frames_total", how="whole") or 0) - before == whole


def test_a_mistake_of_analytics_is_one_cameras_alone(caplog: pytest.LogCaptureFixture) -> None:
    """A camera of which nothing can be expected is looked at whole; the others are what they were."""
    lab = Lab({"a": THREE["a"], "b": THREE["b"]})
    lab.begin()
    usual = lab.analyst.interest

    def broken(frame: Frame) -> Interest | None:
        if frame.camera == "a":
            raise ValueError("a mistake")
        return usual(frame)

    lab.analyst.interest = broken  # type: ignore[method-assign]
    packed = lab.look(1.1, limit=2)
    assert near(packed.found[0], THREE["a"])
    assert near(packed.found[1], THREE["b"])
    assert "a: is looked at whole" in caplog.text


def test_auto_is_whole_until_there_is_no_room() -> None:
    """Cameras with `auto` are looked at in parts while their device is crowded, those with `off` never."""
    attentions = Attentions(Analyst({}))
    for camera, regions in (("a", Regions.AUTO), ("b", Regions.OFF), ("c", Regions.ON)):
        attentions.set_camera(camera, regions)
    assert [attentions.in_parts(camera, DEVICE) for camera in "abc"] == [False, False, True]
    attentions.crowd(DEVICE, crowded=True)
    assert [attentions.in_parts(camera, DEVICE) for camera in "abc"] == [True, False, True]
    assert not attentions.in_parts("a", "cuda:0")
    attentions.crowd(DEVICE, crowded=False)
    assert [attentions.in_parts(camera, DEVICE) for camera in "abc"] == [False, False, True]
    assert attentions.usual_share("a", DEVICE) == 1


def test_frames_in_parts_are_expected_to_take_less() -> None:
    """After frames in parts a camera's share of an input is small, until a whole frame is due."""
    lab = Lab({"a": THREE["a"]})
    assert lab.attentions.share("a", 0.0) == 1
    lab.begin()
    for at in (1.1, 1.2, 1.3, 1.4, 1.5):
        lab.look(at)
    assert lab.attentions.share("a", 1.6) < 0.2
    assert lab.attentions.share("a", 60.0) == 1


def test_an_upload_is_never_postponed() -> None:
    """Whoever sent a picture waits for its boxes: cameras that share its batch yield."""
    lab = Lab(THREE)
    lab.begin()
    frames = (lab.frame("a", 1.1), lab.frame("c", 1.1))
    sent = Upload(replace(lab.frame("b", 0.0), camera=""), 0.5, 0.0, MAIN_MODEL, lambda _outcome: None)
    batch = Batch(MAIN_MODEL, SHAPE, (*frames, sent.frame), (0.5,) * 3, (sent,), packed=True)
    packed = lab.packing.detect(lab.detector, lab.detector.letterbox(), batch, 1)
    assert near(packed.found[2], THREE["b"])
    assert packed.found[0] is None
    assert near(packed.found[1], [])
    assert packed.inputs == lab.engine.inputs == 1


def test_a_camera_that_always_fails_leaves_nothing_behind() -> None:
    """Motion that is kept for a next frame is let go when a camera begins anew."""
    lab = Lab({"a": THREE["a"]})
    lab.begin()

    def broken(*_anything: object) -> Detections:
        raise ValueError("a mistake")

    for number in range(5):
        lab.attentions._cameras["a"].attention.plan = broken  # type: ignore[assignment, method-assign]
        lab.look(1.1 + number)
        assert not lab.attentions._cameras["a"].moving
