"""Which boxes a camera reports."""

from __future__ import annotations

import pytest

from tests.support.fakes import MODEL, boxes
from vigil.analytics.filters import class_filter
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
