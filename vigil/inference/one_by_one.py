"""One camera's frames looked at one after the other by whoever waits for it, without schedule and pools."""

from __future__ import annotations

import math
import threading
from typing import TYPE_CHECKING

import numpy as np

from vigil.core.looked import Looked, PackedInput, Part
from vigil.core.types import MAIN_MODEL
from vigil.inference.attentions import Attentions, Regions
from vigil.inference.letterbox import to_frame
from vigil.inference.packed import Packing
from vigil.inference.schedule import Batch

if TYPE_CHECKING:
    from vigil.core.types import Detections, Float32, Frame
    from vigil.inference.attention import Plan
    from vigil.inference.attentions import Analyst
    from vigil.inference.detector import Detector
    from vigil.inference.letterbox import Letterbox
    from vigil.inference.packed import Packed
    from vigil.inference.packing import Layout
    from vigil.inference.schedule import Shape
    from vigil.metrics import Metrics


class Wholes:
    """Looks at all of every frame; any number of threads may ask at once."""

    def __init__(self, detector: Detector, floor: float) -> None:
        """Boxes under `floor` confidence are never made."""
        self._detector = detector
        self._floor = floor
        self._mine = threading.local()

    def find(self, frame: Frame) -> Detections:
        """Return what a frame shows; raises `PixelsError`."""
        detector, image = self._detector, frame.image
        if not hasattr(self._mine, "letterbox"):
            self._mine.letterbox = detector.letterbox()
        letterbox: Letterbox = self._mine.letterbox
        shape = detector.shape_of(image.width, image.height)
        return detector.detect(letterbox, [image], [self._floor], shape)[0]


class Parts:
    """Looks at what is of interest, each time by what the results before have shown: one at a time."""

    def __init__(
        self, detector: Detector, floor: float, camera: str, analyst: Analyst, metrics: Metrics
    ) -> None:
        """Boxes under `floor` confidence are never made; `analyst` knows what is of interest."""
        self.looked: Looked | None = None
        """What the latest frame was looked at for."""
        self._detector = detector
        self._floor = floor
        self._letterbox = detector.letterbox()
        attentions = Attentions(analyst)
        attentions.set_camera(camera, Regions.ON)
        self._packing = Packing(attentions, metrics)

    def find(self, frame: Frame) -> Detections:
        """Return what a frame shows; raises `PixelsError`."""
        image, letterbox = frame.image, self._letterbox
        shape = self._detector.shape_of(image.width, image.height)
        batch = Batch(MAIN_MODEL, shape, (frame,), (self._floor,), (), packed=True)
        packed = self._packing.detect(self._detector, letterbox, batch, 1)
        (found,), (plan,) = packed.found, packed.plans
        assert found is not None  # noqa: S101 -- the first of a batch is never postponed
        self.looked = _looked(frame, plan, packed, letterbox, shape)
        return found


def packed_input(letterbox: Letterbox, canvas: Float32, layout: Layout, whole: Shape) -> PackedInput:
    """Return an input `(3, h, w)` with regions on it, as people see it; `whole` is one for a whole frame."""
    parts = [
        Part(
            (each.left, each.top, each.left + each.region.width, each.top + each.region.height),
            each.region.full_scale,
        )
        for each in layout.on
    ]
    return PackedInput(letterbox.to_bgr(canvas), parts, layout.pixels / math.prod(whole))


def _looked(frame: Frame, plan: Plan | None, packed: Packed, letterbox: Letterbox, shape: Shape) -> Looked:
    if plan is None or plan.regions is None:
        return Looked(whole=True, why="unknown" if plan is None else plan.why)
    rows = [(each.left, each.top, each.right, each.bottom) for each in plan.regions]
    image = frame.image
    placement = letterbox.place(image, shape)
    boxes = to_frame(np.array(rows, np.float32).reshape(-1, 4), placement, image.width, image.height)
    parts = [
        Part((left, top, right, bottom), region.full_scale)
        for (left, top, right, bottom), region in zip(boxes.tolist(), plan.regions, strict=True)
    ]
    inputs = [
        packed_input(letterbox, canvas, layout, shape)
        for canvas, layout in zip(packed.canvases, packed.layouts, strict=True)
    ]
    return Looked(whole=False, parts=parts, inputs=inputs)
