"""The retained messages of the embedded broker on disk: one SQLite file, written at most once a second.

What is kept survives the death of every process (SIGKILL); a power cut may take the last seconds.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

log = logging.getLogger(__name__)

_FORM = 1
"""The form of the table; a file of another one is put aside."""

_BUSY = 2.0
"""Longest wait in seconds for another process that writes."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A retained message without its topic."""

    payload: bytes
    qos: int


class RetainedStore:
    """The file at `path`. Its methods block, and are called by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._complained = False
        self._database: sqlite3.Connection | None = None

    def read(self) -> dict[str, Kept]:
        """Return what is kept by topic; a file that cannot be read is put aside, and that is one log line."""
        if not self._path.exists():
            return {}
        try:
            rows = self._open().execute("SELECT topic, payload, qos FROM retained").fetchall()
            return {topic: Kept(bytes(payload), int(qos)) for topic, payload, qos in rows}
        except (sqlite3.Error, OSError, ValueError, TypeError) as error:
            self.close()
            aside = self._path.with_suffix(".broken")
            log.warning(
                "%s cannot be read (%s): nothing is retained; it is kept as %s", self._path, error, aside
            )
            self._put_aside(aside)
            return {}

    def write(self, changes: Mapping[str, Kept | None]) -> bool:
        """Take over what changed, `None` for what is gone; tell whether it is written.

        A disk that is full is one line in the log.
        """
        try:
            with self._open() as database:
                database.executemany(
                    "REPLACE INTO retained (topic, payload, qos) VALUES (?, ?, ?)",
                    [(topic, kept.payload, kept.qos) for topic, kept in changes.items() if kept is not None],
                )
                database.executemany(
                    "DELETE FROM retained WHERE topic = ?",
                    [(topic,) for topic, kept in changes.items() if kept is None],
                )
        except (sqlite3.Error, ValueError, OSError) as error:
            self.close()
            if not self._complained:
                self._complained = True
                log.warning("%s cannot be written: %s; retained messages will not survive", self._path, error)
            return False
        self._complained = False
        return True

    def close(self) -> None:
        """Let the file go."""
        database, self._database = self._database, None
        if database is not None:
            database.close()

    def _open(self) -> sqlite3.Connection:
        """Return the connection, made with its file if need be; raises what `read` and `write` catch."""
        if self._database is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Payloads are nobody else's business.
            os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
            self._database = sqlite3.connect(self._path, timeout=_BUSY, check_same_thread=False)
            _prepare(self._database)
        return self._database

    def _put_aside(self, aside: Path) -> None:
        with suppress(OSError):
            self._path.replace(aside)
        for rest in ("-wal", "-shm"):
            self._path.with_name(f"{self._path.name}{rest}").unlink(missing_ok=True)


def _prepare(database: sqlite3.Connection) -> None:
    (form,) = database.execute("PRAGMA user_version").fetchone()
    if form not in {0, _FORM}:
        raise ValueError(f"it has form {form}, not {_FORM}")
    # Written ahead and without waiting for the disk: once a second, for ever, on a card of flash memory.
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute(
        "CREATE TABLE IF NOT EXISTS retained "
        "(topic TEXT PRIMARY KEY, payload BLOB NOT NULL, qos INTEGER NOT NULL)"
    )
    database.execute(f"PRAGMA user_version = {_FORM}")
