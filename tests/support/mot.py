"""Public multi-object-tracking sequences, made as bad as a detector's output, and the scores of a tracker.

The ground truth is the sample data of `motmetrics`: TUD-Campus and TUD-Stadtmitte, pedestrians at 25
frames/s.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import linear_sum_assignment

from vigil.core.types import Detections

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from vigil.core.types import Float32, Int32

SEQUENCES = ("TUD-Campus", "TUD-Stadtmitte")
FULL_RATE = 25.0
SAME = 0.5
"""Overlap from which a tracked box is a true one, as MOTChallenge has it."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A frame at `time` seconds: who is there, `ids (n,)` and `xyxy (n, 4)`, and what is `found` of it."""

    time: float
    ids: Int32
    xyxy: Float32
    found: Detections


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a tracker shows in a frame: `ids (n,)` and `xyxy (n, 4)`."""

    ids: NDArray[np.integer]
    xyxy: NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Score:
    """IDF1 (Ristani et al. 2016) and MOTA (Bernardin and Stiefelhagen 2008), in percent."""

    idf1: float
    mota: float

    @classmethod
    def mean(cls, scores: Sequence[Score]) -> Score:
        """Return the mean of some scores."""
        return cls(
            float(np.mean([score.idf1 for score in scores])), float(np.mean([score.mota for score in scores]))
        )


def scenes(sequence: str, rate: float, seed: int) -> list[Scene]:
    """Return a sequence at `rate` frames/s as a detector might see it.

    Corners are off by 4 % of a box's mean side, every tenth box is missed, every other frame shows
    something that is not there; true boxes score 0.75 +- 0.15, false ones anything up to 0.7.
    """
    truth = _truth(sequence)
    rng = np.random.default_rng(seed)
    numbers = np.unique(np.round(np.arange(0, len(truth), FULL_RATE / rate)).astype(int))
    return [
        _scene(number / FULL_RATE, truth[number], rng) for number in numbers[numbers < len(truth)].tolist()
    ]


def checksum(frames: Iterable[Scene]) -> str:
    """Return what tells whether two runs saw the same boxes, to a hundredth of a pixel."""
    found = hashlib.sha256()
    for frame in frames:
        found.update(np.round(frame.found.xyxy * 100).astype(np.int64).tobytes())
        found.update(np.round(frame.found.confidence * 10_000).astype(np.int64).tobytes())
    return found.hexdigest()


def score(frames: Sequence[Scene], answers: Sequence[Answer]) -> Score:
    """Return how right the answers are."""
    together: Counter[tuple[int, int]] = Counter()
    owner: dict[int, int] = {}
    wrong = 0
    for frame, answer in zip(frames, answers, strict=True):
        alike = overlaps(frame.xyxy, answer.xyxy)
        alike[alike < SAME] = 0
        together.update((int(frame.ids[i]), int(answer.ids[j])) for i, j in np.argwhere(alike > 0))
        matched, switches = _matched(frame.ids, answer.ids, alike, owner)
        wrong += len(frame.ids) + len(answer.ids) - 2 * matched + switches
    people = sum(len(frame.ids) for frame in frames)
    shown = sum(len(answer.ids) for answer in answers)
    return Score(200 * _identified(together) / (people + shown), 100 * (1 - wrong / people))


def overlaps(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the intersection over union `(n, m)` of corner boxes `(n, 4)` and `(m, 4)`."""
    a, b = one[:, None].astype(np.float64), other[None].astype(np.float64)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    both = np.clip(sides, 0, None).prod(axis=-1)
    areas = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1)
    result: NDArray[np.float64] = both / (areas - both)
    return result


@cache
def _truth(sequence: str) -> list[tuple[Int32, Float32]]:
    spec = find_spec("motmetrics")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    folder = Path(spec.submodule_search_locations[0], "data", sequence)
    rows = np.loadtxt(folder / "gt.txt", delimiter=",")
    rows[:, 4:6] += rows[:, 2:4]
    frames = [rows[rows[:, 0] == number] for number in range(1, int(rows[:, 0].max()) + 1)]
    return [(frame[:, 1].astype(np.int32), frame[:, 2:6].astype(np.float32)) for frame in frames]


def _scene(time: float, truth: tuple[Int32, Float32], rng: np.random.Generator) -> Scene:
    ids, xyxy = truth
    side = (xyxy[:, 2:] - xyxy[:, :2]).mean(axis=1, keepdims=True)
    boxes = xyxy + rng.normal(0, 0.04, xyxy.shape) * side
    scores = np.clip(rng.normal(0.75, 0.15, len(ids)), 0.1, 0.99)
    seen = rng.random(len(ids)) >= 0.1
    ghosts = rng.poisson(0.5)
    centre = rng.uniform((0, 100), (640, 400), (ghosts, 2))
    half = rng.uniform((30, 100), (100, 250), (ghosts, 2)) / 2
    boxes = np.concatenate([boxes[seen], np.concatenate([centre - half, centre + half], axis=1)])
    scores = np.concatenate([scores[seen], rng.uniform(0.1, 0.7, ghosts)])
    classes = np.zeros(len(boxes), np.int32)
    return Scene(
        time, ids, xyxy, Detections.untracked(boxes.astype(np.float32), scores.astype(np.float32), classes)
    )


def _matched(
    ids: Int32, answers: NDArray[np.integer], alike: NDArray[np.float64], owner: dict[int, int]
) -> tuple[int, int]:
    """Return how many people are shown, and how many of them under a new id; `owner` is kept up to date."""
    faithful = [[owner.get(person) == shown for shown in answers.tolist()] for person in ids.tolist()]
    # Who was shown under an id keeps it while that is possible.
    wish = alike + 10 * (alike > 0) * np.array(faithful, np.float64).reshape(alike.shape)
    rows, columns = linear_sum_assignment(wish, maximize=True)
    true = alike[rows, columns] > 0
    switches = 0
    for person, shown in zip(ids[rows[true]].tolist(), answers[columns[true]].tolist(), strict=True):
        switches += owner.get(person, shown) != shown
        owner[person] = shown
    return int(true.sum()), switches


def _identified(together: Counter[tuple[int, int]]) -> int:
    """Return in how many boxes people bear the ids that fit them best over the whole sequence."""
    people = sorted({person for person, _ in together})
    shown = sorted({answer for _, answer in together})
    frames = np.array([[together[person, answer] for answer in shown] for person in people])
    rows, columns = linear_sum_assignment(frames.reshape(len(people), len(shown)), maximize=True)
    return int(frames[rows, columns].sum()) if len(rows) else 0
