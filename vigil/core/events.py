"""What people are told of a camera beside boxes: events with a beginning and an end, and who crossed lines.

Points of paths are fractions of the frame, like the configuration's; boxes are frame pixels, like
detections'. Times are those of the frames, in Unix seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Box: TypeAlias = tuple[float, float, float, float]
"""`x1, y1, x2, y2` in frame pixels."""

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_RANDOM_BITS = 80
_TIME_BITS = 48
_LETTERS = 26


class EventType(StrEnum):
    """Where an event is in its life; each `new` is followed by exactly one `end`."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True)
class PathPoint:
    """Where an object was at a time."""

    time: float
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Event:
    """One object's stay in one camera's picture, as known at one moment.

    `score` is the confidence of the latest detection, `top_score` the highest so far. `zones` are those
    that the object is in now, in the configuration's order, `entered_zones` all that it has been in, in the
    order of entering. `track_id` is the track that shows the object now, which changes where a tracker lost
    it.
    """

    id: str
    type: EventType
    camera: str
    label: str
    score: float
    top_score: float
    start_time: float
    end_time: float | None
    box: Box
    zones: tuple[str, ...]
    entered_zones: tuple[str, ...]
    stationary: bool
    path: tuple[PathPoint, ...]
    track_id: int
    has_snapshot: bool = False
    has_clip: bool = False
    number: int = 1
    """Counts the messages of this event: 1 is `new`."""

    def ended(self) -> Event:
        """Return the end that is told if nothing more is ever heard of the object."""
        last = self.path[-1].time if self.path else self.start_time
        return replace(self, type=EventType.END, end_time=last, number=self.number + 1)


@dataclass(frozen=True, slots=True)
class BestView:
    """The frame at hand shows an event's object better than any before; `box` is where, in frame pixels."""

    event_id: str
    label: str
    box: Box
    quality: float


@dataclass(frozen=True, slots=True)
class Crossings:
    """How many crossed a line, ever: from its left to its right (`inwards`), and back (`outwards`)."""

    inwards: int = 0
    outwards: int = 0


@dataclass(frozen=True, slots=True)
class Totals:
    """The crossings of a camera's lines: `lines[line][label]`; what is kept over a restart."""

    lines: Mapping[str, Mapping[str, Crossings]] = field(default_factory=dict)

    def over(self, before: Totals) -> Totals:
        """Return these totals, and those of `before` of lines and labels that are not counted now."""
        names = [*before.lines, *(name for name in self.lines if name not in before.lines)]
        return Totals({name: {**before.lines.get(name, {}), **self.lines.get(name, {})} for name in names})


def ulid(time: float, random_bits: Callable[[int], int]) -> str:
    """Return a ULID of a time in Unix seconds: 26 letters that sort by time to the millisecond.

    `random_bits(n)` gives n random bits: `secrets.randbits`, or `random.Random(seed).getrandbits` where
    runs are to repeat themselves.
    """
    moment = max(0, int(time * 1000)) & ((1 << _TIME_BITS) - 1)
    number = moment << _RANDOM_BITS | random_bits(_RANDOM_BITS)
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_LETTERS)))
