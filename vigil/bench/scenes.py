"""The two scenes of the density bench: one that never rests, and one as most cameras have it.

`busy`: people in every frame, so that no gate can help. `typical`: somebody is there a tenth of the time, and
 cameras begin at different places of the clip, so that each is active at a moment of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from vigil.bench.footage import FPS, PERSON, WALKERS, encode_as_camera, find, pictures

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.core.types import UInt8

Name: TypeAlias = Literal["busy", "typical"]

_VISIT = (74.4, 87.0)
"""Somebody comes in, stays at a table and leaves, seconds into the person clip."""
_EMPTY = (0.2, 5.4)
_REST = 9
"""Times as long as the visit for which nobody is there."""
_GOLDEN = 0.618033988749895
"""Steps of this share of the clip never come close to each other."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A clip, its length, and when somebody is in it (start and end in seconds, in order)."""

    name: str
    clip: Path
    seconds: float
    active: tuple[tuple[float, float], ...]

    def begin(self, number: int) -> float:
        """Return how far into the clip a camera begins."""
        return number * _GOLDEN % 1 * self.seconds

    def is_active(self, at: float) -> bool:
        """Tell whether somebody is there `at` seconds after the clip's first picture, rounds included."""
        within = at % self.seconds
        return any(start <= within < end for start, end in self.active)

    def stays(self, start: float, end: float) -> list[float]:
        """Return the seconds of each stay of somebody between two times, counted as in `is_active`."""
        rounds = range(math.floor(start / self.seconds), math.ceil(end / self.seconds))
        begun = ((number * self.seconds, active) for number in rounds for active in self.active)
        seconds = (min(end, base + until) - max(start, base + since) for base, (since, until) in begun)
        return [each for each in seconds if each > 0]


def make_scene(
    name: Name,
    target: Path,
    footage: Path | None,
    *,
    height: int = 432,
    seconds: float = 60.0,
    rest: float = _REST,
) -> Scene:
    """Encode a scene's clip into the folder `target`; raises `CannotStartError` without footage.

    `seconds` limits the busy clip; `rest` is how many times as long as the visit nobody is there.
    """
    if name == "busy":
        shown = pictures(find(WALKERS, footage), height, end=seconds)
        active = ((0.0, len(shown) / FPS),)
    else:
        clip = find(PERSON, footage)
        visit, empty = pictures(clip, height, *_VISIT), pictures(clip, height, *_EMPTY)
        shown = [*visit, *_to_and_fro(empty, round(rest * len(visit)))]
        active = ((0.0, len(visit) / FPS),)
    path = encode_as_camera(target / f"{name}.mp4", shown)
    return Scene(name, path, len(shown) / FPS, active)


def _to_and_fro(shown: list[UInt8], count: int) -> list[UInt8]:
    """Return `count` pictures that run forwards and backwards: no cut that a motion check would see."""
    both = [*shown, *shown[::-1]]
    return [both[number % len(both)] for number in range(count)]
