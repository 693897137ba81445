"""When the windows of profiles are open: the calendar, daylight saving time and the sun; pure functions.

A window belongs to the day on which it starts, by the zone of the `now` that is handed in. What a clock says
twice in the night when it is put back counts the first time; what it skips when it is put forward counts as
if it had not been put forward yet. A sun that does not rise or set opens no window.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, tzinfo
from typing import TYPE_CHECKING, TypeAlias

from vigil.config.profiles import DAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date

    from vigil.config.profiles import LocationConfig, Moment, Schedule, Window

Span: TypeAlias = tuple[datetime, datetime]
"""Start and end in UTC; the end is no part of it."""

_DAY = timedelta(days=1)
_HORIZON = -0.833
"""Degrees of the sun's centre when its upper edge is on the horizon: its radius and the air's refraction."""
_STEPS = 16
"""Halvings of twelve hours that leave less than a second."""
_AROUND = range(-2, 2)
"""Days of windows that can be open today: one can last for two days, or start before its day by an offset."""
_WEEK = range(-2, 9)


def active(profiles: Mapping[str, Schedule], now: datetime, location: LocationConfig | None) -> str | None:
    """Return the first profile whose time it is at `now`, which has its zone; `None` if it is no one's."""
    for name, profile in profiles.items():
        if any(start <= now < end for start, end in _spans(profile, now, location, _AROUND)):
            return name
    return None


def next_change(
    profiles: Mapping[str, Schedule], now: datetime, location: LocationConfig | None
) -> datetime | None:
    """Return when, within a week, `active` first says something else than at `now`; `None` if it does not."""
    present = active(profiles, now, location)
    spans = [span for profile in profiles.values() for span in _spans(profile, now, location, _WEEK)]
    edges = sorted({edge.astimezone(now.tzinfo) for span in spans for edge in span if edge > now})
    return next((edge for edge in edges if active(profiles, edge, location) != present), None)


class SystemZone(tzinfo):
    """The machine's own time zone with its rules, not just today's offset: TZ, or /etc/localtime."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        """Return what the system says for a local time."""
        return None if moment is None else moment.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, _moment: datetime | None) -> None:
        """Return that it is not known; `utcoffset` has it in."""

    def tzname(self, _moment: datetime | None) -> str:
        """Return a name."""
        return "local"

    def fromutc(self, moment: datetime) -> datetime:
        """Return the local time of a time in UTC."""
        return moment.replace(tzinfo=UTC).astimezone().replace(tzinfo=self)


def _spans(profile: Schedule, now: datetime, location: LocationConfig | None, days: range) -> Iterator[Span]:
    """Yield when a profile's windows are open that start on these days, counted from today's."""
    for ahead in days:
        day = now.date() + ahead * _DAY
        if profile.days is None or DAYS[day.weekday()] in profile.days:
            spans = (_span(window, day, now.tzinfo, location) for window in profile.when)
            yield from (span for span in spans if span is not None)


def _span(window: Window, day: date, zone: tzinfo | None, location: LocationConfig | None) -> Span | None:
    """Return when a window of a day is open; `None` if it is not at all."""
    last = day + window.ends_next_day * _DAY
    start, end = _at(window.start, day, zone, location), _at(window.end, last, zone, location)
    return (start, end) if start is not None and end is not None and start < end else None


def _at(moment: Moment, day: date, zone: tzinfo | None, location: LocationConfig | None) -> datetime | None:
    if moment.base == "midnight":
        # Within one zone Python adds as a wall clock does, whatever an hour put forward or back.
        midnight = datetime.combine(day, time(), zone)
        return (midnight + timedelta(seconds=moment.seconds)).astimezone(UTC)
    assert location is not None, "checked at load"  # noqa: S101 -- `load` refuses sun times without it
    sun = _sun(location, day, zone, rising=moment.base == "sunrise")
    return None if sun is None else sun + timedelta(seconds=moment.seconds)


def _sun(location: LocationConfig, day: date, zone: tzinfo | None, *, rising: bool) -> datetime | None:
    """Return when the sun rises or sets on a day, by halving the time from noon to the midnight beside it.

    astral's own sunrise and sunset fall on wrong days, or fail, where they are around 0:00 UTC; the height of
    the sun above the horizon, which it computes well, needs no day.
    """
    up = _noon(location, day, zone)
    down = up - _DAY / 2 if rising else up + _DAY / 2
    height = _height(location)
    if not height(down) < _HORIZON <= height(up):
        return None
    for _ in range(_STEPS):
        middle = up + (down - up) / 2
        up, down = (middle, down) if height(middle) >= _HORIZON else (up, middle)
    return up


def _noon(location: LocationConfig, day: date, zone: tzinfo | None) -> datetime:
    """Return the mean solar noon that is nearest to the clock's noon of a day."""
    noon = datetime.combine(day, time(12), UTC) - timedelta(hours=location.longitude / 15)
    return noon + round((datetime.combine(day, time(12), zone) - noon) / _DAY) * _DAY


def _height(location: LocationConfig) -> Callable[[datetime], float]:
    from astral import Observer  # noqa: PLC0415 -- only profiles that follow the sun need it
    from astral.sun import elevation  # noqa: PLC0415 -- as above

    observer = Observer(location.latitude, location.longitude)
    return lambda moment: elevation(observer, moment, with_refraction=False)
