"""Packed inference with real weights on real footage: what the bench measures holds as a bound."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from tests.support.assets import asset
from vigil.bench.packing import Case, measure_packing
from vigil.config.model import ModelConfig
from vigil.inference.service import open_service

pytestmark = pytest.mark.skipif(not os.environ.get("VIGIL_ASSETS"), reason="needs VIGIL_ASSETS")


def test_packing_gains_and_finds_what_whole_frames_find() -> None:
    """Eight cameras of people who cross one by one: three frames per inference, and few boxes differ."""
    weights, clip = asset("models/yolo11n.onnx"), asset("clips/one-by-one-person-detection.mp4")
    assert weights is not None
    assert clip is not None
    detector = open_service(Path(weights), ModelConfig(engine="onnxruntime"), None).detector
    regions = []

    told = measure_packing(
        detector,
        Case(Path(clip), cameras=8, fps=5, seconds=6),
        on_canvas=lambda canvas, layout: regions.append((np.isfinite(canvas).all(), len(layout.on))),
    )

    people = told.likeness.by_class[0]
    steady = told.as_dict()["steady_camera_frames_per_inference"]
    assert isinstance(steady, float)
    assert steady > 3
    assert people[2] / people[0] > 0.95
    assert people[2] / people[1] > 0.95
    assert all(finite and number for finite, number in regions)
