"""The heads of the DETR family against a slow reference, query by query."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.inference.heads_detr import ChosenHead, LogitsHead, PostprocessedHead, ProbabilityHead

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = (320, 640)
CLASSES = 4
QUERIES = 30
FLOORS = np.array([0.3, 0.7], np.float32)
SEEDS = st.integers(0, 2**32 - 1)


def pixels(box: list[float]) -> list[float]:
    """Return a centre-size box in fractions of the input as corners in its pixels."""
    cx, cy, w, h = box
    return [(cx - w / 2) * 640, (cy - h / 2) * 320, (cx + w / 2) * 640, (cy + h / 2) * 320]


@settings(deadline=None, max_examples=40)
@given(SEEDS)
def test_probabilities_give_each_query_its_best_class(seed: int) -> None:
    """A query over the floor makes one box, of its likeliest class, in input pixels; best first."""
    rng = np.random.default_rng(seed)
    output = rng.uniform(0, 1, (2, QUERIES, 4 + CLASSES)).astype(np.float32)
    for rows, floor, found in zip(
        output, FLOORS, ProbabilityHead().decode([output], FLOORS, SHAPE), strict=True
    ):
        wanted = sorted((row for row in rows.tolist() if max(row[4:]) > floor), key=lambda row: -max(row[4:]))
        assert found.confidence.tolist() == [max(row[4:]) for row in wanted]
        assert found.class_id.tolist() == [row[4:].index(max(row[4:])) for row in wanted]
        assert found.xyxy == pytest.approx(
            np.array([pixels(row[:4]) for row in wanted]).reshape(-1, 4), abs=0.01
        )


@settings(deadline=None, max_examples=40)
@given(SEEDS, st.sampled_from([0, 1]))
def test_logits_make_a_box_per_query_and_class(seed: int, first: int) -> None:
    """Every class of a query whose sigmoid is over the floor makes a box, whichever output comes first."""
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0, 1, (2, QUERIES, 4)).astype(np.float32)
    # Well apart, so that rounding decides no order.
    spread = np.linspace(-6, 6, 2 * QUERIES * CLASSES, dtype=np.float32)
    logits = rng.permutation(spread).reshape(2, QUERIES, CLASSES)
    outputs = [logits, boxes] if first else [boxes, logits]
    head = LogitsHead(first, 1 - first, CLASSES)
    for number, found in enumerate(head.decode(outputs, FLOORS, SHAPE)):
        wanted = [
            (1 / (1 + math.exp(-logit)), class_id, pixels(boxes[number, query].tolist()))
            for query, row in enumerate(logits[number].tolist())
            for class_id, logit in enumerate(row)
        ]
        wanted = sorted((each for each in wanted if each[0] > FLOORS[number]), key=lambda each: -each[0])
        assert found.confidence == pytest.approx(np.array([each[0] for each in wanted]), abs=1e-5)
        assert found.class_id.tolist() == [each[1] for each in wanted]
        assert found.xyxy == pytest.approx(np.array([each[2] for each in wanted]).reshape(-1, 4), abs=0.01)


def test_column_for_no_object_is_not_looked_at() -> None:
    """A logit past the classes makes no box, however high."""
    logits = np.array([[[-9, 3, 9]]], np.float32)
    (found,) = LogitsHead(0, 1, 2).decode([np.full((1, 1, 4), 0.5, np.float32), logits], FLOORS[:1], SHAPE)
    assert found.class_id.tolist() == [1]
    assert found.xyxy.tolist() == [[160, 80, 480, 240]]


def test_floors_at_the_ends_let_all_or_nothing_through() -> None:
    """A floor of 0 lets every class through and a floor of 1 none."""
    logits = np.array([[[-30, 30]], [[-30, 30]]], np.float32)
    outputs = [np.full((2, 1, 4), 0.5, np.float32), logits]
    every, none = LogitsHead(0, 1, 2).decode(outputs, np.array([0, 1], np.float32), SHAPE)
    assert (len(every), len(none)) == (2, 0)


def test_chosen_boxes_are_fractions_of_the_input() -> None:
    """Rows of centre-size box, confidence and class are boxes in pixels; classes without a name are none."""
    output = np.array(
        [[[0.5, 0.5, 0.5, 0.5, 0.6, 1], [0.25, 0.5, 0.5, 1, 0.9, 0], [0.5, 0.5, 1, 1, 0.9, CLASSES]]],
        np.float32,
    )
    (found,) = ChosenHead(CLASSES).decode([output], FLOORS[:1], SHAPE)
    assert found.xyxy.tolist() == [[0, 0, 320, 320], [160, 80, 480, 240]]
    assert found.class_id.tolist() == [0, 1]


@pytest.mark.parametrize("dtype", ["int64", "float32"])
def test_postprocessed_outputs_are_taken_as_they_are(dtype: str) -> None:
    """Labels, boxes in input pixels and scores are joined, whatever number the labels are."""
    labels: NDArray[Any] = np.array([[2, 0, CLASSES, 1], [1, 0, 0, 0]], np.dtype(dtype))
    scores = np.array([[0.5, 0.9, 0.8, 0.2], [0.6, 0.1, 0.1, 0.1]], np.float32)
    boxes = np.arange(32, dtype=np.float32).reshape(2, 4, 4)
    first, second = PostprocessedHead(0, 1, 2, CLASSES).decode([labels, boxes, scores], FLOORS, SHAPE)
    assert first.xyxy.tolist() == [[4, 5, 6, 7], [0, 1, 2, 3]]
    assert first.class_id.tolist() == [0, 2]
    assert len(second) == 0


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e38])
@pytest.mark.parametrize("place", range(6))
def test_broken_numbers_make_no_box(bad: float, place: int) -> None:
    """Whatever number of a query is broken, in any form of output, only numbers come out, the next's too."""
    rows = np.array([[[0.5, 0.5, 0.5, 0.5, 0.9, 0.9], [0.2, 0.2, 0.1, 0.1, 0.8, 0.8]]], np.float32)
    rows[0, 0, place] = bad
    boxes, scores = rows[:, :, :4], rows[:, :, 4:]
    floors = np.array([0.5], np.float32)
    with np.errstate(over="ignore"):
        corners = np.array([[pixels(box) for box in boxes[0].tolist()]]).astype(np.float32)
    found = [
        *ProbabilityHead().decode([rows], floors, SHAPE),
        *ChosenHead(CLASSES).decode([rows], floors, SHAPE),
        *LogitsHead(0, 1, 2).decode([boxes, scores], floors, SHAPE),
        *PostprocessedHead(1, 0, 2, CLASSES).decode(
            [corners, scores[:, :, 1], scores[:, :, 0]], floors, SHAPE
        ),
    ]
    for detections in found:
        assert np.isfinite(detections.xyxy).all()
        assert np.isfinite(detections.confidence).all()
        assert any(np.allclose(box, pixels([0.2, 0.2, 0.1, 0.1]), atol=0.01) for box in detections.xyxy)


def test_infinite_logit_makes_no_box() -> None:
    """A logit that is no number is not certainty: the class is left out, the query's other one is not."""
    logits = np.array([[[np.inf, 3]]], np.float32)
    (found,) = LogitsHead(0, 1, 2).decode([np.full((1, 1, 4), 0.5, np.float32), logits], FLOORS[:1], SHAPE)
    assert found.class_id.tolist() == [1]
