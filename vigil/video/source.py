"""What a capture thread reads from, whatever stands behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vigil.core.types import Image


@dataclass(frozen=True, slots=True)
class Format:
    """What a camera sends: its codec, such as `h264` or empty if nobody knows, and the pictures' size."""

    codec: str = ""
    width: int = 0
    height: int = 0


@dataclass(frozen=True, slots=True)
class Picture:
    """One decoded picture: wall-clock seconds at its packet's arrival, stream seconds, and pixels."""

    captured_at: float
    pts: float | None
    image: Image
    late: float = 0.0
    """Seconds for which its packet was kept before it was decoded; such a packet was told as `Skipped`."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A packet that came, wall-clock seconds at its arrival, and was not decoded, or not yet."""

    captured_at: float


class Attention(Protocol):
    """What is made of a camera's pictures, and so how much of its stream has to be decoded."""

    @property
    def resting(self) -> bool:
        """Whether nothing moves and nothing is followed, so that a look now and then will do."""

    @property
    def stirring(self) -> bool:
        """Whether something moved in the latest picture."""

    @property
    def following(self) -> bool:
        """Whether an inference has lately found something that may move on."""

    def stirs(self, image: Image) -> bool:
        """Tell whether something moves in a picture that comes long after the one before; learns nothing."""

    @property
    def turn(self) -> float:
        """Seconds from one picture that is inferred to the next, where there is time for all."""

    def has_room(self) -> bool:
        """Tell whether no picture of the camera waits for an inference."""


class Source(Protocol):
    """An endless stream of pictures. All calls block and come from one capture thread."""

    @property
    def codec(self) -> str:
        """How its pictures are coded, such as `h264`, once the first has come; empty if nobody knows."""

    def open(self) -> None:
        """Connect; raises a `SourceError` that says why it cannot."""

    def pictures(self) -> Iterator[Picture | Skipped]:
        """Yield pictures as they arrive; ends or raises a `SourceError` when the stream does."""

    def close(self) -> None:
        """Let go of everything; safe to call when `open` failed."""


class Pause(Protocol):
    """A wait that the end of the capture cuts short: `threading.Event.wait`."""

    def __call__(self, seconds: float, /) -> bool:
        """Wait; returns whether the capture is to end."""
