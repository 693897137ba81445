"""A schedule with two cameras."""

from __future__ import annotations

import pytest

from tests.support.scheduling import shape_of
from vigil.core.types import MAIN_MODEL
from vigil.inference.schedule import Schedule


@pytest.fixture
def schedule() -> Schedule:
    """Return a schedule with the cameras `a` and `b`, one inference per second each, due at 0."""
    schedule = Schedule(shape_of)
    schedule.add("a", model=MAIN_MODEL, fps=1, weight=1, floor=0.25, now=0.0)
    schedule.add("b", model=MAIN_MODEL, fps=1, weight=1, floor=0.5, now=0.0)
    return schedule
