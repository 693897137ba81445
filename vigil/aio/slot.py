"""The one place where a camera's latest frame waits: no queue, the newest wins."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Slot(Generic[T]):
    """Holds at most one item; `put` replaces what was not taken in time and says so.

    Not locked: its owner (the inference loop's intake) serialises access.
    """

    __slots__ = ("_item",)

    def __init__(self) -> None:
        self._item: T | None = None

    @property
    def filled(self) -> bool:
        """Whether an item waits."""
        return self._item is not None

    def peek(self) -> T | None:
        """Return the waiting item, if any, and leave it."""
        return self._item

    def put(self, item: T) -> bool:
        """Store `item`; returns whether it overwrote one that nobody had taken."""
        overwritten = self._item is not None
        self._item = item
        return overwritten

    def take(self) -> T | None:
        """Return the waiting item, if any, and empty the slot."""
        item, self._item = self._item, None
        return item
