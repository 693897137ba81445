"""Which head a model has, how it wants its input, and how many classes it tells apart.

Nothing is read from a file's name. In this order:

1. Three outputs named `labels`, `boxes` and `scores`: RT-DETR or D-FINE with their post-processing.
2. Two outputs of three axes: boxes and logits, told apart by their names, else by the one that ends in 4.
   `dets` and `labels` are RF-DETR's names, whose input is normalised as ImageNet's.
3. One output `(b, m, l)`:
   a. `DISTANCES` is its name: a raw YOLO that vigil itself ended before its boxes.
   b. What ultralytics' exporter wrote into the file: RT-DETR, or a YOLO that chooses its boxes, or, where
      no size is known, a raw YOLO. Its dynamic exports give names to sizes that never change.
   c. `l >= 6` and `m` is the number of YOLOX's cells on the only input it takes: YOLOX.
   d. `m` is 4 more than there are names: raw YOLO.
   e. `l` is 6: a YOLO that chooses its boxes.
   f. `m` is known and smaller than `l`, or `l` is not known: raw YOLO.
   g. `l` is 5 more than there are names and `m` is not known: YOLOX.
   h. `l` is known, and `m` is a number of queries or not known: RT-DETR of ultralytics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigil.errors import CannotStartError
from vigil.inference.heads import (
    BINS,
    BOX,
    DISTANCES,
    DistanceHead,
    Head,
    NmsFreeHead,
    RawHead,
    YoloxHead,
    cell_count,
)
from vigil.inference.heads_detr import ChosenHead, LogitsHead, PostprocessedHead, ProbabilityHead
from vigil.inference.letterbox import DETR, RF_DETR, ULTRALYTICS, YOLOX, Preparation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.inference.engine import Dimension, Output, Weights
    from vigil.inference.schedule import Shape

_RANK = 3
_CHOSEN = 6
_MAX_QUERIES = 1000
_BOX_NAMES = frozenset({"dets", "boxes", "pred_boxes"})
_LOGIT_NAMES = frozenset({"labels", "logits", "scores", "pred_logits"})
_READABLE = (
    "(batch, 4 + classes, anchors) and (batch, boxes, 6) of YOLOv8 to 26, (batch, cells, 5 + classes) of "
    "YOLOX for a fixed input, (batch, queries, 4 + classes) of ultralytics' RT-DETR, (batch, queries, 4) "
    "with (batch, queries, classes) of RF-DETR, RT-DETR and D-FINE, labels with boxes and scores of these two"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the outputs tell. `classes` is `None` where only the names can say how many there are."""

    head: Head
    preparation: Preparation
    classes: int | None


def read_head(
    weights: Weights, outputs: Sequence[Output], *, named: int, iou: float, fixed_shape: Shape | None
) -> Reading:
    """Return what `outputs` are, with `named` class names known (0: none).

    Raises `CannotStartError` when they are none that vigil reads.
    """
    reading: Reading | None = None
    match len(outputs):
        case 1 if outputs[0].name == DISTANCES:
            rows = outputs[0].shape[1]
            classes = rows - BOX * BINS if isinstance(rows, int) else None
            reading = Reading(DistanceHead(iou), ULTRALYTICS, classes)
        case 1:
            reading = _one(weights, outputs[0].shape, named, iou, fixed_shape)
        case 2:
            reading = _two(outputs, named)
        case 3:
            reading = _three(outputs, named)
    if reading is None:
        raise CannotStartError(
            f"the model's output {_listed(outputs)} with {named or 'no'} class names is not one that vigil "
            f"can read; it reads {_READABLE}"
        )
    return reading


def _one(
    weights: Weights, shape: tuple[Dimension, ...], named: int, iou: float, fixed_shape: Shape | None
) -> Reading | None:
    if len(shape) != _RANK:
        return None
    middle, last = (size if isinstance(size, int) else 0 for size in shape[1:])
    reading = _by_metadata(weights.metadata, middle, last, named, iou)
    if reading is not None:
        return reading
    if last >= _CHOSEN and fixed_shape and middle == cell_count(fixed_shape):
        return Reading(YoloxHead(iou), YOLOX, last - 5)
    if named and middle == BOX + named:
        return Reading(RawHead(iou), ULTRALYTICS, named)
    if last == _CHOSEN:
        return Reading(NmsFreeHead(named), ULTRALYTICS, None)
    return _by_sizes(middle, last, named, iou)


def _by_metadata(
    metadata: Mapping[str, str], middle: int, last: int, named: int, iou: float
) -> Reading | None:
    """Tell by what ultralytics writes: the head's class since 8.4, the model's name always."""
    head, description = metadata.get("head", ""), metadata.get("description", "")
    if head == "RTDETRDecoder":
        return Reading(ChosenHead(named), DETR, None)
    if not head and "rtdetr" in description.lower():
        return _older_rtdetr(last, named)
    if metadata.get("end2end") == "True" or (
        "'nms': True" in metadata.get("args", "") and last in {0, _CHOSEN}
    ):
        return Reading(NmsFreeHead(named), ULTRALYTICS, None)
    if named and "Ultralytics" in description and not middle and not last:
        return Reading(RawHead(iou), ULTRALYTICS, named)
    return None


def _older_rtdetr(last: int, named: int) -> Reading:
    """Tell the forms apart: with two classes they end in the same number, and the older one is likelier."""
    classes = last - BOX if last else named
    if last == _CHOSEN and named != classes:
        return Reading(ChosenHead(named), DETR, None)
    return Reading(ProbabilityHead(), DETR, classes)


def _by_sizes(middle: int, last: int, named: int, iou: float) -> Reading | None:
    """Tell `(b, middle, last)` by what is larger; 0 is a size that is not known."""
    if middle > BOX and (not last or middle < last):
        return Reading(RawHead(iou), ULTRALYTICS, middle - BOX)
    if named and last == named + 5 and not middle:
        return Reading(YoloxHead(iou), YOLOX, named)
    if last > BOX and middle <= _MAX_QUERIES:
        return Reading(ProbabilityHead(), DETR, last - BOX)
    return None


def _two(outputs: Sequence[Output], named: int) -> Reading | None:
    if any(len(output.shape) != _RANK for output in outputs):
        return None
    boxes = _boxes_of(outputs)
    if boxes is None or outputs[boxes].shape[2] != BOX:
        return None
    columns = outputs[1 - boxes].shape[2]
    if not isinstance(columns, int):
        return None
    # One column more than names is the one for no object, which comes last.
    classes = columns - 1 if named == columns - 1 else columns
    is_rf_detr = {output.name for output in outputs} == {"dets", "labels"}
    return Reading(LogitsHead(boxes, 1 - boxes, classes), RF_DETR if is_rf_detr else DETR, classes)


def _boxes_of(outputs: Sequence[Output]) -> int | None:
    """Return which of two outputs is the boxes: three classes and one for none make logits of 4, too."""
    for index in (0, 1):
        if outputs[index].name in _BOX_NAMES and outputs[1 - index].name in _LOGIT_NAMES:
            return index
    ending = [index for index in (0, 1) if outputs[index].shape[2] == BOX]
    return ending[0] if len(ending) == 1 else None


def _three(outputs: Sequence[Output], named: int) -> Reading | None:
    index = {output.name: number for number, output in enumerate(outputs)}
    if index.keys() != {"labels", "boxes", "scores"} or len(outputs[index["scores"]].shape) != _RANK - 1:
        return None
    return Reading(PostprocessedHead(index["labels"], index["boxes"], index["scores"], named), DETR, None)


def _listed(outputs: Sequence[Output]) -> str:
    return ", ".join(f"{output.name} {output.shape}".strip() for output in outputs) or "(none)"
