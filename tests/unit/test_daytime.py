"""When windows are open: nights, weekdays, clocks that change, and the sun from pole to pole."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.config.profiles import LocationConfig, Schedule
from vigil.daytime import SystemZone, active, next_change

if TYPE_CHECKING:
    from collections.abc import Iterator

BERLIN = ZoneInfo("Europe/Berlin")
SPREE = LocationConfig(latitude=52.52, longitude=13.405)
NIGHT = {"night": Schedule.model_validate({"when": "22:00-06:00"})}
SUN_DOWN = {"dark": Schedule.model_validate({"when": "sunset - sunrise"})}


def at(text: str, zone: ZoneInfo = BERLIN, *, fold: int = 0) -> datetime:
    """Return a local time; `fold` 1 is the second of two that a clock shows."""
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)


def schedule(*windows: str, days: list[str] | None = None) -> dict[str, Schedule]:
    """Return one profile, `p`."""
    return {"p": Schedule.model_validate({"when": list(windows), "days": days})}


@pytest.mark.parametrize(
    ("now", "name"),
    [
        ("2026-01-05T21:59:59", None),
        ("2026-01-05T22:00:00", "night"),
        ("2026-01-06T00:00:00", "night"),
        ("2026-01-06T05:59:59.999999", "night"),
        ("2026-01-06T06:00:00", None),
        ("2026-01-06T12:00:00", None),
    ],
)
def test_window_crosses_midnight(now: str, name: str | None) -> None:
    """It opens at its start, stays open over midnight, and its end is no part of it."""
    assert active(NIGHT, at(now), None) == name


def test_day_is_that_of_the_start() -> None:
    """A window of a Friday night is open on Saturday morning and not on Friday morning."""
    friday = schedule("22:00-06:00", days=["fri"])
    times = ["2026-01-09T05:00", "2026-01-09T23:00", "2026-01-10T05:00", "2026-01-10T23:00"]
    assert [active(friday, at(time), None) for time in times] == [None, "p", "p", None]


def test_any_window_is_enough_and_the_first_profile_wins() -> None:
    """Of several windows one is enough, of several profiles the first in order has it."""
    profiles = {"noon": schedule("12:00-13:00", "20:00-23:00")["p"], "later": schedule("12:30-24:00")["p"]}
    times = ["12:15", "12:45", "13:00", "20:00", "23:30"]
    names = [active(profiles, at(f"2026-01-05T{time}"), None) for time in times]
    assert names == ["noon", "noon", "later", "noon", "later"]


def test_profile_without_window_is_never_in_force() -> None:
    """It is only chosen by hand."""
    away = {"away": Schedule()}
    assert active(away, at("2026-01-05T12:00"), None) is None
    assert next_change(away, at("2026-01-05T12:00"), None) is None


def test_spring_night_is_an_hour_short() -> None:
    """A window over the hour that is skipped ends by the clock, seven hours after its start."""
    assert next_change(NIGHT, at("2026-03-29T01:00"), None) == at("2026-03-29T06:00")
    before, after = at("2026-03-28T22:00").astimezone(UTC), at("2026-03-29T06:00").astimezone(UTC)
    assert after - before == timedelta(hours=7)
    assert active(NIGHT, at("2026-03-29T05:59"), None) == "night"
    assert active(NIGHT, at("2026-03-29T06:00"), None) is None


def test_skipped_start_is_as_if_the_clock_had_not_moved() -> None:
    """02:30 does not exist on that day and means half past three."""
    early = schedule("02:30-05:00")
    times = ["01:59", "03:29", "03:30", "04:59", "05:00"]
    assert [active(early, at(f"2026-03-29T{time}"), None) for time in times] == [None, None, "p", "p", None]


def test_repeated_hour_counts_the_first_time() -> None:
    """A window that ends at 02:30 ends once, and does not open again when 2 o'clock comes again."""
    late = schedule("22:00-02:30")
    first, again = at("2026-10-25T02:15"), at("2026-10-25T02:15", fold=1)
    assert (active(late, first, None), active(late, again, None)) == ("p", None)
    early = schedule("02:30-05:00")
    assert active(early, again, None) == "p"
    assert active(early, first, None) is None


@pytest.mark.parametrize(
    ("day", "place", "zone", "rise", "down"),
    [
        ("2026-06-21", (52.52, 13.405), "Europe/Berlin", "04:43", "21:33"),
        ("2026-12-21", (52.52, 13.405), "Europe/Berlin", "08:15", "15:54"),
        ("2026-06-21", (40.7128, -74.006), "America/New_York", "05:25", "20:31"),
        ("2026-12-21", (-36.85, 174.76), "Pacific/Auckland", "05:58", "20:40"),
        ("2026-06-21", (-13.83, -171.77), "Pacific/Apia", "06:50", "18:08"),
    ],
)
def test_sun_times_are_those_of_almanacs(
    day: str, place: tuple[float, float], zone: str, rise: str, down: str
) -> None:
    """Sunrise and sunset are within two minutes of the published ones, also across the date line."""
    there, here = ZoneInfo(zone), LocationConfig(latitude=place[0], longitude=place[1])
    light = schedule("sunrise - sunset")
    morning = next_change(light, at(f"{day}T01:00", there), here)
    evening = next_change(light, at(f"{day}T12:00", there), here)
    for found, expected in ((morning, rise), (evening, down)):
        assert found is not None
        assert abs(found - at(f"{day}T{expected}", there)) < timedelta(minutes=2)


def test_offsets_move_the_sun() -> None:
    """`sunset+30m` is half an hour after it, `sunrise-15m` a quarter before."""
    moved = schedule("sunset+30m - sunrise-15m")
    noon = at("2026-01-05T12:00")
    plain, shifted = next_change(SUN_DOWN, noon, SPREE), next_change(moved, noon, SPREE)
    assert plain is not None
    assert shifted is not None
    assert shifted - plain == timedelta(minutes=30)
    plain, shifted = next_change(SUN_DOWN, plain, SPREE), next_change(moved, shifted, SPREE)
    assert plain is not None
    assert shifted is not None
    assert plain - shifted == timedelta(minutes=15)


@pytest.mark.parametrize("longitude", [-90, 90])
def test_every_day_has_one_night(longitude: int) -> None:
    """While sunrise or sunset moves over 0:00 UTC, no night is missing and none comes twice."""
    here = LocationConfig(latitude=35, longitude=longitude)
    now, end = at("2026-02-20T12:00", ZoneInfo("UTC")), at("2026-04-21T12:00", ZoneInfo("UTC"))
    lengths = []
    while (change := next_change(SUN_DOWN, now, here)) is not None and change < end:
        lengths.append(change - now)
        now = change
    assert len(lengths) in {119, 120, 121}
    assert all(timedelta(hours=10) < length < timedelta(hours=14) for length in lengths[1:])


@pytest.mark.parametrize("day", ["2026-06-21", "2026-12-21"])
def test_polar_day_and_night_open_nothing(day: str) -> None:
    """Where the sun does not rise or set, a rule that needs it never matches, and nothing fails."""
    oslo, tromso = ZoneInfo("Europe/Oslo"), LocationConfig(latitude=69.65, longitude=18.96)
    for window in ("sunset - sunrise", "sunrise - sunset", "20:00 - sunrise", "sunset - 23:00"):
        for hour in range(24):
            assert active(schedule(window), at(f"{day}T{hour:02}:30", oslo), tromso) is None
    assert next_change(SUN_DOWN, at(f"{day}T12:00", oslo), tromso) is None


@pytest.mark.parametrize("latitude", [-90, 90])
def test_poles_harm_nobody(latitude: int) -> None:
    """At a pole there is a sunrise a year, and no error on any day."""
    here = LocationConfig(latitude=latitude, longitude=0)
    for month in range(1, 13):
        assert active(SUN_DOWN, datetime(2026, month, 21, 12, tzinfo=UTC), here) is None


def test_sunset_after_the_end_opens_nothing() -> None:
    """`sunset - 21:00` is empty on the evenings on which the sun sets later, and not a day long."""
    evening = schedule("sunset - 21:00")
    assert active(evening, at("2026-01-05T20:00"), SPREE) == "p"
    assert all(active(evening, at(f"2026-06-21T{hour:02}:59"), SPREE) is None for hour in range(24))


def test_sunset_after_midnight_is_of_the_evening_before() -> None:
    """Where the sun sets at 0:48, the short night after it is that of the evening's day."""
    alaska, fairbanks = ZoneInfo("America/Anchorage"), LocationConfig(latitude=64.84, longitude=-147.7)
    sunday = schedule("sunset - sunrise", days=["sun"])
    times = ["2026-06-22T00:40", "2026-06-22T01:30", "2026-06-22T03:30"]
    assert [active(sunday, at(time, alaska), fairbanks) for time in times] == [None, "p", None]


@settings(max_examples=30)
@given(
    st.lists(
        st.sampled_from(["22:00-06:00", "sunset - sunrise", "12:00-12:30", "02:30 - sunrise+1h"]), min_size=1
    ),
    st.datetimes(datetime(2025, 1, 1), datetime(2027, 1, 1)),  # noqa: DTZ001 -- the zone is put on below
    st.sampled_from(["Europe/Berlin", "Europe/Lisbon", "UTC"]),
)
def test_nothing_changes_before_the_next_change(windows: list[str], when: datetime, zone: str) -> None:
    """Until the moment that `next_change` names the same profile is in force, and from it on another."""
    profiles, now = schedule(*windows), when.replace(tzinfo=ZoneInfo(zone))
    change = next_change(profiles, now, SPREE)
    present = active(profiles, now, SPREE)
    assert change is not None
    assert change > now
    span = change.astimezone(UTC) - now.astimezone(UTC)
    between = [(now.astimezone(UTC) + span * part / 8).astimezone(ZoneInfo(zone)) for part in range(8)]
    assert {active(profiles, moment, SPREE) for moment in between} == {present}
    assert active(profiles, change, SPREE) != present


@pytest.fixture
def in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make Berlin the machine's zone."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_berlin")
@given(st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)))  # noqa: DTZ001 -- as above
def test_system_zone_has_the_rules_of_the_machine(moment: datetime) -> None:
    """It says what the zone database says, winter and summer, and finds the way back."""
    local, expected = moment.astimezone(SystemZone()), moment.astimezone(BERLIN)
    assert (local.replace(tzinfo=None), local.fold) == (expected.replace(tzinfo=None), expected.fold)
    assert local.utcoffset() == expected.utcoffset()
    assert local.astimezone(UTC) == moment
