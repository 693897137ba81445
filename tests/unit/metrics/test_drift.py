"""How far a camera's labels have drifted from its habit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import Clock
from vigil.metrics.drift import LabelDrift, jensen_shannon

HOUR, DAY = 3600.0, 24 * 3600.0
SHARES = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(any)


class Street:
    """A camera whose drift is measured on a clock that the test sets."""

    def __init__(self, *labels: str) -> None:
        self.clock = Clock()
        self.drift = LabelDrift(self.clock.monotonic)
        self.drift.keep(labels)

    def passes(self, days: float, scrape: float = HOUR, **per_hour: int) -> float:
        """Let days pass with so many detections an hour; returns the drift at their end."""
        for _ in range(round(days * DAY / scrape)):
            self.clock.now += scrape
            for label, number in per_hour.items():
                self.drift.count(label, round(number * scrape / HOUR))
            self.drift.distance()
        return self.drift.distance()


def test_nothing_known_is_no_drift() -> None:
    """Without a label, and without a detection, the drift is 0."""
    assert Street().drift.distance() == 0
    assert Street("person").passes(1) == 0


def test_a_steady_habit_is_no_drift() -> None:
    """The same mix, at whatever rate, stays at 0."""
    street = Street("person", "car")
    assert street.passes(10, person=300, car=100) == pytest.approx(0, abs=1e-6)
    assert street.passes(3, person=30, car=10) == pytest.approx(0, abs=1e-6)


def test_nights_are_no_drift() -> None:
    """A mix that goes to and fro each day is the habit: the drift stays far below what is worth a look."""
    street = Street("person", "car")
    worst = 0.0
    for day in range(20):
        for hours in ({"person": 300, "car": 100}, {"person": 5, "car": 80}):
            drift = street.passes(0.5, **hours)
            worst = max(worst, drift) if day > 2 else worst
    assert worst < 0.15


def test_another_mix_is_drift_until_it_is_the_habit() -> None:
    """Boats where there were cars are told within two days, and are what is usual after some months."""
    street = Street("person", "car", "boat")
    street.passes(14, person=300, car=100)
    before = street.drift.distance()
    changed = street.passes(2, person=20, boat=380)
    assert before < 0.01
    assert changed > 0.3
    assert street.passes(90, scrape=DAY, person=20, boat=380) < 0.1


def test_a_few_sightings_prove_little() -> None:
    """One strange detection after a quiet day changes next to nothing."""
    street = Street("person", "boat")
    street.passes(14, person=10)
    assert street.passes(1, scrape=DAY, boat=0) < 0.05
    street.drift.count("boat", 3)
    assert street.drift.distance() < 0.1


def test_labels_that_go_are_forgotten() -> None:
    """A label that that goes leaves the mix of the others as it was; one that is not kept counts nothing."""
    street = Street("person", "car")
    street.passes(5, person=100, car=900)
    street.drift.keep(["person", "dog"])
    street.drift.count("car", 10_000)
    assert street.drift.distance() == 0
    assert street.passes(3, person=10, dog=300) > 0.2


def test_it_does_not_matter_how_often_it_is_asked() -> None:
    """Two scrapers see what one sees."""
    often, seldom = Street("person", "car"), Street("person", "car")
    for street, scrape in ((often, HOUR), (seldom, 6 * HOUR)):
        street.passes(10, scrape=scrape, person=300, car=100)
        street.passes(2, scrape=scrape, person=10, car=300)
    assert often.drift.distance() == pytest.approx(seldom.drift.distance(), rel=0.05)


@given(SHARES, SHARES)
def test_the_distance_is_one(one: list[float], other: list[float]) -> None:
    """From 0 to 1, the same both ways, 0 of a mix from itself, 1 of mixes with nothing in common."""
    names = (
        {str(number): value / sum(one) for number, value in enumerate(one)},
        {str(number): value / sum(other) for number, value in enumerate(other)},
    )
    assert 0 <= jensen_shannon(*names) <= 1
    assert jensen_shannon(*names) == pytest.approx(jensen_shannon(*reversed(names)))
    assert jensen_shannon(names[0], names[0]) == pytest.approx(0, abs=1e-6)
    assert jensen_shannon({"a": 1.0, "b": 0.0}, {"a": 0.0, "b": 1.0}) == 1
