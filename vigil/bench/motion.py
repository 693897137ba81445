"""What the motion check of one frame costs."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.analytics.motion import MotionDetector, stride_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vigil.core.types import UInt8

_FPS = 10.0
_PATTERN = 64


@dataclass(frozen=True, slots=True)
class MotionCost:
    """Median CPU milliseconds per frame, the thinning of its luma plane included, by how lively it is."""

    width: int
    height: int
    frames: int
    still_ms: float
    lively_ms: float


def measure_motion(width: int = 1920, height: int = 1080, frames: int = 300) -> MotionCost:
    """Measure on a noisy picture of that size, without and with two things that move through it."""
    still, _ = _median(width, height, frames, lively=False)
    lively, moved = _median(width, height, frames, lively=True)
    if moved < frames // 2:
        raise AssertionError("the lively scene was not seen to move")
    return MotionCost(width, height, frames, still, lively)


def _median(width: int, height: int, frames: int, *, lively: bool) -> tuple[float, int]:
    """Return the median cost and how many frames moved."""
    detector, stride = MotionDetector(), stride_of(width, height)
    costs, moved = [], 0
    for number, plane in enumerate(_planes(width, height, frames, lively=lively)):
        started = time.thread_time()
        motion = detector.look(plane[::stride, ::stride], number / _FPS)
        costs.append(time.thread_time() - started)
        moved += motion.active
    return float(np.median(costs)) * 1e3, moved


def _planes(width: int, height: int, frames: int, *, lively: bool) -> Iterator[UInt8]:
    """Yield luma planes, each valid until the next: texture and noise, and a dark and a light walker."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(60, 180, (-(-height // _PATTERN), -(-width // _PATTERN)))
    scene = np.kron(blocks, np.ones((_PATTERN, _PATTERN), np.int64))[:height, :width]
    # A few noisy pictures in turn: new noise for each frame would take longer than all that is measured.
    noisy = [np.clip(scene + rng.normal(0, 3, scene.shape), 0, 255).astype(np.uint8) for _ in range(4)]
    for number in range(frames):
        plane = noisy[number % len(noisy)].copy()
        if lively:
            way = number * width // 100 % width
            plane[height // 3 : height // 2, way : way + width // 20] = 20
            plane[height // 2 :, width - way : width - way + width // 20] = 240
        yield plane
