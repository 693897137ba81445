"""Photographs as images and as cameras."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import Clock
from vigil.errors import NotFoundError, UnsupportedError
from vigil.video.photo import ArrayImage, PhotoSource, View, ViewImage, parse_view, window

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.core.types import UInt8


def gradient(width: int, height: int) -> UInt8:
    """Return a picture whose blue grows to the right and whose red grows downwards."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, :, 0] = np.linspace(0, 255, width)
    picture[:, :, 2] = np.linspace(0, 255, height)[:, None]
    return picture


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Return a photograph whose name needs quoting in an address."""
    path = tmp_path / "my photo.png"
    cv2.imwrite(str(path), gradient(160, 120))
    return path


def test_array_image_is_rgb_between_nought_and_one() -> None:
    """The planes of a BGR picture are R, G, B, scaled to 0..1, into a view of a larger tensor."""
    image = ArrayImage(np.full((20, 40, 3), (255, 128, 0), np.uint8))
    canvas = np.full((3, 30, 30), -1, np.float32)
    image.write_rgb(canvas[:, 5:15, 5:25])
    assert canvas[:, 10, 10].tolist() == [0, pytest.approx(128 / 255), 1]
    assert (canvas[:, :5] == -1).all()
    assert (image.width, image.height) == (40, 20)
    assert image.to_bgr().shape == (20, 40, 3)


def test_view_image_is_scaled_when_asked() -> None:
    """A window of any size has its camera's size, as pixels and as planes."""
    image = ViewImage(gradient(80, 60), View(320, 240))
    assert (image.width, image.height) == (320, 240)
    assert image.to_bgr().shape == (240, 320, 3)
    out = np.empty((3, 24, 32), np.float32)
    image.write_rgb(out)
    assert out[0, -1, 0] > 0.9
    assert out[2, -1, 0] < 0.1


@pytest.mark.parametrize(
    ("query", "view"),
    [
        ("", View(1280, 720, 10, 0)),
        ("size=640x480", View(640, 480, 10, 0)),
        ("size=16x8192&fps=0.5&phase=0.25", View(16, 8192, 0.5, 0.25)),
        ("fps=120", View(1280, 720, 120, 0)),
    ],
)
def test_view_is_read(query: str, view: View) -> None:
    """What is not given has its default."""
    assert parse_view(query) == view


@pytest.mark.parametrize(
    "query",
    [
        "size=640",
        "size=axb",
        "size=15x720",
        "size=9000x720",
        "fps=0",
        "fps=121",
        "fps=nan",
        "fps=x",
        "phase=nan",
        "phase=inf",
        "zoom=2",
        "rubbish",
    ],
)
def test_wrong_view_is_refused(query: str) -> None:
    """A view that is not understood is refused with what would be right."""
    with pytest.raises(UnsupportedError, match="use size=1280x720"):
        parse_view(query)


@given(
    st.tuples(st.integers(8, 2000), st.integers(8, 2000)),
    st.tuples(st.integers(16, 8192), st.integers(16, 8192)),
    st.floats(0, 1e5),
    st.floats(0, 1),
)
def test_window_lies_in_the_photograph(
    photo_size: tuple[int, int], view_size: tuple[int, int], seconds: float, phase: float
) -> None:
    """At any time the view is a part of the photograph that has pixels to show."""
    picture = np.zeros((photo_size[1], photo_size[0], 3), np.uint8)
    height, width = window(picture, View(*view_size, phase=phase), seconds).shape[:2]
    assert 1 <= width <= photo_size[0]
    assert 1 <= height <= photo_size[1]


@given(st.floats(0, 200), st.floats(0, 1))
def test_window_has_the_aspect_ratio_of_the_view(seconds: float, phase: float) -> None:
    """People are not stretched, however far the tour has come."""
    height, width = window(np.zeros((1080, 810, 3), np.uint8), View(1280, 720, phase=phase), seconds).shape[
        :2
    ]
    assert width / height == pytest.approx(1280 / 720, rel=0.01)


def test_camera_plays_at_its_rate(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures come at the wished rate with their own times, and they move."""
    clock = Clock()
    monkeypatch.setattr("vigil.video.photo.time", clock)

    def pause(seconds: float) -> bool:
        clock.now += seconds
        return False

    source = PhotoSource(f"photo:{str(photo).replace(' ', '%20')}?size=64x48&fps=4", pause)
    source.open()
    pictures = list(islice(source.pictures(), 9))
    source.close()
    assert [each.captured_at for each in pictures] == [pytest.approx(1000 + n / 4) for n in range(9)]
    assert [each.pts for each in pictures] == [n / 4 for n in range(9)]
    assert (pictures[0].image.to_bgr() != pictures[8].image.to_bgr()).any()


def test_camera_stops_when_told(photo: Path) -> None:
    """A pause that is cut short ends the pictures."""
    answers = iter([False, False, True])
    source = PhotoSource(f"photo:{photo}", lambda _seconds: next(answers))
    source.open()
    assert len(list(source.pictures())) == 2


def test_missing_photograph_is_not_found(tmp_path: Path) -> None:
    """A path without a file is told with the path."""
    source = PhotoSource(f"photo:{tmp_path}/none.jpg", lambda _seconds: False)
    with pytest.raises(NotFoundError, match=r"none\.jpg"):
        source.open()
    source.close()


def test_file_that_is_no_picture_is_unsupported(tmp_path: Path) -> None:
    """Text is not a photograph."""
    path = tmp_path / "notes.jpg"
    path.write_text("words")
    with pytest.raises(UnsupportedError, match="no picture"):
        PhotoSource(f"photo:{path}", lambda _seconds: False).open()
