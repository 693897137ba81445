"""What it costs to keep up with a stream in each of the governor's modes, measured on a recording of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from vigil.config.model import CameraConfig
from vigil.video.governed import GovernedSource
from vigil.video.source import Picture
from vigil.video.stream import StreamSource

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.core.types import Image
    from vigil.video.governor import Mode
    from vigil.video.source import Attention


@dataclass(frozen=True, slots=True)
class DecodeCost:
    """Packets read, pictures decoded, and the CPU seconds that this thread spent on both."""

    packets: int
    pictures: int
    cpu_seconds: float


class Asleep:
    """The attention of somebody whom nothing wakes."""

    resting = True
    stirring = following = False
    turn = 0.0

    def stirs(self, image: Image) -> bool:  # noqa: ARG002 -- whatever it shows
        """See nothing."""
        return False

    def has_room(self) -> bool:
        """Have no work."""
        return True


class Unheard:
    """A log that nobody reads."""

    def decoding(self, mode: str) -> None:
        """Forget it."""

    def woke(self, cause: str) -> None:
        """Forget it."""


def measure_decode(path: Path, mode: Mode, attention: Attention | None = None) -> DecodeCost:
    """Read a recording to its end, as fast as it goes, in one mode; raises a `SourceError`.

    As in a camera's capture thread: demuxing, the governor, decoding, and Python between them; no
    conversion and, but for those of an `attention`, no looks for motion. What comes before the second
    keyframe, which every mode decodes in full, is left out. Without an `attention` nothing ends a rest.
    """
    source = GovernedSource(
        _stream(path), attention or Asleep(), Unheard(), _no_pause, forced=mode, recorded=True, tail=False
    )
    left_out, packets, pictures, started = _second_keyframe(path), 0, 0, 0.0
    try:
        source.open()
        for each in source.pictures():
            if packets <= left_out:
                started, pictures = time.thread_time(), 0
            pictures += isinstance(each, Picture)
            packets += not (isinstance(each, Picture) and each.late)
        spent = time.thread_time() - started
    finally:
        source.close()
    return DecodeCost(packets - left_out, pictures, spent)


def _second_keyframe(path: Path) -> int:
    """Return how many packets come before the second keyframe; 0 where there is none."""
    source = _stream(path)
    try:
        source.open()
        keys = (number for number, (packet, _) in enumerate(source.packets()) if packet.is_keyframe)
        return next(islice(keys, 1, None), 0)
    finally:
        source.close()


def _stream(path: Path) -> StreamSource:
    return StreamSource(CameraConfig(url=str(path.absolute())), _no_pause, paced=False, looped=False)


def _no_pause(_seconds: float) -> bool:
    return False
