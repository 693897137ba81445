"""Frames into the model's input and boxes back out."""

from __future__ import annotations

import tracemalloc
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.fakes import FakeImage
from vigil.inference.letterbox import (
    DETR,
    RF_DETR,
    YOLOX,
    Fit,
    Letterbox,
    Preparation,
    input_shape,
    place,
    to_frame,
)

if TYPE_CHECKING:
    from vigil.core.types import Float32

SIDES = st.integers(1, 4096)
GREY = np.float32(114 / 255)


@pytest.mark.parametrize(
    ("width", "height", "shape"),
    [
        (1920, 1080, (384, 640)),
        (1280, 720, (384, 640)),
        (768, 432, (384, 640)),
        (640, 480, (480, 640)),
        (1080, 1920, (640, 384)),
        (640, 640, (640, 640)),
        (810, 1080, (640, 480)),
        (320, 180, (384, 640)),
        (4000, 10, (32, 640)),
    ],
)
def test_shape_follows_the_aspect_ratio(width: int, height: int, shape: tuple[int, int]) -> None:
    """The input is as small as the aspect ratio and the stride allow, not square."""
    assert input_shape(width, height, 640, 32) == shape


@example(159, 396, 320, 32)  # the shorter side rounds down to a multiple of the stride
@given(SIDES, SIDES, st.sampled_from([320, 640, 960, 1280]), st.sampled_from([32, 64]))
def test_shape_and_place_are_those_of_ultralytics(width: int, height: int, size: int, stride: int) -> None:
    """Shape and border agree with ultralytics' `LetterBox(auto=True)`, wherever it leaves any pixel."""
    scale = min(size / height, size / width)
    new_width, new_height = round(width * scale), round(height * scale)
    if not (new_width and new_height):
        return  # it would resize to nothing and fail
    border_x, border_y = (size - new_width) % stride / 2, (size - new_height) % stride / 2
    left, right = round(border_x - 0.1), round(border_x + 0.1)
    top, bottom = round(border_y - 0.1), round(border_y + 0.1)

    shape = input_shape(width, height, size, stride)
    placement = place(width, height, shape)
    assert shape == (new_height + top + bottom, new_width + left + right)
    assert (placement.left, placement.top) == (left, top)
    assert (placement.width, placement.height) == (new_width, new_height)


@given(SIDES, SIDES, st.sampled_from([(416, 416), (384, 640), (640, 384)]), st.sampled_from(Fit))
def test_placement_lies_within_any_fixed_shape(
    width: int, height: int, shape: tuple[int, int], fit: Fit
) -> None:
    """Whatever the frame, the model's only input and the fit, the picture has pixels and lies inside."""
    placement = place(width, height, shape, fit)
    assert min(placement.left, placement.top) >= 0
    assert min(placement.width, placement.height) >= 1
    assert placement.left + placement.width <= shape[1]
    assert placement.top + placement.height <= shape[0]


@given(SIDES, SIDES, st.lists(st.floats(0, 1), min_size=4, max_size=4), st.sampled_from(Fit))
def test_there_and_back_is_the_identity(width: int, height: int, fractions: list[float], fit: Fit) -> None:
    """A box mapped onto the canvas and back is where it was, within a pixel."""
    placement = place(width, height, input_shape(width, height, 640, 32), fit)
    box = np.array([fractions], np.float32) * [width, height, width, height]
    offset, scale = [placement.left, placement.top] * 2, [placement.scale_x, placement.scale_y] * 2
    canvas = (box * scale + offset).astype(np.float32)
    assert np.abs(to_frame(canvas, placement, width, height) - box).max() <= 1


def test_boxes_are_clipped_to_the_frame() -> None:
    """What a model sees in the grey border ends at the frame's edge."""
    placement = place(1280, 720, (384, 640))
    mapped = to_frame(np.array([[-50, -50, 900, 900]], np.float32), placement, 1280, 720)
    assert mapped.tolist() == [[0, 0, 1280, 720]]
    assert mapped.dtype == np.float32


def test_no_boxes_map_to_no_boxes() -> None:
    """An empty array comes back empty and in its shape."""
    assert to_frame(np.empty((0, 4), np.float32), place(64, 64, (64, 64)), 64, 64).shape == (0, 4)


def test_border_is_grey_and_picture_is_centred() -> None:
    """A 1280x720 frame at 384x640 lies on rows 12 to 371, between grey rows."""
    batch, (placement,) = Letterbox(1).fill([FakeImage(1280, 720, 1.0)], (384, 640))
    assert (placement.left, placement.top, placement.width, placement.height) == (0, 12, 640, 360)
    assert batch.shape == (1, 3, 384, 640)
    assert batch.dtype == np.float32
    assert (batch[0, :, 12:372] == 1).all()
    assert (batch[0, :, :12] == GREY).all()
    assert (batch[0, :, 372:] == GREY).all()


def test_other_placement_leaves_no_old_pixels() -> None:
    """A narrow frame after a wide one, and back, is surrounded by grey, in each place of the batch."""
    letterbox = Letterbox(2)
    wide, tall = FakeImage(1280, 720, 1.0), FakeImage(100, 400, 0.0)
    for images in ([wide, tall], [tall, wide], [tall], [wide, wide], [tall, tall]):
        batch, placements = letterbox.fill(images, (384, 640))
        assert len(batch) == len(images)
        for picture, placement, image in zip(batch, placements, images, strict=True):
            inside = np.zeros((384, 640), bool)
            rows = slice(placement.top, placement.top + placement.height)
            inside[rows, placement.left : placement.left + placement.width] = True
            assert (picture[:, inside] == image.value).all()
            assert (picture[:, ~inside] == GREY).all()


def test_canvas_is_reused_for_its_shape() -> None:
    """The next batch of the same shape lies in the same memory, and one of another shape does not."""
    letterbox = Letterbox(2)
    first, _ = letterbox.fill([FakeImage()], (384, 640))
    second, _ = letterbox.fill([FakeImage(), FakeImage()], (384, 640))
    other, _ = letterbox.fill([FakeImage()], (640, 384))
    assert np.shares_memory(first, second)
    assert not np.shares_memory(first, other)


class Reddish(FakeImage):
    """A picture whose red is 1, green 0.5 and blue 0."""

    def write_rgb(self, out: Float32) -> None:
        """Fill `out`."""
        out[:] = np.array([1, 0.5, 0])[:, None, None]


def test_corner_fit_is_at_the_top_left() -> None:
    """YOLOX's picture starts at the corner, blue first, in 0..255, and grey is 114 below and right of it."""
    batch, (placement,) = Letterbox(1, YOLOX).fill([Reddish(640, 360)], (416, 416))
    assert (placement.left, placement.top, placement.width, placement.height) == (0, 0, 416, 234)
    assert batch[0, :, 0, 0].tolist() == [0, 127.5, 255]
    assert batch[0, :, 233, 415].tolist() == [0, 127.5, 255]
    assert batch[0, :, 234, 0] == pytest.approx(114)


def test_stretched_fit_covers_the_input() -> None:
    """A DETR sees the whole frame on its whole square, and a box of half the square is half the frame."""
    batch, (placement,) = Letterbox(1, DETR).fill([FakeImage(1280, 720, 0.25)], (640, 640))
    assert (batch == 0.25).all()
    mapped = to_frame(np.array([[0, 320, 320, 640]], np.float32), placement, 1280, 720)
    assert mapped.tolist() == [[0, 360, 640, 720]]


def test_channels_are_normalised_each_by_its_own() -> None:
    """RF-DETR's planes are the picture's less ImageNet's mean, in units of its deviation."""
    batch, _ = Letterbox(1, RF_DETR).fill([Reddish(64, 64)], (64, 64))
    wanted = [(1 - 0.485) / 0.229, (0.5 - 0.456) / 0.224, -0.406 / 0.225]
    assert batch[0, :, 10, 10] == pytest.approx(np.array(wanted), abs=1e-5)


def test_grey_is_prepared_like_pixels() -> None:
    """The border has the value that a grey pixel of the picture would have."""
    prepared = Preparation(bgr=True, white=255, mean=(0.1, 0.2, 0.3), std=(0.5, 0.6, 0.7))
    batch, (placement,) = Letterbox(1, prepared).fill([FakeImage(64, 32, 114 / 255)], (64, 64))
    assert batch[0, :, 0, 0] == pytest.approx(batch[0, :, placement.top, 0], abs=1e-3)


@pytest.mark.parametrize("preparation", [Preparation(), YOLOX, RF_DETR])
def test_people_see_of_an_input_what_the_frame_shows(preparation: Preparation) -> None:
    """However a model wants its pixels, its input is shown as the picture that it was made of, on grey."""
    letterbox = Letterbox(1, preparation)
    batch, (placement,) = letterbox.fill([Reddish(64, 32)], (64, 64))
    shown = letterbox.to_bgr(batch[0])
    assert shown.shape == (64, 64, 3)
    assert shown[placement.top + placement.height // 2, 32].tolist() == [0, 128, 255]
    if preparation.fit is Fit.CENTRED:
        assert shown[0, 32].tolist() == [114] * 3


@pytest.mark.parametrize("preparation", [Preparation(), YOLOX, RF_DETR])
def test_filling_again_takes_no_memory(preparation: Preparation) -> None:
    """In steady state a frame costs no array: pixels are written and scaled where the model reads them."""
    letterbox, images = Letterbox(2, preparation), [FakeImage(), FakeImage()]
    letterbox.fill(images, (384, 640))
    tracemalloc.start()
    letterbox.fill(images, (384, 640))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4096 * len(images)
