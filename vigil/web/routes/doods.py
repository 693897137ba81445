"""The form of DOODS, an older detection service: Home Assistant's `doods` integration speaks it.

The picture comes as base64 in a JSON object beside thresholds in percent; boxes go back as fractions of the
picture. An `error` key in an answer, even null, is taken for a failure, so there is never one.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from vigil.web.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vigil.core.types import Detections, Image, Model

DEFAULT = "default"
"""The detector that DOODS takes when none is named."""

_EVERY = "*"
_PERCENT = 100.0
_SIDES = ("top", "left", "bottom", "right")
_WHOLE = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class Rule:
    """Thresholds in percent by label for a part of the picture, given as fractions: top, left, bottom, right.

    A label that is named goes by its own threshold and never by that of `*`.
    """

    thresholds: Mapping[str, float]
    area: tuple[float, ...] = _WHOLE
    covers: bool = False
    """Whether a box has to be inside as a whole."""
    id: Any = None

    def accepts(self, label: str, percent: float, box: Sequence[float]) -> bool:
        """Tell whether a box, in fractions, is to be reported."""
        least = self.thresholds.get(label, self.thresholds.get(_EVERY))
        return least is not None and percent >= least and self._holds(box)

    def _holds(self, box: Sequence[float]) -> bool:
        (top, left, bottom, right), (t, le, b, r) = self.area, box
        if self.covers:
            return top <= t and left <= le and b <= bottom and r <= right
        return t <= bottom and le <= right and b >= top and r >= left


@dataclass(frozen=True, slots=True)
class Request:
    """A picture, and the rules of which any lets a box through; `None` where none was given."""

    data: bytes
    rules: tuple[Rule, ...] | None
    detector: str
    id: Any

    def floor(self, least: float, default: float) -> float:
        """Return the least confidence that any rule can let through, but not below `least`."""
        if self.rules is None:
            return default
        thresholds = [each for rule in self.rules for each in rule.thresholds.values()]
        return max(least, min(thresholds, default=_PERCENT) / _PERCENT)


def detectors(model: Model) -> dict[str, object]:
    """Return what `GET /detectors` answers; the one model goes by its own name and by `default`.

    A width or height of 0 is any: the model's input follows the picture's shape.
    """
    about = {"type": "vigil", "model": model.name, "labels": list(model.names), "width": 0, "height": 0}
    return {"detectors": [{"name": name, **about} for name in dict.fromkeys((DEFAULT, model.name))]}


def read(body: bytes) -> Request:
    """Return what a body asks for; raises `ProblemError` that says what would be right."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or not isinstance(given.get("data"), str):
        raise _wrong('the body is not understood; send {"data": "<a picture in base64>"}')
    try:
        data = base64.b64decode("".join(given["data"].split()), validate=True)
    except (binascii.Error, ValueError):
        raise _wrong("`data` is no base64; put the picture itself there, not its address") from None
    return Request(data, _rules(given), _detector(given.get("detector_name")), given.get("id"))


def answer(found: Detections, image: Image, model: Model, request: Request) -> dict[str, object]:
    """Return the detections that the rules let through, as DOODS does, with the request's id."""
    told = {} if request.id is None else {"id": request.id}
    return {**told, "detections": list(_told(found, image, model, request.rules))}


def _told(
    found: Detections, image: Image, model: Model, rules: tuple[Rule, ...] | None
) -> Iterator[dict[str, object]]:
    # A box may stick out of its picture, and whoever asks compares it with the edges.
    boxes = (found.xyxy / [image.width, image.height, image.width, image.height]).clip(0, 1)
    for (x1, y1, x2, y2), confidence, class_id in zip(
        boxes.tolist(), found.confidence.tolist(), found.class_id.tolist(), strict=True
    ):
        # Rounded first: as a 32-bit float 0.9 is a little less, and 90 shall be 90.
        label, percent, box = model.names[class_id], round(confidence * _PERCENT, 2), (y1, x1, y2, x2)
        by = next((rule for rule in rules or (Rule({_EVERY: 0}),) if rule.accepts(label, percent, box)), None)
        if by is not None:
            region = {} if by.id is None else {"region_id": by.id}
            sides = {side: round(value, 6) for side, value in zip(_SIDES, box, strict=True)}
            yield {**sides, "label": label, "confidence": percent, **region}


def _rules(given: Mapping[str, Any]) -> tuple[Rule, ...] | None:
    """Return the whole picture's rule and those of its regions, in the order in which they apply."""
    detect, regions = given.get("detect"), given.get("regions")
    if detect is None and not regions:
        return None
    if not isinstance(regions or [], list):
        raise _wrong("`regions` is no list")
    whole = Rule(_thresholds("detect", detect or {}))
    return (whole, *(_region(f"regions[{place}]", each) for place, each in enumerate(regions or [])))


def _region(path: str, given: object) -> Rule:
    if not isinstance(given, dict):
        raise _wrong(f"`{path}` is no object")
    area = tuple(_number(f"{path}.{side}", given.get(side), 1.0) for side in _SIDES)
    thresholds = _thresholds(f"{path}.detect", given.get("detect"))
    return Rule(thresholds, area, bool(given.get("covers", False)), given.get("id"))


def _thresholds(path: str, given: object) -> dict[str, float]:
    if not isinstance(given, dict):
        raise _wrong(f'`{path}` is no object of labels and percentages, such as {{"*": 50, "person": 30}}')
    return {label: _number(f"{path}.{label}", value, _PERCENT) for label, value in given.items()}


def _number(path: str, value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise _wrong(f"`{path[:60]}` is no number from 0 to {most:g}")
    return float(value)


def _detector(name: object) -> str:
    if not isinstance(name or "", str):
        raise _wrong("`detector_name` is no text")
    return str(name or DEFAULT)


def _wrong(detail: str) -> ProblemError:
    return ProblemError(HTTPStatus.BAD_REQUEST, detail)
