"""Boxes drawn into pictures, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Detections, UInt8

_COLOURS = ((66, 133, 244), (219, 68, 55), (15, 157, 88), (244, 160, 0), (171, 71, 188), (0, 172, 193))
"""RGB, one after another by class id."""
_DARK_TEXT_FROM = 150
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def annotate(bgr: UInt8, detections: Detections, names: Sequence[str]) -> UInt8:
    """Return a copy of an `(h, w, 3)` BGR picture with boxes, labels and confidences drawn in."""
    canvas = bgr.copy()
    unit = max(canvas.shape[:2]) / 1280
    for box, class_id, confidence in zip(
        detections.xyxy.round().astype(int).tolist(),
        detections.class_id.tolist(),
        detections.confidence.tolist(),
        strict=True,
    ):
        _draw(canvas, box, f"{names[class_id]} {confidence:.2f}", _COLOURS[class_id % len(_COLOURS)], unit)
    return canvas


def encode_jpeg(bgr: UInt8, quality: int = 85) -> bytes:
    """Return an `(h, w, 3)` BGR picture as JPEG."""
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return bytes(np.asarray(data, np.uint8).tobytes())


def _draw(canvas: UInt8, box: list[int], text: str, colour: tuple[int, int, int], unit: float) -> None:
    bgr = colour[::-1]
    left, top, right, bottom = box
    scale, thick = max(0.5, 0.7 * unit), max(1, round(2 * unit))
    cv2.rectangle(canvas, (left, top), (right, bottom), bgr, thick, cv2.LINE_AA)
    (width, height), base = cv2.getTextSize(text, _FONT, scale, max(1, thick // 2))
    above = top - height - base - 4
    edge = max(0, above)
    cv2.rectangle(canvas, (left, edge), (left + width + 8, edge + height + base + 4), bgr, cv2.FILLED)
    ink = (0, 0, 0) if sum(colour) / 3 > _DARK_TEXT_FROM else (255, 255, 255)
    place = (left + 4, edge + height + 2)
    cv2.putText(canvas, text, place, _FONT, scale, ink, max(1, thick // 2), cv2.LINE_AA)
