"""What happens in the public clips: as people labelled it, and as a detector saw it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import yaml

if TYPE_CHECKING:
    from vigil.core.types import Float32

_FIXTURES = Path(__file__).parents[1] / "fixtures"


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """What yolo11n found in one picture: `(n, 4)` boxes in fractions of it, from a confidence of 0.1 up."""

    pts: float
    labels: tuple[str, ...]
    boxes: Float32
    confidence: Float32


@cache
def truth(clip: str) -> dict[str, Any]:
    """Return a clip's section of `footage_truth.yaml`."""
    section: dict[str, Any] = yaml.safe_load((_FIXTURES / "footage_truth.yaml").read_text())[clip]
    return section


@cache
def seen(clip: str, *, faster: bool = False) -> tuple[Seen, ...]:
    """Return a clip's recorded detections, ten pictures a second or, of traffic.mp4, thirty."""
    every = json.loads((_FIXTURES / "footage_detections.json").read_text())
    recorded = every["faster" if faster else "clips"][clip]
    return tuple(_picture(picture) for picture in recorded["pictures"])


def _picture(recorded: dict[str, Any]) -> Seen:
    labels = tuple(row[0] for row in recorded["boxes"])
    numbers = np.array([row[1:] for row in recorded["boxes"]], np.float32).reshape(-1, 5)
    return Seen(recorded["pts"], labels, numbers[:, :4], numbers[:, 4])
