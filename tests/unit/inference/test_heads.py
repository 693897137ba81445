"""Heads against a slow reference, image by image and box by box; and outputs that no model should make."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.inference.boxes import MAX_DETECTIONS, Candidates, greedy
from vigil.inference.heads import NmsFreeHead, RawHead, YoloxHead, cell_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Detections, Float32

CLASSES = 3
SHAPE = (64, 96)
Box = tuple[float, float, float, float]
Row = tuple[float, float, float, float, int, float]
"""`cx, cy, w, h, class, score`."""
Found = list[tuple[Box, float, int]]


def raw(*images: Sequence[Row], anchors: int = 12) -> Float32:
    """Return `(b, 4 + classes, anchors)`: one column for each row, the rest empty."""
    output = np.zeros((len(images), 4 + CLASSES, anchors), np.float32)
    for number, rows in enumerate(images):
        for anchor, (cx, cy, w, h, class_id, score) in enumerate(rows):
            output[number, :4, anchor] = cx, cy, w, h
            output[number, 4 + class_id, anchor] = score
    return output


def found(detections: Detections) -> Found:
    """Return detections as plain values."""
    return [
        ((x1, y1, x2, y2), confidence, class_id)
        for (x1, y1, x2, y2), confidence, class_id in zip(
            detections.xyxy.tolist(),
            detections.confidence.tolist(),
            detections.class_id.tolist(),
            strict=True,
        )
    ]


def decoded(output: Float32, floor: float = 0.5, iou: float = 0.5) -> list[Found]:
    """Decode with the raw head, one floor for all images."""
    floors = np.full(len(output), floor, np.float32)
    return [found(each) for each in RawHead(iou).decode([output], floors, SHAPE)]


def overlap(one: Box, two: Box) -> float:
    """Return the intersection over the union of two corner boxes."""
    width = max(0.0, min(one[2], two[2]) - max(one[0], two[0]))
    height = max(0.0, min(one[3], two[3]) - max(one[1], two[1]))
    both = (one[2] - one[0]) * (one[3] - one[1]) + (two[2] - two[0]) * (two[3] - two[1])
    return width * height / (both - width * height)


def reference(output: Float32, floor: float, iou: float) -> Found:
    """Decode one image `(4 + classes, anchors)` the slow way: greedy NMS within each class."""
    candidates: Found = []
    for column in output.T.tolist():
        cx, cy, w, h, *scores = column
        best = max(scores)
        if best > floor:
            box = (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2)
            candidates.append((box, best, scores.index(best)))
    kept: Found = []
    for box, score, class_id in sorted(candidates, key=lambda candidate: -candidate[1]):
        if all(class_id != other or overlap(box, rival) <= iou for rival, _, other in kept):
            kept.append((box, score, class_id))
    return kept


def same(one: Found, two: Found) -> bool:
    """Tell whether two lists of boxes agree to a hundredth of a pixel."""
    return len(one) == len(two) and all(
        a[1:] == b[1:] and np.allclose(a[0], b[0], atol=0.01) for a, b in zip(one, two, strict=True)
    )


@st.composite
def outputs(draw: st.DrawFn) -> Float32:
    """Draw raw outputs: boxes in clusters, some reaching over the edges; scores all different."""
    images, anchors = draw(st.integers(1, 4)), draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    clusters = rng.uniform(0, 640, (max(1, anchors // 6), 2))
    output = np.zeros((images, 4 + CLASSES, anchors), np.float32)
    for image in output:
        image[:2] = (clusters[rng.integers(0, len(clusters), anchors)] + rng.normal(0, 10, (anchors, 2))).T
        image[2:4] = rng.uniform(30, 80, (2, anchors))
        image[4:] = rng.permutation(CLASSES * anchors).reshape(CLASSES, anchors) / (CLASSES * anchors)
    return output


@settings(deadline=None, max_examples=150)
@given(outputs(), st.floats(0.05, 0.9), st.sampled_from([0.3, 0.45, 0.7]))
def test_raw_head_agrees_with_the_reference(output: Float32, floor: float, iou: float) -> None:
    """Vectorised over the batch, the head keeps what greedy NMS per image and class keeps, best first."""
    floors = np.float32(floor) + np.arange(len(output), dtype=np.float32) * np.float32(0.01)
    for number, each in enumerate(RawHead(iou).decode([output], floors, SHAPE)):
        assert same(found(each), reference(output[number], float(floors[number]), iou))


@settings(deadline=None, max_examples=50)
@given(outputs())
def test_images_of_a_batch_do_not_touch_each_other(output: Float32) -> None:
    """Each image's boxes are the same alone as in any batch."""
    together = decoded(output)
    assert together == [decoded(output[number : number + 1])[0] for number in range(len(output))]


def test_weaker_of_two_boxes_of_a_class_goes() -> None:
    """Two boxes on one spot are one object of a class, and two of different classes."""
    rows: list[Row] = [(100, 100, 50, 50, 0, 0.8), (102, 100, 50, 50, 0, 0.9), (100, 100, 50, 50, 2, 0.7)]
    assert [(class_id, round(score, 1)) for _, score, class_id in decoded(raw(rows))[0]] == [
        (0, 0.9),
        (2, 0.7),
    ]


def test_classes_stay_apart_at_the_edges() -> None:
    """A box that reaches out of the top left corner never suppresses another class's in the opposite one."""
    rows: list[Row] = [(-25, -25, 60, 60, 1, 0.9), (605, 605, 60, 60, 0, 0.8)]
    assert len(decoded(raw(rows), iou=0.3)[0]) == 2


def test_floor_belongs_to_its_image() -> None:
    """The same output gives different boxes under different floors, in one batch."""
    rows: list[Row] = [(100, 100, 50, 50, 0, 0.4), (300, 300, 50, 50, 0, 0.6)]
    low, high, none = RawHead(0.7).decode(
        [raw(rows, rows, rows)], np.array([0.3, 0.5, 0.95], np.float32), SHAPE
    )
    assert [len(low), len(high), len(none)] == [2, 1, 0]


def test_best_boxes_are_kept_of_too_many() -> None:
    """An image gives at most MAX_DETECTIONS boxes, the best ones; its neighbour loses none."""
    many: list[Row] = [(20.0 * n, 20, 10, 10, 0, 0.5 + n / 1000) for n in range(400)]
    crowded, quiet = decoded(raw(many, [(9, 9, 5, 5, 1, 0.9)], anchors=400))
    assert len(crowded) == MAX_DETECTIONS
    assert min(score for _, score, _ in crowded) == pytest.approx(0.5 + 100 / 1000)
    assert len(quiet) == 1


def test_nothing_found_is_empty_and_typed() -> None:
    """An image without boxes gives arrays of the promised shapes and types."""
    for head, output in (
        (RawHead(0.7), raw([], [])),
        (NmsFreeHead(CLASSES), np.zeros((2, 300, 6), np.float32)),
    ):
        for each in head.decode([output], np.array([0.1, 0.1], np.float32), SHAPE):
            assert each.xyxy.shape == (0, 4)
            assert {each.xyxy.dtype, each.confidence.dtype} == {np.dtype(np.float32)}
            assert {each.class_id.dtype, each.tracker_id.dtype} == {np.dtype(np.int32)}


GOOD: list[Row] = [(100, 100, 50, 50, 0, 0.9), (102, 100, 50, 50, 0, 0.8), (300, 300, 50, 50, 0, 0.7)]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e9, 1e30])
@pytest.mark.parametrize("where", ["cx", "w", "score"])
def test_broken_numbers_of_one_image_harm_no_other(bad: float, where: str) -> None:
    """NaN, infinity and absurd sizes change nothing for the other image, and no box carries them out."""
    broken: dict[str, Row] = {
        "cx": (bad, 100, 50, 50, 0, 0.9),
        "w": (100, 100, bad, 50, 0, 0.9),
        "score": (100, 100, 50, 50, 0, bad),
    }
    first, second = decoded(raw([broken[where]], GOOD))
    assert same(second, decoded(raw(GOOD))[0])
    assert all(np.isfinite([*box, score]).all() for box, score, _ in first)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1))
def test_nms_free_head_agrees_with_the_reference(seed: int) -> None:
    """Rows over the floor, best first, each in its own image."""
    rng = np.random.default_rng(seed)
    output = rng.uniform(0, 640, (3, 40, 6)).astype(np.float32)
    output[:, :, 4] = rng.permutation(120).reshape(3, 40) / 120
    output[:, :, 5] = rng.integers(0, CLASSES, (3, 40))
    floors = np.array([0.2, 0.5, 0.8], np.float32)
    for number, each in enumerate(NmsFreeHead(CLASSES).decode([output], floors, SHAPE)):
        rows = sorted(
            (row for row in output[number].tolist() if row[4] > floors[number]), key=lambda r: -r[4]
        )
        assert found(each) == [(tuple(row[:4]), row[4], int(row[5])) for row in rows]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("column", range(6))
def test_broken_rows_of_an_nms_free_model_are_left_out(bad: float, column: int) -> None:
    """A row with a number that is none makes no box, and the row beside it still does."""
    output = np.zeros((1, 300, 6), np.float32)
    output[0, 0] = output[0, 1] = 10, 10, 20, 20, 0.9, 1
    output[0, 0, column] = bad
    ((box, score, class_id),) = found(
        NmsFreeHead(CLASSES).decode([output], np.array([0.5], np.float32), SHAPE)[0]
    )
    assert (box, class_id) == ((10, 10, 20, 20), 1)
    assert score == pytest.approx(0.9)


@pytest.mark.parametrize("class_id", [-1, CLASSES, 1e30])
def test_classes_without_a_name_are_left_out(class_id: float) -> None:
    """A class id that no name belongs to makes no box, so that nobody looks one up in vain."""
    output = np.array([[[10, 10, 20, 20, 0.9, class_id], [10, 10, 20, 20, 0.8, 2]]], np.float32)
    (kept,) = NmsFreeHead(CLASSES).decode([output], np.array([0.5], np.float32), SHAPE)
    assert kept.class_id.tolist() == [2]


@st.composite
def yolox_outputs(draw: st.DrawFn) -> Float32:
    """Draw raw outputs of YOLOX for an input of `SHAPE`; confidences all different."""
    images = draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    output = rng.normal(0, 1, (images, cell_count(SHAPE), 5 + CLASSES)).astype(np.float32)
    output[:, :, 4:] = rng.uniform(0, 1, output[:, :, 4:].shape)
    return output


def yolox_reference(output: Float32, floor: float, iou: float) -> Found:
    """Decode one image of YOLOX cell by cell into the raw head's form, and that by its reference."""
    columns = []
    cells = iter(output)
    for stride in (8, 16, 32):
        for row in range(SHAPE[0] // stride):
            for column in range(SHAPE[1] // stride):
                x, y, w, h, objectness, *scores = next(cells)
                box = [(x + column) * stride, (y + row) * stride, np.exp(w) * stride, np.exp(h) * stride]
                columns.append([*box, *(objectness * score for score in scores)])
    return reference(np.array(columns, np.float32).T, floor, iou)


@settings(deadline=None, max_examples=60)
@given(yolox_outputs(), st.sampled_from([0.2, 0.5]))
def test_yolox_head_agrees_with_the_reference(output: Float32, floor: float) -> None:
    """Cells of three strides are boxes where YOLOX puts them, with objectness times score; NMS per class."""
    floors = np.float32(floor) + np.arange(len(output), dtype=np.float32) * np.float32(0.05)
    for number, each in enumerate(YoloxHead(0.5).decode([output], floors, SHAPE)):
        assert same(found(each), yolox_reference(output[number], float(floors[number]), 0.5))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
@pytest.mark.parametrize("column", range(5 + CLASSES))
def test_broken_numbers_of_yolox_harm_no_other(bad: float, column: int) -> None:
    """A broken cell, an overflowing size included, carries no broken number out and hides no other box."""
    output = np.zeros((2, cell_count(SHAPE), 5 + CLASSES), np.float32)
    output[:, 5, 4:6] = 0.9
    output[0, 40, 4:7] = 0.9
    output[0, 40, column] = bad
    first, second = YoloxHead(0.5).decode([output], np.array([0.5, 0.5], np.float32), SHAPE)
    assert all(np.isfinite([*box, score]).all() for box, score, _ in found(first))
    assert found(second)[0] in found(first)


@settings(deadline=None, max_examples=150)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60))
def test_few_boxes_are_suppressed_as_many_are(seed: int, count: int) -> None:
    """What plain Python leaves of boxes that crowd together is what OpenCV leaves."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0, 100, (count, 2)).repeat(1 + seed % 3, axis=0)[:count] + rng.normal(
        0, 4, (count, 2)
    )
    half = rng.uniform(5, 30, (count, 2))
    found = Candidates(
        rng.integers(0, 2, count),
        np.concatenate([centre - half, centre + half], axis=1).astype(np.float32),
        rng.uniform(0.1, 0.9, count).astype(np.float32),
        rng.integers(0, 3, count),
    ).ranked()
    group = found.image * 3 + found.class_id
    assert greedy(found.xyxy.tolist(), group.tolist(), 0.5) == found.by_opencv(group, 0.5)
