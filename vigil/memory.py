"""What outlives vigil, of one configuration: files in the state folder, each of one kind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from vigil.announced import Announced
from vigil.commanded import Commanded, CommandFile
from vigil.ledger import Ledger, ledger_path
from vigil.statefile import state_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from vigil.core.events import Totals


class Memory:
    """The totals of lines, what people set, what Home Assistant was told, and what waits for a broker."""

    def __init__(self, config: Path, environ: Mapping[str, str]) -> None:
        """Read what an earlier vigil kept of the configuration in the file `config`."""
        self._ledger = Ledger(ledger_path(config, environ))
        self._commands = CommandFile(state_path(config, environ, CommandFile.subject))
        self._announced = Announced(state_path(config, environ, Announced.subject))
        self.retained = state_path(config, environ, "retained", ".sqlite")
        """Where the embedded broker keeps its retained messages; `None` if nothing names a folder."""
        self.outbox = state_path(config, environ, "outbox", ".db")
        """Where events wait for the broker; `None` as above."""
        self.announced = dict(self._announced.read())
        """What Home Assistant was told, by topic; whoever tells it keeps this up to date."""

    def totals(self) -> Mapping[str, Totals]:
        """Return the crossings of every camera's lines."""
        return self._ledger.read()

    def commanded(self, *, keep: bool) -> Commanded:
        """Return what people set, nothing if that is not to be kept."""
        commanded = self._commands.read()
        return commanded if keep else Commanded()

    async def run(
        self, totals: Callable[[], Mapping[str, Totals]], commanded: Callable[[], Commanded]
    ) -> None:
        """Keep what changes of it until cancelled, and then once more."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._ledger.run(totals), name="ledger")
            group.create_task(self._commands.run(commanded), name="commands")
            group.create_task(self._announced.run(lambda: dict(self.announced)), name="announced")
