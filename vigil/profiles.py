"""Profiles while vigil runs: which one is wanted, by schedule or by hand, and switching when that changes.

`Choice` decides and is asked at every reload; `Profiles` has a reload follow it in time, and tells the bus.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from typing import TYPE_CHECKING

from vigil.config.profiles import AUTO, NONE
from vigil.core.types import ProfileChanged, ProfileCommand, ProfileView
from vigil.daytime import SystemZone, active, next_change
from vigil.errors import VigilError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.aio.bus import Bus
    from vigil.config.model import Config
    from vigil.core.types import BusMessage
    from vigil.reload import Reload

log = logging.getLogger(__name__)

_LONGEST = 60.0
"""Seconds after which the clock is looked at anyhow: clocks get set, and machines sleep."""


def local_now() -> datetime:
    """Return the time in the machine's zone, with the zone's rules."""
    return datetime.now(SystemZone())


class Choice:
    """Which profile is wanted: the one chosen by hand, until it is `auto` again, else the schedules'."""

    def __init__(self, now: Callable[[], datetime] = local_now, chosen: str = AUTO) -> None:
        self.now = now
        self.chosen = chosen

    def pick(self, config: Config) -> str | None:
        """Return the profile of `config` that is to be in force; one that is gone is as `auto`."""
        if self.chosen == NONE:
            return None
        if self.chosen in config.profiles:
            return self.chosen
        return active(config.profiles, self.now(), config.location)

    def next_change(self, config: Config) -> datetime | None:
        """Return when the schedules want another one; `None` while one is held by hand."""
        by_hand = self.chosen == NONE or self.chosen in config.profiles
        return None if by_hand else next_change(config.profiles, self.now(), config.location)


class Profiles:
    """Keeps the profile in force that is wanted."""

    def __init__(self, choice: Choice, reload: Reload, bus: Bus[BusMessage]) -> None:
        self._choice = choice
        self._reload = reload
        self._bus = bus
        self._told: ProfileChanged | None = None

    async def run(self) -> None:
        """Follow the schedules, and what is asked for, until cancelled."""
        self.announce()
        while True:
            wait = await self.run_once()
            try:
                async with asyncio.timeout(wait):
                    await self._reload.profile_in_doubt.wait()
            except TimeoutError:
                continue

    async def run_once(self) -> float:
        """Switch if it is time to, and return for how many seconds there is nothing to do."""
        self._reload.profile_in_doubt.clear()
        try:
            await self._reload.follow()
        except VigilError as error:
            log.error("the profile is left as it was: %s", error)  # noqa: TRY400 -- its text says it all
        if self._state() != self._told:
            self.announce()
        change = self._choice.next_change(self._reload.file)
        ahead = _LONGEST if change is None else (change - self._choice.now()).total_seconds()
        return min(max(ahead, 0.0), _LONGEST)

    def announce(self) -> None:
        """Tell the bus which profile is in force."""
        self._told = self._state()
        self._bus.publish([self._told])

    def _state(self) -> ProfileChanged:
        return ProfileChanged(self._reload.profile, tuple(self._reload.file.profiles))

    def view(self) -> ProfileView:
        """Return what people are shown."""
        config, change = self._reload.file, self._choice.next_change(self._reload.file)
        return ProfileView(
            self._reload.profile,
            self._choice.chosen,
            tuple(config.profiles),
            None if change is None else change.timestamp(),
        )

    async def choose(self, command: ProfileCommand) -> ProfileView:
        """Have a profile, or `auto` or `none`, from now on; raises `KeyError` for another word.

        Raises the `VigilError` of a profile that cannot be taken over.
        """
        self._want(command)
        await self._reload.follow()
        return self.view()

    def request(self, command: ProfileCommand) -> None:
        """Do the same as soon as possible; a word that means nothing is only a log line."""
        try:
            self._want(command)
        except KeyError:
            log.warning("there is no profile %r", command.wanted[:40])

    def _want(self, command: ProfileCommand) -> None:
        if command.wanted not in {AUTO, NONE, *self._reload.file.profiles}:
            raise KeyError(command.wanted)
        self._choice.chosen = command.wanted
        self._reload.profile_in_doubt.set()
