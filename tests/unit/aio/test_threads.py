"""Threads that the loop awaits, stops waiting for, or leaves behind."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import PATIENCE, Gate
from vigil.aio.threads import Bell, Mailbox, Post, Signal, Worker, call_in_thread

if TYPE_CHECKING:
    from collections.abc import Sequence


async def test_result_comes_back_from_a_named_daemon_thread() -> None:
    """The function runs in a daemon thread of that name, and its result is what the waiter gets."""

    def who() -> tuple[str, bool]:
        me = threading.current_thread()
        return me.name, me.daemon

    assert await call_in_thread(who, name="worker-7") == ("worker-7", True)


class OddError(BaseException):
    """Not an `Exception`."""


@pytest.mark.parametrize("error", [ValueError("x"), OddError("y")])
async def test_exception_comes_back(error: BaseException) -> None:
    """Whatever the function raises reaches the waiter as it is."""

    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        await call_in_thread(fail, name="failing")
    assert caught.value is error


async def test_stop_iteration_comes_back_as_an_error() -> None:
    """A StopIteration, which no future can carry, does not leave the waiter waiting for ever."""
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(RuntimeError, match="StopIteration"):
            await call_in_thread(lambda: next(iter(())), name="exhausted")


async def test_cancelled_waiter_leaves_the_thread_running() -> None:
    """Giving up waiting does not end the work, whose result can still be had."""
    gate = Gate()

    def work() -> str:
        gate.pass_through()
        return "done"

    worker = Worker(work, name="held")
    waiter = asyncio.ensure_future(worker.wait())
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert not worker.done
    gate.open()
    async with asyncio.timeout(PATIENCE):
        assert await worker.wait() == "done"
    assert worker.done


async def test_grace_tells_whether_the_thread_ended() -> None:
    """A thread in a system call is told apart from one that ended, and waiting for it is bounded."""
    gate = Gate()
    worker = Worker(gate.pass_through, name="hanging")
    assert not await worker.ended_within(0)
    gate.open()
    assert await worker.ended_within(PATIENCE)


async def test_thread_that_failed_has_ended() -> None:
    """A failure that nobody asks for counts as an end and is not complained of later."""

    def fail() -> None:
        raise ValueError

    assert await Worker(fail, name="failing").ended_within(PATIENCE)


def test_abandoned_thread_may_end_after_the_loop() -> None:
    """A thread that comes back when its loop is closed ends quietly, whatever it brings."""
    gates = [Gate(), Gate()]

    def fail() -> None:
        gates[1].pass_through()
        raise ValueError

    async def abandon() -> tuple[Worker[None], Worker[None], Signal]:
        return Worker(gates[0].pass_through, name="late"), Worker(fail, name="late"), Signal()

    *workers, signal = asyncio.run(abandon())
    for gate in gates:
        gate.open()
    for worker in workers:
        assert isinstance(worker, Worker)
        worker._thread.join(PATIENCE)
        assert not worker._thread.is_alive()
    assert isinstance(signal, Signal)
    signal.set()


async def test_signal_wakes_its_waiter_from_any_thread() -> None:
    """A flag that another thread raises, twice even, wakes the task, and stays up."""
    signal = Signal()
    waiter = asyncio.ensure_future(signal.wait())
    await asyncio.sleep(0)
    assert not waiter.done()

    def raise_twice() -> None:
        signal.set()
        signal.set()

    await call_in_thread(raise_twice, name="raiser")
    async with asyncio.timeout(PATIENCE):
        await waiter
        await signal.wait()


async def test_post_is_read_on_the_loop_in_order() -> None:
    """What another thread posts reaches the handler in the loop's own thread, all of it, in order."""
    home = threading.get_ident()
    read: list[tuple[int, bool]] = []
    all_there = asyncio.Event()

    def handler(item: int) -> None:
        read.append((item, threading.get_ident() == home))
        if item == 99:
            all_there.set()

    post = Post(handler)

    def write() -> None:
        for number in range(100):
            post(number)

    await call_in_thread(write, name="writer")
    async with asyncio.timeout(PATIENCE):
        await all_there.wait()
    assert read == [(number, True) for number in range(100)]


async def test_post_never_calls_within_the_call() -> None:
    """The handler is called later even on the loop itself, so that whoever posts is never re-entered."""
    read: list[str] = []
    Post(read.append)("hello")
    assert read == []
    await asyncio.sleep(0)
    assert read == ["hello"]


def test_post_to_a_closed_loop_is_lost_quietly() -> None:
    """A thread that was left behind at shutdown may still post; nobody hears and nothing is raised."""
    read: list[str] = []

    async def make() -> Post[str]:
        return Post(read.append)

    asyncio.run(make())("too late")
    assert read == []


async def test_mailbox_handles_all_that_waits_at_a_time() -> None:
    """Items are handled in order on one thread; what comes while it is busy is handled together."""
    gate, batches, names = Gate(), list[list[int]](), set[str]()

    def handle(items: Sequence[int]) -> None:
        names.add(threading.current_thread().name)
        batches.append(list(items))
        gate.pass_through()

    box = Mailbox(handle, name="letters", idle=PATIENCE)
    box.put(1)
    box.start()
    assert await asyncio.to_thread(gate.reached.wait, PATIENCE)
    for number in (2, 3, 4):
        box.put(number)
    assert box.waiting == 3
    gate.open()
    assert await box.close(PATIENCE)
    assert batches == [[1], [2, 3, 4]]
    assert names == {"letters"}


async def test_mailbox_looks_around_when_nothing_comes() -> None:
    """After so much silence the handler is called with nothing."""
    called = threading.Event()

    def handle(items: Sequence[int]) -> None:
        assert not items
        called.set()

    box = Mailbox(handle, name="letters", idle=0.01)
    box.start()
    assert await asyncio.to_thread(called.wait, PATIENCE)
    assert await box.close(PATIENCE)


async def test_mailbox_outlives_a_handler_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A mistake in handling one batch is a traceback in the log, and the next batch is handled."""
    handled: list[int] = []

    def handle(items: Sequence[int]) -> None:
        if 1 in items:
            raise ValueError("odd")
        handled.extend(items)

    box = Mailbox(handle, name="letters", idle=PATIENCE)
    box.start()
    box.put(1)
    async with asyncio.timeout(PATIENCE):
        while "odd" not in caplog.text:
            await asyncio.sleep(0)
    box.put(2)
    assert await box.close(PATIENCE)
    assert handled == [2]
    assert "letters: unexpected error" in caplog.text


async def test_mailbox_that_hangs_is_left() -> None:
    """Who closes waits no longer than the grace."""
    gate = Gate()
    box: Mailbox[int] = Mailbox(lambda _items: gate.pass_through(), name="letters", idle=PATIENCE)
    box.start()
    box.put(1)
    assert not await box.close(0.0)
    gate.open()


async def test_bell_is_heard_on_the_loop_once_for_many_rings() -> None:
    """Any number of rings are one, from whatever thread; one that comes while it is heard is another."""
    heard: list[int] = []

    def hear() -> None:
        heard.append(threading.get_ident())
        if len(heard) == 1:
            bell.ring()

    bell = Bell(hear)
    bell.ring()
    bell.ring()
    assert heard == []
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(heard) == 2
    await asyncio.to_thread(bell.ring_threadsafe)
    await asyncio.sleep(0)
    assert heard == [threading.get_ident()] * 3


def test_bell_of_a_loop_that_is_closed_is_silent() -> None:
    """A thread that was left behind rings in vain, and does not fail."""

    async def made() -> Bell:
        return Bell(lambda: None)

    asyncio.run(made()).ring_threadsafe()
