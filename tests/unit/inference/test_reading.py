"""Which head, preparation and number of classes the outputs and the weights' own words mean."""

from __future__ import annotations

import pytest

from vigil.errors import CannotStartError
from vigil.inference.engine import Dimension, Output, Weights
from vigil.inference.heads import NmsFreeHead, RawHead, YoloxHead
from vigil.inference.heads_detr import ChosenHead, LogitsHead, PostprocessedHead, ProbabilityHead
from vigil.inference.letterbox import DETR, RF_DETR, ULTRALYTICS, YOLOX, Preparation
from vigil.inference.reading import Reading, read_head

RTDETR_HEAD = {"description": "Ultralytics rtdetr-l model", "head": "RTDETRDecoder", "end2end": "False"}
RTDETR_OLD = {"description": "Ultralytics rtdetr-l model "}
YOLO = {"description": "Ultralytics YOLO26n model ", "end2end": "False"}
CHOOSING = {"description": "Ultralytics YOLO26n model ", "end2end": "True"}
WITH_NMS = {"description": "Ultralytics YOLO11n model ", "args": "{'batch': 1, 'nms': True}"}


def read(
    *outputs: Output,
    named: int = 0,
    metadata: dict[str, str] | None = None,
    fixed: tuple[int, int] | None = None,
) -> Reading:
    """Read a head."""
    return read_head(
        Weights("w", (), 32, 640, metadata or {}), outputs, named=named, iou=0.7, fixed_shape=fixed
    )


@pytest.mark.parametrize(
    ("shape", "named", "metadata", "fixed", "kind", "preparation", "classes"),
    [
        ((1, 84, 8400), 80, {}, None, RawHead, ULTRALYTICS, 80),
        ((1, 84, 8400), 0, {}, (640, 640), RawHead, ULTRALYTICS, 80),
        (("batch", 84, "anchors"), 0, {}, None, RawHead, ULTRALYTICS, 80),
        ((None, 7, None), 3, {}, None, RawHead, ULTRALYTICS, 3),
        ((None, 84, 84), 80, {}, None, RawHead, ULTRALYTICS, 80),
        ((1, 6, 8400), 2, {}, None, RawHead, ULTRALYTICS, 2),
        (("batch", "concat", "anchors"), 80, YOLO, None, RawHead, ULTRALYTICS, 80),
        ((1, 300, 6), 80, {}, None, NmsFreeHead, ULTRALYTICS, None),
        (("batch", 300, 6), 2, {}, None, NmsFreeHead, ULTRALYTICS, None),
        (("batch", "topk", "anchors"), 80, CHOOSING, None, NmsFreeHead, ULTRALYTICS, None),
        (("batch", 300, "anchors"), 80, WITH_NMS, None, NmsFreeHead, ULTRALYTICS, None),
        ((1, 3549, 85), 0, {}, (416, 416), YoloxHead, YOLOX, 80),
        ((1, 3549, 6), 0, {}, (416, 416), YoloxHead, YOLOX, 1),
        ((1, 300, 6), 1, {}, (416, 416), NmsFreeHead, ULTRALYTICS, None),
        (("batch", "cells", 85), 80, {}, None, YoloxHead, YOLOX, 80),
        ((1, 300, 84), 80, {}, (640, 640), ProbabilityHead, DETR, 80),
        (("batch", 300, "anchors"), 80, RTDETR_OLD, None, ProbabilityHead, DETR, 80),
        ((1, 300, 6), 2, RTDETR_OLD, None, ProbabilityHead, DETR, 2),
        ((1, 300, 6), 80, RTDETR_OLD, None, ChosenHead, DETR, None),
        ((1, 300, 6), 2, RTDETR_HEAD, None, ChosenHead, DETR, None),
        (("batch", 300, "anchors"), 80, RTDETR_HEAD, None, ChosenHead, DETR, None),
    ],
)
def test_one_output_is_told_by_metadata_and_sizes(
    shape: tuple[Dimension, ...],
    named: int,
    metadata: dict[str, str],
    fixed: tuple[int, int] | None,
    kind: type,
    preparation: Preparation,
    classes: int | None,
) -> None:
    """What the exporter wrote, the sizes and the number of names say which head it is, and its input."""
    reading = read(Output("output0", shape), named=named, metadata=metadata, fixed=fixed)
    assert (type(reading.head), reading.preparation, reading.classes) == (kind, preparation, classes)


@pytest.mark.parametrize(
    ("boxes", "logits", "columns", "named", "preparation", "classes"),
    [
        ("dets", "labels", 91, 0, RF_DETR, 91),
        ("dets", "labels", 91, 91, RF_DETR, 91),
        ("dets", "labels", 4, 3, RF_DETR, 3),
        ("pred_boxes", "logits", 80, 80, DETR, 80),
        ("pred_boxes", "logits", 4, 4, DETR, 4),
        ("boxes", "logits", 80, 3, DETR, 80),
        ("", "", 80, 0, DETR, 80),
    ],
)
@pytest.mark.parametrize("at", [0, 1])
def test_boxes_and_logits_are_told_by_name_then_by_size(
    boxes: str, logits: str, columns: int, named: int, preparation: Preparation, classes: int, at: int
) -> None:
    """The two outputs are found in either order, one column past the names is no class."""
    outputs = [Output(boxes, (1, 300, 4)), Output(logits, (1, 300, columns))]
    reading = read(*(reversed(outputs) if at else outputs), named=named)
    assert reading == Reading(LogitsHead(at, 1 - at, classes), preparation, classes)


def test_postprocessed_outputs_are_told_by_name() -> None:
    """RT-DETR's and D-FINE's own three outputs are found in any order; only names tell the classes."""
    outputs = [
        Output("scores", ("N", 300)),
        Output("labels", ("Modlabels_dim_0", 300)),
        Output("boxes", ("N", 300, 4)),
    ]
    assert read(*outputs, named=80) == Reading(PostprocessedHead(1, 2, 0, 80), DETR, None)


@pytest.mark.parametrize(
    "outputs",
    [
        [Output("output0", (1, 25200, 85))],
        [Output("output", (1, 3549, 85))],
        [Output("output0", (1, 84))],
        [Output("output0", (1, 84, 80, 80))],
        [Output("output0", ("b", "m", "n"))],
        [Output("output0", (1, 84, 8400)), Output("output1", (1, 32, 160, 160))],
        [Output("", (1, 300, 4)), Output("", (1, 300, 4))],
        [Output("dets", (1, 100, 5)), Output("labels", (1, 100))],
        [Output("dets", (1, 100, 4)), Output("labels", (1, 100, "columns"))],
        [Output("dets", (1, 100, 4)), Output("labels", (1, 100, 91)), Output("masks", (1, 100, 78, 78))],
        [],
    ],
)
def test_unknown_outputs_are_refused(outputs: list[Output]) -> None:
    """A model whose output is none of the known ones cannot start; the message shows it and the known."""
    with pytest.raises(CannotStartError) as error:
        read(*outputs, named=80)
    assert all(
        output.name in str(error.value) and str(output.shape) in str(error.value) for output in outputs
    )
    assert "(batch, 4 + classes, anchors)" in str(error.value)
