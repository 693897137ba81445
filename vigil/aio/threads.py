"""Blocking work in daemon threads that the event loop can await, stop and, if need be, abandon.

The executor of asyncio is of no use for this: it joins its threads at exit, so one camera that hangs in
a system call would hang the shutdown with it.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")
log = logging.getLogger(__name__)

_SHORT_TURN = 0.002
"""Seconds for which a thread may compute in Python while others wait; Python's own 0.005 suit few threads.

Measured: shorter ones cost a process that computes in Python all the time a tenth of what it does.
"""
_LARGEST_BATCH = 1000
"""Most items that a mailbox handles at once."""


def take_short_turns() -> None:
    """Have threads of this process give Python up to each other sooner, from now on.

    Those of cameras and engines need it for a moment whenever a packet or a result comes. Beside one that
    computes for a tenth of a second, 34 cameras waited for it again and again, half a second in all.
    """
    sys.setswitchinterval(_SHORT_TURN)


class Worker(Generic[T]):
    """One daemon thread running `function`; await `wait()` for its result or its exception."""

    def __init__(self, function: Callable[[], T], *, name: str) -> None:
        self._function = function
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[T] = self._loop.create_future()
        # Nobody may be waiting any more when an abandoned thread fails.
        self._done.add_done_callback(_retrieve)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Whether the function has returned or raised."""
        return self._done.done()

    async def wait(self) -> T:
        """Wait for the function's result; being cancelled leaves the thread running."""
        return await asyncio.shield(self._done)

    async def ended_within(self, grace: float) -> bool:
        """Wait up to `grace` seconds; returns whether the thread has ended, however it did."""
        await asyncio.wait([self._done], timeout=grace)
        return self._done.done()

    def _run(self) -> None:
        try:
            result = self._function()
        except BaseException as error:  # noqa: BLE001 -- a thread edge: the waiter gets it, whatever it is
            self._hand_over(_set_exception, error)
        else:
            self._hand_over(_set_result, result)

    def _hand_over(self, setter: Callable[[asyncio.Future[T], object], None], value: object) -> None:
        try:
            self._loop.call_soon_threadsafe(setter, self._done, value)
        except RuntimeError:
            # The loop is closed: this thread was abandoned at shutdown and nobody waits.
            return


async def call_in_thread(function: Callable[[], T], *, name: str) -> T:
    """Run a blocking `function` in a daemon thread of its own and return its result."""
    return await Worker(function, name=name).wait()


def _retrieve(future: asyncio.Future[T]) -> None:
    if not future.cancelled():
        future.exception()


def _set_result(future: asyncio.Future[T], value: object) -> None:
    if not future.done():
        future.set_result(value)  # type: ignore[arg-type]  # the only caller passes the function's result


def _set_exception(future: asyncio.Future[T], error: object) -> None:
    if not future.done() and isinstance(error, BaseException):
        # A StopIteration cannot be set on a future, and nothing else would explain it either.
        future.set_exception(RuntimeError(repr(error)) if isinstance(error, StopIteration) else error)


class Post(Generic[T]):
    """Hands what any thread gives it to a handler on the loop."""

    def __init__(self, handler: Callable[[T], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = handler

    def __call__(self, item: T) -> None:
        """Have the handler called with `item`, soon."""
        try:
            self._loop.call_soon_threadsafe(self._handler, item)
        except RuntimeError:
            # The loop is closed: the thread was abandoned at shutdown.
            return


class Signal:
    """A flag that any thread may set and one task waits for."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()
        self._set = False

    def set(self) -> None:
        """Raise the flag; cheap when it is raised already."""
        if self._set:
            return
        self._set = True
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            # The loop is closed: the thread was abandoned at shutdown.
            return

    async def wait(self) -> None:
        """Wait until the flag is up."""
        await self._event.wait()


class Mailbox(Generic[T]):
    """A daemon thread that handles, in order, what any thread gives it: all that waits at a time.

    `handle` is called with nothing whenever nothing has come for `idle` seconds. Not bounded by itself:
    whoever puts looks at `waiting`.
    """

    def __init__(self, handle: Callable[[Sequence[T]], None], *, name: str, idle: float) -> None:
        self._handle = handle
        self._name = name
        self._idle = idle
        self._items: queue.SimpleQueue[T | None] = queue.SimpleQueue()
        self._worker: Worker[None] | None = None

    @property
    def waiting(self) -> int:
        """How many items wait."""
        return self._items.qsize()

    def start(self) -> None:
        """Start the thread."""
        self._worker = Worker(self._run, name=self._name)

    def put(self, item: T) -> None:
        """Have an item, which is not `None`, handled."""
        self._items.put(item)

    async def close(self, grace: float) -> bool:
        """Have the rest handled and the thread ended; returns whether `grace` seconds were enough."""
        self._items.put(None)
        return self._worker is None or await self._worker.ended_within(grace)

    def _run(self) -> None:
        going = True
        while going:
            batch = self._take()
            going = None not in batch
            try:
                self._handle([item for item in batch if item is not None])
            except Exception:  # a thread edge: what comes next is handled all the same
                log.exception("%s: unexpected error", self._name)

    def _take(self) -> list[T | None]:
        batch: list[T | None] = []
        with suppress(queue.Empty):
            batch.append(self._items.get(timeout=self._idle))
            while len(batch) < _LARGEST_BATCH:
                batch.append(self._items.get_nowait())
        return batch


class Bell:
    """Has a handler called on the loop, soon; a second ring before it is heard is free."""

    def __init__(self, handler: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._handler = handler
        self._rung = False

    def ring(self) -> None:
        """Ring; only on the loop."""
        if not self._rung:
            self._rung = True
            self._loop.call_soon(self._hear)

    def ring_threadsafe(self) -> None:
        """Ring from any other thread."""
        if not self._rung:
            self._rung = True
            with suppress(RuntimeError):  # the loop is closed: nobody hears any more
                self._loop.call_soon_threadsafe(self._hear)

    def _hear(self) -> None:
        # First of all: what comes while the handler looks rings anew.
        self._rung = False
        self._handler()
