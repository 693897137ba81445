"""The outbox: what it promises over outages, restarts, crashes and bad disks; at once, and on its thread."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import PATIENCE, Clock
from vigil.metrics import Metrics
from vigil.sinks import outbox as outbox_module
from vigil.sinks.dialect import Message
from vigil.sinks.journal import Journal, Limits
from vigil.sinks.outbox import WINDOW, AtOnce, Outbox

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LIMITS = Limits(size=1_000_000, age=3600.0)
BOXES: list[Box] = []
"""All that a test has opened."""


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    while BOXES:
        BOXES.pop().crash()


class Broker:
    """Takes messages and acknowledges what a test lets it."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self._owed: list[Callable[[], None]] = []

    def send(self, message: Message, done: Callable[[], None]) -> None:
        """Take a message."""
        self.taken.append(message.payload)
        self._owed.append(done)

    def acknowledge(self, count: int) -> None:
        """Acknowledge the oldest messages that are not yet."""
        for _ in range(count):
            self._owed.pop(0)()


class Box(Outbox):
    """An outbox that does everything at once, and its metrics."""

    def __init__(self, path: Path | None = None, limits: Limits = LIMITS) -> None:
        self.metrics = Metrics()
        super().__init__(path, limits, self.metrics, AtOnce)
        self.start()
        BOXES.append(self)

    def say(self, *payloads: bytes) -> None:
        """Put messages without a story."""
        for payload in payloads:
            self.put(message(payload))

    def crash(self) -> None:
        """End as a killed process does: the disk has what was committed, nobody says goodbye."""
        assert self._journal is not None
        self._journal.close()

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.metrics.registry.get_sample_value(f"vigil_outbox_{name}", labels)


def message(payload: bytes, story: str = "", last_words: bytes | None = None) -> Message:
    """Return a durable message."""
    return Message("vigil/drive/events", payload, 1, durable=True, story=story, last_words=last_words)


def waiting(box: Outbox) -> list[bytes]:
    """Return what a broker that acknowledges nothing is sent from the start."""
    broker = Broker()
    box.attach(broker.send)
    box.detach()
    return broker.taken


async def test_messages_leave_in_order_and_once(tmp_path: Path) -> None:
    """What is acknowledged is forgotten; with a broker that answers nothing is ever sent twice."""
    box, broker = Box(tmp_path / "o.db"), Broker()
    box.say(b"1", b"2")
    box.attach(broker.send)
    box.say(b"3")
    assert broker.taken == [b"1", b"2", b"3"]
    assert box.value("pending") == 3
    broker.acknowledge(3)
    assert box.value("pending") == 0
    assert waiting(box) == []


async def test_new_connection_begins_with_the_oldest_unacknowledged(tmp_path: Path) -> None:
    """What a lost connection did not confirm is sent again, before anything newer."""
    box, lost, fresh = Box(tmp_path / "o.db"), Broker(), Broker()
    box.attach(lost.send)
    box.say(b"1", b"2", b"3")
    lost.acknowledge(1)
    box.detach()
    box.say(b"4")
    assert lost.taken == [b"1", b"2", b"3"]
    box.attach(fresh.send)
    assert fresh.taken == [b"2", b"3", b"4"]
    lost.acknowledge(1)
    assert waiting(box) == [b"3", b"4"], "a late word of the old connection counts"


async def test_window_is_bounded() -> None:
    """No more than a window is in flight; each answer lets the next one go."""
    box, broker = Box(), Broker()
    box.say(*(b"%d" % number for number in range(WINDOW + 3)))
    box.attach(broker.send)
    assert len(broker.taken) == WINDOW
    broker.acknowledge(2)
    assert broker.taken[-2:] == [b"%d" % WINDOW, b"%d" % (WINDOW + 1)]


async def test_messages_survive_a_crash(tmp_path: Path) -> None:
    """What was put and not acknowledged waits at the next start, as it was, in its order."""
    box, broker = Box(tmp_path / "o.db"), Broker()
    box.attach(broker.send)
    box.say(b"1", b"2", b"3")
    broker.acknowledge(1)
    box.crash()
    assert waiting(Box(tmp_path / "o.db")) == [b"2", b"3"]


async def test_open_stories_get_their_last_words(tmp_path: Path) -> None:
    """A crash in the middle of a story ends it at the next start, once, with the latest last words."""
    box = Box(tmp_path / "o.db")
    box.put(message(b"new", "a", b"end after new"))
    box.put(message(b"new", "b", b"end of b"))
    box.put(message(b"update", "a", b"end after update"))
    box.put(message(b"end", "b"))
    box.crash()
    again = Box(tmp_path / "o.db")
    expected = [b"new", b"new", b"update", b"end", b"end after update"]
    assert waiting(again) == expected
    again.crash()
    assert waiting(Box(tmp_path / "o.db")) == expected, "the last words are said once"


async def test_oldest_go_when_it_becomes_too_much() -> None:
    """Past its size the outbox lets the oldest go, counted by cause."""
    each = len("vigil/drive/events") + 1
    box = Box(limits=Limits(size=3 * each, age=3600))
    box.say(b"1", b"2", b"3", b"4", b"5")
    assert waiting(box) == [b"3", b"4", b"5"]
    assert (box.value("dropped_total", reason="size"), box.value("dropped_total", reason="age")) == (2, 0)
    assert box.value("pending") == 3


async def test_old_ones_go_even_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has waited too long is let go, counted by cause, on the outbox's own clock."""
    clock = Clock()
    monkeypatch.setattr(outbox_module, "time", clock)
    box = Box(limits=Limits(size=1_000_000, age=100))
    box.say(b"1")
    clock.now += 60
    box.say(b"2")
    clock.now += 60
    box.start()  # the thread does this when it has nothing to do
    assert waiting(box) == [b"2"]
    assert (box.value("dropped_total", reason="size"), box.value("dropped_total", reason="age")) == (0, 1)


async def test_limits_can_change() -> None:
    """A reload's limits hold for what waits already."""
    box = Box()
    box.say(b"1", b"2")
    box.limit(Limits(size=len("vigil/drive/events") + 1, age=3600))
    box.say(b"3")
    assert waiting(box) == [b"3"]


async def test_retained_topics_are_known_by_broker(tmp_path: Path) -> None:
    """The next start knows what each broker was left with, and not what was taken back."""
    box = Box(tmp_path / "o.db")
    for topic in ("a", "b", "b"):
        box.said("broker:1883", topic)
    box.said("other:1883", "c")
    box.taken_back("broker:1883", "a")
    box.crash()
    again = Box(tmp_path / "o.db")
    assert await again.topics("broker:1883") == {"b"}
    assert await again.topics("other:1883") == {"c"}
    assert await again.topics("nobody:1") == set()


async def test_name_stays(tmp_path: Path) -> None:
    """A vigil has one name at brokers over its restarts, and two vigils have two."""
    box = Box(tmp_path / "o.db")
    name = await box.client_id()
    assert name == await box.client_id()
    box.crash()
    assert await Box(tmp_path / "o.db").client_id() == name
    assert await Box(tmp_path / "other.db").client_id() != name


async def test_broken_file_is_put_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that is no database is kept under another name, told in one line, and a new one begun."""
    path = tmp_path / "o.db"
    path.write_bytes(b"no database at all" * 100)
    box = Box(path)
    box.say(b"1")
    box.crash()
    assert (tmp_path / "o.broken").read_bytes().startswith(b"no database")
    assert waiting(Box(path)) == [b"1"]
    assert len(caplog.records) == 1
    assert "is broken" in caplog.text


async def test_folder_that_cannot_be_made_leaves_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a usable place everything goes on in memory, after one line."""
    (tmp_path / "file").write_text("")
    box = Box(tmp_path / "file" / "o.db")
    box.say(b"1", b"2")
    assert waiting(box) == [b"1", b"2"]
    assert caplog.text.count("wait in memory only") == len(caplog.records) == 1


async def test_full_disk_leaves_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """When the disk is full, what waited and what comes goes on in memory, after one line, all of it."""
    box, broker = Box(tmp_path / "o.db"), Broker()
    box.attach(broker.send)
    box.put(message(b"1", "a", b"end of a"))
    full(box)
    large = b"2" * 200_000
    box.say(large)
    box.say(b"3")
    assert broker.taken == [b"1", large, b"3"]
    broker.acknowledge(3)
    assert box.value("pending") == 0
    assert caplog.text.count("wait in memory from now on") == len(caplog.records) == 1
    assert "full" in caplog.text


def full(box: Box) -> None:
    """Let the file grow no more."""
    journal = box._journal
    assert journal is not None
    (pages,) = journal._db.execute("PRAGMA page_count").fetchone()
    journal._db.execute(f"PRAGMA max_page_count={pages}")


async def test_second_vigil_of_a_file_leaves_it_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two vigils with one file: the second one ends none of the first one's stories, and works in memory."""
    monkeypatch.setattr("vigil.sinks.journal._PATIENCE", 0.0)
    first = Box(tmp_path / "o.db")
    first.put(message(b"new", "a", b"end of a"))
    second = Box(tmp_path / "o.db")
    second.say(b"mine")
    assert waiting(second) == [b"mine"]
    assert "locked" in caplog.text
    first.put(message(b"update", "a", b"end of a"))
    assert waiting(first) == [b"new", b"update"]


def test_what_fails_half_way_is_undone(tmp_path: Path) -> None:
    """A transaction that breaks off leaves neither a message nor its count."""
    journal = Journal(tmp_path / "o.db")

    def half_way() -> None:
        with journal.transaction():
            journal.put(message(b"1"), 0.0)
            journal._db.execute("nonsense")

    with pytest.raises(sqlite3.Error):
        half_way()
    assert (journal.waiting, journal.after(0, 10)) == (0, [])
    journal.close()


async def test_thread_takes_and_gives_and_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """On its thread the outbox sends what was put; `drained` waits for the answers, `close` for the disk."""
    caplog.set_level(logging.WARNING)
    path = tmp_path / "o.db"
    threaded = Outbox(path, LIMITS, Metrics())
    taken: list[bytes] = []

    def send(sent: Message, done: Callable[[], None]) -> None:
        taken.append(sent.payload)
        done()

    threaded.start()
    threaded.attach(send)
    async with asyncio.timeout(PATIENCE):
        for number in range(500):
            threaded.put(message(b"%d" % number))
        await threaded.drained(PATIENCE)
        assert taken == [b"%d" % number for number in range(500)]
        threaded.detach()
        threaded.put(message(b"late"))
        await threaded.close()
    left = Journal(path)
    assert [each.payload for _number, each in left.after(0, 10)] == [b"late"]
    left.close()
    assert caplog.records == []
