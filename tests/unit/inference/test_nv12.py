"""The device letterbox's mathematics, computed by numpy and held against swscale, the CPU's way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.planes import CapsuleArrays, picture, planes_of
from vigil.core.types import Colour
from vigil.inference.letterbox import RF_DETR, ULTRALYTICS, YOLOX, Fit, Letterbox, Preparation
from vigil.inference.nv12 import Canvas, border, fill, paint, taps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Float32
    from vigil.inference.schedule import Shape
    from vigil.video.decode import NvImage

MEAN, NEARLY_ALL, WORST = 0.6, 1.5, 16.0
"""How far the two may be apart, in steps of 8 bits: on average, in 99 of 100 values, and at an edge.

swscale computes in integers and rounds to 8 bits on the way: half a step of it is its own.
"""
STEP = 1 / 255


def filled(images: Sequence[NvImage], shape: Shape, preparation: Preparation) -> tuple[Float32, Float32]:
    """Return the canvas that the matrices make, and the one that the CPU's letterbox makes."""
    ours = np.full((len(images), 3, *shape), np.nan, np.float32)
    frames = [planes_of(image, shape, preparation) for image in images]
    fill(ours, frames, Canvas(shape, preparation), CapsuleArrays())
    theirs, _ = Letterbox(len(images), preparation).fill(images, shape)
    return ours, theirs


def apart(ours: Float32, theirs: Float32, step: float = STEP) -> None:
    """Hold them against each other within the tolerances."""
    off = np.abs(ours - theirs) / step
    assert off.mean() <= MEAN
    assert np.quantile(off, 0.99) <= NEARLY_ALL
    assert off.max() <= WORST


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (768, 576), (640, 360), (320, 240)])
def test_agrees_with_swscale(size: tuple[int, int]) -> None:
    """Frames of any size, scaled down, up or not at all."""
    apart(*filled([picture(*size)], (384, 640), ULTRALYTICS))


@pytest.mark.parametrize("colours", [(2, 0), (1, 1), (6, 1), (1, 2), (6, 2), (9, 1)])
def test_agrees_in_every_colour(colours: tuple[int, int]) -> None:
    """BT.601, BT.709 and BT.2020, in limited and in full range, and streams that say nothing."""
    colorspace, color_range = colours
    image = picture(1280, 720, colorspace=colorspace, color_range=color_range)
    apart(*filled([image], (384, 640), ULTRALYTICS))


def test_colours_matter() -> None:
    """The test above can fail: a picture read in another matrix or range is far off."""
    shape = (384, 640)
    right, _ = filled([picture(1280, 720, colorspace=1, color_range=1)], shape, ULTRALYTICS)
    for colorspace, color_range in ((6, 1), (1, 2)):
        wrong, _ = filled(
            [picture(1280, 720, colorspace=colorspace, color_range=color_range)], shape, ULTRALYTICS
        )
        assert np.abs(right - wrong).mean() > 2 * STEP


@pytest.mark.parametrize(
    ("preparation", "step"),
    [
        (YOLOX, 1.0),
        (RF_DETR, STEP / 0.225),
        (Preparation(Fit.CENTRED, bgr=True), STEP),
    ],
)
def test_agrees_for_every_family(preparation: Preparation, step: float) -> None:
    """Channels in the other order, in 0..255 or normalised; in a corner or stretched."""
    apart(*filled([picture(1280, 720)], (416, 416), preparation), step)


def test_a_mixed_batch() -> None:
    """Sizes and colours in any order: each frame lies where it does alone, and grey is exactly grey."""
    images = [
        picture(1280, 720, 1),
        picture(640, 480, 2),
        picture(1280, 720, 3),
        picture(1280, 720, 4, colorspace=1, color_range=1),
        picture(640, 480, 5),
    ]
    shape = (384, 640)
    ours, theirs = filled(images, shape, ULTRALYTICS)
    apart(ours, theirs)
    for index, image in enumerate(images):
        np.testing.assert_allclose(ours[index], filled([image], shape, ULTRALYTICS)[0][0], atol=1e-5)
    beside = ours[1][:, :, :64]  # 4:3 on 16:9
    assert (beside == np.float32(114 / 255)).all()


def test_taps_are_averages() -> None:
    """Each row weighs to one and is symmetric; scaled down by three, it takes in five pixels."""
    down = taps(90, 30)
    np.testing.assert_allclose(down.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(down, down[::-1, ::-1], atol=1e-7)
    assert np.count_nonzero(down[15]) == 5
    np.testing.assert_array_equal(taps(40, 40), np.eye(40, dtype=np.float32))


@pytest.mark.parametrize("colour", [Colour(), Colour(full=True), Colour(0.2126, 0.0722)])
def test_black_and_white(colour: Colour) -> None:
    """Grey levels are the same in all channels, from exactly 0 to exactly 1."""
    low, high = (0, 255) if colour.full else (16, 235)
    colours = paint(colour, ULTRALYTICS)
    for luma, expected in ((low, 0.0), (high, 1.0)):
        value = np.array([luma, 128, 128]) @ colours.mix + colours.base
        np.testing.assert_allclose(value, expected, atol=1e-6)


def test_border_is_the_letterboxes_own() -> None:
    """What lies beside a frame is the same grey as the CPU's letterbox has."""
    for preparation in (ULTRALYTICS, YOLOX, RF_DETR):
        canvas, _ = Letterbox(1, replace(preparation, fit=Fit.CORNER)).fill([picture(320, 240)], (64, 640))
        np.testing.assert_allclose(canvas[0, :, 0, -1], border(preparation), rtol=1e-5)
