"""How much two ways of looking at the same frames tell the same: boxes, identities, events, crossings."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vigil.analytics.assign import match
from vigil.core.geometry import overlaps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from vigil.core.types import Detections

    _Line = tuple[str, str, str]
    """Camera, line, label."""

_SAME = 0.5
"""Intersection over union from which on two boxes are the same."""
_COMMONEST = 6


@dataclass(slots=True)
class Likeness:
    """What was compared so far; the first way of looking is the reference."""

    expected: int = 0
    found: int = 0
    same: int = 0
    by_class: dict[int, list[int]] = field(default_factory=dict)
    """Expected, found, and the same, by class id."""
    together: Counter[tuple[tuple[str, int], tuple[str, int]]] = field(default_factory=Counter)
    """How often a track of the reference and one of the other share a box."""
    switches: int = 0
    """How often a track of the reference is borne by another id than the last time."""
    bearers: dict[tuple[str, int], int] = field(default_factory=dict)
    """That id, by camera and track of the reference."""
    events: tuple[int, int, int] = (0, 0, 0)
    """Begun in the reference, begun in the other, and by how many their counts differ."""
    lines: tuple[int, int] = (0, 0)
    """Totals, and how many of them differ."""

    def compare(self, camera: str, expected: Detections, found: Detections) -> None:
        """Compare the reported boxes of one frame."""
        overlap = overlaps(expected.xyxy.astype(np.float64), found.xyxy.astype(np.float64))
        close = overlap >= _SAME
        for one, other in np.argwhere(close).tolist():
            pair = int(expected.tracker_id[one]), int(found.tracker_id[other])
            self.together[(camera, pair[0]), (camera, pair[1])] += 1
        row, column = np.nonzero(close)
        pairs = match(row, column, overlap[row, column])
        mine, theirs = expected.tracker_id[row[pairs]], found.tracker_id[column[pairs]]
        for track, by in zip(mine.tolist(), theirs.tolist(), strict=True):
            self.switches += self.bearers.get((camera, track), by) != by
            self.bearers[camera, track] = by
        close &= expected.class_id[:, None] == found.class_id
        row, column = np.nonzero(close)
        pairs = match(row, column, overlap[row, column])
        self.expected += len(expected)
        self.found += len(found)
        self.same += len(pairs)
        for place, ids in enumerate((expected.class_id, found.class_id, expected.class_id[row[pairs]])):
            for class_id in ids.tolist():
                self.by_class.setdefault(class_id, [0, 0, 0])[place] += 1

    def compare_events(self, expected: Counter[tuple[str, str]], found: Counter[tuple[str, str]]) -> None:
        """Compare how many events of each label each camera began."""
        differ = (expected - found).total() + (found - expected).total()
        self.events = (expected.total(), found.total(), differ)

    def compare_lines(self, expected: Mapping[_Line, object], found: Mapping[_Line, object]) -> None:
        """Compare the totals of lines."""
        keys = expected.keys() | found.keys()
        self.lines = (len(keys), sum(expected.get(key) != found.get(key) for key in keys))

    @property
    def idf1(self) -> float:
        """The share, 0..1, of boxes that bear the ids which fit the reference's tracks best."""
        if not self.together:
            return 0.0
        mine, row = _numbered([one for one, _ in self.together])
        _, column = _numbered([other for _, other in self.together])
        weight = np.array(list(self.together.values()), np.float64)
        chosen = match(row, column, weight)
        return float(2 * weight[chosen].sum() / max(self.expected + self.found, 1)) if mine else 0.0

    def as_dict(self) -> dict[str, object]:
        """Return the figures for JSON; classes by id, the commonest first."""
        commonest = sorted(self.by_class.items(), key=lambda each: -each[1][0])[:_COMMONEST]
        return {
            "recall": round(self.same / max(self.expected, 1), 4),
            "precision": round(self.same / max(self.found, 1), 4),
            "idf1": round(self.idf1, 4),
            "id_switches": self.switches,
            "events": {"whole": self.events[0], "packed": self.events[1], "differ": self.events[2]},
            "line_totals": {"all": self.lines[0], "differ": self.lines[1]},
            "classes": {
                class_id: {
                    "boxes": expected,
                    "recall": round(same / max(expected, 1), 4),
                    "precision": round(same / max(found, 1), 4),
                }
                for class_id, (expected, found, same) in commonest
            },
        }


def _numbered(keys: list[tuple[str, int]]) -> tuple[int, NDArray[np.intp]]:
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return len(numbers), np.array([numbers[key] for key in keys], np.intp)
