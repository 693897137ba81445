"""The motion gate on real footage: what it spares, and that nothing which a detector would find is lost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from tests.support.assets import asset
from tests.support.footage_truth import Seen, seen, truth
from tests.support.thinned import thinned
from vigil.analytics.gate import Gate
from vigil.analytics.motion import MotionDetector, stride_of

PEOPLE = "one-by-one-person-detection.mp4"
CLIPS = (PEOPLE, "vtest.avi", "traffic.mp4", "door-camera.mkv")
CONFIDENCE = 0.5
KEPT = 0.5
"""Seconds for which a track outlives its last detection here."""
NOISE = 3.0
LATE = 2
"""Frames by which the first of an appearance may be missed."""
APART = 0.5
"""Seconds without a detection after which the next one is a new appearance."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One frame: whether a detector finds somebody in it, and whether it was awake."""

    time: float
    occupied: bool
    awake: bool


def gated(clip: str, fps: float) -> list[Turn]:
    """Run a clip, made noisy, through motion and gate; what is inferred shows what was recorded for it."""
    path = asset(f"clips/{clip}")
    if path is None:
        pytest.skip("needs the clips of VIGIL_ASSETS")
    detector, gate, rng = MotionDetector(), Gate(gate=True), np.random.default_rng(0)
    gate.connected(0.0)
    recorded, turns, last_found = seen(clip), [], -np.inf
    for time, image in thinned(path, fps):
        luma = image.luma(stride_of(image.width, image.height))
        noisy = np.clip(luma + rng.normal(0, NOISE, luma.shape), 0, 255).astype(np.uint8)
        moving = detector.look(noisy, time).active
        awake = gate.awake(moving=moving, present=time - last_found < KEPT, now=time)
        occupied = _occupied(recorded, time)
        if awake:
            gate.inferred(time)
            last_found = time if occupied else last_found
        turns.append(Turn(time, occupied, awake))
    return turns


def _occupied(recorded: tuple[Seen, ...], time: float) -> bool:
    nearest = min(recorded, key=lambda picture: abs(picture.pts - time))
    return bool((nearest.confidence >= CONFIDENCE).any())


def lost(turns: list[Turn]) -> list[float]:
    """Return the times of frames that show somebody and slept, but for the first `LATE` of an appearance."""
    missing, since, last = [], 0, -np.inf
    for turn in turns:
        if turn.occupied:
            since = since + 1 if turn.time - last <= APART else 1
            last = turn.time
            if not turn.awake and since > LATE:
                missing.append(turn.time)
    return missing


@pytest.mark.parametrize("fps", [10, 5])
@pytest.mark.parametrize("clip", CLIPS)
def test_gate_loses_nothing(clip: str, fps: float) -> None:
    """Every frame in which yolo11n finds somebody is awake, two frames of an appearance at most aside."""
    turns = gated(clip, fps)
    print(f"\n{clip} at {fps}/s: {sum(turn.awake for turn in turns)} of {len(turns)} frames awake")
    assert any(turn.occupied for turn in turns)
    assert lost(turns) == []


@pytest.mark.parametrize("fps", [10, 5])
def test_gate_spares_empty_stretches(fps: float) -> None:
    """At least four fifths of the frames that show nobody, by eye, are spared; nobody comes in unseen."""
    visible = truth(PEOPLE)["visible"]
    turns = gated(PEOPLE, fps)
    empty = [
        turn for turn in turns if not any(start - 0.01 <= turn.time <= end + 0.01 for start, end in visible)
    ]
    spared = sum(not turn.awake for turn in empty)
    print(f"\n{PEOPLE} at {fps}/s: {spared} of {len(empty)} empty frames spared")
    assert spared >= 0.8 * len(empty)
    for start, _ in visible:
        assert any(turn.awake for turn in turns if start - 0.01 <= turn.time <= start + LATE / fps + 0.01)
