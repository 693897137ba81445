"""Which of two pictures of the same thing is the sharper one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.analytics.sharpness import sharpness, sharpness_of
from vigil.video.photo import ArrayImage

if TYPE_CHECKING:
    from vigil.core.types import UInt8

SHADES = np.random.default_rng(7).integers(0, 255, (12, 6), np.uint8)
TEXTURE = np.kron(SHADES, np.ones((20, 20), np.uint8))
"""Even surfaces with sharp edges, 240 x 120."""


def blurred(picture: UInt8, sigma: float) -> UInt8:
    """Return a picture out of focus."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def test_blur_lowers_it_step_by_step() -> None:
    """The more a picture is out of focus, the less sharp it is."""
    measured = [sharpness(TEXTURE), *(sharpness(blurred(TEXTURE, sigma)) for sigma in (1, 2, 4, 8))]
    assert measured == sorted(measured, reverse=True)
    assert measured[0] > 3 * measured[-1]


def test_motion_blur_lowers_it() -> None:
    """Somebody who runs past is less sharp than the same one standing, though edges along his way stay."""
    smeared = cv2.filter2D(TEXTURE, -1, np.full((1, 15), 1 / 15, np.float32))
    assert sharpness(np.asarray(smeared, np.uint8)) < 0.8 * sharpness(TEXTURE)


def test_light_does_not_matter() -> None:
    """The same picture at a third of the contrast is as sharp."""
    dim = (TEXTURE // 3 + 20).astype(np.uint8)
    assert sharpness(dim) == pytest.approx(sharpness(TEXTURE), rel=0.05)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 255))
def test_even_and_tiny_pictures_are_not_sharp(height: int, width: int, value: int) -> None:
    """A surface without detail, or of no size at all, is 0 and breaks nothing."""
    assert sharpness(np.full((height, width), value, np.uint8)) == 0


def test_only_the_box_is_measured() -> None:
    """A sharp half beside a blurred one: each box gets its own; beyond the frame there is nothing."""
    halves = np.hstack([TEXTURE, blurred(TEXTURE, 6)])
    measure = sharpness_of(ArrayImage(np.stack([halves] * 3, axis=2)))
    assert measure((0, 0, 120, 240)) > 3 * measure((130, 0, 240, 240))
    assert measure((300, 300, 400, 400)) == 0
