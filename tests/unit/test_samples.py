"""Pictures for calibrating and comparing: spread evenly, and never more than wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.support.fakes import FakeImage
from vigil.errors import CannotStartError
from vigil.samples import gather, labelled, thinned
from vigil.video.source import Picture

if TYPE_CHECKING:
    from pathlib import Path


def write(folder: Path, count: int) -> None:
    """Write pictures that are 16, 17, ... pixels wide."""
    for number in range(count):
        cv2.imwrite(str(folder / f"{number:03}.png"), np.zeros((16, 16 + number, 3), np.uint8))


def test_a_stream_is_thinned_to_a_frame_a_second() -> None:
    """Of ten frames a second the first of each second is taken."""
    stream = [Picture(0.0, number / 10, FakeImage(width=number + 1)) for number in range(25)]
    taken = thinned(stream, lambda picture: picture.pts or 0.0)
    assert [image.width for image in taken] == [1, 11, 21]


def test_a_folder_is_taken_evenly(tmp_path: Path) -> None:
    """Of more pictures than wanted every so manieth is taken, and what is no picture is left out."""
    write(tmp_path, 9)
    (tmp_path / "notes.txt").write_text("none")
    counted: list[int] = []
    assert [image.width for image in gather([str(tmp_path)], counted.append, most=3)] == [16, 19, 22]
    assert counted == [1, 2, 3]


def test_no_picture_and_no_place_are_told(tmp_path: Path) -> None:
    """An empty folder and a path that is not there are errors in words."""
    with pytest.raises(CannotStartError, match="no picture in"):
        gather([str(tmp_path)], lambda _: None)
    with pytest.raises(CannotStartError, match="no such file"):
        gather([str(tmp_path / "away")], lambda _: None)


def test_only_pictures_with_labels_are_labelled(tmp_path: Path) -> None:
    """A folder's pictures come with their labels; without any it is an error."""
    write(tmp_path, 2)
    with pytest.raises(CannotStartError, match="has labels"):
        labelled(tmp_path)
    (tmp_path / "001.txt").write_text("3 0.5 0.5 1 1\n")
    (found,) = labelled(tmp_path)
    assert found.image.width == 17
    assert found.truth.class_id.tolist() == [3]
