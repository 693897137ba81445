"""The story of every object, told in events: one `new`, some `update`s, one `end`.

`new` is told when an object is confirmed, with the time at which it was first seen. `update` is told when
it enters or leaves a zone, stops or moves on, at most once a second, and when it was seen with a clearly
higher score, at most every five. `end` is told when it is gone, with the time at which it was last seen. An
update that waits for its turn when the object goes is not told: `end` says the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.analytics.objects import SLACK, Rows
from vigil.analytics.views import pixels
from vigil.core.events import Event, EventType, ulid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vigil.analytics.objects import Objects
    from vigil.analytics.paths import Paths
    from vigil.analytics.stationary import Stationary
    from vigil.analytics.views import BestViews
    from vigil.core.geometry import Bools

_APART = 1.0 - SLACK
"""Seconds between two messages of an event."""
_SCORES_APART = 5.0 - SLACK
_CLEARLY_HIGHER = 0.1


@dataclass(slots=True)
class Story:
    """What an event carries that no array does."""

    id: str
    label: str
    zones: tuple[str, ...]
    entered: tuple[str, ...]
    told: int = 0
    """Messages so far."""

    def move(self, zones: tuple[str, ...]) -> None:
        """Note the zones that the object is in now."""
        self.zones = zones
        self.entered += tuple(zone for zone in zones if zone not in self.entered)


class Chronicle(Rows):
    """Tells the events of a camera's confirmed objects."""

    def __init__(
        self,
        camera: str,
        labels: Sequence[str],
        random_bits: Callable[[int], int],
        objects: Objects,
        stationary: Stationary,
        paths: Paths,
        views: BestViews,
    ) -> None:
        """`labels` are the model's class names by id; the rest is read whenever an event is told."""
        super().__init__(np.zeros(1, [("told", "f8"), ("top", "f8"), ("told_top", "f8"), ("news", "?")]))
        self.stories: list[Story | None] = []
        self.scale = np.ones(4)
        """Width and height of the latest frame, twice."""
        self._camera, self._labels, self._random_bits = camera, labels, random_bits
        self._objects, self._stationary, self._paths, self._views = objects, stationary, paths, views

    def grow(self, count: int) -> None:
        """Add rows for new objects."""
        super().grow(count)
        self.stories += [None] * count

    def keep(self, kept: Bools) -> None:
        """Drop the rows of objects that are gone."""
        super().keep(kept)
        self.stories = [story for story, stays in zip(self.stories, kept, strict=True) if stays]

    def look(self) -> None:
        """Take the frame's scores."""
        scores = self._objects.rows["confidence"]
        np.maximum(self.rows["top"], scores, out=self.rows["top"], where=self._objects.rows["shown"])

    def begin(self, time: float, row: int, zones: tuple[str, ...]) -> Event:
        """Tell of an object that is confirmed now."""
        objects = self._objects.rows
        story = Story(
            ulid(float(objects["first"][row]), self._random_bits),
            self._labels[objects["class_id"][row]],
            (),
            (),
        )
        story.move(zones)
        self.stories[row] = story
        return self._tell(EventType.NEW, time, row, story)

    def move(self, row: int, zones: tuple[str, ...]) -> None:
        """Note that an object entered or left zones; what has not begun yet is not told."""
        story = self.stories[row]
        if story is not None:
            story.move(zones)
            self.rows["news"][row] = True

    def change(self, changed: Bools) -> None:
        """Note `(n,)` which objects stopped or moved on."""
        self.rows["news"] |= changed

    def due(self, time: float) -> Sequence[Event]:
        """Return the updates whose turn it is."""
        rows = self.rows
        better, news = rows["top"] - rows["told_top"] >= _CLEARLY_HIGHER, rows["news"]
        told = []
        for row, story in self.stories_of((better | news).nonzero()[0].tolist()):
            since = time - rows["told"][row]
            if (news[row] and since >= _APART) or (better[row] and since >= _SCORES_APART):
                told.append(self._tell(EventType.UPDATE, time, row, story))
        return told

    def end(self, time: float, rows: Iterable[int]) -> Sequence[Event]:
        """Tell of objects that are gone."""
        return [self._tell(EventType.END, time, row, story) for row, story in self.stories_of(rows)]

    def stories_of(self, rows: Iterable[int]) -> Iterable[tuple[int, Story]]:
        """Return the objects of these rows that have been told of."""
        for row in rows:
            story = self.stories[row]
            if story is not None:
                yield int(row), story

    def _tell(self, kind: EventType, time: float, row: int, story: Story) -> Event:
        objects, top = self._objects.rows, float(self.rows["top"][row])
        self.rows["told"][row], self.rows["told_top"][row], self.rows["news"][row] = time, top, False
        story.told += 1
        return Event(
            id=story.id,
            type=kind,
            camera=self._camera,
            label=story.label,
            score=float(objects["confidence"][row]),
            top_score=top,
            start_time=float(objects["first"][row]),
            end_time=float(objects["last"][row]) if kind is EventType.END else None,
            box=pixels(objects["box"][row], self.scale),
            zones=story.zones,
            entered_zones=story.entered,
            stationary=bool(self._stationary.still[row]),
            path=self._paths.of(row, self._objects),
            track_id=int(objects["track"][row]),
            has_snapshot=self._views.quality(row) > 0,
            number=story.told,
        )
