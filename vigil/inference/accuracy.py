"""Two rulers for boxes: how well they agree with another engine's, and how well they meet a person's labels.

An export or a quantised model is let into service only if it measures up. Agreement needs nothing but
pictures; the mean average precision needs labels, and is computed as COCO's own tool does it. Only importer
of `faster_coco_eval`.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from vigil.errors import CannotStartError, VigilError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from vigil.core.types import Detections, Float32, Image, Int32
    from vigil.inference.detector import Detector
    from vigil.inference.letterbox import Letterbox

FLOOR = 0.001
"""Confidence floor at which average precision is measured: the curve needs the weak boxes as well."""
_MAX_DETECTIONS = 300


@dataclass(frozen=True, slots=True)
class Match:
    """When two boxes of a class are the same: their overlap, and how far their confidence may differ.

    Only boxes `over` a confidence have to be found again.
    """

    over: float = 0.3
    iou: float = 0.95
    confidence: float = 0.02

    @property
    def floor(self) -> float:
        """The confidence floor to detect at, so that no partner of a box that counts is missing."""
        return max(self.over - self.confidence, FLOOR)


SAME = Match()
"""The same weights at the same precision, on another engine."""
QUANTIZED = Match(iou=0.75, confidence=0.25)
"""The same weights rounded to 8 bits: the same object, about as sure, and a little less exact."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How many boxes of either side have their like on the other, of how many."""

    matched: int = 0
    total: int = 0

    @property
    def share(self) -> float:
        """Matched boxes over all, 0..1; 1 where there are none."""
        return self.matched / self.total if self.total else 1.0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(self.matched + other.matched, self.total + other.total)


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What a person says is in a picture of `(width, height)`: `xyxy (n, 4) float32` in pixels, classes."""

    width: int
    height: int
    xyxy: Float32
    class_id: Int32


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """A picture and what a person says is in it."""

    image: Image
    truth: Truth


@dataclass(frozen=True, slots=True)
class Precision:
    """Mean average precision in points (0..100): over IoU 0.50 to 0.95, and at 0.50."""

    map50_95: float
    map50: float


class LabelError(VigilError):
    """A file of labels is none."""


def detect_each(detector: Detector, images: Sequence[Image], floor: float) -> list[Detections]:
    """Return the boxes over `floor` confidence in each picture, found one by one by all of the workers."""
    mine = threading.local()

    def find(image: Image) -> Detections:
        if not hasattr(mine, "letterbox"):
            mine.letterbox = detector.letterbox()
        letterbox: Letterbox = mine.letterbox
        shape = detector.shape_of(image.width, image.height)
        return detector.detect(letterbox, [image], [floor], shape)[0]

    with ThreadPoolExecutor(detector.engine.workers, "measure") as pool:
        return list(pool.map(find, images))


def agreement(one: Detections, other: Detections, match: Match = SAME) -> Agreement:
    """Return how well the boxes of one picture agree, both ways; a box may be the like of several."""
    total = Agreement()
    same = _alike(one, other, match)
    for mine, partners in ((one, same), (other, same.T)):
        counts = mine.confidence > match.over
        total += Agreement(int(partners[counts].any(axis=1).sum()), int(counts.sum()))
    return total


def agreement_of(ones: Iterable[Detections], others: Iterable[Detections], match: Match = SAME) -> Agreement:
    """Return the agreement over several pictures."""
    pairs = zip(ones, others, strict=True)
    return sum((agreement(one, other, match) for one, other in pairs), Agreement())


def read_truth(picture: Path, width: int, height: int) -> Truth:
    """Return the labels of a picture: a `.txt` beside it, or under `labels` where it lies under `images`.

    A line is `class x y w h`, centre and size as shares of the picture's, as YOLO's data sets have it. No
    file means an empty picture, as there. Raises `LabelError`.
    """
    path = label_file(picture)
    rows = path.read_text("utf-8").split("\n") if path is not None else []
    try:
        values = np.array([row.split() for row in rows if row.strip()], np.float64).reshape(-1, 5)
    except ValueError as error:
        raise LabelError(f"{path}: expected `class x y w h` on each line: {error}") from error
    centre, half = values[:, 1:3], values[:, 3:5] / 2
    shares = np.concatenate([centre - half, centre + half], axis=1)
    xyxy = (shares * [width, height, width, height]).astype(np.float32)
    return Truth(width, height, xyxy, values[:, 0].astype(np.int32))


def label_file(picture: Path) -> Path | None:
    """Return where the labels of a picture are, if anywhere."""
    beside = picture.with_suffix(".txt")
    parts = list(beside.parts)
    candidates = [beside]
    if "images" in parts:
        last = len(parts) - 1 - parts[::-1].index("images")
        candidates.append(beside.__class__(*parts[:last], "labels", *parts[last + 1 :]))
    return next((path for path in candidates if path.is_file()), None)


def precision(found: Sequence[Detections], truths: Sequence[Truth]) -> Precision:
    """Return the mean average precision of boxes found over `FLOOR`.

    The mean is over the classes that occur in `truths`, with at most 300 boxes per picture and class. Raises
    `CannotStartError` where the tool is not installed.
    """
    try:
        from faster_coco_eval import COCO, COCOeval_faster  # noqa: PLC0415 -- only for who has labels
    except ImportError as error:
        raise CannotStartError(
            f"average precision needs the extra: pip install 'vigil[quantize]' ({error})"
        ) from error
    truth, results = COCO(_ground_truth(truths), print_function=_silent), _results(found)
    if not len(results):
        return Precision(0.0, 0.0)
    evaluation = COCOeval_faster(truth, truth.loadRes(results), "bbox", print_function=_silent)
    evaluation.params.maxDets = [_MAX_DETECTIONS]
    evaluation.evaluate()
    evaluation.accumulate()
    # (thresholds, recalls, classes, areas, limits); the first area is all, -1 marks absent classes.
    curves = np.asarray(evaluation.eval["precision"])[:, :, :, 0, -1]
    return Precision(_mean(curves), _mean(curves[:1]))


def _mean(curves: Float32) -> float:
    there = curves[curves > -1]
    return 100 * float(there.mean()) if len(there) else 0.0


def _silent(*_words: object) -> None:
    """Print nothing."""


def _ground_truth(truths: Sequence[Truth]) -> dict[str, Any]:
    """Return COCO's form of labels; its ids of pictures and boxes count from 1."""
    boxes: list[dict[str, Any]] = [
        {"image_id": number, "bbox": _xywh(xyxy), "class": int(class_id)}
        for number, truth in enumerate(truths, 1)
        for xyxy, class_id in zip(truth.xyxy, truth.class_id, strict=True)
    ]
    return {
        "images": [
            {"id": number, "width": truth.width, "height": truth.height}
            for number, truth in enumerate(truths, 1)
        ],
        "annotations": [
            {
                "id": number,
                "image_id": box["image_id"],
                "category_id": box["class"],
                "bbox": box["bbox"],
                "area": box["bbox"][2] * box["bbox"][3],
                "iscrowd": 0,
            }
            for number, box in enumerate(boxes, 1)
        ],
        "categories": [
            {"id": class_id, "name": str(class_id)} for class_id in {box["class"] for box in boxes}
        ],
    }


def _xywh(xyxy: Float32) -> list[float]:
    x, y, right, bottom = xyxy.tolist()
    return [x, y, right - x, bottom - y]


def _results(found: Sequence[Detections]) -> Any:
    """Return COCO's array of boxes: `(n, 7)` picture, x, y, width, height, confidence, class."""
    rows = [
        np.column_stack(
            [
                np.full(len(each), number, np.float64),
                each.xyxy[:, :2],
                each.xyxy[:, 2:] - each.xyxy[:, :2],
                each.confidence,
                each.class_id,
            ]
        )
        for number, each in enumerate(found, 1)
    ]
    return np.concatenate(rows) if rows else np.empty((0, 7))


def _alike(one: Detections, other: Detections, match: Match) -> Any:
    """Return `(n, m)` booleans: which box of one is like which of the other."""
    close = np.abs(one.confidence[:, None] - other.confidence[None]) <= match.confidence
    same = one.class_id[:, None] == other.class_id[None]
    return close & same & (_iou(one.xyxy, other.xyxy) >= match.iou)


def _iou(one: Float32, other: Float32) -> Float32:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    overlap = np.clip(high - low, 0, None).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2]).prod(axis=1) for boxes in (one, other)]
    union = areas[0][:, None] + areas[1][None] - overlap
    result: Float32 = overlap / np.maximum(union, np.finfo(np.float32).tiny)
    return result
