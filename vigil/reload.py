"""Taking over a changed configuration while everything runs: all of it, or nothing.

What is in force is the file's configuration under the profile whose time it is. So the change of a profile is
a reload without a file.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from vigil import log as logging_setup
from vigil.config.diff import diff
from vigil.config.watch import changes as file_changes
from vigil.errors import CannotStartError, VigilError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from vigil.analytics.filters import ClassFilter
    from vigil.config.diff import Changes
    from vigil.config.model import Config
    from vigil.config.watch import Identity
    from vigil.messaging import Messaging
    from vigil.metrics import Metrics

log = logging.getLogger(__name__)


def _no_profile(_config: Config) -> None:
    """Take the cameras as the file has them."""


class Cameras(Protocol):
    """All cameras, in this process or in others."""

    def filters(self, config: Config) -> Mapping[str, ClassFilter]:
        """Raise `CannotStartError` for a class or a model that is not known."""

    async def apply(self, config: Config, changes: Changes) -> None:
        """Make the cameras what `config` says; raises as `filters` does, and has touched nothing then."""


class Reload:
    """Loads the configuration again when its file changes, on SIGHUP, or when somebody asks."""

    def __init__(
        self,
        config: Config,
        load_again: Callable[[], Config],
        cameras: Cameras,
        messaging: Messaging,
        metrics: Metrics,
        pick: Callable[[Config], str | None] = _no_profile,
        profile: str | None = None,
    ) -> None:
        """`config` is the file's, and `profile` what the `cameras` are under.

        `pick` says which profile is to be in force at each reload.
        """
        self._file = config
        self._pick = pick
        self._profile = profile
        self._config = config.under(profile)
        self._load_again = load_again
        self._cameras = cameras
        self._messaging = messaging
        self._metrics = metrics
        self._busy = asyncio.Lock()
        self.profile_in_doubt = asyncio.Event()
        """Set when another profile may be wanted, or in force: a file was taken over, or somebody asked."""
        metrics.reloaded(successful=True)

    @property
    def config(self) -> Config:
        """The configuration that is in force."""
        return self._config

    @property
    def file(self) -> Config:
        """The same without any profile."""
        return self._file

    @property
    def profile(self) -> str | None:
        """The profile that is in force."""
        return self._profile

    def check_profiles(self, config: Config) -> None:
        """Raise `CannotStartError` for a profile that could not be taken over when its time comes."""
        for name in config.profiles:
            try:
                self._cameras.filters(config.under(name))
            except CannotStartError as error:
                raise CannotStartError(f"profiles.{name}: {error}") from error

    async def run(self, path: Path, requested: asyncio.Event, loaded: Identity | None = None) -> None:
        """Reload whenever the file at `path` changes or `requested` is set, until cancelled.

        `loaded` is the identity of the file that the present configuration came from.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._on_change(path, loaded), name="reload-on-change")
            group.create_task(self._on_request(requested), name="reload-on-request")

    async def reload(self) -> Changes:
        """Load and take over; raises the `VigilError` of a configuration that is left alone for it."""
        async with self._busy:
            try:
                changes = await self._take_over(self._load_again())
            except VigilError as error:
                self._metrics.reloaded(successful=False)
                log.error("the configuration is left as it was:\n%s", error)  # noqa: TRY400 -- its text says it all
                raise
            self._metrics.reloaded(successful=True)
            return changes

    async def follow(self) -> bool:
        """Take over the profile whose time it is; tell whether it is another. Raises `VigilError`."""
        async with self._busy:
            if self._pick(self._file) == self._profile:
                return False
            await self._take_over(self._file)
            return True

    async def _take_over(self, file: Config) -> Changes:
        """Check what can fail, then change what changed."""
        profile = self._pick(file)
        config = file.under(profile)
        changes = diff(self._config, config)
        self.check_profiles(file)
        if changes.mqtt:
            self._messaging.check(config.mqtt)
        await self._cameras.apply(config, changes)
        if changes.log:
            logging_setup.set_up(config.log)
        if changes.mqtt:
            self._messaging.apply(config)
        if profile != self._profile:
            log.info("profile: %s", profile or "none")
        self._config, self._file, self._profile = config, file, profile
        self.profile_in_doubt.set()
        log.info("configuration taken over: %s", changes)
        for key in changes.needs_restart:
            log.warning("%s takes effect only when vigil starts again", key)
        return changes

    async def _on_change(self, path: Path, loaded: Identity | None) -> None:
        async for _ in file_changes(path, loaded):
            await self._quietly()

    async def _on_request(self, requested: asyncio.Event) -> None:
        while True:
            await requested.wait()
            requested.clear()
            await self._quietly()

    async def _quietly(self) -> None:
        """Reload; a wrong configuration has been logged and counted and ends nothing."""
        try:
            await self.reload()
        except VigilError:
            return
