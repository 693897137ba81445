"""Zones, lines, filters and masks as a person writes them, and what is said of mistakes."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from vigil.config.analytics import (
    LineConfig,
    Masks,
    MotionConfig,
    ObjectFilter,
    TrackingConfig,
    ZoneConfig,
)
from vigil.config.section import Section

TRIANGLE = [[0.1, 0.2], [0.5, 0.2], [0.5, 0.9]]


class Masked(Section):
    """A section with masks."""

    masks: Masks = ()


def problem(section: type[Section], keys: dict[str, Any]) -> tuple[tuple[str | int, ...], str]:
    """Return where the only problem is and what is said of it."""
    with pytest.raises(ValidationError) as error:
        section.model_validate(keys)
    [detail] = error.value.errors()
    return detail["loc"], detail["msg"]


def test_a_zone_needs_only_its_polygon() -> None:
    """The rest has defaults: the feet count, of every class, after a second, without loitering."""
    zone = ZoneConfig.model_validate({"polygon": TRIANGLE})
    assert zone.polygon == ((0.1, 0.2), (0.5, 0.2), (0.5, 0.9))
    assert (zone.anchor, zone.classes, zone.inertia, zone.loiter) == ("bottom_center", None, 1, 0)


def test_a_closed_polygon_is_the_same() -> None:
    """Drawing tools repeat the first point at the end."""
    closed = ZoneConfig.model_validate({"polygon": [*TRIANGLE, TRIANGLE[0]]})
    assert closed == ZoneConfig.model_validate({"polygon": TRIANGLE})


@pytest.mark.parametrize(
    ("polygon", "said"),
    [
        ("drive", "is no polygon; write a list of at least three points"),
        (TRIANGLE[:2], "has fewer than three different points; write a list"),
        ([[0, 0], [0, 0], [1, 1], [0, 0]], "has fewer than three different points; write a list"),
        ([[0, 0], [1, 1], [1, 0], [0, 1]], "has a border that crosses or touches itself; list the corners"),
        ([[0, 0], [0.5, 0.5], [1, 1]], "has a border that crosses or touches itself; list the corners"),
        ([[0, 0], [1, 0], 5], "is no point; write a point [x, y]"),
        ([[0, 0], [1, 0], [1, 2, 3]], "is no point; write a point [x, y]"),
        ([[0, 0], [1280, 0], [1280, 720]], "is not within the frame; write a point [x, y] in fractions"),
        ([[0, 0], [True, 0], [0, "x"]], "is not within the frame; write a point [x, y] in fractions"),
        ([[0, 0], [float("nan"), 0], [0, 1]], "is not within the frame; write a point [x, y] in fractions"),
    ],
)
def test_what_is_no_polygon(polygon: Any, said: str) -> None:
    """Each mistake is named, with what would be right."""
    loc, message = problem(ZoneConfig, {"polygon": polygon})
    assert loc == ("polygon",)
    assert message.startswith(said)


def test_a_mask_is_named_by_its_number() -> None:
    """Of several masks the wrong one is pointed at."""
    loc, _ = problem(Masked, {"masks": [TRIANGLE, TRIANGLE[:1]]})
    assert loc == ("masks", 1)
    assert problem(MotionConfig, {"masks": [TRIANGLE, []]})[0] == ("masks", 1)


def test_a_line_is_written_from_to() -> None:
    """The keys are `from` and `to`, and no others."""
    line = LineConfig.model_validate({"from": [0.2, 0.6], "to": [0.8, 0.6]})
    assert (line.start, line.end) == ((0.2, 0.6), (0.8, 0.6))
    with pytest.raises(ValidationError):
        LineConfig.model_validate({"start": [0.2, 0.6], "end": [0.8, 0.6]})


def test_a_line_has_a_length() -> None:
    """A line from a point to itself cannot be crossed."""
    loc, message = problem(LineConfig, {"from": [0.2, 0.6], "to": [0.2, 0.6]})
    assert (loc, message) == (("to",), "is the same point as `from`; write where the line ends")


@pytest.mark.parametrize("kind", ["area", "aspect"])
def test_bounds_leave_room(kind: str) -> None:
    """A greatest value below the least one lets nothing pass; the same value is no mistake."""
    loc, message = problem(ObjectFilter, {f"min_{kind}": 0.5, f"max_{kind}": 0.4})
    assert loc == (f"max_{kind}",)
    assert message == f"is below `min_{kind}`, so that nothing passes; write 0.5 or more"
    ObjectFilter.model_validate({f"min_{kind}": 0.5, f"max_{kind}": 0.5})


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        (ObjectFilter, {"min_area": 1.5}),
        (ObjectFilter, {"max_aspect": True}),
        (ZoneConfig, {"polygon": TRIANGLE, "anchor": "left"}),
        (ZoneConfig, {"polygon": TRIANGLE, "classes": []}),
        (ZoneConfig, {"polygon": TRIANGLE, "inertia": 1}),
        (LineConfig, {"from": [0, 0], "to": [1, 1], "anchor": "any"}),
        (TrackingConfig, {"confirm_hits": 0}),
        (TrackingConfig, {"confirm_score": 2}),
        (MotionConfig, {"sensitivity": 0}),
    ],
)
def test_values_out_of_bounds(section: type[Section], keys: dict[str, Any]) -> None:
    """Fractions, durations, anchors and counts have their limits."""
    problem(section, keys)
