"""`vigil replay` with `detect.regions: on` and real weights: what is found in parts, and what is drawn."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.assets import weights
from tests.support.footage import walk
from tests.support.household import config_of
from vigil.config.model import ModelConfig
from vigil.core.geometry import overlaps
from vigil.inference.service import open_service
from vigil.offline import pictures
from vigil.replay import Replay, subject

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.footage import Walk
    from vigil.replay import Moment


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Walk:
    """Somebody walks to the right."""
    return walk(tmp_path_factory.mktemp("walk") / "walk.mp4")


def played(clip: Walk, regions: str) -> list[Moment]:
    """Return what a camera makes of the clip."""
    config = config_of({"drive": {"detect": {"classes": ["person"], "fps": 5, "regions": regions}}})
    service = open_service(weights("yolo11n"), ModelConfig(engine="onnxruntime"), None)
    player = Replay(subject(config, None), service, random.Random(0).getrandbits)  # noqa: S311 -- the same ids
    return list(player.moments(pictures(clip.path)))


def boxes(moment: Moment) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return the boxes that are told of a moment."""
    assert moment.result is not None
    return moment.result.detections.xyxy.astype(np.float64)


def test_parts_show_what_whole_frames_show(clip: Walk) -> None:
    """Most frames are seen by small parts, and somebody is found where whole frames have him."""
    whole, packed = played(clip, "off"), played(clip, "on")
    in_parts = {m.frame.seq: m for m in packed if m.looked is not None and not m.looked.whole}
    assert len(in_parts) > len(packed) / 2
    used = [sum(given.used for given in m.looked.inputs) for m in in_parts.values() if m.looked]
    same = [
        overlaps(boxes(m), boxes(in_parts[m.frame.seq])).max(initial=0)
        for m in whole
        if m.frame.seq in in_parts and len(boxes(m))
    ]
    print(f"\n{len(in_parts)} of {len(packed)} frames in parts, {np.mean(used):.2f} of an input", end="")
    print(f", overlap with whole frames {np.median(same):.3f}, least {min(same):.3f}")
    assert np.mean(used) < 0.3
    assert len(same) >= len(in_parts) - 1
    assert np.mean(np.array(same) > 0.8) > 0.9
    for moment in in_parts.values():
        middle = clip.middle(moment.frame.captured_at)
        assert any(left < middle < right for left, _, right, _ in boxes(moment))


def test_canvases_are_drawn_under_the_copy(clip: Walk, tmp_path: Path) -> None:
    """The copy is half as high again; outlines are under frames seen by parts, and under no whole one."""
    config, target = tmp_path / "vigil.yaml", tmp_path / "drawn.mp4"
    config.write_text(
        "cameras: {cam: {url: rtsp://10.0.0.5/s, detect: {fps: 5, classes: [person], regions: on}}}\n"
    )
    command = [sys.executable, "-m", "vigil", "replay", str(clip.path), "-c", str(config)]
    command += ["--annotate", str(target), "--json"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    events = [json.loads(line) for line in told.splitlines()]
    assert [event["type"] for event in events if event["type"] != "update"] == ["new", "end"]
    drawn = [each.image.to_bgr() for each in pictures(target)]
    assert {picture.shape for picture in drawn} == {(810, 960, 3)}
    with_parts = [_outlined(picture[540:, :480].astype(int)) for picture in drawn]
    assert sum(with_parts) > len(drawn) / 2
    assert not any(with_parts[:3])


def _outlined(strip: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> bool:
    """Tell whether there are lines of green or orange, as good as coding leaves them."""
    blue, green, red = np.moveaxis(strip, 2, 0)
    greenish, orange = (green - red > 40) & (green - blue > 40), (red - blue > 80) & (green > blue)
    return int((greenish | orange).sum()) > 50
