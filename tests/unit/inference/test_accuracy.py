"""The rulers: agreement between two sets of boxes, labels from files, and mean average precision."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import boxes
from vigil.core.types import Detections
from vigil.inference.accuracy import (
    SAME,
    Agreement,
    LabelError,
    Match,
    Truth,
    agreement,
    agreement_of,
    label_file,
    precision,
    read_truth,
)

if TYPE_CHECKING:
    from pathlib import Path

A = (10.0, 10.0, 110.0, 110.0, 0.9, 0)
B = (200.0, 50.0, 300.0, 150.0, 0.6, 1)
rows = st.lists(
    st.tuples(
        st.floats(0, 500, width=32),
        st.floats(0, 500, width=32),
        st.floats(0.125, 1, width=32),
        st.integers(0, 3),
    ).map(lambda row: (row[0], row[1], row[0] + 50, row[1] + 80, row[2], row[3])),
    max_size=6,
)


def truth(*given_rows: tuple[float, float, float, float, float, int]) -> Truth:
    """Return labels of a picture of 640x480."""
    labels = boxes(*given_rows)
    return Truth(640, 480, labels.xyxy, labels.class_id)


@given(rows)
def test_boxes_agree_with_themselves(some: list[tuple[float, float, float, float, float, int]]) -> None:
    """Every set of boxes agrees fully with itself."""
    assert agreement(boxes(*some), boxes(*some)).share == 1.0


@given(rows, rows)
def test_agreement_is_the_same_both_ways(
    one: list[tuple[float, float, float, float, float, int]],
    other: list[tuple[float, float, float, float, float, int]],
) -> None:
    """It does not matter which side is held against which."""
    assert agreement(boxes(*one), boxes(*other)) == agreement(boxes(*other), boxes(*one))


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (boxes(A, B), Agreement(4, 4)),
        (boxes(A), Agreement(2, 3)),
        (Detections.empty(), Agreement(0, 2)),
        (boxes(A, (*B[:5], 2)), Agreement(2, 4)),
        (boxes(A, (*B[:4], 0.5, 1)), Agreement(2, 4)),
        (boxes(A, (*B[:4], 0.59, 1)), Agreement(4, 4)),
        (boxes(A, (220.0, *B[1:])), Agreement(2, 4)),
        (boxes(A, B, (0, 0, 50, 50, 0.29, 0)), Agreement(4, 4)),
    ],
)
def test_what_counts_as_the_same_box(other: Detections, expected: Agreement) -> None:
    """Class, overlap and confidence have to be alike, missing and surplus boxes count, weak ones do not."""
    assert agreement(boxes(A, B), other) == expected


def test_partner_of_a_box_that_counts_may_be_weaker() -> None:
    """A box just over the least confidence finds its like just under it, which does not count."""
    over, under = boxes((*A[:4], 0.31, 0)), boxes((*A[:4], 0.295, 0))
    assert agreement(over, under, SAME) == Agreement(1, 1)
    assert Match().floor < 0.295


def test_agreement_adds_up_over_pictures() -> None:
    """Pictures count by their boxes, and nothing at all agrees with nothing."""
    assert agreement_of([boxes(A), Detections.empty()], [boxes(A), boxes(B)]) == Agreement(2, 3)
    assert agreement_of([], []).share == 1.0


def test_labels_are_shares_of_the_picture(tmp_path: Path) -> None:
    """YOLO's centre and size become corners in pixels, from `labels` beside `images`."""
    picture = tmp_path / "images/train/a.jpg"
    labels = tmp_path / "labels/train/a.txt"
    labels.parent.mkdir(parents=True)
    labels.write_text("2 0.5 0.5 0.25 0.5\n\n0 0.1 0.1 0.2 0.2\n")
    found = read_truth(picture, 400, 200)
    np.testing.assert_allclose(found.xyxy, [[150, 50, 250, 150], [0, 0, 80, 40]], atol=1e-3)
    assert found.class_id.tolist() == [2, 0]


def test_labels_beside_the_picture_come_first_and_none_is_an_empty_picture(tmp_path: Path) -> None:
    """A `.txt` beside the picture is taken; a picture without any is one of nothing."""
    assert label_file(tmp_path / "a.jpg") is None
    assert len(read_truth(tmp_path / "a.jpg", 10, 10).xyxy) == 0
    (tmp_path / "a.txt").write_text("0 0.5 0.5 1 1")
    assert read_truth(tmp_path / "a.jpg", 10, 10).xyxy.tolist() == [[0, 0, 10, 10]]


@pytest.mark.parametrize("text", ["0 0.5 0.5 1", "person 0.5 0.5 1 1", "0 1 2 3 4\n1 2"])
def test_damaged_labels_are_told(tmp_path: Path, text: str) -> None:
    """A line of other than five numbers is an error that names the file."""
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(LabelError, match=r"a\.txt"):
        read_truth(tmp_path / "a.jpg", 10, 10)


def test_precision_of_what_is_right_is_all() -> None:
    """Boxes that are the labels reach 100 points, whatever the order of the pictures' classes."""
    assert precision([boxes(A, B), boxes(B)], [truth(A, B), truth(B)]).map50_95 == pytest.approx(100)


def test_precision_is_a_mean_over_classes_and_overlaps() -> None:
    """A class that is missed costs its share, and a box at IoU 0.8 counts at seven of ten thresholds."""
    half = precision([boxes(A)], [truth(A, B)])
    assert half.map50_95 == pytest.approx(50)
    loose = precision([boxes((10, 10, 110, 90.5, 0.9, 0))], [truth(A)])
    assert loose.map50 == pytest.approx(100)
    assert loose.map50_95 == pytest.approx(70)


def test_precision_of_nothing_is_none() -> None:
    """Without a box there is no precision, and boxes where there is nothing to find have none either."""
    assert precision([Detections.empty()], [truth(A)]).map50_95 == 0
    assert precision([boxes(A)], [truth()]).map50_95 == 0


def test_boxes_past_a_hundred_count() -> None:
    """A picture with 150 objects of a class is measured in full, where COCO's usual limit is 100."""
    many = [(4.0 * i, 10.0, 4.0 * i + 3, 20.0, 0.9, 0) for i in range(150)]
    assert precision([boxes(*many)], [truth(*many)]).map50 == pytest.approx(100)
