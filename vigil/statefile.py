"""A small JSON file that outlives vigil: read at the start, replaced within a second of a change."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vigil.aio.threads import call_in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

T = TypeVar("T")

_LOOK = 1.0
"""Seconds between two looks for a change."""


class StateFile(ABC, Generic[T]):
    """One value of one configuration; without a `path` nothing is kept."""

    subject: str
    """What it keeps, in a word of the plural, for the log and the file's name."""
    begins: str
    """What becomes of the subject where nothing can be read, for the log."""

    def __init__(self, path: Path | None, nothing: T) -> None:
        """`nothing` is the value where there is no file."""
        self._path = path
        self._nothing = nothing
        self._written = nothing
        self._complained = False

    @abstractmethod
    def plain(self, value: T) -> Any:
        """Return what is written as JSON."""

    @abstractmethod
    def value(self, plain: Any) -> T:
        """Return what was kept; raises whatever a plain value of another shape leads to."""

    def read(self) -> T:
        """Return what was kept, nothing where there is no file; one that is broken is put aside, not lost."""
        if self._path is None or not self._path.exists():
            return self._nothing
        try:
            self._written = self.value(json.loads(self._path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            aside = self._path.with_suffix(".broken")
            log.warning("%s cannot be read (%s): %s; it is kept as %s", self._path, error, self.begins, aside)
            self._path.replace(aside)
        return self._written

    async def run(self, now: Callable[[], T]) -> None:
        """Write what `now()` returns whenever it has changed, until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(_LOOK)
                value = now()
                await call_in_thread(lambda value=value: self.write(value), name=self.subject)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        finally:
            self.write(now())

    def write(self, value: T) -> None:
        """Replace the file if anything has changed; a disk that is full is one line in the log."""
        if self._path is None or value == self._written:
            return
        fresh = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(self.plain(value)))
            fresh.replace(self._path)
            self._written, self._complained = value, False
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning(
                    "%s cannot be written: %s; %s will not survive a restart", fresh, error, self.subject
                )


def state_path(config: Path, environ: Mapping[str, str], kind: str, suffix: str = ".json") -> Path | None:
    """Return the file of one kind of state of a configuration, `None` if nothing names a folder.

    `VIGIL_STATE`, else systemd's `STATE_DIRECTORY`, else `$XDG_STATE_HOME/vigil` or `~/.local/state/vigil`.
    """
    own = environ.get("VIGIL_STATE") or environ.get("STATE_DIRECTORY", "").partition(":")[0]
    shared, home = environ.get("XDG_STATE_HOME"), environ.get("HOME")
    folder = own or (shared and f"{shared}/vigil") or (home and f"{home}/.local/state/vigil")
    if not folder:
        return None
    # One file for each configuration: several vigils can run on one machine.
    name = hashlib.sha256(os.fsencode(config.resolve())).hexdigest()[:12]
    return Path(folder, f"{kind}-{name}{suffix}")
