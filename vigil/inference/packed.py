"""A worker's batch of which some frames are looked at in parts: the parts of several frames share an input.

A camera's frame that finds no room in the inputs that the batch may have is postponed, with its motion: the
camera stays as overdue as it is. An upload never is, since somebody waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.core.types import Detections
from vigil.inference.composite import back, paint
from vigil.inference.packing import arrange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.geometry import Bools
    from vigil.core.types import Float32, Frame
    from vigil.inference.attention import Plan
    from vigil.inference.attentions import Attentions
    from vigil.inference.detector import Detector
    from vigil.inference.letterbox import Letterbox, Placement
    from vigil.inference.packing import Placed
    from vigil.inference.regions import Region
    from vigil.inference.schedule import Batch
    from vigil.metrics import Metrics

_NOTHING_CUT = np.empty((0, 4), np.bool_)


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """What a batch showed, frame by frame, `None` for those that are postponed; how many inputs that took.

    `plans` say what of each frame was of interest. `canvases`, each `(3, h, w)`, are the inputs on which
    parts lie, valid until the next batch of that shape, and `placed` what lies on each.
    """

    found: Sequence[Detections | None]
    inputs: int
    plans: Sequence[Plan | None] = ()
    canvases: Sequence[Float32] = ()
    placed: Sequence[Sequence[Placed]] = ()


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
        placed: Sequence[Sequence[Placed]] = ()
        if parts and room:
            grid, stride = self._attentions.settings.grid, detector.model.stride
            regions = [look.regions or () for look in parts]
            placed, taken = arrange(regions, batch.shape, grid, stride, room)
            canvases = self._look_at_parts(detector, letterbox, batch, parts[:taken], placed)
        for look in looks:
            if look.plan is not None and look.regions == ():
                self._done(look, look.plan, Detections.empty(), _NOTHING_CUT)
        found, plans = [look.found for look in looks], [look.plan for look in looks]
        return Packed(found, len(wholes) + len(placed), plans, canvases, placed)

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
        batch: Batch,
        looks: Sequence[_Look],
        placed: Sequence[Sequence[Placed]],
    ) -> Sequence[Float32]:
        """Look at these frames on canvases, and return those."""
        pixels = letterbox.canvases(len(placed), batch.shape)
        for owner, look in enumerate(looks):
            whole, _ = letterbox.fill([look.frame.image], batch.shape)
            for canvas, on in zip(pixels, placed, strict=True):
                for each in on:
                    if each.owner == owner:
                        paint(canvas, whole[0], each)
        floors = [min(looks[each.owner].floor for each in on) for on in placed]
        step = detector.batch_limit
        found = [
            detections
            for first in range(0, len(placed), step)
            for detections in detector.detect_inputs(
                pixels[first : first + step], floors[first : first + step]
            )
        ]
        self._metrics.canvases(
            [sum(each.region.area for each in on) / (batch.shape[0] * batch.shape[1]) for on in placed]
        )
        for owner, look in enumerate(looks):
            image = look.frame.image
            shown = [
                back(
                    detections,
                    [each for each in on if each.owner == owner],
                    look.placement,
                    image.width,
                    image.height,
                )
                for detections, on in zip(found, placed, strict=True)
            ]
            assert look.plan is not None  # noqa: S101 -- it has regions
            self._done(look, look.plan, *_together(shown))
        return list(pixels)

    def _done(self, look: _Look, plan: Plan, found: Detections, cut: Bools) -> None:
        look.found = self._attentions.done(look.frame, plan, found, cut)
        how = "whole" if plan.regions is None else "parts" if plan.regions else "unlooked"
        self._metrics.packed(how, int(np.count_nonzero(cut.any(axis=1))))


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
