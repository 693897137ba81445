"""Reviews as Frigate has them: a stretch of time in which something moves in a camera's picture."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vigil.core.events import EventType, ulid

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.core.events import Event

ALERTS = frozenset({"person", "car"})
"""Labels that make a review an alert, as in Frigate without settings; all others make it a detection."""

NOTHING = "NONE"


@dataclass(slots=True)
class _Review:
    """One stretch of time, from the first object that moves to the last."""

    id: str
    camera: str
    start_time: float
    severity: str = "detection"
    detections: list[str] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    zones: list[str] = field(default_factory=list)
    moving: set[str] = field(default_factory=set)
    """Ids of the events whose objects move."""

    def payload(self, end_time: float | None = None) -> dict[str, Any]:
        """Return what is said of it."""
        return {
            "id": self.id,
            "camera": self.camera,
            "start_time": self.start_time,
            "end_time": end_time,
            "severity": self.severity,
            "thumb_path": "",
            "data": {
                "detections": list(self.detections),
                "objects": list(self.objects),
                "sub_labels": [],
                "zones": list(self.zones),
                "audio": [],
            },
        }

    def add(self, event: Event) -> None:
        """Take in what an event tells."""
        if event.type is EventType.END or event.stationary:
            self.moving.discard(event.id)
        else:
            self.moving.add(event.id)
        _add(self.detections, event.id)
        _add(self.objects, event.label)
        for zone in event.entered_zones:
            _add(self.zones, zone)
        if event.label in ALERTS:
            self.severity = "alert"


class Reviews:
    """Opens and closes a review per camera, by its events."""

    def __init__(self, random_bits: Callable[[int], int] = secrets.randbits) -> None:
        self._random_bits = random_bits
        self._open: dict[str, _Review] = {}

    def status(self, camera: str) -> str:
        """Return `NONE`, `DETECTION` or `ALERT`."""
        review = self._open.get(camera)
        return NOTHING if review is None else review.severity.upper()

    def take(self, event: Event) -> dict[str, Any] | None:
        """Return the message about a review that an event begins, changes or ends."""
        review = self._open.get(event.camera)
        if review is None:
            return self._begin(event)
        if event.id not in review.detections and (event.stationary or event.type is EventType.END):
            return None  # a parked car is no part of what happens
        before = review.payload()
        review.add(event)
        if not review.moving:
            del self._open[event.camera]
            ended = event.end_time if event.end_time is not None else _last_seen(event)
            return {"type": EventType.END.value, "before": before, "after": review.payload(ended)}
        after = review.payload()
        return None if after == before else {"type": EventType.UPDATE.value, "before": before, "after": after}

    def last_words(self, told: dict[str, Any], event: Event) -> dict[str, Any] | None:
        """Return what ends a review of which that was just told if nothing more is heard of it."""
        after = told["after"]
        if after["end_time"] is not None:
            return None
        return {
            "type": EventType.END.value,
            "before": after,
            "after": {**after, "end_time": _last_seen(event)},
        }

    def _begin(self, event: Event) -> dict[str, Any] | None:
        if event.stationary or event.type is EventType.END:
            return None
        since = _last_seen(event) if event.type is EventType.UPDATE else event.start_time
        review = _Review(ulid(since, self._random_bits), event.camera, since)
        self._open[event.camera] = review
        review.add(event)
        payload = review.payload()
        return {"type": EventType.NEW.value, "before": payload, "after": payload}


def _last_seen(event: Event) -> float:
    return event.path[-1].time if event.path else event.start_time


def _add(there: list[str], what: str) -> None:
    if what not in there:
        there.append(what)
