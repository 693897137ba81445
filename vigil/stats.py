"""How all of vigil did lately, told twice a minute for `<prefix>/stats`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from vigil.core.types import StatsReport

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.aio.bus import Bus
    from vigil.core.types import BusMessage, CameraStats

_PERIOD = 30.0
_FIRST = 5.0
"""Seconds after the start at which there is something to tell."""


class Cameras(Protocol):
    """Knows how each camera did since it was asked last."""

    def stats(self) -> Mapping[str, CameraStats]:
        """Return it by camera."""


class Engines(Protocol):
    """Knows how much there is to do."""

    @property
    def saturation(self) -> float:
        """Engine time that cameras ask for over what there is."""


class Stats:
    """Tells the bus at intervals, and whoever is new what was told last."""

    def __init__(self, cameras: Cameras, engines: Engines, bus: Bus[BusMessage]) -> None:
        self._cameras = cameras
        self._engines = engines
        self._bus = bus
        self._started = time.monotonic()
        self._told: StatsReport | None = None

    async def run(self) -> None:
        """Report until cancelled."""
        self._started = time.monotonic()
        await asyncio.sleep(_FIRST)
        while True:
            self.run_once()
            await asyncio.sleep(_PERIOD)

    def run_once(self) -> None:
        """Report how it went since the last time."""
        cameras = self._cameras.stats()
        self._told = StatsReport(
            self._engines.saturation,
            sum(camera.inference_fps for camera in cameras.values()),
            time.monotonic() - self._started,
            cameras,
        )
        self.announce()

    def announce(self) -> None:
        """Tell the bus what was reported last, if anything."""
        if self._told is not None:
            self._bus.publish([self._told])
