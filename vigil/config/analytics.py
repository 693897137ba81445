"""What a camera's boxes mean to its owner: zones, lines, masks, filters, and what it takes to be an object.

Points are fractions of the frame, `[0, 0]` its upper left corner, so that they outlive a change of
resolution.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from vigil.config.section import Section
from vigil.config.units import NO_BOOLEAN, CameraName, Duration, Fraction, Text, Timeout, wrong
from vigil.core.geometry import Point, distinct, is_simple

_POINT = "a point [x, y] in fractions of the frame, 0 to 1, such as [0.5, 0.9]"
_POLYGON = (
    "a list of at least three points in fractions of the frame, such as [[0.1, 0.5], [0.9, 0.5], [0.5, 1]]"
)
_LEAST_POINTS = 3


def _point(value: Any) -> Point:
    """Return a point as a pair of floats; raises what `wrong` makes."""
    if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004 -- x and y
        raise wrong(f"is no point; write {_POINT}")
    numbers = [number for number in value if isinstance(number, int | float) and not isinstance(number, bool)]
    if len(numbers) != 2 or not all(0 <= number <= 1 for number in numbers):  # noqa: PLR2004 -- x and y
        raise wrong(f"is not within the frame; write {_POINT}")
    return float(numbers[0]), float(numbers[1])


def _polygon(value: Any) -> tuple[Point, ...]:
    """Return a simple polygon without repeated points; raises what `wrong` makes."""
    if not isinstance(value, list | tuple):
        raise wrong(f"is no polygon; write {_POLYGON}")
    points = distinct([_point(item) for item in value])
    if len(points) < _LEAST_POINTS:
        raise wrong(f"has fewer than three different points; write {_POLYGON}")
    if not is_simple(points):
        raise wrong("has a border that crosses or touches itself; list the corners in their order around it")
    return tuple(points)


FramePoint: TypeAlias = Annotated[
    Point, BeforeValidator(_point), Field(json_schema_extra={"x-expects": _POINT})
]
Polygon: TypeAlias = Annotated[
    tuple[Point, ...], BeforeValidator(_polygon), Field(json_schema_extra={"x-expects": _POLYGON})
]
Masks: TypeAlias = tuple[Polygon, ...]
Classes: TypeAlias = Annotated[tuple[Text, ...], Field(min_length=1)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1), NO_BOOLEAN]
Aspect: TypeAlias = Annotated[float, Field(ge=0, le=100), NO_BOOLEAN]


class ObjectFilter(Section):
    """Sizes and shapes that boxes of a class can have; what is not given is not limited."""

    min_area: Share | None = Field(
        default=None, description="Smallest area of a box, as a fraction of the frame's."
    )
    max_area: Share | None = Field(
        default=None, description="Largest area of a box, as a fraction of the frame's."
    )
    min_aspect: Aspect | None = Field(
        default=None, description="Least width / height of a box; a person on foot has about 0.4."
    )
    max_aspect: Aspect | None = Field(default=None, description="Greatest width / height of a box.")

    @field_validator("max_area", "max_aspect")
    @classmethod
    def _not_below_least(cls, most: float | None, info: ValidationInfo) -> float | None:
        least_key = str(info.field_name).replace("max", "min")
        least = info.data.get(least_key)
        if most is not None and least is not None and most < least:
            raise wrong(f"is below `{least_key}`, so that nothing passes; write {least:g} or more")
        return most


Filters: TypeAlias = dict[Text, ObjectFilter]
"""Filters by class label; `*` is every class, and a class's own values win, key by key."""


class ZoneConfig(Section):
    """A part of the picture in which objects are counted."""

    polygon: Polygon = Field(
        description="Its corners in order around it, in fractions of the frame; a border of any simple shape."
    )
    classes: Classes | None = Field(
        default=None, description="Class labels that it counts; null counts all that the camera reports."
    )
    anchor: Literal["bottom_center", "center", "top_center", "any"] = Field(
        default="bottom_center",
        description="The point of a box that has to be inside; `any` is enough when any part of the box is.",
    )
    inertia: Duration = Field(
        default="1s",
        validate_default=True,
        description="Time without a break for which an object must be inside to enter, and outside to leave.",
    )
    loiter: Duration = Field(
        default="0s",
        validate_default=True,
        description="Time for which an object must stay before it counts as being in the zone.",
    )
    filters: Filters = Field(
        default_factory=dict,
        description="Sizes and shapes, by class, of boxes that count here, besides the camera's own filters.",
    )


class LineConfig(Section):
    """A line on the ground that is crossed; `in` is from its left to its right, seen along from -> to."""

    start: FramePoint = Field(alias="from", description="Where the line begins, in fractions of the frame.")
    end: FramePoint = Field(alias="to", description="Where the line ends, in fractions of the frame.")
    classes: Classes | None = Field(
        default=None, description="Class labels that it counts; null counts all that the camera reports."
    )
    anchor: Literal["bottom_center", "center", "top_center"] = Field(
        default="bottom_center", description="The point of a box that has to cross."
    )

    @field_validator("end")
    @classmethod
    def _has_a_length(cls, end: Point, info: ValidationInfo) -> Point:
        if end == info.data.get("start"):
            raise wrong("is the same point as `from`; write where the line ends")
        return end


class TrackingConfig(Section):
    """What it takes to be an object, and how long it stays one unseen."""

    confirm_hits: Annotated[int, Field(ge=1, le=100), NO_BOOLEAN] = Field(
        default=3, description="Detections after which something counts as an object."
    )
    confirm_score: Fraction | None = Field(
        default=None,
        description="Least median confidence of its detections for that; null is the class's `confidence`.",
    )
    patience: Duration = Field(
        default="3s", validate_default=True, description="How long an object that is not seen is waited for."
    )
    stationary_after: Duration = Field(
        default="10s", validate_default=True, description="Time in one place that makes an object stationary."
    )
    stationary_patience: Duration = Field(
        default="5m",
        validate_default=True,
        description="How long a stationary object that is not seen, because something covers it, is waited "
        "for; in plain view no longer than it had stood there.",
    )


class MotionConfig(Section):
    """What counts as motion in a camera's picture."""

    enabled: bool = Field(default=True, description="Whether motion is looked for.")
    sensitivity: Annotated[float, Field(ge=0.1, le=10), NO_BOOLEAN] = Field(
        default=1, description="Above 1 notices fainter and smaller changes, below 1 only clearer ones."
    )
    hold: Duration = Field(
        default="10s", validate_default=True, description="How long motion lasts after the last change."
    )
    masks: Masks = Field(
        default=(), description="Polygons in which changes do not count: trees, flags, the camera's clock."
    )


class SnapshotConfig(Section):
    """Pictures of events, and of what a camera sees, for subscribers and people."""

    enabled: bool = Field(default=True, description="Whether the best view of each event is published.")
    crop: bool = Field(
        default=True, description="Show the object and a little around it; false shows the whole frame."
    )
    size: Annotated[int, Field(ge=64, le=8192), NO_BOOLEAN] = Field(
        default=640, description="Longest side of a picture in pixels; what is smaller stays as it is."
    )
    quality: Annotated[int, Field(ge=1, le=100), NO_BOOLEAN] = Field(default=80, description="JPEG quality.")
    live: Timeout | None = Field(
        default=None,
        description="Publish what the camera sees this often, on `<camera>/live`; null does not.",
    )


Zones: TypeAlias = dict[CameraName, ZoneConfig]
Lines: TypeAlias = dict[CameraName, LineConfig]
