"""Precision on labelled pictures, against what ultralytics reaches with the same weights."""

from __future__ import annotations

import hashlib
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.assets import weights
from tests.support.coco import folder, labelled
from vigil.config.model import ModelConfig
from vigil.inference.accuracy import FLOOR, detect_each, precision
from vigil.inference.choose import Chooser
from vigil.inference.detector import Detector
from vigil.inference.export import Exporter
from vigil.inference.store import quiet

EXPECTED = json.loads((Path(__file__).parents[1] / "fixtures/accuracy.json").read_text())["models"]
ENGINES = [name for name in ("onnxruntime", "openvino") if find_spec(name)]
PICTURES = folder()
pytestmark = pytest.mark.skipif(PICTURES is None, reason="VIGIL_ASSETS has no labelled pictures")


def open_detector(path: Path, settings: ModelConfig) -> Detector:
    """Open weights on the engine that is named."""
    engine = Chooser(None).choose(path, settings).engine
    return Detector(engine, size=settings.size, iou=settings.iou)


@pytest.mark.parametrize("engine", ENGINES)
def test_precision_is_that_of_ultralytics(engine: str) -> None:
    """yolo11n reaches ultralytics' own precision at the same size within 0.3 points, on each engine."""
    assert PICTURES is not None
    path = weights("yolo11n")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == EXPECTED["yolo11n"]["sha256"]
    detector = open_detector(path, ModelConfig.model_validate({"engine": engine, "device": "cpu"}))
    pictures = labelled(PICTURES)
    found = detect_each(detector, [each.image for each in pictures], FLOOR)
    reached = precision(found, [each.truth for each in pictures])
    print(f"\n{detector.engine.name}: mAP50-95 {reached.map50_95:.2f}, mAP50 {reached.map50:.2f}")
    assert reached.map50_95 == pytest.approx(EXPECTED["yolo11n"]["predict"]["map50_95"], abs=0.3)
    assert reached.map50 == pytest.approx(EXPECTED["yolo11n"]["predict"]["map50"], abs=0.3)


@pytest.mark.skipif(find_spec("nncf") is None, reason="needs the extra vigil[quantize]")
def test_8_bits_keep_precision(tmp_path: Path) -> None:
    """yolo11n calibrated on half of the pictures loses less than a point on all of them."""
    assert PICTURES is not None
    pictures = labelled(PICTURES)
    made = Exporter(tmp_path, open_detector, quiet).make(
        weights("yolo11n"), ModelConfig(precision="int8"), [each.image for each in pictures[::2]], pictures
    )
    assert made.before is not None
    assert made.after is not None
    print(f"\n8 bits: {made.agreement}, mAP50-95 {made.before.map50_95:.2f} -> {made.after.map50_95:.2f}")
    assert made.before.map50_95 - made.after.map50_95 < 1.0
