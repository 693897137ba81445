"""The attention of every camera whose frames may be looked at in parts, and how much of an input each takes.

Workers ask and tell; a camera is in flight once at most, so nobody meets anybody over the same camera.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vigil.inference.attention import Attention, AttentionSettings, Plan

if TYPE_CHECKING:
    from vigil.core.geometry import Bools
    from vigil.core.interest import Interest, Rows
    from vigil.core.types import Detections, Float32, Frame
    from vigil.inference.letterbox import Placement
    from vigil.inference.schedule import Shape

log = logging.getLogger(__name__)

_FILLED = 0.66
"""Share of a canvas that regions fill before the next one finds no room."""
_SMOOTHING = 0.2
"""Share of the newest frame in what a camera's frames take on average."""
_GOLDEN = 0.618034
"""Successive multiples of it, modulo 1, lie as far apart as can be."""


class Regions(StrEnum):
    """When a camera's frames are looked at in parts."""

    OFF = "off"
    AUTO = "auto"
    """When whole frames of all cameras are more than there is room for."""
    ON = "on"


class Analyst(Protocol):
    """Knows what is of interest in a camera's next frame; called from inference workers."""

    def interest(self, frame: Frame) -> Interest | None:
        """Return what is of interest; `None` where it is not known what moves."""

    def admitted(self, frame: Frame, found: Detections) -> Rows:
        """Return the rows of those boxes that the camera takes note of, ascending."""


@dataclass(slots=True, eq=False)
class _Camera:
    """What is known of one camera: `moving` is motion that no result has taken into account yet."""

    regions: Regions
    attention: Attention
    phase: float
    turn: float = np.inf
    """Seconds between two looks if there were room for all."""
    seq: int = -1
    seen_at: float = -np.inf
    expected: float = 1.0
    """The share of an input that its latest frame took,"""
    usual: float = 0.5
    """and that its frames take on average; at first a guess."""
    moving: list[Float32] = field(default_factory=list)


class Attentions:
    """All cameras' attention."""

    def __init__(self, analyst: Analyst | None, settings: AttentionSettings | None = None) -> None:
        """Without an `analyst` all frames are looked at whole."""
        self.settings = settings or AttentionSettings()
        self._crowded: set[str] = set()  # devices
        self._analyst = analyst
        self._cameras: dict[str, _Camera] = {}
        self._phases = 0

    def set_camera(self, camera: str, regions: Regions) -> None:
        """Know a camera, or change when it is looked at in parts."""
        known = self._cameras.get(camera)
        if known is not None and regions is not Regions.OFF:
            known.regions = regions
        elif regions is Regions.OFF or self._analyst is None:
            self._cameras.pop(camera, None)
        else:
            phase, self._phases = self._phases * _GOLDEN % 1, self._phases + 1
            self._cameras[camera] = _Camera(regions, Attention(self.settings, phase=phase), phase)

    def expect(self, camera: str, fps: float) -> None:
        """Know how many looks a second a camera would have if there were room for all; 0 tells nothing."""
        known = self._cameras.get(camera)
        if known is not None and fps > 0:
            known.turn = 1 / fps

    def remove_camera(self, camera: str) -> None:
        """Forget a camera."""
        self._cameras.pop(camera, None)

    def crowd(self, device: str, *, crowded: bool) -> None:
        """Know whether a device's cameras ask for more whole frames than there is room for."""
        if crowded and device not in self._crowded:
            self._crowded.add(device)
            if any(each.regions is Regions.AUTO for each in self._cameras.values()):
                log.info("frames on %s are looked at in parts now: there is no room for whole ones", device)
        elif not crowded:
            self._crowded.discard(device)

    def in_parts(self, camera: str, device: str) -> bool:
        """Tell whether a camera's next frame on a device may be looked at in parts."""
        known = self._cameras.get(camera)
        return known is not None and (known.regions is Regions.ON or device in self._crowded)

    def share(self, camera: str, now: float) -> float:
        """Return about how much of an input a frame that was captured at `now` will take; 1 is all of it."""
        known = self._cameras.get(camera)
        return 1.0 if known is None or known.attention.owes_whole(now) else known.expected

    def usual_share(self, camera: str, device: str) -> float:
        """Return how much of an input a camera's frames take on average; 1 where they are not packed."""
        return self._cameras[camera].usual if self.in_parts(camera, device) else 1.0

    def begin(self, frame: Frame, placement: Placement, shape: Shape) -> Plan | None:
        """Return what to look at in a camera's frame; `None` for one that is looked at whole."""
        known = self._cameras.get(frame.camera)
        if known is None or self._analyst is None:
            return None
        try:
            plan = self._planned(self._analyst, known, frame, placement, shape)
        except Exception:  # the edge of a camera: its mistake is no failure of the engine
            log.exception("%s: is looked at whole because of an error that vigil does not know", frame.camera)
            self._start_over(known)
            plan = None
        known.expected = _share_of(plan, shape)
        known.usual += _SMOOTHING * (known.expected - known.usual)
        return plan

    def done(self, frame: Frame, plan: Plan, found: Detections, cut: Bools) -> Detections:
        """Take what a plan's look found, `cut (n, 4)` by edges of regions; return the frame's result."""
        known = self._cameras.get(frame.camera)
        if known is None or self._analyst is None:
            return found
        known.moving.clear()
        try:
            # What analytics expect next time are rows of what they take note of.
            rows = self._analyst.admitted(frame, found)
            result = known.attention.took(plan, found.select(rows), cut[rows], frame.captured_at)
        except Exception:  # as above
            log.exception("%s: is looked at anew because of an error that vigil does not know", frame.camera)
            self._start_over(known)
            return found
        known.seq, known.seen_at = frame.seq, frame.captured_at
        return result

    def _planned(
        self, analyst: Analyst, known: _Camera, frame: Frame, placement: Placement, shape: Shape
    ) -> Plan | None:
        interest = analyst.interest(frame)
        if interest is None:
            self._start_over(known)
            return None
        rows = interest.detection
        gone = frame.captured_at < known.seen_at or interest.seq != known.seq
        if gone or rows.max(initial=-1) >= known.attention.remembered:
            self._start_over(known)  # something was looked at without this, or is forgotten
            rows = np.full(len(rows), -1, np.intp)
        known.moving.append(interest.moving)
        interest = replace(interest, detection=rows, moving=np.concatenate(known.moving))
        return known.attention.plan(interest, frame.captured_at, placement, shape, known.turn)

    def _start_over(self, known: _Camera) -> None:
        known.attention = Attention(self.settings, phase=known.phase)
        known.seq = -1
        known.moving.clear()


def _share_of(plan: Plan | None, shape: Shape) -> float:
    if plan is None or plan.regions is None:
        return 1.0
    return min(1.0, sum(region.area for region in plan.regions) / (_FILLED * shape[0] * shape[1]))
