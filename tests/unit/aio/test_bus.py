"""The bus: every subscription gets everything, and a slow one loses its oldest, counted."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.support.fakes import PATIENCE
from vigil.aio.bus import Bus, Subscription

pytestmark = pytest.mark.looptime


async def received(subscription: Subscription[int], count: int) -> list[int]:
    """Return the next messages of a subscription."""
    return [await anext(subscription) for _ in range(count)]


async def test_every_subscription_gets_every_message_in_order() -> None:
    """Two subscribers each see all that is published, in order."""
    bus: Bus[int] = Bus()
    subscriptions = [bus.subscribe("one"), bus.subscribe("two")]
    bus.publish([1, 2])
    bus.publish([3])
    assert [await received(each, 3) for each in subscriptions] == [[1, 2, 3], [1, 2, 3]]


async def test_subscription_starts_with_what_comes_next() -> None:
    """What was published before is not repeated."""
    bus: Bus[int] = Bus()
    bus.publish([1])
    late = bus.subscribe("late")
    bus.publish([2])
    assert await anext(late) == 2


async def test_slow_subscriber_loses_its_oldest_and_they_are_counted() -> None:
    """A full queue gives up its oldest message for each new one; the other subscriber loses nothing."""
    dropped: list[str] = []
    bus: Bus[int] = Bus(on_drop=dropped.append)
    slow, quick = bus.subscribe("slow", capacity=2), bus.subscribe("quick", capacity=10)
    bus.publish([1, 2, 3, 4, 5])
    assert dropped == ["slow"] * 3
    assert await received(slow, 2) == [4, 5]
    assert await received(quick, 5) == [1, 2, 3, 4, 5]


async def test_subscriber_waits_for_the_next_message() -> None:
    """An empty subscription waits without ending, and wakes for a message."""
    bus: Bus[int] = Bus()
    subscription = bus.subscribe("waiter")
    waiter = asyncio.ensure_future(anext(subscription))
    await asyncio.sleep(3600)
    assert not waiter.done()
    bus.publish([7])
    assert await waiter == 7


async def test_cancelled_waiter_loses_no_message() -> None:
    """A consumer that gave up waiting finds the next message when it comes back."""
    bus: Bus[int] = Bus()
    subscription = bus.subscribe("waiter")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5):
            await anext(subscription)
    bus.publish([7])
    assert await anext(subscription) == 7


@pytest.mark.looptime(False)
async def test_threads_publish_whole_batches() -> None:
    """Messages handed over by another thread arrive in order."""
    bus: Bus[int] = Bus()
    subscription = bus.subscribe("loop")
    thread = threading.Thread(target=bus.publish_threadsafe, args=([1, 2, 3],))
    thread.start()
    async with asyncio.timeout(PATIENCE):
        assert await received(subscription, 3) == [1, 2, 3]
    thread.join(PATIENCE)


async def test_loop_does_not_overtake_threads() -> None:
    """What a thread published comes before what the loop publishes afterwards, and once."""
    bus: Bus[int] = Bus()
    subscription = bus.subscribe("sink")
    thread = threading.Thread(target=bus.publish_threadsafe, args=([1],))
    thread.start()
    thread.join(PATIENCE)
    bus.publish([2])
    await asyncio.sleep(1)
    bus.publish([3])
    assert subscription.drain() == [1, 2, 3]
    assert subscription.drain() == []


def test_thread_that_outlives_the_loop_is_let_go() -> None:
    """Publishing into a closed loop is no error: an abandoned thread may come back that late."""

    async def make() -> Bus[int]:
        return Bus()

    asyncio.run(make()).publish_threadsafe([1])
