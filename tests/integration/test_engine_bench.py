"""The bench of engines with a real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.assets import photograph, weights
from vigil.bench.engine import measure
from vigil.config.model import ModelConfig
from vigil.inference.service import open_service
from vigil.video.upload import decode_picture

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.alone


def test_loop_comes_near_the_bare_engine(tmp_path: Path) -> None:
    """Both sides do real work, and vigil's loop costs no more than half of the bare engine's rate."""
    settings = ModelConfig(size=320, engine="onnxruntime", device="cpu")
    service = open_service(weights("yolo11n"), settings, tmp_path)
    image = decode_picture(photograph("zidane").read_bytes(), 10**8)
    turns: list[str] = []
    found = measure({"onnxruntime": service}, image, turns.append, rounds=3, seconds=0.7)["onnxruntime"]
    print(f"\n{found}")
    assert turns == ["onnxruntime, bare", "onnxruntime, vigil"] * 3
    assert found.images_per_second > 1
    assert 0.5 < found.ratio_to_bare < 1.5
