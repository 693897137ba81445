"""From the output of a DETR to boxes: RT-DETR, D-FINE and RF-DETR in the forms their exporters write.

A query finds one object, so there is no NMS. Like these models' own post-processing, a query may answer
with several classes; only ultralytics' RT-DETR answers with its best.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.inference.boxes import Candidates, corners_in_pixels, over, where
from vigil.inference.heads import BOX, chosen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Detections, Float32
    from vigil.inference.schedule import Shape


@dataclass(frozen=True, slots=True)
class ProbabilityHead:
    """`(b, queries, 4 + classes)`: `cx, cy, w, h` in fractions of the input, a probability per class.

    ultralytics' RT-DETR before it chose for itself; of a query the best class counts.
    """

    def decode(self, outputs: Sequence[Float32], floors: Float32, shape: Shape) -> list[Detections]:
        """Decode as `Head.decode` says."""
        output = outputs[0]
        image, query = over(output[:, :, BOX:], floors)
        rows = output[image, query]
        class_id = rows[:, BOX:].argmax(axis=1)
        confidence = rows[np.arange(len(rows)), BOX + class_id]
        box = corners_in_pixels(rows[:, :BOX], shape)
        return Candidates(image, box, confidence, class_id).finite().ranked().per_image(len(output))


@dataclass(frozen=True, slots=True)
class ChosenHead:
    """`(b, k, 6)`: `cx, cy, w, h` in fractions of the input, confidence, class id.

    ultralytics' RT-DETR of today (8.4). Rows of a class that has no name are left out.
    """

    classes: int

    def decode(self, outputs: Sequence[Float32], floors: Float32, shape: Shape) -> list[Detections]:
        """Decode as `Head.decode` says."""
        output = outputs[0]
        image, row = over(output[:, :, 4], floors)
        found = output[image, row]
        box = corners_in_pixels(found[:, :BOX], shape)
        return chosen(image, box, found[:, 4], found[:, 5], self.classes).ranked().per_image(len(output))


@dataclass(frozen=True, slots=True)
class LogitsHead:
    """Boxes `(b, queries, 4)`, `cx, cy, w, h` in fractions of the input, and logits `(b, queries, columns)`.

    RF-DETR's export, and RT-DETR's and D-FINE's from Hugging Face. `boxes` and `logits` say which output
    is which. Columns past `classes` stand for no object and are not looked at.
    """

    boxes: int
    logits: int
    classes: int

    def decode(self, outputs: Sequence[Float32], floors: Float32, shape: Shape) -> list[Detections]:
        """Decode as `Head.decode` says."""
        logits = outputs[self.logits][:, :, : self.classes]
        with np.errstate(divide="ignore"):  # a floor of 0 or 1 is an infinite logit
            bar = np.log(floors) - np.log1p(-floors)
        image, query, class_id = where(logits > bar[:, None, None])
        logit = logits[image, query, class_id]
        with np.errstate(over="ignore"):
            confidence = np.where(np.isfinite(logit), 1 / (1 + np.exp(-logit)), np.float32(np.nan))
        box = corners_in_pixels(outputs[self.boxes][image, query], shape)
        return Candidates(image, box, confidence, class_id).finite().ranked().per_image(len(logits))


@dataclass(frozen=True, slots=True)
class PostprocessedHead:
    """Labels `(b, k)`, boxes `(b, k, 4)` with corners in input pixels, scores `(b, k)`.

    RT-DETR's and D-FINE's own exports, whose second input, the picture's size, is the input's own. Boxes
    of a class that has no name are left out.
    """

    labels: int
    boxes: int
    scores: int
    classes: int

    def decode(self, outputs: Sequence[Float32], floors: Float32, _shape: Shape) -> list[Detections]:
        """Decode as `Head.decode` says."""
        scores = outputs[self.scores]
        image, row = over(scores, floors)
        box, class_id = outputs[self.boxes][image, row], outputs[self.labels][image, row]
        return chosen(image, box, scores[image, row], class_id, self.classes).ranked().per_image(len(scores))
