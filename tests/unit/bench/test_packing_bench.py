"""The ruler of packed inference: what counts as the same, who judges, and the picture that it makes."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest

from tests.support.fakes import FakeEngine
from tests.support.serving import detector
from vigil.bench.alike import Likeness
from vigil.bench.finer import Finer
from vigil.bench.packing import Fullest
from vigil.core.types import Detections, Frame
from vigil.errors import CannotStartError
from vigil.inference.packing import Layout, Placed
from vigil.inference.regions import Region
from vigil.video.photo import ArrayImage


def _boxes(*rows: tuple[float, int, int]) -> Detections:
    """Return boxes 10 wide and high from (left, class, track)."""
    left = np.array([row[0] for row in rows], np.float32)
    xyxy = np.stack([left, left * 0, left + 10, left * 0 + 10], axis=1)
    ones = np.ones(len(rows), np.float32)
    classes, tracks = (np.array([row[n] for row in rows], np.int32) for n in (1, 2))
    return Detections(xyxy, ones, classes, tracks)


def test_boxes_are_the_same_by_place_and_class() -> None:
    """A box a little beside its like is found, one of another class or place is missed and too much."""
    likeness = Likeness()
    likeness.compare("a", _boxes((0, 0, 1), (100, 0, 2), (200, 0, 3)), _boxes((2, 0, 7), (100, 2, 8)))
    told = likeness.as_dict()
    assert (told["recall"], told["precision"]) == (0.3333, 0.5)


def test_one_box_answers_for_one() -> None:
    """Two boxes in one place are not both found by a single one."""
    likeness = Likeness()
    likeness.compare("a", _boxes((0, 0, 1), (1, 0, 2)), _boxes((0, 0, 7)))
    assert likeness.same == 1


def test_identities_count_over_frames_and_cameras() -> None:
    """A track that another takes over for one frame in four costs that frame; cameras keep apart."""
    likeness = Likeness()
    for track in (5, 5, 5, 6):
        likeness.compare("a", _boxes((0, 0, 1)), _boxes((0, 0, track)))
    likeness.compare("b", _boxes((0, 0, 1)), _boxes((0, 0, 5)))
    assert likeness.idf1 == 2 * (3 + 1) / 10


def test_an_identity_that_comes_back_has_switched_twice() -> None:
    """Every change of the id that a track of the reference bears counts, whatever the class; gaps do not."""
    likeness = Likeness()
    for bearer in (3, 3, None, 4, 3):
        likeness.compare("a", _boxes((0, 0, 1)), _boxes() if bearer is None else _boxes((0, 2, bearer)))
    likeness.compare("b", _boxes((0, 0, 1)), _boxes((0, 0, 9)))
    assert likeness.as_dict()["id_switches"] == 2


def test_the_finer_look_judges_both() -> None:
    """It sees frames at twice the sides, each once, and finds the way that tells the same the better one."""
    engine = FakeEngine()
    finer = Finer(detector(engine), ["a", "b"], (384, 640))
    middle = (640 - 32, 360 - 32, 640 + 32, 360 + 32)
    right = Detections(
        np.array([middle], np.float32),
        np.ones(1, np.float32),
        np.zeros(1, np.int32),
        np.zeros(1, np.int32),
    )
    image = ArrayImage(np.zeros((720, 1280, 3), np.uint8))
    for number, camera in ((0, "a"), (0, "b"), (1, "a")):
        finer.compare(Frame(camera, number, float(number), None, image), right, Detections.empty())
    assert engine.batches == [(1, 3, 768, 1280)] * 2
    assert (finer.whole.expected, finer.whole.found, finer.packed.found) == (3, 3, 0)
    assert (finer.whole.same, finer.packed.same) == (3, 0)


def test_weights_of_one_shape_have_no_finer_look() -> None:
    """An engine that takes inputs of one shape only cannot judge."""
    with pytest.raises(CannotStartError):
        Finer(detector(FakeEngine(fixed_shape=(640, 640))), ["a"], (640, 640))


def test_events_and_lines_are_compared_camera_by_camera() -> None:
    """An event that moved to another camera differs twice; a total that differs is one."""
    likeness = Likeness()
    likeness.compare_events(Counter({("a", "person"): 2}), Counter({("a", "person"): 1, ("b", "person"): 1}))
    likeness.compare_lines({("a", "l", "person"): 1, ("a", "l", "car"): 2}, {("a", "l", "person"): 1})
    assert likeness.events == (2, 2, 2)
    assert likeness.lines == (2, 1)


def test_the_fullest_canvas_is_kept_as_a_png() -> None:
    """Of three canvases the one with most regions is there, outlined; taking it leaves it alone."""
    whole, shrunk = Region(0, 0, 32, 32, 32, 32), Region(0, 0, 64, 64, 32, 32)
    fullest = Fullest(detector().letterbox())
    for value, placed in (
        (0.25, [Placed(whole, 8, 8)]),
        (0.5, [Placed(whole, 8, 8), Placed(shrunk, 48, 8)]),
        (0.75, [Placed(whole, 8, 8)]),
    ):
        canvas = np.full((3, 64, 96), value, np.float32)
        fullest.take(canvas, Layout((64, 96), placed))
        assert (canvas == value).all()
    picture = cv2.imdecode(np.frombuffer(fullest.png, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    assert picture.shape == (64, 96, 3)
    assert picture[24, 24].tolist() == [128] * 3
    assert picture[24, 8].tolist() == pytest.approx([80, 200, 80], abs=25)
    assert picture[24, 48].tolist() == pytest.approx([40, 140, 255], abs=25)
