"""What vigil knows of a picture drawn into it, for people: boxes; for replays all that a camera counts."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from vigil.analytics.canvas import CLASS_COLOURS, Canvas
from vigil.analytics.looks import outline
from vigil.core.types import UNTRACKED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.analytics.canvas import Colour, Spot
    from vigil.config.analytics import LineConfig, ZoneConfig
    from vigil.core.looked import Part
    from vigil.core.types import Detections, Result, UInt8

_ZONE: Final = (64, 224, 208)
_LINE: Final = (255, 214, 0)
_PLATE: Final = (24, 28, 36)
_TINT = 0.18
_ARROW = 0.035
"""Length of a line's arrows, in parts of the picture's longest side."""
_TRAIL = 4.0
"""Seconds for which is shown where somebody has been."""
_FADED = 0.35


def annotate(bgr: UInt8, detections: Detections, names: Sequence[str]) -> UInt8:
    """Return a copy of an `(h, w, 3)` BGR picture with boxes, labels and confidences drawn in."""
    canvas = Canvas(bgr)
    _boxes(canvas, detections, names, with_ids=False)
    return canvas.finished()


def encode_jpeg(bgr: UInt8, quality: int = 85) -> bytes:
    """Return an `(h, w, 3)` BGR picture as JPEG."""
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(np.asarray(data, np.uint8).tobytes())


def encode_png(bgr: UInt8) -> bytes:
    """Return an `(h, w, 3)` BGR picture as PNG."""
    _, data = cv2.imencode(".png", bgr, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    return bytes(np.asarray(data, np.uint8).tobytes())


class Painter:
    """Draws one camera's zones, lines, objects, trails and counts, picture after picture."""

    def __init__(self, zones: Mapping[str, ZoneConfig], lines: Mapping[str, LineConfig]) -> None:
        self._zones = zones
        self._lines = lines
        self._trails: dict[int, deque[tuple[float, Spot]]] = {}
        self._latest: Result | None = None

    def paint(self, bgr: UInt8, result: Result | None, seconds: float, parts: Sequence[Part] = ()) -> UInt8:
        """Return a copy with all that is known; without a `result` nobody looked, and counts stay.

        Where only `parts` were looked at, these are outlined.
        """
        canvas = Canvas(bgr)
        outline(canvas, parts)
        self._latest = result or self._latest
        self._draw_zones(canvas)
        for name, line in self._lines.items():
            self._draw_line(canvas, name, line)
        clock = f"{int(seconds // 60)}:{seconds % 60:04.1f}"
        canvas.plate(clock if result else f"{clock}  nothing moves", _PLATE, [(0, canvas.height)])
        if result is not None:
            self._draw_trails(canvas, result, seconds)
            _boxes(canvas, result.detections, result.model.names, with_ids=True)
        return canvas.finished()

    def _draw_zones(self, canvas: Canvas) -> None:
        polygons = {name: [canvas.spot(p) for p in zone.polygon] for name, zone in self._zones.items()}
        if polygons:
            canvas.tint(polygons.values(), _ZONE, _TINT)
        for name, spots in polygons.items():
            canvas.line(spots, _ZONE, closed=True)
            counts = self._latest.zones[name] if self._latest else {}
            here = "".join(f"  {count} {label}" for label, count in counts.items() if count)
            canvas.plate(f"{name}{here or '  empty'}", _PLATE, [min(spots, key=sum), *spots])

    def _draw_line(self, canvas: Canvas, name: str, line: LineConfig) -> None:
        start, end = canvas.spot(line.start), canvas.spot(line.end)
        canvas.line([start, end], _LINE, width=1.5)
        for spot in (start, end):
            canvas.dot(spot, _LINE)
        middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
        length = math.dist(start, end)
        reach = _ARROW * max(canvas.width, canvas.height) / length
        # `in` is to the right of whoever walks along the line.
        right = -(end[1] - start[1]) * reach, (end[0] - start[0]) * reach
        for word, total, sign in zip(("in", "out"), self._total(name), (1, -1), strict=True):
            tip = middle[0] + sign * right[0], middle[1] + sign * right[1]
            canvas.arrow(middle, tip, _LINE)
            _beside(canvas, f"{word} {total}", tip, (sign * right[0], sign * right[1]))
        _beside(canvas, name, start, (start[0] - end[0], start[1] - end[1]))

    def _total(self, line: str) -> tuple[int, int]:
        """Return how many have crossed a line, of all labels: in, and out."""
        labels = self._latest.totals.lines[line].values() if self._latest else ()
        return sum(each.inwards for each in labels), sum(each.outwards for each in labels)

    def _draw_trails(self, canvas: Canvas, result: Result, seconds: float) -> None:
        detections = result.detections
        for track, box in zip(detections.tracker_id.tolist(), detections.xyxy.tolist(), strict=True):
            if track != UNTRACKED:
                feet = ((box[0] + box[2]) / 2, box[3])
                self._trails.setdefault(track, deque()).append((seconds, feet))
        for trail in self._trails.values():
            while trail and seconds - trail[0][0] > _TRAIL:
                trail.popleft()
        self._trails = {track: trail for track, trail in self._trails.items() if trail}
        classes = dict(zip(detections.tracker_id.tolist(), detections.class_id.tolist(), strict=True))
        for track, class_id in classes.items():
            if track in self._trails:
                _trail(canvas, [spot for _, spot in self._trails[track]], _colour(class_id))


def _boxes(canvas: Canvas, detections: Detections, names: Sequence[str], *, with_ids: bool) -> None:
    """Draw boxes with what they are and how sure that is."""
    for box, class_id, score, track in zip(
        detections.xyxy.tolist(),
        detections.class_id.tolist(),
        detections.confidence.tolist(),
        detections.tracker_id.tolist(),
        strict=True,
    ):
        canvas.rectangle(box, _colour(class_id))
        number = f" {track}" if with_ids and track != UNTRACKED else ""
        text = f"{names[class_id]}{number}  {score:.2f}"
        canvas.plate(text, _colour(class_id), _around(canvas, box, text))


def _around(canvas: Canvas, box: Sequence[float], text: str) -> list[Spot]:
    """Return the places for a box's plate: over it, under it, over its right side, beside it."""
    left, top, right, bottom = box
    width, height = canvas.size_of(text)
    return [(left, top - height), (left, bottom), (right - width, top - height), (right, top), (left, top)]


def _beside(canvas: Canvas, text: str, spot: Spot, way: Spot) -> None:
    """Write a text beyond a spot, seen along `way`."""
    width, height = canvas.size_of(text)
    far = math.hypot(*way) or 1.0
    reach = 1 + 3 * canvas.stroke / far
    along = way[0] / far, way[1] / far
    centre = (
        spot[0] + along[0] * (width / 2 + reach * canvas.stroke),
        spot[1] + along[1] * (height / 2 + reach * canvas.stroke),
    )
    canvas.plate(text, _PLATE, [(centre[0] - width / 2, centre[1] - height / 2)])


def _trail(canvas: Canvas, spots: Sequence[Spot], colour: Colour) -> None:
    """Draw where somebody has been, thinner the longer ago."""
    steps = max(1, len(spots) - 1)
    for number in range(len(spots) - 1):
        canvas.line(spots[number : number + 2], colour, width=_FADED + (1 - _FADED) * (number + 1) / steps)


def _colour(class_id: int) -> Colour:
    return CLASS_COLOURS[class_id % len(CLASS_COLOURS)]
