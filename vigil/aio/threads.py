"""Blocking work in daemon threads that the event loop can await, stop and, if need be, abandon.

The executor of asyncio is of no use for this: it joins its threads at exit, so one camera that hangs in
a system call would hang the shutdown with it.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


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
