"""Regions on a canvas and boxes back: each to its own frame, within a pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.core.types import Detections
from vigil.inference.composite import back, paint
from vigil.inference.letterbox import place
from vigil.inference.packing import Placed
from vigil.inference.regions import Region

_WIDTH, _HEIGHT = 1920, 1080
_PLACEMENT = place(_WIDTH, _HEIGHT, (384, 640))


def _found(*boxes: tuple[float, float, float, float]) -> Detections:
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections.untracked(xyxy, np.full(len(xyxy), 0.9, np.float32), np.zeros(len(xyxy), np.int32))


@given(
    corner=st.tuples(st.integers(0, 60), st.integers(2, 35)),
    size=st.tuples(st.integers(3, 20), st.integers(3, 12)),
    scale=st.sampled_from([1.0, 0.84, 0.7, 0.5]),
    spot=st.tuples(st.integers(0, 40), st.integers(0, 30)),
    inner=st.tuples(st.floats(0.1, 0.4), st.floats(0.1, 0.4), st.floats(0.6, 0.9), st.floats(0.6, 0.9)),
)
def test_there_and_back_is_the_identity(
    corner: tuple[int, int],
    size: tuple[int, int],
    scale: float,
    spot: tuple[int, int],
    inner: tuple[float, float, float, float],
) -> None:
    """A box of a frame, drawn where its region lies on the canvas, comes back within a pixel, and uncut."""
    left, top, width, height = corner[0] * 8, corner[1] * 8, size[0] * 8, size[1] * 8
    small = -(-int(width * scale) // 8) * 8, -(-int(height * scale) // 8) * 8
    region = Region(left, top, left + width, top + height, *small)
    at = _PLACEMENT
    box = np.array([inner[0] * width, inner[1] * height, inner[2] * width, inner[3] * height])
    whole = (box + [left - at.left, top - at.top] * 2) / ([at.scale_x, at.scale_y] * 2)
    inside = np.clip(whole, 0, [_WIDTH, _HEIGHT] * 2)
    canvas = box * (np.array(small * 2) / [width, height, width, height]) + [spot[0] * 8, spot[1] * 8] * 2
    placed = Placed(region, spot[0] * 8, spot[1] * 8)

    found, _ = back(_found(tuple(canvas.tolist())), [placed], at, _WIDTH, _HEIGHT)

    assert found.xyxy[0] == pytest.approx(inside, abs=1.0)


def test_no_box_lands_on_another_camera() -> None:
    """A box is given to the camera whose region holds its centre, clipped, and to no other."""
    ours = Placed(Region(64, 64, 128, 128, 64, 64), 0, 0)
    theirs = Placed(Region(256, 64, 320, 128, 64, 64), 64, 0)
    found = _found((10, 10, 30, 30), (50, 10, 110, 50), (200, 200, 220, 220))

    mine, _ = back(found, [ours], _PLACEMENT, _WIDTH, _HEIGHT)
    yours, cut = back(found, [theirs], _PLACEMENT, _WIDTH, _HEIGHT)

    assert len(mine) == 1
    assert yours.xyxy[0] == pytest.approx([256 * 3, (64 + 10 - 12) * 3, (256 + 46) * 3, (64 + 50 - 12) * 3])
    assert cut.tolist() == [[True, False, False, False]]


def test_the_frames_own_edge_cuts_nothing() -> None:
    """A box that ends at a region's edge is cut there, unless that is the frame's edge."""
    placed = Placed(Region(0, 8, 64, 72, 64, 64), 0, 0)
    _, cut = back(_found((0, 4, 64, 40)), [placed], _PLACEMENT, _WIDTH, _HEIGHT)
    assert cut.tolist() == [[False, False, True, False]]


def test_a_region_at_full_scale_is_painted_as_it_is() -> None:
    """Pixels of a region at full scale are those of the whole frame's input; smaller ones are averaged."""
    whole = np.random.default_rng(0).random((3, 384, 640), np.float32)
    canvas = np.zeros((3, 384, 640), np.float32)
    paint(canvas, whole, Placed(Region(64, 32, 128, 96, 64, 64), 320, 160))
    paint(canvas, whole, Placed(Region(64, 32, 128, 96, 32, 32), 0, 0))
    assert (canvas[:, 160:224, 320:384] == whole[:, 32:96, 64:128]).all()
    blocks = whole[:, 32:96, 64:128].reshape(3, 32, 2, 32, 2).mean(axis=(2, 4))
    assert canvas[:, :32, :32] == pytest.approx(blocks, abs=1e-5)
    assert not canvas[:, 300:].any()
