"""Regions onto a canvas, and what is found there back to where it came from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from vigil.core.types import Detections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.geometry import Bools
    from vigil.core.types import Float32
    from vigil.inference.letterbox import Placement
    from vigil.inference.packing import Placed

_EDGE = 2.0
"""Canvas pixels from a region's edge at which a box ends that the edge has cut."""


def paint(canvas: Float32, whole: Float32, placed: Placed) -> None:
    """Write a region of a frame's whole input `(3, h, w)` to its place on a canvas of the same shape."""
    region = placed.region
    part = whole[:, region.top : region.bottom, region.left : region.right]
    target = canvas[:, placed.top : placed.top + region.height, placed.left : placed.left + region.width]
    for plane, out in zip(part, target, strict=True):
        if region.full_scale:
            out[:] = plane
        else:
            out[:] = cv2.resize(plane, (region.width, region.height), interpolation=cv2.INTER_AREA)


def back(
    found: Detections, placed: Sequence[Placed], placement: Placement, width: int, height: int
) -> tuple[Detections, Bools]:
    """Return what of a canvas' boxes lies in a frame's regions, in pixels of the `(width, height)` frame.

    A box belongs to the region that holds its centre, and is clipped to it. Also returned is `(n, 4)` which
    of its edges a region's edge has cut that is not the frame's.
    """
    if not placed or not len(found):
        return Detections.empty(), np.empty((0, 4), np.bool_)
    rows = [(each.left, each.top, each.region.width, each.region.height) for each in placed]
    corner, size = np.split(np.array(rows, np.float64), 2, axis=1)
    regions = [(r.left, r.top, r.right, r.bottom) for r in (each.region for each in placed)]
    source = np.array(regions, np.float64)
    centre = (found.xyxy[:, :2] + found.xyxy[:, 2:])[:, None] / 2.0
    inside = np.asarray(((centre >= corner) & (centre < corner + size)).all(axis=2))
    own = np.asarray(inside.any(axis=1))
    which = inside.argmax(axis=1)[own]
    bounds = np.concatenate([corner, corner + size], axis=1)[which]
    box = np.clip(found.xyxy[own], bounds[:, [0, 1, 0, 1]], bounds[:, [2, 3, 2, 3]])
    end = (placement.left + placement.width, placement.top + placement.height)
    frame = np.array([placement.left, placement.top, *end])
    within = (source - frame) * [1, 1, -1, -1] > 0
    cut = (np.abs(box - bounds) < _EDGE) & within[which]
    stretch = np.tile((source[:, 2:] - source[:, :2]) / size, 2)[which]
    box = (box - bounds[:, [0, 1, 0, 1]]) * stretch + np.tile(source[:, :2], 2)[which]
    box = (box - [placement.left, placement.top] * 2) / ([placement.scale_x, placement.scale_y] * 2)
    box = np.clip(box, 0, [width, height] * 2).astype(np.float32)
    return Detections.untracked(box, found.confidence[own], found.class_id[own]), np.asarray(cut)
