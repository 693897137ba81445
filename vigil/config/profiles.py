"""When a profile is in force: windows of local time, written `22:00-06:00` or `sunset+30m - sunrise-15m`.

Only the sections and how they are written; `vigil.daytime` says when a window is open.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, WithJsonSchema

from vigil.config.section import Section
from vigil.config.units import NO_BOOLEAN, parse_duration, wrong

if TYPE_CHECKING:
    from pydantic import BaseModel

AUTO, NONE = "auto", "none"
"""What can be chosen beside a profile: whatever the schedules say, and the cameras as the file has them."""

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
"""In the order of `date.weekday()`."""

_EXPECTS = "a window such as 22:00-06:00, sunset - sunrise or sunset+30m - 23:00"
_NO_WINDOW = f"is no stretch of a day; write {_EXPECTS}"
_DAY = 86_400
_LONGEST_OFFSET = 12 * 3600
_NOMINAL = {"midnight": 0, "sunrise": 6 * 3600, "sunset": 18 * 3600}
_MOMENT = r"(?:(\d{1,2}):(\d{2})|(sunrise|sunset)(?:\s*([+-])\s*(\d+(?:\.\d+)?[a-z]+))?)"
_WINDOW = re.compile(rf"\s*{_MOMENT}\s*-\s*{_MOMENT}\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time of every day: seconds by the clock after `midnight`, or after (if negative, before) the sun."""

    base: Literal["midnight", "sunrise", "sunset"]
    seconds: float

    @property
    def nominal(self) -> float:
        """Seconds after midnight, with a sun that rises at 6:00 and sets at 18:00."""
        return _NOMINAL[self.base] + self.seconds


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of a day, or of a night: from `start` on, up to and without `end`."""

    start: Moment
    end: Moment

    @property
    def ends_next_day(self) -> bool:
        """Whether it ends on the day after the one on which it starts; `08:00-08:00` is a whole day."""
        return self.end.nominal <= self.start.nominal

    @property
    def needs_sun(self) -> bool:
        """Whether it depends on where the cameras are."""
        return {self.start.base, self.end.base} != {"midnight"}


def _moment(hours: str, minutes: str, base: Any, sign: str, offset: str) -> Moment:
    """Return what one half of a window says; raises `ValueError`."""
    if not base:
        seconds = int(hours) * 3600 + int(minutes) * 60
        if int(minutes) > 59 or seconds > _DAY:  # noqa: PLR2004 -- minutes of an hour
            raise ValueError(hours, minutes)
        return Moment("midnight", seconds)
    away = parse_duration(offset) if offset else 0.0
    if away > _LONGEST_OFFSET:
        raise ValueError(offset)
    return Moment(base, -away if sign == "-" else away)


def _window(value: Any) -> Any:
    """Return a window; raises what `wrong` makes."""
    if isinstance(value, Window):
        return value
    match = _WINDOW.fullmatch(value.lower()) if isinstance(value, str) else None
    if match is None:
        raise wrong(_NO_WINDOW)
    parts = match.groups()
    try:
        return Window(_moment(*parts[:5]), _moment(*parts[5:]))
    except ValueError:
        raise wrong(_NO_WINDOW) from None


def _one_or_several(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


_SCHEMA = {"type": "string", "x-expects": _EXPECTS}
When: TypeAlias = Annotated[
    tuple[Annotated[Window, BeforeValidator(_window)], ...],
    BeforeValidator(_one_or_several),
    WithJsonSchema({"anyOf": [_SCHEMA, {"type": "array", "items": _SCHEMA}]}),
]
Latitude: TypeAlias = Annotated[float, Field(ge=-90, le=90), NO_BOOLEAN]
Longitude: TypeAlias = Annotated[float, Field(ge=-180, le=180), NO_BOOLEAN]


class LocationConfig(Section):
    """Where the cameras are, for profiles that follow the sun."""

    latitude: Latitude = Field(description="Degrees north of the equator; south is negative.")
    longitude: Longitude = Field(description="Degrees east of Greenwich; west is negative.")


class Schedule(Section):
    """When a profile is in force by itself."""

    when: When = Field(
        default=(),
        description="Windows of local time, any of them; without one the profile is only chosen by hand.",
    )
    days: (
        Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], Field(min_length=1)]
        | None
    ) = Field(default=None, description="Days on which its windows start; null is every day.")


def part_of(section: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema of a mapping that may leave out any key of a section, at every depth."""
    whole = section.model_json_schema()

    def partial(part: Any) -> Any:
        if isinstance(part, list):
            return [partial(each) for each in part]
        if not isinstance(part, dict):
            return part
        if "$ref" in part:
            part = {**whole["$defs"][part["$ref"].rsplit("/", 1)[1]], **part}
        return {
            key: partial(value) for key, value in part.items() if key not in {"$ref", "$defs", "required"}
        }

    return dict(partial(whole))
