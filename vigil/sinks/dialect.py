"""What a vocabulary of MQTT topics has to say and to hear: vigil's own, Home Assistant's, Frigate's.

The publisher holds the connection and decides on delivery; dialects turn what happens into messages. They
do no I/O and belong to the loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vigil.core.types import BusMessage, Command, Result


@dataclass(frozen=True, slots=True)
class Message:
    """One MQTT message.

    What is retained is kept, and said again on every connect; an empty payload takes it back. What is
    `durable` is delivered at least once, in order, over restarts and crashes. All else is said now or never.
    """

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    durable: bool = False
    story: str = ""
    """Names what a durable message is about, one of a kind among all dialects."""
    last_words: bytes | None = None
    """What ends the story, said on the same topic at the next start if vigil dies before a durable message
    of the same `story` has none."""
    stays: bool = False
    """Nothing is said: what the broker may retain under the topic from before this start is still right."""


@dataclass(frozen=True, slots=True)
class SayAgain:
    """Somebody has come who must hear everything that is retained."""


class Dialect(Protocol):
    """One vocabulary; the publisher speaks several at once."""

    @property
    def listens(self) -> Sequence[str]:
        """Topic filters of what is to be heard."""

    def opening(self) -> Iterable[Message]:
        """Return what is said before any camera is known."""

    def take(self, message: BusMessage) -> Iterable[Message]:
        """Return what something that happened changes, or tells, whether a broker listens or not."""

    def frame(self, result: Result) -> Iterable[Message]:
        """Return what is said of an inferred frame as such: asked only while a broker listens."""

    def hear(self, topic: str, payload: bytes) -> Command | SayAgain | None:
        """Return what a message asks for, `None` if it is none of this dialect's.

        Raises `ValueError` that says what would be right.
        """

    def goodbye(self) -> Iterable[Message]:
        """Return what is left behind when vigil stops; nothing of it is kept."""
