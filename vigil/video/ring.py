"""Compressed packets of the last seconds, from a keyframe on: what a decoder needs to catch up."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

_MOST_BYTES = 8_000_000
_MOST_PACKETS = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Arrival(Generic[T]):
    """A packet with its bytes, and its arrival in wall-clock seconds and by a clock that nobody sets.

    `dts` is its time in the stream in seconds, where it tells one; `looked_at` says of a keyframe that its
    picture was seen already.
    """

    packet: T
    key: bool
    size: int
    at: float
    now: float
    dts: float | None = None
    looked_at: bool = False


class PacketRing(Generic[T]):
    """Bounded in bytes and packets; it begins with a keyframe or is empty. Not locked."""

    def __init__(self, most_bytes: int = _MOST_BYTES, most_packets: int = _MOST_PACKETS) -> None:
        self._most_bytes = most_bytes
        self._most_packets = most_packets
        self._kept: deque[Arrival[T]] = deque()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def full(self) -> bool:
        """Whether there is no more room: what is kept is to be decoded, or forgotten."""
        return self._bytes > self._most_bytes or len(self._kept) > self._most_packets

    def begin(self, arrival: Arrival[T]) -> None:
        """Forget what is kept and begin with a keyframe."""
        self._kept.clear()
        self._bytes = 0
        self.add(arrival)

    def add(self, arrival: Arrival[T]) -> None:
        """Append a packet."""
        self._kept.append(arrival)
        self._bytes += arrival.size

    def since(self, start: float) -> Sequence[Arrival[T]]:
        """Return what is kept from the last keyframe on that came at `start` or before, else all of it."""
        kept = list(self._kept)
        heads = [number for number, each in enumerate(kept) if each.key and each.now <= start]
        return kept[heads[-1] :] if heads else kept

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._bytes = 0
