"""Cut-outs of objects."""

from __future__ import annotations

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vigil.analytics.portrait import portrait, shrunk, surroundings
from vigil.video.photo import ArrayImage

WIDTH, HEIGHT = 640, 360
sides = st.tuples(*[st.floats(0, WIDTH), st.floats(0, HEIGHT)] * 2).map(
    lambda box: (min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3]))
)


@given(sides)
def test_surroundings_hold_the_box_and_stay_in_the_frame(box: tuple[float, float, float, float]) -> None:
    """A cut-out is within the frame, holds its box but for a rounded pixel, and is no sliver."""
    left, top, right, bottom = surroundings(box, WIDTH, HEIGHT)
    assert 0 <= left <= box[0] + 1
    assert 0 <= top <= box[1] + 1
    assert box[2] - 1 <= right <= WIDTH
    assert box[3] - 1 <= bottom <= HEIGHT
    assert right - left >= 160
    assert bottom - top >= 160


def test_portrait_shows_the_object_and_a_little_around_it() -> None:
    """The object, in its colour, is in the middle of a picture of a bounded size."""
    frame = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    frame[100:300, 200:300] = (0, 0, 255)
    jpeg = portrait(ArrayImage(frame), (200, 100, 300, 300), 120, 90)
    shown = np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))
    assert max(shown.shape[:2]) == 120
    height, width = shown.shape[:2]
    assert shown[height // 2, width // 2, 2] > 200
    assert shown[height // 2, 3, 2] < 60


def test_small_pictures_are_not_blown_up() -> None:
    """A picture below the limit stays as it is, a larger one keeps its shape."""
    small = np.zeros((90, 160, 3), np.uint8)
    assert shrunk(small, 640) is small
    assert shrunk(np.zeros((720, 1280, 3), np.uint8), 640).shape == (360, 640, 3)
