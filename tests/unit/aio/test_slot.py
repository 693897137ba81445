"""The slot: one item, the newest."""

from __future__ import annotations

from vigil.aio.slot import Slot


def test_slot_holds_the_newest() -> None:
    """A second item replaces the first, and `put` says that one was lost."""
    slot: Slot[str] = Slot()
    assert (slot.put("old"), slot.put("new")) == (False, True)
    assert slot.take() == "new"


def test_slot_is_empty_after_take() -> None:
    """What was taken is gone, and the next `put` overwrites nothing."""
    slot: Slot[str] = Slot()
    assert (slot.take(), slot.filled) == (None, False)
    slot.put("one")
    assert slot.filled
    slot.take()
    assert (slot.take(), slot.filled) == (None, False)
    assert not slot.put("two")


def test_peek_leaves_the_item() -> None:
    """Looking does not take."""
    slot: Slot[str] = Slot()
    assert slot.peek() is None
    slot.put("one")
    assert (slot.peek(), slot.peek(), slot.take()) == ("one", "one", "one")
