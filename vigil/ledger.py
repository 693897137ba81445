"""Keeps the totals of lines over restarts: a small JSON file, replaced within a second of a change."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.aio.threads import call_in_thread
from vigil.core.events import Crossings, Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)

_LOOK = 1.0
"""Seconds between two looks for a change."""


class Ledger:
    """The totals of every camera of one configuration; without a `path` nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._written: Mapping[str, Totals] = {}
        self._complained = False

    def read(self) -> dict[str, Totals]:
        """Return what was kept, nothing where there is no file; one that is broken is put aside, not lost."""
        if self._path is None or not self._path.exists():
            return {}
        try:
            kept = json.loads(self._path.read_text(encoding="utf-8"))
            return {camera: _totals(lines) for camera, lines in kept.items()}
        except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
            aside = self._path.with_suffix(".broken")
            log.warning(
                "%s cannot be read (%s): totals begin at 0; it is kept as %s", self._path, error, aside
            )
            self._path.replace(aside)
            return {}

    async def run(self, totals: Callable[[], Mapping[str, Totals]]) -> None:
        """Write what `totals()` returns whenever it has changed, until cancelled, and then once more."""
        try:
            while True:
                await asyncio.sleep(_LOOK)
                now = totals()
                await call_in_thread(lambda now=now: self.write(now), name="ledger")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        finally:
            self.write(totals())

    def write(self, totals: Mapping[str, Totals]) -> None:
        """Replace the file if anything has changed; a disk that is full is one line in the log."""
        if self._path is None or totals == self._written:
            return
        fresh = self._path.with_suffix(".part")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps({camera: _plain(kept) for camera, kept in totals.items()}))
            fresh.replace(self._path)
            self._written, self._complained = totals, False
        except OSError as error:
            if not self._complained:
                self._complained = True
                log.warning("%s cannot be written: %s; totals will not survive a restart", fresh, error)


def ledger_path(config: Path, environ: Mapping[str, str]) -> Path | None:
    """Return where the totals of a configuration are kept, `None` if nothing names a folder."""
    return state_path(config, environ, "totals", ".json")


def state_path(config: Path, environ: Mapping[str, str], kind: str, suffix: str) -> Path | None:
    """Return where something of a configuration outlives a restart, `None` if nothing names a folder.

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


def _plain(totals: Totals) -> dict[str, Any]:
    return {
        line: {label: [crossings.inwards, crossings.outwards] for label, crossings in labels.items()}
        for line, labels in totals.lines.items()
    }


def _totals(lines: Mapping[str, Any]) -> Totals:
    return Totals(
        {
            line: {
                label: Crossings(int(inwards), int(outwards)) for label, (inwards, outwards) in labels.items()
            }
            for line, labels in lines.items()
        }
    )
