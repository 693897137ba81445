"""What happens in one camera's picture: from tracks to counts, crossings and events, frame by frame.

The parts, in the order in which a frame passes them: `objects` (which track shows which object),
`stationary` (is a new one an old one?), `confirm`, `zones`, `lines`, `stationary` again, `paths`, `views`,
`events`. All of it counts in fractions of the frame and in the time of the frames; the same frames give the
same results.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from vigil.analytics.confirm import Confirmation
from vigil.analytics.events import Chronicle
from vigil.analytics.lines import Lines, Tally
from vigil.analytics.objects import Objects
from vigil.analytics.paths import Paths
from vigil.analytics.stationary import Stationary
from vigil.analytics.views import BestViews, pixels
from vigil.analytics.zones import Zones
from vigil.core.events import BestView, Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vigil.analytics.filters import ClassFilter
    from vigil.analytics.objects import Rows
    from vigil.analytics.tracks import Tracks
    from vigil.analytics.views import Sharpness
    from vigil.config.analytics import LineConfig, TrackingConfig, ZoneConfig
    from vigil.core.events import Event
    from vigil.core.geometry import Bools
    from vigil.core.types import Detections, Float32, Model


@dataclass(frozen=True, slots=True)
class Rules:
    """What a camera's owner wants to know of it."""

    tracking: TrackingConfig
    zones: Mapping[str, ZoneConfig] = field(default_factory=dict)
    lines: Mapping[str, LineConfig] = field(default_factory=dict)
    snapshots: bool = True
    """Whether a picture of each event is wanted."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneResult:
    """What is known after a frame; counts hold every label that can be counted, `0` included.

    `counts` are the confirmed objects by label, `zones[zone][label]` those in each zone. `detection_zones`
    has, for each detection of the frame, the zones of the object that it shows. `events` come in the order
    to tell them, `views` after them: the frame at hand is to be cut for their pictures.
    """

    counts: Mapping[str, int]
    zones: Mapping[str, Mapping[str, int]]
    totals: Totals
    detection_zones: Sequence[tuple[str, ...]] = ()
    events: Sequence[Event] = ()
    views: Sequence[BestView] = ()
    active: bool = False
    """Whether the frame shows anything that may move on: all but what is stationary."""


class Scene:
    """One camera's objects; not safe for threads."""

    def __init__(
        self,
        camera: str,
        model: Model,
        class_filter: ClassFilter,
        rules: Rules,
        random_bits: Callable[[int], int],
        totals: Totals | None = None,
    ) -> None:
        """Count on from `totals`; raises `CannotStartError` for a class that the model does not know.

        `random_bits` is for event ids: `secrets.randbits`, or a seeded source shared by all cameras of a
        replay.
        """
        wanted, tracking = class_filter.wanted, rules.tracking
        self._labels = {index: model.names[index] for index in wanted}
        self._model = model
        self._pictured = rules.snapshots
        self._objects = Objects()
        self._tracking = tracking
        self._confirmation = Confirmation(tracking.confirm_hits, _scores(class_filter, tracking))
        self._stationary = Stationary(tracking.stationary_after, tracking.stationary_patience, model)
        self._zones = Zones(camera, rules.zones, model, wanted) if rules.zones else None
        self._lines = Lines(camera, rules.lines, model) if rules.lines else None
        self._tally = Tally(rules.lines, list(self._labels.values()), totals or Totals())
        self._paths, self._views = Paths(), BestViews()
        self._chronicle = Chronicle(
            camera, model.names, random_bits, self._objects, self._stationary, self._paths, self._views
        )
        self._parts: list[Rows] = [self._objects, self._confirmation, self._stationary]
        self._parts += [part for part in (self._zones, self._lines) if part is not None]
        self._parts += [self._paths, self._views, self._chronicle]
        self._count()

    def update(
        self,
        time: float,
        width: int,
        height: int,
        detections: Detections,
        tracks: Tracks,
        sharpness: Sharpness | None = None,
    ) -> SceneResult:
        """Take an inferred frame of that time and size: what the tracker was given, and its tracks."""
        if not len(tracks) and not len(self._objects):
            return self._result([()] * len(detections))
        self._follow(tracks, width, height)
        confirmed = self._confirmation.update(self._objects).tolist()
        moved = self._move(time, width / height, confirmed)
        self._paths.update(time, self._objects)
        better = self._best(time, sharpness)
        begun = self._begin(time, confirmed)
        zones = self._zones_of(len(detections))
        events = [*begun, *self._chronicle.due(time)]
        views = self._best_views(better)
        ended = self._drop(time)
        if confirmed or moved or ended:
            self._count()
        return self._result(zones, [*events, *ended], views)

    def state(self) -> SceneResult:
        """Return what is known now, without anything that happened."""
        return self._result(())

    def refine(self, class_filter: ClassFilter) -> None:
        """Confirm by other confidences of the same classes; what is an object stays one."""
        self._confirmation.aim(_scores(class_filter, self._tracking))

    def close(self, now: float) -> SceneResult:
        """End every event and forget every object: the camera is lost, or vigil stops.

        The scene goes on with the next frame, whose objects are new ones; totals are kept.
        """
        events = self._chronicle.end(now, range(len(self._objects)))
        self._keep(np.zeros(len(self._objects), np.bool_))
        self._count()
        return self._result((), events)

    def _follow(self, tracks: Tracks, width: int, height: int) -> None:
        """Bring the objects up to the frame, and join new ones with the old ones that they are."""
        added = self._objects.match(tracks)
        if added:
            for part in self._parts:
                part.grow(added)
        self._objects.follow(tracks, width, height)
        self._chronicle.scale = self._objects.scale
        pairs = self._stationary.taken_over(self._objects)
        if pairs:
            kept = np.ones(len(self._objects), np.bool_)
            for new, old in pairs:
                self._objects.hand_over(new, old)
                kept[new] = False
            self._keep(kept)

    def _move(self, time: float, frame_aspect: float, confirmed: Sequence[int]) -> bool:
        """Note who entered, left, crossed, stopped or moved on; tell whether counts of zones changed."""
        self._chronicle.look()
        if self._stationary.due(time):
            self._chronicle.change(self._stationary.update(time, self._objects))
        if self._lines is not None:
            for row, crossings in self._lines.update(self._objects, confirmed):
                self._tally.add(self._label(row), crossings)
        if self._zones is None:
            return False
        moved = self._zones.update(time, self._objects, frame_aspect)
        for row in moved:
            self._chronicle.move(row, self._zones.of(row))
        return len(moved) > 0

    def _best(self, time: float, sharpness: Sharpness | None) -> Sequence[int]:
        """Return the rows of objects that this frame shows best."""
        if not self._pictured:
            return ()
        return self._views.update(time, self._objects, self._chronicle.scale, sharpness)

    def _begin(self, time: float, confirmed: Sequence[int]) -> list[Event]:
        zones = self._zones
        return [self._chronicle.begin(time, row, () if zones is None else zones.of(row)) for row in confirmed]

    def _best_views(self, better: Sequence[int]) -> list[BestView]:
        scale, rows = self._chronicle.scale, self._objects.rows
        return [
            BestView(story.id, story.label, pixels(rows["box"][row], scale), self._views.quality(row))
            for row, story in self._chronicle.stories_of(better)
        ]

    def _zones_of(self, detections: int) -> list[tuple[str, ...]]:
        """Return the zones of the object that each detection shows."""
        zones: list[tuple[str, ...]] = [()] * detections
        if self._zones is not None:
            places = self._objects.rows["detection"].tolist()
            for place, story in zip(places, self._chronicle.stories, strict=True):
                if place >= 0 and story is not None:
                    zones[place] = story.zones
        return zones

    def _drop(self, time: float) -> Sequence[Event]:
        """End and forget what is gone."""
        gone = self._stationary.given_up(self._objects)
        if not np.count_nonzero(gone):
            return ()
        events = self._chronicle.end(time, np.flatnonzero(gone).tolist())
        self._keep(~gone)
        return events

    def _keep(self, kept: Bools) -> None:
        for part in self._parts:
            part.keep(kept)

    def _label(self, row: int) -> str:
        return str(self._model.names[self._objects.rows["class_id"][row]])

    def _count(self) -> None:
        rows = self._objects.rows
        seen = np.bincount(rows["class_id"][rows["confirmed"]], minlength=len(self._model.names)).tolist()
        self._counts = {label: seen[index] for index, label in self._labels.items()}
        self._zone_counts = {} if self._zones is None else self._zones.counts(self._objects)

    def _result(
        self,
        detection_zones: Sequence[tuple[str, ...]],
        events: Sequence[Event] = (),
        views: Sequence[BestView] = (),
    ) -> SceneResult:
        active = bool(np.count_nonzero(self._objects.rows["shown"] & ~self._stationary.still))
        return SceneResult(
            self._counts, self._zone_counts, self._tally.totals, detection_zones, events, views, active
        )


def _scores(class_filter: ClassFilter, tracking: TrackingConfig) -> Float32:
    """Return the least median confidence of an object by class id."""
    scores = class_filter.thresholds
    if tracking.confirm_score is None:
        return scores
    return np.where(np.isfinite(scores), np.float32(tracking.confirm_score), scores)
