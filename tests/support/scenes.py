"""Tracks by hand: what a tracker would say of boxes that a test writes down, and scenes to show them to."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tests.support.fakes import MODEL
from vigil.analytics.filters import class_filter
from vigil.analytics.objects import Objects
from vigil.analytics.scene import Rules, Scene
from vigil.analytics.tracks import Tracks
from vigil.config.analytics import LineConfig, TrackingConfig, ZoneConfig
from vigil.config.model import DetectConfig
from vigil.core.types import Detections

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.analytics.scene import SceneResult
    from vigil.core.events import Event, Totals
    from vigil.core.types import Model

WIDTH, HEIGHT = 1280, 720
START = 1_000_000.0
STEP = 0.2
PERSON, CAR = 0, 1

HALVES: dict[str, list[list[float]]] = {
    "left": [[0, 0], [0.5, 0], [0.5, 1], [0, 1]],
    "right": [[0.5, 0], [1, 0], [1, 1], [0.5, 1]],
}
"""Zones that share an edge and fill the frame."""


@dataclass(frozen=True, slots=True)
class Seen:
    """An object in one frame: its box in fractions; where it is `missed`, what the track believes."""

    box: tuple[float, float, float, float]
    class_id: int = PERSON
    score: float = 0.8
    missed: bool = False


Picture: TypeAlias = "Mapping[int, Seen]"
"""What one frame shows, by track id; a track that is not in it is gone."""


def standing(x: float, y: float, class_id: int = PERSON, *, score: float = 0.8, missed: bool = False) -> Seen:
    """Return an object of a tenth by a fifth of the frame that stands there."""
    return Seen((x - 0.05, y - 0.2, x + 0.05, y), class_id, score, missed)


@dataclass(slots=True)
class HandTracker:
    """Remembers what `Tracks` says of the past."""

    first: dict[int, float] = field(default_factory=dict)
    last: dict[int, float] = field(default_factory=dict)
    hits: dict[int, int] = field(default_factory=dict)

    def tracks(
        self, time: float, picture: Picture, order: Sequence[int] | None = None
    ) -> tuple[Detections, Tracks]:
        """Return the frame's detections, in an `order` of track ids, and its tracks."""
        ids = sorted(picture)
        shown = [track for track in order or ids if not picture[track].missed]
        for track in shown:
            self.first.setdefault(track, time)
            self.last[track], self.hits[track] = time, self.hits.get(track, 0) + 1
        scale = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
        boxes = {track: (np.array(picture[track].box) * scale).astype(np.float32) for track in ids}
        detections = Detections(
            np.array([boxes[track] for track in shown], np.float32).reshape(-1, 4),
            np.array([picture[track].score for track in shown], np.float32),
            np.array([picture[track].class_id for track in shown], np.int32),
            np.array(shown, np.int32),
        )
        return detections, Tracks(
            tracker_id=np.array(ids, np.int32),
            class_id=np.array([picture[track].class_id for track in ids], np.int32),
            xyxy=np.array([boxes[track] for track in ids], np.float32).reshape(-1, 4),
            velocity=np.zeros((len(ids), 2), np.float32),
            confidence=np.array([picture[track].score for track in ids], np.float32),
            hits=np.array([self.hits.get(track, 0) for track in ids], np.int32),
            first_seen=np.array([self.first.get(track, time) for track in ids]),
            last_seen=np.array([self.last.get(track, time) for track in ids]),
            detection=np.array([-1 if picture[t].missed else shown.index(t) for t in ids], np.int32),
        )


def zone(polygon: Sequence[Sequence[float]], **keys: object) -> ZoneConfig:
    """Return a zone as a file would give it."""
    return ZoneConfig.model_validate({"polygon": polygon, **keys})


def line(start: Sequence[float], end: Sequence[float], **keys: object) -> LineConfig:
    """Return a line as a file would give it."""
    return LineConfig.model_validate({"from": start, "to": end, **keys})


class Film:
    """A scene, and the time of the frames that it is shown."""

    def __init__(
        self,
        zones: Mapping[str, ZoneConfig] | None = None,
        lines: Mapping[str, LineConfig] | None = None,
        *,
        totals: Totals | None = None,
        tracking: TrackingConfig | None = None,
        model: Model = MODEL,
        detect: DetectConfig | None = None,
    ) -> None:
        rules = Rules(tracking or TrackingConfig(), zones or {}, lines or {})
        wanted = class_filter("drive", detect or DetectConfig(), 0.5, model)
        self.scene = Scene("drive", model, wanted, rules, Random(7).getrandbits, totals)  # noqa: S311 -- ids that repeat
        self.tracker = HandTracker()
        self.time = START
        self.events: list[Event] = []
        self.results: list[SceneResult] = []

    @property
    def last(self) -> SceneResult:
        """The latest result."""
        return self.results[-1]

    @property
    def told(self) -> list[str]:
        """The types of all events so far."""
        return [event.type.value for event in self.events]

    def show(
        self, picture: Picture, seconds: float = STEP, order: Sequence[int] | None = None
    ) -> SceneResult:
        """Show a picture for so long, five frames a second; return the last frame's result."""
        for _ in range(max(1, round(seconds / STEP))):
            detections, tracks = self.tracker.tracks(self.time, picture, order)
            self._take(self.scene.update(self.time, WIDTH, HEIGHT, detections, tracks))
            self.time += STEP
        return self.last

    def close(self) -> SceneResult:
        """End the film."""
        self._take(self.scene.close(self.time))
        return self.last

    def _take(self, result: SceneResult) -> None:
        self.results.append(result)
        self.events += result.events


def objects_of(picture: Picture, *, confirmed: bool = True) -> Objects:
    """Return the objects of one picture at the start."""
    objects = Objects()
    _, tracks = HandTracker().tracks(START, picture)
    objects.grow(objects.match(tracks))
    objects.follow(tracks, WIDTH, HEIGHT)
    objects.rows["confirmed"][:] = confirmed
    return objects
