"""Detections as plain objects for JSON: at the edges only, never in the hot path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Detections


def describe(detections: Detections, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return `{"label", "confidence", "bbox": {"x1", "y1", "x2", "y2"}}` per box, integer frame pixels."""
    boxes = detections.xyxy.round().astype(int).tolist()
    return [
        {
            "label": names[class_id],
            "confidence": round(confidence, 4),
            "bbox": {"x1": box[0], "y1": box[1], "x2": box[2], "y2": box[3]},
        }
        for box, confidence, class_id in zip(
            boxes, detections.confidence.tolist(), detections.class_id.tolist(), strict=True
        )
    ]
