"""Durable messages on their way to the broker: written down, sent in order, forgotten when acknowledged.

A thread of its own holds the journal and commits all that has come meanwhile at once, so neither the loop
nor inference ever waits for a disk. While a broker is attached a bounded window of the oldest messages is
in flight; a new connection begins again with the oldest that no broker has acknowledged.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from vigil.aio.threads import Mailbox, Post
from vigil.sinks.journal import Journal, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vigil.config.mqtt import MqttConfig
    from vigil.metrics import Metrics
    from vigil.sinks.dialect import Message

    Send: TypeAlias = Callable[[Message, Callable[[], None]], None]
    """Takes a message, on the outbox's thread, and what is to be called once it is acknowledged."""
    Step: TypeAlias = Callable[[Journal], object]

T = TypeVar("T")
log = logging.getLogger(__name__)

WINDOW = 100
"""Most messages in flight."""
_IDLE = 10.0
"""Seconds without work after which the thread looks for messages that have become too old."""
_MOST_STEPS = 20_000
"""Steps that wait for the thread past which a disk is taken to hang: what comes then is let go, counted."""
_CLOSE = 2.0
_ANSWER = 5.0
"""Seconds that an answer from the journal is waited for."""


class Steps(Protocol):
    """What does the steps, one after another: a `Mailbox` with its thread, or `AtOnce`."""

    @property
    def waiting(self) -> int:
        """How many wait."""

    def start(self) -> None:
        """Begin."""

    def put(self, item: Step, /) -> None:
        """Have a step done."""

    async def close(self, grace: float) -> bool:
        """Have the rest done; returns whether that took no more than `grace` seconds."""


class AtOnce:
    """Does each step where it is given: for an outbox that nothing but memory holds up."""

    def __init__(self, handle: Callable[[Sequence[Step]], None]) -> None:
        self._handle = handle
        self._steps: deque[Step] = deque()
        self._busy = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._steps)

    def start(self) -> None:
        """Begin, which needs nothing."""

    def put(self, step: Step) -> None:
        """Do a step, after those that are being done."""
        self._steps.append(step)
        if self._busy:
            return
        self._busy = True
        try:
            while self._steps:
                self._handle([self._steps.popleft()])
        finally:
            self._busy = False

    async def close(self, grace: float) -> bool:
        """Say that all is done."""
        del grace
        return True


def in_thread(handle: Callable[[Sequence[Step]], None]) -> Steps:
    """Do steps on a thread of their own."""
    return Mailbox(handle, name="outbox", idle=_IDLE)


class Outbox:
    """Takes durable messages from the loop and hands them to whatever connection is attached."""

    def __init__(
        self,
        path: Path | None,
        limits: Limits,
        metrics: Metrics,
        steps: Callable[[Callable[[Sequence[Step]], None]], Steps] = in_thread,
    ) -> None:
        """Without a `path` everything is kept in memory."""
        self._path = path
        self._limits = limits
        self._metrics = metrics
        self._steps = steps(self._handle)
        self._put = self._settled = 0
        # From here on the thread's own.
        self._journal: Journal | None = None
        self._taken = 0
        self._send: Send | None = None
        self._last = 0
        self._flying: set[int] = set()

    def start(self) -> None:
        """Open the journal, in the thread; stories that it has open are given their last words."""
        self._steps.start()
        self._steps.put(lambda _journal: None)

    async def close(self) -> None:
        """Write down what has come and end the thread."""
        self._steps.put(lambda _journal: self._detach())
        if not await self._steps.close(_CLOSE):
            log.warning("outbox: %s hangs; its thread is left behind", self._path)
        elif self._journal is not None:
            self._journal.close()

    async def drained(self, patience: float) -> None:
        """Wait, up to `patience` seconds, until all is written down and, with a broker, acknowledged."""
        until = asyncio.get_running_loop().time() + patience
        # The threads say so by a number; a wake-up of the loop for each message would cost more.
        while self._settled != self._put and asyncio.get_running_loop().time() < until:  # noqa: ASYNC110 -- as said above
            await asyncio.sleep(0.01)

    def limit(self, limits: Limits) -> None:
        """Go by other limits."""
        self._limits = limits

    def put(self, message: Message) -> None:
        """Take a message; only on the loop."""
        if self._steps.waiting >= _MOST_STEPS:
            self._metrics.outbox_dropped.labels("size").inc()
            return
        self._put += 1
        self._steps.put(partial(self._take, message, time.time(), self._put))

    def attach(self, send: Send) -> None:
        """Send what waits to a connection, from the oldest message on."""
        self._steps.put(lambda _journal: self._attach(send))

    def detach(self) -> None:
        """Send nothing more until the next `attach`."""
        self._steps.put(lambda _journal: self._detach())

    def said(self, broker: str, topic: str) -> None:
        """Note that a broker retains something of ours under a topic."""
        self._steps.put(lambda journal: journal.said(broker, topic))

    def taken_back(self, broker: str, topic: str) -> None:
        """Note that a broker retains nothing of ours under a topic any more; from any thread."""
        self._steps.put(lambda journal: journal.taken_back(broker, topic))

    async def topics(self, broker: str) -> frozenset[str]:
        """Return the topics under which a broker retains something that this configuration's vigil said."""
        return await self._ask(lambda journal: journal.topics(broker))

    async def client_id(self) -> str:
        """Return the name of this configuration's vigil at brokers; it stays the same over restarts."""
        return await self._ask(lambda journal: journal.client_id())

    async def _ask(self, question: Callable[[Journal], T]) -> T:
        """Return the answer; raises `TimeoutError` if the disk hangs."""
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        reply = Post[T](lambda value: None if answer.done() else answer.set_result(value))
        self._steps.put(lambda journal: reply(question(journal)))
        async with asyncio.timeout(_ANSWER):
            return await answer

    def _take(self, message: Message, now: float, number: int, journal: Journal) -> None:
        journal.put(message, now)
        self._taken = number

    def _attach(self, send: Send) -> None:
        self._send, self._last = send, 0
        self._flying.clear()

    def _detach(self) -> None:
        self._send = None

    def _acknowledged(self, number: int, message: Message) -> None:
        self._steps.put(partial(self._forget, number, message))

    def _forget(self, number: int, message: Message, journal: Journal) -> None:
        journal.remove(number, message)
        self._flying.discard(number)

    def _handle(self, steps: Sequence[Step]) -> None:
        self._on_disk(partial(self._commit, steps))
        self._on_disk(self._deliver)

    def _commit(self, steps: Sequence[Step], journal: Journal) -> None:
        with journal.transaction():
            for step in steps:
                step(journal)
            dropped = journal.trim(self._limits, time.time())
        for reason, count in (("size", dropped.size), ("age", dropped.age)):
            if count:
                self._metrics.outbox_dropped.labels(reason).inc(count)

    def _deliver(self, journal: Journal) -> None:
        if self._send is not None:
            for number, message in journal.after(self._last, WINDOW - len(self._flying)):
                self._last = number
                self._flying.add(number)
                self._send(message, partial(self._acknowledged, number, message))
        self._metrics.outbox_pending.set(journal.waiting)
        if self._send is None or not journal.waiting:
            self._settled = self._taken

    def _on_disk(self, work: Callable[[Journal], None]) -> None:
        """Do something with the journal; if the disk does not play along, go on in memory and do it there."""
        journal = self._journal or self._open()
        try:
            work(journal)
        except sqlite3.Error as error:
            work(self._go_on_in_memory(journal, error))

    def _open(self) -> Journal:
        try:
            self._journal = Journal(self._path)
        except (sqlite3.Error, OSError) as error:
            self._journal = self._open_anew(error)
        self._on_disk(self._recover)
        return self._journal

    def _open_anew(self, error: Exception) -> Journal:
        """Put a file that is none of SQLite's aside; a disk that is full or a file in use stays as it is."""
        if self._path is not None and type(error) is sqlite3.DatabaseError:
            try:
                aside = _put_aside(self._path)
                journal = Journal(self._path)
            except (sqlite3.Error, OSError) as again:
                error = again
            else:
                log.warning("outbox: %s is broken (%s); it is kept as %s", self._path, error, aside)
                return journal
        log.warning("outbox: %s cannot be used (%s): events wait in memory only", self._path, error)
        return Journal(None)

    def _go_on_in_memory(self, broken: Journal, error: sqlite3.Error) -> Journal:
        log.warning("outbox: %s cannot be used (%s): events wait in memory from now on", self._path, error)
        self._journal = Journal(None)
        try:
            with self._journal.transaction():
                broken.move_to(self._journal)
        except sqlite3.Error as unreadable:
            log.warning("outbox: what waited in %s cannot be read: %s", self._path, unreadable)
        broken.close()
        return self._journal

    def _recover(self, journal: Journal) -> None:
        with journal.transaction():
            count = journal.recover(time.time())
        if count:
            log.info("outbox: vigil ended in the middle of %d events; their ends are told now", count)


def _put_aside(path: Path) -> Path:
    """Move a database and what belongs to it out of the way."""
    aside = path.with_suffix(".broken")
    path.replace(aside)
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)
    return aside


def limits_of(settings: MqttConfig) -> Limits:
    """Return what the configuration lets wait."""
    return Limits(settings.outbox.size, settings.outbox.age)
