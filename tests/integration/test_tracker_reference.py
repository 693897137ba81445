"""The tracker against `trackers`' ByteTrack on public sequences: what it answered is in `bytetrack.json`."""

from __future__ import annotations

import json
from pathlib import Path

import motmetrics
import numpy as np
import pytest

from tests.support.mot import SAME, SEQUENCES, Answer, Scene, Score, checksum, overlaps, scenes, score
from vigil.analytics.tracker import Tracker

RECORD = json.loads(Path(__file__).parents[1].joinpath("fixtures/bytetrack.json").read_text(encoding="utf-8"))
CONFIRMED = 2
"""Hits after which the reference shows a track."""


def answers(frames: list[Scene]) -> list[Answer]:
    """Run vigil's tracker over a sequence, with the settings that it has by itself."""
    tracker = Tracker()
    shown = []
    for frame in frames:
        (tracks,) = tracker.update(["camera"], [frame.time], [frame.found])
        here = (tracks.detection >= 0) & (tracks.hits >= CONFIRMED)
        shown.append(Answer(tracks.tracker_id[here], tracks.xyxy[here]))
    return shown


@pytest.mark.parametrize(("rate", "margin"), [(25.0, -0.5), (10.0, -0.5), (5.0, 0.0)])
def test_as_good_as_the_reference(rate: float, margin: float) -> None:
    """IDF1 and MOTA are not below the reference's by more than half a point, and above it at 5 frames/s."""
    reference = RECORD["rates"][str(rate)]
    runs = [scenes(sequence, rate, seed) for sequence in SEQUENCES for seed in range(RECORD["seeds"])]
    assert checksum(frame for run in runs for frame in run) == reference["input"]
    mean = Score.mean([score(run, answers(run)) for run in runs])
    print(f"{rate:g}/s: {mean} against {reference['idf1']}, {reference['mota']}")
    assert mean.idf1 > reference["idf1"] + margin
    assert mean.mota > reference["mota"] + margin


def test_scores_are_those_of_motmetrics() -> None:
    """IDF1 and MOTA computed here are what `motmetrics` computes."""
    frames = scenes("TUD-Campus", 10.0, seed=1)
    shown = answers(frames)
    accumulator = motmetrics.MOTAccumulator(auto_id=True)
    for frame, answer in zip(frames, shown, strict=True):
        alike = overlaps(frame.xyxy, answer.xyxy)
        distance = np.where(alike >= SAME, 1 - alike, np.nan)
        accumulator.update(frame.ids.tolist(), answer.ids.tolist(), distance)
    theirs = motmetrics.metrics.create().compute(accumulator, metrics=["idf1", "mota"], name="run").loc["run"]
    ours = score(frames, shown)
    assert ours.idf1 == pytest.approx(100 * theirs["idf1"])
    assert ours.mota == pytest.approx(100 * theirs["mota"])
