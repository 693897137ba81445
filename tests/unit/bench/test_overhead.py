"""`vigil bench overhead`: a batch is as many frames as it says, each with what it shows by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from vigil.bench.overhead import STAGES, _Bench, _Stopwatch
from vigil.core.types import Result

if TYPE_CHECKING:
    from collections.abc import Sequence

CAMERAS, SECOND = 5, 5
"""How many cameras, and how many frames each has in a second."""


def taken(batch: int, frames: int) -> list[Result]:
    """Return the results of so many frames of each camera, in batches of so many cameras."""
    bench = _Bench(CAMERAS, 4, batch, _Stopwatch(CAMERAS, 1))
    told = [
        each
        for number in range(frames)
        for cameras in bench._batches()
        for each in bench.one(cameras, number)
    ]
    return [each for each in told if isinstance(each, Result)]


def test_a_batch_shows_what_its_frames_show() -> None:
    """Two cameras at a time, of an odd number, have the boxes and tracks' counts that each has alone."""
    alone, together = taken(1, 6), taken(2, 6)
    assert [(each.camera, each.seq) for each in together] == [(each.camera, each.seq) for each in alone]
    assert sum(len(each.detections) for each in alone) > CAMERAS * 6
    for one, other in zip(alone, together, strict=True):
        np.testing.assert_array_equal(one.detections.xyxy, other.detections.xyxy)
        assert one.counts == other.counts


@pytest.mark.parametrize(("batches", "spent"), [(1, [50_000_000]), (3, [20_000_000, 20_000_000, 10_000_000])])
def test_time_is_shared_by_the_frames_of_a_batch(batches: int, spent: Sequence[int]) -> None:
    """Milliseconds are those of a frame, however many batches the cameras' frames came in."""
    watch = _Stopwatch(CAMERAS, batches)
    for _ in range(3 * SECOND):
        for each in spent:
            for stage in STAGES:
                watch.note(stage, each)
    assert watch.medians() == dict.fromkeys(STAGES, 10.0)
