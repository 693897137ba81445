"""Checkpoints, and the exports made of them, reach ultralytics' own precision."""

from __future__ import annotations

import json
import math
import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.assets import photograph, weights
from tests.support.coco import folder, labelled
from vigil.config.model import ModelConfig
from vigil.inference.accuracy import FLOOR, detect_each, precision
from vigil.inference.choose import Chooser
from vigil.inference.detector import Detector
from vigil.inference.export import Exporter, find_export
from vigil.inference.store import Store, quiet
from vigil.inference.verify import verify
from vigil.video.upload import decode_picture

if TYPE_CHECKING:
    from vigil.core.types import Image

EXPECTED = json.loads((Path(__file__).parents[1] / "fixtures/accuracy.json").read_text())["models"]
CHECKPOINTS = ["yolo26n", *(["yolov8n"] if Store(os.environ).locate("yolov8n") else [])]
ENGINES = [name for name in ("onnxruntime", "openvino") if find_spec(name)]
PICTURES = folder()


def open_detector(path: Path, settings: ModelConfig) -> Detector:
    """Open weights on the engine that is named."""
    engine = Chooser(None).choose(path, settings).engine
    return Detector(engine, size=settings.size, iou=settings.iou)


def photographs() -> list[Image]:
    """Return the two photographs."""
    return [decode_picture(photograph(name).read_bytes(), 10**8) for name in ("bus", "zidane")]


def precision_of(detector: Detector) -> float:
    """Return the mean average precision on the labelled pictures."""
    assert PICTURES is not None
    pictures = labelled(PICTURES)
    found = detect_each(detector, [each.image for each in pictures], FLOOR)
    return precision(found, [each.truth for each in pictures]).map50_95


@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.skipif(PICTURES is None, reason="VIGIL_ASSETS has no labelled pictures")
def test_checkpoint_has_the_precision_of_ultralytics(name: str) -> None:
    """In vigil's hands torch reaches ultralytics' own precision within 0.3 points."""
    detector = open_detector(weights(name), ModelConfig(engine="ultralytics", device="cpu"))
    assert precision_of(detector) == pytest.approx(EXPECTED[name]["predict"]["map50_95"], abs=0.3)


@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.parametrize("engine", ENGINES)
def test_export_has_the_boxes_and_the_precision_of_its_checkpoint(
    tmp_path: Path, name: str, engine: str
) -> None:
    """Each engine's export agrees with the checkpoint, is found again, and reaches its precision.

    It runs on the smallest canvas, too, on which a network that chooses its boxes has a cell for each.
    """
    settings = ModelConfig.model_validate({"engine": engine, "device": "cpu"})
    made = Exporter(tmp_path, open_detector, quiet).make(weights(name), settings, photographs())
    assert find_export(weights(name), settings, tmp_path) == made.path
    detector = open_detector(made.path, settings)
    assert detector.crops
    smallest = np.zeros((1, 3, 32, math.ceil(detector.least_pixels / 32 / 32) * 32), np.float32)
    assert [len(found) for found in detector.detect_inputs(smallest, [0.5])] == [0]
    if PICTURES is not None:
        reached = precision_of(detector)
        assert reached == pytest.approx(EXPECTED[name]["predict"]["map50_95"], abs=0.3)


def test_verify_holds_exports_against_their_checkpoint(tmp_path: Path) -> None:
    """The checkpoint comes first; its ONNX export is tried on every engine that takes it, and all agree."""
    exporter = Exporter(tmp_path, open_detector, quiet)
    exporter.make(weights("yolo26n"), ModelConfig(), photographs())
    found = list(
        verify(weights("yolo26n"), ModelConfig(), tmp_path, photographs(), open_detector, exporter.limits)
    )
    assert [verdict.engine.split()[0] for verdict in found] == ["torch", *ENGINES]
    assert all(verdict.passed for verdict in found)
