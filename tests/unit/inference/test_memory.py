"""The next result of a camera: what stands, what is new, and one box per object."""

from __future__ import annotations

import numpy as np

from vigil.core.types import Detections
from vigil.inference.memory import Memory

NONE = np.empty(0, np.intp)


def found(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Return boxes from (left, top, right, bottom, confidence, class)."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    return Detections.untracked(table[:, :4], table[:, 4], table[:, 5].astype(np.int32))


def uncut(number: int) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    """Return that no edge of so many boxes was cut."""
    return np.zeros((number, 4), np.bool_)


CAR = (100, 100, 200, 150, 0.6, 2)
TRUCK = (100, 101, 201, 150, 0.7, 7)


def test_a_second_box_on_what_stands_goes_with_the_first() -> None:
    """A vehicle that is a truck and a car at once stays both, though one track owns only one of the boxes."""
    memory = Memory().after_whole(found(TRUCK, CAR), uncut(2), 1.0)
    after = memory.after_parts(np.array([0]), NONE, found(), uncut(0), 1.2)
    assert sorted(after.detections.class_id.tolist()) == [2, 7]
    assert after.stood.all()
    assert after.looked.tolist() == [1.0, 1.0]


def test_what_is_found_upon_what_stands_is_no_second_object() -> None:
    """A look that was about something else shows a parked car again: it is there once, as it was."""
    memory = Memory().after_whole(found(TRUCK), uncut(1), 1.0)
    after = memory.after_parts(np.array([0]), NONE, found(CAR), uncut(1), 1.2)
    assert after.detections.class_id.tolist() == [7]


def test_results_are_best_first_and_rows_keep_together() -> None:
    """Boxes come by confidence, and what is remembered of each stands in the same row."""
    memory = Memory().after_whole(found(CAR), uncut(1), 1.0)
    walker = (300, 100, 330, 180, 0.9, 0)
    cut = np.array([[True, False, False, False]])
    after = memory.after_parts(np.array([0]), NONE, found(walker), cut, 1.2)
    assert after.detections.class_id.tolist() == [0, 2]
    assert after.cut[:, 0].tolist() == [True, False]
    assert after.stood.tolist() == [False, True]
    assert after.since.tolist() == [1.2, 1.0]


def test_how_long_something_stands_outlives_whole_frames() -> None:
    """A whole frame that shows an object where it was leaves since when it stands; elsewhere that is now."""
    memory = Memory().after_whole(found(CAR), uncut(1), 1.0).after_whole(found(CAR), uncut(1), 2.0)
    assert memory.since.tolist() == [1.0]
    moved = memory.after_whole(found((160, 100, 260, 150, 0.6, 2)), uncut(1), 3.0)
    assert moved.since.tolist() == [3.0]
    assert Memory().after_whole(found(), uncut(0), 1.0).after_whole(
        found(CAR), uncut(1), 2.0
    ).since.tolist() == [2.0]
