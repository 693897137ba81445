"""Results fan out to sinks, each through a bounded queue of its own: a slow sink loses its oldest messages.

Threads hand whole batches over with one wake-up of the loop; nothing here ever blocks the publisher.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

T = TypeVar("T")


class Subscription(Generic[T]):
    """An endless asynchronous iterator over what the bus publishes from now on."""

    def __init__(self, name: str, capacity: int, on_drop: Callable[[str], None]) -> None:
        self.name = name
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._on_drop = on_drop
        self._arrived = asyncio.Event()

    def push(self, item: T) -> None:
        """Queue `item`; when the queue is full the oldest one goes, counted."""
        if len(self._items) >= self._capacity:
            self._items.popleft()
            self._on_drop(self.name)
        self._items.append(item)
        self._arrived.set()

    @property
    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._items)

    def drain(self) -> list[T]:
        """Return all that waits, and leave nothing."""
        items = list(self._items)
        self._items.clear()
        return items

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            self._arrived.clear()
            await self._arrived.wait()
        return self._items.popleft()


class Bus(Generic[T]):
    """Publishes messages to every subscription; belongs to the loop it was made in."""

    def __init__(self, on_drop: Callable[[str], None] = lambda _name: None) -> None:
        self._loop = asyncio.get_running_loop()
        self._subscriptions: list[Subscription[T]] = []
        self._on_drop = on_drop
        self._from_threads: deque[Sequence[T]] = deque()

    def subscribe(self, name: str, *, capacity: int = 1000) -> Subscription[T]:
        """Return a new subscription whose drops are counted under `name`."""
        subscription: Subscription[T] = Subscription(name, capacity, self._on_drop)
        self._subscriptions.append(subscription)
        return subscription

    @contextmanager
    def subscription(self, name: str, *, capacity: int = 10_000) -> Iterator[Subscription[T]]:
        """Give a subscription that ends with the `with` block."""
        subscription = self.subscribe(name, capacity=capacity)
        try:
            yield subscription
        finally:
            self._subscriptions.remove(subscription)

    def publish(self, items: Sequence[T]) -> None:
        """Give every subscription these messages, in order, after what threads published before.

        Only in the loop's own thread.
        """
        self._take_from_threads()
        self._push(items)

    def publish_threadsafe(self, items: Sequence[T]) -> None:
        """Publish from any other thread, with one wake-up of the loop for all of `items`."""
        self._from_threads.append(items)
        try:
            self._loop.call_soon_threadsafe(self._take_from_threads)
        except RuntimeError:
            # The loop is closed: an abandoned thread came back after shutdown.
            return

    def _take_from_threads(self) -> None:
        while self._from_threads:
            self._push(self._from_threads.popleft())

    def _push(self, items: Sequence[T]) -> None:
        for subscription in self._subscriptions:
            for item in items:
                subscription.push(item)
