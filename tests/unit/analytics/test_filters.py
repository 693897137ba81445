"""Which boxes a camera reports."""

from __future__ import annotations

import numpy as np
import pytest

from tests.support.fakes import MODEL, boxes
from vigil.analytics.filters import class_filter
from vigil.config.analytics import ObjectFilter
from vigil.config.model import DetectConfig
from vigil.core.types import Detections
from vigil.errors import CannotStartError

FOUND = boxes((0, 0, 1, 1, 0.65, 0), (0, 0, 1, 1, 0.45, 0), (0, 0, 1, 1, 0.65, 1), (0, 0, 1, 1, 0.35, 2))


def reported(detect: DetectConfig, default: float = 0.5) -> list[tuple[int, float]]:
    """Return the class ids and confidences that pass."""
    passed = class_filter("drive", detect, default, MODEL).apply(FOUND)
    return [
        (class_id, round(confidence, 2))
        for class_id, confidence in zip(passed.class_id.tolist(), passed.confidence.tolist(), strict=True)
    ]


@pytest.mark.parametrize(
    ("detect", "expected"),
    [
        (DetectConfig(), [(0, 0.65), (1, 0.65)]),
        (DetectConfig(confidence=0.4), [(0, 0.65), (0, 0.45), (1, 0.65)]),
        (DetectConfig(classes=["person"]), [(0, 0.65)]),
        (DetectConfig(classes=["person"], confidence=0.4), [(0, 0.65), (0, 0.45)]),
        (DetectConfig(confidence={"person": 0.7}), [(1, 0.65)]),
        (DetectConfig(confidence={"cell phone": 0.3}), [(0, 0.65), (1, 0.65), (2, 0.35)]),
        (DetectConfig(classes=["person"], confidence={"cell phone": 0.3}), [(0, 0.65)]),
    ],
)
def test_classes_and_thresholds_decide(detect: DetectConfig, expected: list[tuple[int, float]]) -> None:
    """A box passes if its class is wanted and its confidence reaches the class's own least one."""
    assert reported(detect) == expected


def test_floor_is_the_least_of_all_thresholds() -> None:
    """The detector is asked for no box that no class could report."""
    detect = DetectConfig(classes=["person", "car"], confidence={"person": 0.3, "cell phone": 0.1})
    wanted = class_filter("drive", detect, 0.5, MODEL)
    assert wanted.floor == pytest.approx(0.3)
    assert wanted.wanted == [0, 1]


def test_nothing_to_filter_is_no_work() -> None:
    """When every box passes, the same object comes back; no boxes are no error."""
    wanted = class_filter("drive", DetectConfig(confidence=0.1), 0.5, MODEL)
    assert wanted.apply(FOUND) is FOUND
    assert len(wanted.apply(Detections.empty())) == 0


@pytest.mark.parametrize(
    ("detect", "key"),
    [
        (DetectConfig(classes=["person", "unicorn"]), "detect.classes"),
        (DetectConfig(confidence={"unicorn": 0.4}), "detect.confidence"),
    ],
)
def test_unknown_class_cannot_start(detect: DetectConfig, key: str) -> None:
    """A class that the model does not know is refused, with the key to change and what it could be."""
    with pytest.raises(CannotStartError) as error:
        class_filter("drive", detect, 0.5, MODEL)
    assert str(error.value) == (
        f"cameras.drive.{key}: fake knows no class 'unicorn'; it knows person, car, cell phone"
    )


SQUARE_MASK = (((0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (0.0, 1.0)),)


def admitted(boxes_: Detections, **keys: object) -> list[int]:
    """Return the rows that pass to the tracker, of a frame of 200 by 100."""
    filters = {label: ObjectFilter.model_validate(bounds) for label, bounds in keys.items()}
    filters = {"*" if label == "every" else label: bounds for label, bounds in filters.items()}
    numbered = Detections(
        boxes_.xyxy, boxes_.confidence, boxes_.class_id, np.arange(len(boxes_), dtype=np.int32)
    )
    wanted = class_filter("drive", DetectConfig(classes=["person", "car"]), 0.5, MODEL, filters, SQUARE_MASK)
    return [int(row) for row in wanted.admit(numbered, 200, 100).tracker_id]


def test_the_tracker_is_given_faint_boxes() -> None:
    """Boxes of wanted classes pass to the tracker from 0.1 on, which is what the detector is asked for."""
    found = boxes((0, 0, 9, 9, 0.1, 0), (0, 0, 9, 9, 0.09, 0), (0, 0, 9, 9, 0.9, 2), (0, 0, 9, 9, 0.6, 1))
    wanted = class_filter("drive", DetectConfig(classes=["person", "car"]), 0.5, MODEL)
    assert wanted.admit(found, 200, 100).confidence.tolist() == pytest.approx([0.1, 0.6])
    assert wanted.reported(found).tolist() == [False, False, False, True]
    assert (wanted.floor, wanted.tracking_floor) == (0.5, 0.1)


def test_a_lower_confidence_lowers_the_floor() -> None:
    """The user's own threshold below 0.1 is what the detector is asked for."""
    wanted = class_filter("drive", DetectConfig(confidence=0.05), 0.5, MODEL)
    assert wanted.tracking_floor == pytest.approx(0.05)
    assert len(wanted.admit(boxes((0, 0, 9, 9, 0.06, 0)), 200, 100)) == 1


def test_masks_hide_what_stands_in_them() -> None:
    """A box whose lower edge has its centre in a mask is not taken note of; one that reaches in is."""
    found = boxes((20, 40, 40, 60, 0.9, 0), (20, 20, 40, 45, 0.9, 0), (70, 60, 140, 90, 0.9, 0))
    assert admitted(found) == [1, 2]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"min_area": 0.02}, [1]),
        ({"max_area": 0.02}, [0]),
        ({"min_aspect": 1.5}, [1]),
        ({"max_aspect": 1.1}, [0]),
        ({"min_area": 0.005, "max_aspect": 2}, [0, 1]),
    ],
)
def test_shapes_decide(bounds: dict[str, float], expected: list[int]) -> None:
    """Areas are fractions of the frame, aspects are those of the pixels."""
    found = boxes((100, 0, 110, 10, 0.9, 0), (100, 0, 140, 20, 0.9, 0))
    assert admitted(found, person=bounds) == expected
    assert admitted(found, every=bounds) == expected
    assert admitted(found, car=bounds) == [0, 1]


def test_a_class_has_its_own_bounds() -> None:
    """Its own values win over those of every class, key by key."""
    found = boxes((100, 0, 110, 10, 0.9, 0), (100, 0, 110, 10, 0.9, 1), (100, 0, 140, 20, 0.9, 0))
    assert admitted(found, every={"min_area": 0.01, "max_aspect": 1.1}, person={"min_area": 0}) == [0]


def test_boxes_that_are_no_boxes_are_left_out() -> None:
    """NaN and infinity stop here."""
    found = boxes((np.nan, 0, 9, 9, 0.9, 0), (0, 0, np.inf, 9, 0.9, 0), (0, 0, 9, 9, 0.9, 0))
    assert admitted(found) == [2]


def test_unknown_class_in_filters_cannot_start() -> None:
    """A filter for a class that the model does not know is refused."""
    with pytest.raises(CannotStartError, match=r"^cameras\.drive\.filters: fake knows no class 'unicorn'"):
        class_filter("drive", DetectConfig(), 0.5, MODEL, {"unicorn": ObjectFilter()})
