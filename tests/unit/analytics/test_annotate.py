"""Boxes drawn into pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.support.fakes import MODEL, boxes
from vigil.analytics.annotate import annotate, encode_jpeg
from vigil.core.types import Detections

BLACK = np.zeros((720, 1280, 3), np.uint8)


def test_box_is_drawn_on_a_copy() -> None:
    """The box's edge is there in the class's colour, its inside is untouched, and so is the original."""
    drawn = annotate(BLACK, boxes((400, 200, 800, 600, 0.9, 0)), MODEL.names)
    assert not BLACK.any()
    assert drawn[600, 600].tolist() == [244, 133, 66]
    assert not drawn[400, 600].any()


def test_nothing_is_drawn_of_nothing() -> None:
    """A picture without boxes comes back as it was."""
    assert not annotate(BLACK, Detections.empty(), MODEL.names).any()


@pytest.mark.parametrize("size", [(16, 16), (64, 4000), (2160, 3840)])
def test_any_picture_and_any_place_can_be_drawn(size: tuple[int, int]) -> None:
    """Tiny and huge pictures, and boxes at and over the edges, draw without an error."""
    height, width = size
    spots = boxes(
        (0, 0, 5, 5, 0.5, 0), (width - 5, height - 5, width, height, 0.5, 2), (-9, -9, 9e3, 9e3, 1, 1)
    )
    assert annotate(np.zeros((*size, 3), np.uint8), spots, MODEL.names).any()


def test_jpeg_holds_the_picture() -> None:
    """What is encoded can be read as a JPEG of the same size and, about, colours."""
    picture = np.full((48, 64, 3), (200, 100, 50), np.uint8)
    data = encode_jpeg(picture)
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert data.startswith(b"\xff\xd8")
    assert back is not None
    assert np.abs(back.astype(int) - picture).max() < 8
