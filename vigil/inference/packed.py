"""A worker's batch of which some frames are looked at in parts: the parts of several frames share an input.

A camera's frame that finds no room in the inputs that the batch may have is postponed, with its motion: the
camera stays as overdue as it is. An upload never is, since somebody waits for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from vigil.core.types import Detections
from vigil.inference.composite import back, paint
from vigil.inference.packing import arrange, fitted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.geometry import Bools
    from vigil.core.types import Float32, Frame
    from vigil.inference.attention import Plan
    from vigil.inference.attentions import Attentions
    from vigil.inference.detector import Detector
    from vigil.inference.letterbox import Letterbox, Placement
    from vigil.inference.packing import Layout
    from vigil.inference.regions import Region
    from vigil.inference.schedule import Batch, Shape
    from vigil.metrics import Metrics

_NOTHING_CUT = np.empty((0, 4), np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """What a batch showed, frame by frame, `None` for those that are postponed.

    That took as many pixels as `inputs` of the batch's shape have. `plans` say what of each frame was of
    interest. `canvases`, each `(3, h, w)`, are the inputs on which parts lie, valid until the next batch, and
    `layouts` what lies on each.
    """

    found: Sequence[Detections | None]
    inputs: float
    plans: Sequence[Plan | None] = ()
    canvases: Sequence[Float32] = ()
    layouts: Sequence[Layout] = ()


@dataclass(slots=True, eq=False)
class _Look:
    """A frame of the batch, and what to look at in it; without a plan, all of it."""

    frame: Frame
    floor: float
    plan: Plan | None
    placement: Placement
    found: Detections | None = None

    @property
    def regions(self) -> Sequence[Region] | None:
        """The parts to look at; `None` for the whole."""
        return None if self.plan is None else self.plan.regions


class Packing:
    """Looks at batches for all workers."""

    def __init__(self, attentions: Attentions, metrics: Metrics) -> None:
        self._attentions = attentions
        self._metrics = metrics

    def detect(self, detector: Detector, letterbox: Letterbox, batch: Batch, limit: int) -> Packed:
        """Look at a batch by at most `limit` inputs, or as many as a frame needs that comes first."""
        looks = [
            self._look(letterbox, batch, frame, floor)
            for frame, floor in zip(batch.frames, batch.floors, strict=True)
        ]
        cameras, uploads = looks[: len(batch.camera_frames)], looks[len(batch.camera_frames) :]
        room = max(limit - len(uploads), 0)
        wholes = [look for look in cameras if look.regions is None]
        parts = [look for look in cameras if look.regions]
        first = bool(parts) and parts[0] is looks[0]  # the most overdue frame has an input before all others
        wholes = wholes[: max(room - first, 0)]
        room -= len(wholes)
        wholes += uploads
        self._look_at_wholes(detector, letterbox, batch, wholes)
        canvases: Sequence[Float32] = ()
        layouts: Sequence[Layout] = ()
        if parts and room:
            grid, stride = self._attentions.settings.grid, detector.model.stride
            layouts, taken = arrange([look.regions or () for look in parts], batch.shape, grid, stride, room)
            if detector.crops:
                layouts = [fitted(layout, grid, stride, detector.least_pixels) for layout in layouts]
            canvases = self._look_at_parts(detector, letterbox, batch.shape, parts[:taken], layouts)
        for look in looks:
            if look.plan is not None and look.regions == ():
                self._done(look, look.plan, Detections.empty(), _NOTHING_CUT)
        found, plans = [look.found for look in looks], [look.plan for look in looks]
        inputs = len(wholes) + sum(layout.pixels for layout in layouts) / math.prod(batch.shape)
        return Packed(found, inputs, plans, canvases, layouts)

    def _look(self, letterbox: Letterbox, batch: Batch, frame: Frame, floor: float) -> _Look:
        placement = letterbox.place(frame.image, batch.shape)
        plan = self._attentions.begin(frame, placement, batch.shape) if frame.camera else None
        return _Look(frame, floor, plan, placement)

    def _look_at_wholes(
        self, detector: Detector, letterbox: Letterbox, batch: Batch, looks: Sequence[_Look]
    ) -> None:
        if not looks:
            return
        images = [look.frame.image for look in looks]
        found = detector.detect(letterbox, images, [look.floor for look in looks], batch.shape)
        for look, detections in zip(looks, found, strict=True):
            if look.plan is None:
                look.found = detections
            else:
                self._done(look, look.plan, detections, np.zeros((len(detections), 4), np.bool_))

    def _look_at_parts(
        self,
        detector: Detector,
        letterbox: Letterbox,
        shape: Shape,
        looks: Sequence[_Look],
        layouts: Sequence[Layout],
    ) -> Sequence[Float32]:
        """Look at these frames, whose whole inputs have that shape, on canvases, and return those."""
        batches = [list(alike) for _, alike in groupby(layouts, key=attrgetter("shape"))]
        tensors = letterbox.canvases([(len(alike), alike[0].shape) for alike in batches])
        canvases = [canvas for tensor in tensors for canvas in tensor]
        for owner, look in enumerate(looks):
            whole, _ = letterbox.fill([look.frame.image], shape)
            for canvas, layout in zip(canvases, layouts, strict=True):
                for each in layout.on:
                    if each.owner == owner:
                        paint(canvas, whole[0], each)
        found = [
            detections
            for tensor, alike in zip(tensors, batches, strict=True)
            for detections in _detect(detector, tensor, [_floor(looks, layout) for layout in alike])
        ]
        self._metrics.canvases(
            [layout.pixels / math.prod(shape) for layout in layouts],
            [layout.filled / math.prod(shape) for layout in layouts],
        )
        for owner, look in enumerate(looks):
            image = look.frame.image
            shown = [
                back(
                    detections,
                    [each for each in layout.on if each.owner == owner],
                    look.placement,
                    image.width,
                    image.height,
                )
                for detections, layout in zip(found, layouts, strict=True)
            ]
            assert look.plan is not None  # noqa: S101 -- it has regions
            self._done(look, look.plan, *_together(shown))
        return canvases

    def _done(self, look: _Look, plan: Plan, found: Detections, cut: Bools) -> None:
        look.found = self._attentions.done(look.frame, plan, found, cut)
        how = "whole" if plan.regions is None else "parts" if plan.regions else "unlooked"
        self._metrics.packed(how, int(np.count_nonzero(cut.any(axis=1))))


def _floor(looks: Sequence[_Look], layout: Layout) -> float:
    """Return the lowest confidence that a camera on a canvas asks for."""
    return min(looks[each.owner].floor for each in layout.on)


def _detect(detector: Detector, canvases: Float32, floors: Sequence[float]) -> list[Detections]:
    """Return what is found on canvases `(n, 3, h, w)`, as many at once as the detector takes."""
    step = detector.batch_limit
    return [
        detections
        for first in range(0, len(canvases), step)
        for detections in detector.detect_inputs(canvases[first : first + step], floors[first : first + step])
    ]


def _together(shown: Sequence[tuple[Detections, Bools]]) -> tuple[Detections, Bools]:
    """Return what the canvases of one frame have shown."""
    if len(shown) == 1:
        return shown[0]
    found = Detections.untracked(
        np.concatenate([each.xyxy for each, _ in shown]),
        np.concatenate([each.confidence for each, _ in shown]),
        np.concatenate([each.class_id for each, _ in shown]),
    )
    return found, np.concatenate([cut for _, cut in shown])
