"""What waits for the broker's connection: everything in its order, and of each camera only its newest frame.

Filled by the loop and the outbox's thread, emptied by the loop. Bounded: retained state by its topics, of
which the newest value alone waits; frames likewise; the rest by a number, past which it is refused.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.sinks.dialect import Message

MOST = 1000
"""Messages past which what is neither retained nor asked to be acknowledged is refused."""


class Fate(Enum):
    """What became of a message that was put in."""

    ADDED = auto()
    REPLACED = auto()
    """An older one of its topic fell away."""
    REFUSED = auto()


@dataclass(slots=True, eq=False)
class Parcel:
    """A message, and what is called once a broker has acknowledged it."""

    message: Message
    done: Callable[[], None] | None = None


class Lane:
    """Two queues behind one lock; the second is of frames, and goes when the first is empty or held up."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ordered: dict[object, Parcel] = {}
        self._frames: dict[str, Parcel] = {}

    def __len__(self) -> int:
        return len(self._ordered) + len(self._frames)

    def put(self, parcel: Parcel) -> Fate:
        """Add a message at the end, or in the place of an older value."""
        message = parcel.message
        key: object = message.topic if message.retain and not message.durable else parcel
        with self._lock:
            if len(self._ordered) >= MOST and not message.retain and parcel.done is None:
                return Fate.REFUSED
            replaced = key in self._ordered
            self._ordered[key] = parcel
        return Fate.REPLACED if replaced else Fate.ADDED

    def put_frame(self, message: Message) -> Fate:
        """Add what is said of a frame."""
        with self._lock:
            replaced = message.topic in self._frames
            self._frames[message.topic] = Parcel(message)
        return Fate.REPLACED if replaced else Fate.ADDED

    def take(self, room: int, most: int) -> list[Parcel]:
        """Take up to `most` messages, no more than `room` of them to be acknowledged, in order."""
        if not self:
            return []
        taken: list[Parcel] = []
        with self._lock:
            while self._ordered and len(taken) < most:
                key = next(iter(self._ordered))
                if self._ordered[key].message.qos:
                    if not room:
                        break
                    room -= 1
                taken.append(self._ordered.pop(key))
            while self._frames and len(taken) < most:
                taken.append(self._frames.pop(next(iter(self._frames))))
        return taken
