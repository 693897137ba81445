"""What `<prefix>/stats` is made from: when it is told, and over which time."""

from __future__ import annotations

import asyncio

import pytest

from vigil.aio.bus import Bus
from vigil.core.types import BusMessage, CameraStats, StatsReport
from vigil.stats import Stats

pytestmark = pytest.mark.looptime

DRIVE = CameraStats(25.0, 4.0, 5.0, 0.05, 0.09, "h264", 1280, 720)
DOOR = CameraStats(0.0, 0.5, 5.0, None, None, "", 0, 0)


class Household:
    """Cameras and engines that count how often they were asked."""

    saturation = 0.75

    def __init__(self) -> None:
        self.asked = 0

    def stats(self) -> dict[str, CameraStats]:
        """Return two cameras."""
        self.asked += 1
        return {"drive": DRIVE, "door": DOOR}


async def test_reports_come_soon_and_then_twice_a_minute() -> None:
    """The first after 5 s, each further one 30 s later; rates are summed over cameras."""
    bus: Bus[BusMessage] = Bus()
    heard, household = bus.subscribe("test"), Household()
    task = asyncio.ensure_future(Stats(household, household, bus).run())
    await asyncio.sleep(4.9)
    assert heard.drain() == []
    await asyncio.sleep(0.2)
    (first,) = heard.drain()
    assert isinstance(first, StatsReport)
    assert (first.saturation, first.inferences_per_second) == (0.75, 4.5)
    assert first.cameras == {"drive": DRIVE, "door": DOOR}
    await asyncio.sleep(60)
    assert len(heard.drain()) == 2
    task.cancel()
    await asyncio.wait([task])


async def test_who_is_new_hears_the_last_report() -> None:
    """A new publisher is told again, without a new look; before the first report there is nothing."""
    bus: Bus[BusMessage] = Bus()
    heard, household = bus.subscribe("test"), Household()
    stats = Stats(household, household, bus)
    stats.announce()
    assert heard.drain() == []
    stats.run_once()
    stats.announce()
    first, again = heard.drain()
    assert first is again
    assert household.asked == 1
