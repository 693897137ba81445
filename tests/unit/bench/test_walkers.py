"""The answers of an engine that sees people walk, in both forms that YOLOs have."""

from __future__ import annotations

import numpy as np
import pytest

from vigil.bench.walkers import SHAPE, Answers, Distances, Output
from vigil.inference.heads import DistanceHead, RawHead


@pytest.mark.parametrize("now", [0.0, 3.2])
def test_both_forms_tell_of_the_same_people(now: float) -> None:
    """Boxes and distances show the same ten, where they have walked to."""
    floors = np.array([0.1], np.float32)
    (boxes,) = RawHead(0.7).decode([Answers(10, 3, Output()).at(now)], floors, SHAPE)
    distances = Answers(10, 3, Distances())
    distances.at(now - 1)
    (found,) = DistanceHead(0.7).decode([distances.at(now)], floors, SHAPE)
    assert len(found) == len(boxes) == 10
    np.testing.assert_allclose(found.confidence, boxes.confidence, atol=1e-4)
    np.testing.assert_allclose(found.xyxy, boxes.xyxy, atol=0.05)
