"""What must survive vigil, in one SQLite file: waiting messages, stories without an end, retained topics.

Blocking, for one thread. What is committed survives a crash of vigil at any moment; after a power cut the
last second or so may be missing, and the file is whole all the same (WAL, `synchronous=NORMAL`).
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigil.sinks.dialect import Message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PATIENCE = 1.0
"""Seconds that another vigil with the same file gets to end."""
_TABLES = """
CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL, payload BLOB NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL,
    since REAL NOT NULL);
CREATE TABLE IF NOT EXISTS open (
    story TEXT PRIMARY KEY, topic TEXT NOT NULL, last_words BLOB NOT NULL, qos INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS retained (
    broker TEXT NOT NULL, topic TEXT NOT NULL, PRIMARY KEY (broker, topic)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS name (client_id TEXT NOT NULL);
"""
_COST = "length(payload) + length(topic)"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may wait, in bytes of payloads and topics, and how long, in seconds."""

    size: int
    age: float


@dataclass(frozen=True, slots=True)
class Dropped:
    """How many messages were let go, by cause."""

    size: int
    age: int


class Journal:
    """The tables; every method raises `sqlite3.Error` when the disk does not play along."""

    def __init__(self, path: Path | None) -> None:
        """Open the file, or keep everything in memory."""
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(
            path or ":memory:", timeout=_PATIENCE, isolation_level=None, check_same_thread=False
        )
        try:
            # One vigil to a file: a second one would end the stories of the first.
            self._db.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._db.executescript(_TABLES)
            self.waiting, self._bytes = self._db.execute(
                f"SELECT count(*), coalesce(sum({_COST}), 0) FROM waiting"  # noqa: S608 -- a constant
            ).fetchone()
        except sqlite3.Error:
            self._db.close()
            raise

    def close(self) -> None:
        """Give the file back."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Keep all of what the block does, or nothing of it."""
        before = self.waiting, self._bytes
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            self.waiting, self._bytes = before
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def put(self, message: Message, now: float) -> None:
        """Add a message to those that wait, and open, go on with or close its story."""
        self._add(message, now)
        if message.story and message.last_words is None:
            self._db.execute("DELETE FROM open WHERE story = ?", (message.story,))
        elif message.story:
            self._db.execute(
                "INSERT OR REPLACE INTO open VALUES (?, ?, ?, ?)",
                (message.story, message.topic, message.last_words, message.qos),
            )

    def recover(self, now: float) -> int:
        """Put the last words of every open story among those that wait; returns how many there were."""
        left = self._db.execute("SELECT topic, last_words, qos FROM open ORDER BY story").fetchall()
        for topic, last_words, qos in left:
            self._add(Message(topic, last_words, qos), now)
        self._db.execute("DELETE FROM open")
        return len(left)

    def remove(self, number: int, message: Message) -> None:
        """Forget a message that has arrived, if it still waits."""
        if self._db.execute("DELETE FROM waiting WHERE id = ?", (number,)).rowcount:
            self.waiting -= 1
            self._bytes -= _cost(message)

    def after(self, number: int, count: int) -> list[tuple[int, Message]]:
        """Return the oldest messages, no more than `count`, whose numbers are higher than this."""
        rows = self._db.execute(
            "SELECT id, topic, payload, qos, retain FROM waiting WHERE id > ? ORDER BY id LIMIT ?",
            (number, count),
        )
        return [(row[0], Message(row[1], row[2], row[3], bool(row[4]), durable=True)) for row in rows]

    def trim(self, limits: Limits, now: float) -> Dropped:
        """Let go of the oldest messages that are too old, and of those that are too many."""
        if not self.waiting:
            return Dropped(0, 0)
        old, many = 0, 0
        (oldest,) = self._db.execute("SELECT since FROM waiting ORDER BY id LIMIT 1").fetchone()
        if oldest < now - limits.age:
            old = self._remove("since < ?", now - limits.age)
        while self._bytes > limits.size:
            many += self._remove("id = (SELECT min(id) FROM waiting)")
        return Dropped(many, old)

    def said(self, broker: str, topic: str) -> None:
        """Note that a broker retains something under a topic."""
        self._db.execute("INSERT OR IGNORE INTO retained VALUES (?, ?)", (broker, topic))

    def taken_back(self, broker: str, topic: str) -> None:
        """Note that a broker retains nothing under a topic any more."""
        self._db.execute("DELETE FROM retained WHERE broker = ? AND topic = ?", (broker, topic))

    def topics(self, broker: str) -> frozenset[str]:
        """Return the topics under which a broker retains something of ours."""
        rows = self._db.execute("SELECT topic FROM retained WHERE broker = ?", (broker,))
        return frozenset(topic for (topic,) in rows)

    def client_id(self) -> str:
        """Return the name that this vigil has at brokers, the same as long as the file lives."""
        row = self._db.execute("SELECT client_id FROM name").fetchone()
        if row is None:
            row = (f"vigil-{secrets.token_hex(6)}",)
            self._db.execute("INSERT INTO name VALUES (?)", row)
        return str(row[0])

    def move_to(self, other: Journal) -> None:
        """Copy all that is readable here to a journal that is empty."""
        for table in ("waiting", "open", "retained", "name"):
            with closing(self._db.execute(f"SELECT * FROM {table}")) as rows:  # noqa: S608 -- a constant
                marks = ", ".join("?" * len(rows.description))
                other._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608 -- a constant
        other.waiting, other._bytes = self.waiting, self._bytes

    def _add(self, message: Message, now: float) -> None:
        self._db.execute(
            "INSERT INTO waiting (topic, payload, qos, retain, since) VALUES (?, ?, ?, ?, ?)",
            # Only with quality of service 1 does a broker say that it has a message.
            (message.topic, message.payload, max(1, message.qos), message.retain, now),
        )
        self.waiting += 1
        self._bytes += _cost(message)

    def _remove(self, which: str, *values: float) -> int:
        """Delete messages by a condition, which is a constant; returns how many there were."""
        count, cost = self._db.execute(
            f"SELECT count(*), coalesce(sum({_COST}), 0) FROM waiting WHERE {which}",  # noqa: S608 -- a constant
            values,
        ).fetchone()
        if count:
            self._db.execute(f"DELETE FROM waiting WHERE {which}", values)  # noqa: S608 -- a constant
            self.waiting -= count
            self._bytes -= cost
        return int(count)


def _cost(message: Message) -> int:
    """Count as SQL's `length` does: a topic by its characters."""
    return len(message.payload) + len(message.topic)
