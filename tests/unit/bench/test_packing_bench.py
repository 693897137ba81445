"""The ruler of packed inference: what counts as the same."""

from __future__ import annotations

from collections import Counter

import numpy as np

from vigil.bench.alike import Likeness
from vigil.core.types import Detections


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


def test_events_and_lines_are_compared_camera_by_camera() -> None:
    """An event that moved to another camera differs twice; a total that differs is one."""
    likeness = Likeness()
    likeness.compare_events(Counter({("a", "person"): 2}), Counter({("a", "person"): 1, ("b", "person"): 1}))
    likeness.compare_lines({("a", "l", "person"): 1, ("a", "l", "car"): 2}, {("a", "l", "person"): 1})
    assert likeness.events == (2, 2, 2)
    assert likeness.lines == (2, 1)
