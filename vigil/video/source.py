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


class Source(Protocol):
    """An endless stream of pictures. All calls block and come from one capture thread."""

    codec: str
    """How its pictures are coded, such as `h264`, once the first has come; empty where that is not known."""

    def open(self) -> None:
        """Connect; raises a `SourceError` that says why it cannot."""

    def pictures(self) -> Iterator[Picture]:
        """Yield pictures as they arrive; ends or raises a `SourceError` when the stream does."""

    def close(self) -> None:
        """Let go of everything; safe to call when `open` failed."""


class Pause(Protocol):
    """A wait that the end of the capture cuts short: `threading.Event.wait`."""

    def __call__(self, seconds: float, /) -> bool:
        """Wait; returns whether the capture is to end."""
