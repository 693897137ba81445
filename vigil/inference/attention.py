"""What one camera's next frame is looked at for: all of it, some regions, or nothing. Pure, time passed in.

Looked at is where something moves and where known objects are expected, with what is uncertain about that
as margin. An object on which nothing moves is taken as seen between looks, which become rare the longer it
stands. Whole frames come at the start, at intervals, and as long as they show what regions had not: far cars
of a motorway are found in whole frames or not at all, and such a camera ends up with whole frames.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.core.geometry import areas, intersections, overlaps
from vigil.inference.memory import Memory
from vigil.inference.regions import cover

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vigil.core.geometry import Bools, Floats
    from vigil.core.interest import Interest
    from vigil.core.types import Detections
    from vigil.inference.letterbox import Placement
    from vigil.inference.regions import Region
    from vigil.inference.schedule import Shape

    Rows = NDArray[np.intp]

_OUTWARDS = np.array([-1.0, -1.0, 1.0, 1.0])
_ABOUT, _LARGER = 0.3, 3.0
"""A motion is about an object if either holds this share of the other, and it is not so much larger."""


@dataclass(frozen=True, slots=True)
class AttentionSettings:
    """What attention goes by; lengths in pixels of the model's input, times in seconds.

    Chosen on vtest, the person clip and a motorway; see `docs/design/packing.md`.
    """

    grid: int = 8
    margin: float = 16.0
    margin_share: float = 0.1
    """Of an object's sides, on top of `margin`."""
    spreads: float = 0.5
    """Standard deviations, on top of both."""
    comfort: float = 150.0
    """Longer side over which an object is shrunk to it: yolo11n finds it as well at this size."""
    least_scale: float = 0.4
    motion_margin: float = 8.0
    touched: float = 0.1
    """Share of an object that moves when it is looked at."""
    covered: float = 0.6
    """Share of a motion that regions of objects hold when they explain it."""
    explains: float = 0.35
    """Share of the frame from which on an object explains no motion: things pass in front of it."""
    still_speed: float = 0.1
    """Sides per second under which an object stands."""
    still_share: float = 0.5
    """An object that stands is looked at again after this share of the time for which it has stood,"""
    still_least: float = 0.3
    still_most: float = 5.0
    """within these bounds."""
    missed: float = 1.0
    """How long an object that was missed is looked for where nothing moves."""
    most: float = 0.6
    """Share of the canvas from which on the whole frame is no dearer."""
    start: float = 1.0
    whole_every: float = 2.5
    whole_least: int = 5
    """Looks at parts between two whole frames, however long they take: overload makes those rare, too."""
    sure: float = 0.5
    """Confidence of boxes by which regions are judged,"""
    known: float = 0.3
    """their overlap with what was expected,"""
    memory: float = 0.8
    """how much of the verdict on one whole frame is left after the next,"""
    prior: float = 10.0
    """how many boxes it takes for granted that regions had shown,"""
    judged_within: float = 0.45
    """of a look not longer ago than this, since what is looked at seldom is never where it is expected,"""
    judged_turns: float = 1.5
    """nor than so many turns: an overload has looks come late, and whole frames would have all come later,"""
    doubt: float = 0.11
    """and the share of boxes that they had not from which on, twice in a row, whole frames are looked at,"""
    doubtful: float = 15.0
    """for this long."""


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """What to look at in a frame; `regions` are `None` for all of it.

    `carried` are rows of the last result that are taken as seen, `standing` those that are looked at and
    stay what they are if something is found in their place. `expected (n, 4)` is where the sure objects of
    the last result should be, if that was made of regions and this is a whole frame.
    """

    regions: tuple[Region, ...] | None
    carried: Rows
    standing: Rows
    why: str = ""
    expected: Floats | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Objects:
    """Expected objects in pixels of the model's input, and what is to be done about each."""

    box: Floats
    side: Floats
    """The mean one."""
    touched: Bools
    rests: Bools
    standing: Bools
    wanted: Bools


class Attention:
    """One camera's attention from frame to frame. Not locked."""

    def __init__(self, settings: AttentionSettings | None = None, *, phase: float = 0.0) -> None:
        """`phase`, in 0..1, keeps whole frames of cameras that started together apart."""
        self._settings = settings or AttentionSettings()
        self._phase = phase
        self._memory = Memory()
        self._started: float | None = None
        self._whole_due = self._doubted_until = -np.inf
        self._parts = 0  # looks at parts since the last whole frame
        self._seen_at = -np.inf
        self._missed = self._judged = 0.0  # boxes of whole frames, the older the less they count
        self._surprised = False  # whether the latest verdict was that too much was not shown

    @property
    def overlooked(self) -> float:
        """The share of the objects in whole frames that regions had not shown, as far as it is believed."""
        return self._missed / (self._judged + self._settings.prior)

    @property
    def remembered(self) -> int:
        """How many rows the last result has."""
        return len(self._memory.detections)

    def owes_whole(self, now: float) -> bool:
        """Tell whether a frame would be looked at whole whatever is of interest in it."""
        started = self._started is not None and now - self._started >= self._settings.start
        return not started or now < self._doubted_until or self._due(now)

    def _due(self, now: float) -> bool:
        least = 1 if self._surprised else self._settings.whole_least
        return now >= self._whole_due and self._parts >= least

    def plan(
        self, interest: Interest, now: float, placement: Placement, shape: Shape, turn: float = np.inf
    ) -> Plan:
        """Return what to look at in a frame that would lie at `placement` in the model's input of `shape`.

        `turn` is how many seconds would lie between two looks if there were room for all.
        """
        if self._started is None or interest.changed:
            self._started = now
        if now - self._started < self._settings.start:
            return _whole("start")
        if now < self._doubted_until:
            return _whole("doubt")
        if self._due(now):
            within = min(self._settings.judged_within, self._settings.judged_turns * turn)
            fair = self._memory.parts and now - self._seen_at <= within
            return _whole("due", self._known(interest) if fair else None)
        objects, moving = self._objects(interest, now, placement)
        boxes, scales = self._wanted(interest, objects, moving, placement)
        regions = cover(boxes, scales, self._settings.grid, placement)
        if sum(region.area for region in regions) > self._settings.most * shape[0] * shape[1]:
            return _whole("full")
        return Plan(regions, interest.detection[objects.rests], interest.detection[objects.standing])

    def took(self, plan: Plan, found: Detections, cut: Bools, now: float) -> Detections:
        """Take what a plan's look found, in frame pixels; return the frame's result, best first.

        `cut (n, 4)` says which edges of a box a region's edge has made.
        """
        self._parts = 0 if plan.regions is None else self._parts + 1
        self._seen_at = now
        if plan.regions is None:
            self._judge(plan, found, now)
            self._memory = self._memory.after_whole(found, cut, now)
        else:
            self._memory = self._memory.after_parts(plan.carried, plan.standing, found, cut, now)
        return self._memory.detections

    def _objects(self, interest: Interest, now: float, placement: Placement) -> tuple[_Objects, Floats]:
        """Return the expected objects, and what moves, in pixels of the model's input."""
        settings, memory = self._settings, self._memory
        scale, corner = _to_input(placement)
        box, moving = interest.expected * scale + corner, interest.moving * scale + corner
        shown = interest.detection >= 0
        rows = interest.detection[shown]
        side = (box[:, 2:] - box[:, :2]).mean(axis=1)
        touched = intersections(box[:, None], moving[None]).sum(axis=1) > settings.touched * areas(box)
        still = shown & ~touched & (interest.speed * scale[0] < settings.still_speed * side)
        looked, since, stood = np.zeros(len(box)), np.full(len(box), now), np.zeros(len(box), np.bool_)
        looked[shown], since[shown], stood[shown] = (
            memory.looked[rows],
            memory.since[rows],
            memory.stood[rows],
        )
        pause = np.clip(settings.still_share * (now - since), settings.still_least, settings.still_most)
        rests = still & (now - looked < pause)
        middle = (box[:, :2] + box[:, 2:]) / 2 - corner[:2]
        inside = ((middle >= 0) & (middle < (placement.width, placement.height))).all(axis=1)
        wanted = ~rests & inside & (touched | (interest.unseen < settings.missed))
        return _Objects(box, side, touched, rests, shown & (stood | still) & ~rests, wanted), moving

    def _wanted(
        self, interest: Interest, objects: _Objects, moving: Floats, placement: Placement
    ) -> tuple[Floats, Floats]:
        """Return the boxes `(n, 4)` to look at, margins included, and the scale of each."""
        settings, wanted = self._settings, objects.wanted
        boxes = self._widened(interest, objects, placement)[wanted]
        small = areas(objects.box) < settings.explains * placement.width * placement.height
        explained = intersections(moving[:, None], boxes[small[wanted]][None]).sum(axis=1)
        fresh = moving[explained < settings.covered * areas(moving)]
        scales = np.concatenate(
            [self._scales(objects.box[wanted]), self._scales_about(fresh, objects.box[small])]
        )
        return np.concatenate([boxes, fresh + _OUTWARDS * settings.motion_margin]), scales

    def _widened(self, interest: Interest, objects: _Objects, placement: Placement) -> Floats:
        """Return the boxes with their margins; where a region's edge cut one, it is half a box wider."""
        settings, box = self._settings, objects.box
        shown = interest.detection >= 0
        scale, _ = _to_input(placement)
        # What is missed for long may be anywhere by the filter's account, and is not looked for there.
        most = np.where(shown, np.inf, objects.side / 2)[:, None]
        spread = np.minimum(interest.spread * scale, most)
        sides = box[:, 2:] - box[:, :2]
        margin = settings.margin + settings.margin_share * sides
        margin += settings.spreads * (spread[:, :2] + spread[:, 2:] / 2)
        cut = np.zeros((len(box), 4))
        cut[shown] = self._memory.cut[interest.detection[shown]]
        return np.asarray(box + _OUTWARDS * (np.tile(margin, 2) + cut * np.tile(sides, 2) / 2))

    def _scales(self, boxes: Floats) -> Floats:
        """Return the scale for objects of these boxes, in steps, so that it stays from frame to frame."""
        settings = self._settings
        longer = (boxes[:, 2:] - boxes[:, :2]).max(axis=1, initial=1)
        exact = np.clip(settings.comfort / longer, settings.least_scale, 1)
        return np.asarray(np.minimum(1, 2 ** (np.ceil(np.log2(exact) * 4) / 4)))

    def _scales_about(self, moving: Floats, boxes: Floats) -> Floats:
        """Return the scale for motions: that of the object they are about, else full until it is known."""
        if not len(moving) or not len(boxes):
            return np.ones(len(moving))
        area, theirs = areas(moving)[:, None], areas(boxes)
        common = intersections(moving[:, None], boxes[None])
        about = (common > _ABOUT * np.minimum(area, theirs)) & (area < _LARGER * theirs)
        return np.where(about.any(axis=1), np.where(about, self._scales(boxes), 0).max(axis=1), 1.0)

    def _known(self, interest: Interest) -> Floats:
        """Return where regions would be for what the tracker knows of, seen in the last look or not."""
        return interest.expected[(interest.detection >= 0) | (interest.unseen < self._settings.missed)]

    def _judge(self, plan: Plan, found: Detections, now: float) -> None:
        """Plan the next whole frame; they go on for a while if regions showed too little of this one."""
        settings = self._settings
        starts = plan.why == "start"
        self._whole_due = now + settings.whole_every * (0.5 + self._phase if starts else 1)
        sure = found.xyxy[found.confidence >= settings.sure].astype(np.float64)
        if plan.expected is None or not len(sure):
            self._surprised = self._surprised and plan.why != "due"
            return
        shown = (overlaps(sure, plan.expected) > settings.known).any(axis=1)
        missed = float((~shown).sum())
        self._missed = settings.memory * self._missed + missed
        self._judged = settings.memory * self._judged + len(sure)
        before, self._surprised = self._surprised, missed > settings.doubt * len(sure)
        if self.overlooked > settings.doubt and self._surprised:
            if before:
                self._doubted_until = now + settings.doubtful
                self._whole_due = self._doubted_until + 1.0
            else:  # once may be a picture that jumped
                self._whole_due = now


def _whole(why: str, expected: Floats | None = None) -> Plan:
    nothing = np.empty(0, np.intp)
    return Plan(None, nothing, nothing, why, expected)


def _to_input(placement: Placement) -> tuple[Floats, Floats]:
    """Return what frame pixels are multiplied by, and what is added then, `(4,)` each."""
    scale = np.array([placement.scale_x, placement.scale_y] * 2)
    return scale, np.array([placement.left, placement.top] * 2, np.float64)
