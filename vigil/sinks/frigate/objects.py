"""Events as Frigate tells of tracked objects: the state before and after, in one message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vigil.core.events import EventType

if TYPE_CHECKING:
    from vigil.core.events import Box, Event
    from vigil.core.types import SnapshotTaken

Payload = dict[str, Any]


@dataclass(slots=True)
class _Open:
    """An object that is in the picture, as it was told of last."""

    said: Payload
    position_changes: int
    snapshot: Payload
    has_snapshot: bool


class Objects:
    """Remembers what was said of each object until it is gone."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._sizes: dict[str, tuple[int, int]] = {}

    def measure(self, camera: str, width: int, height: int) -> None:
        """Note the size of a camera's frames."""
        self._sizes[camera] = (width, height)

    def take(self, event: Event) -> Payload:
        """Return the message about an event."""
        known = self._open.get(event.id)
        after = self._after(event, known)
        before = after if known is None else known.said
        if event.type is EventType.END:
            self._open.pop(event.id, None)
        else:
            self._open[event.id] = _Open(
                after, after["position_changes"], after["snapshot"], after["has_snapshot"]
            )
        return {"type": event.type.value, "before": before, "after": after}

    def last_words(self, event: Event) -> Payload | None:
        """Return what ends an event that was just taken if nothing more is heard of it."""
        known = self._open.get(event.id)
        if known is None:
            return None
        return {"type": EventType.END.value, "before": known.said, "after": self._after(event.ended(), known)}

    def pictured(self, picture: SnapshotTaken) -> Payload | None:
        """Return the message about an object's first picture; later ones come with its events."""
        known = self._open.get(picture.event_id)
        if known is None:
            return None
        known.snapshot = {**known.snapshot, "frame_time": picture.taken_at}
        first, known.has_snapshot = not known.has_snapshot, True
        if not first:
            return None
        before = known.said
        known.said = {**before, "snapshot": known.snapshot, "has_snapshot": True}
        return {"type": EventType.UPDATE.value, "before": before, "after": known.said}

    def forget(self, camera: str) -> None:
        """Forget a camera that is gone."""
        self._sizes.pop(camera, None)

    def _after(self, event: Event, known: _Open | None) -> Payload:
        box, frame_time = [round(side) for side in event.box], _frame_time(event)
        region = [0, 0, *self._sizes.get(event.camera, (box[2], box[3]))]
        return {
            "id": event.id,
            "camera": event.camera,
            "frame_time": frame_time,
            "snapshot": self._snapshot(event, known, region, frame_time),
            "label": event.label,
            "sub_label": None,
            "top_score": round(event.top_score, 4),
            "false_positive": False,
            "start_time": event.start_time,
            "end_time": event.end_time,
            "score": round(event.score, 4),
            "box": box,
            "area": _area(event.box),
            "ratio": _ratio(event.box),
            "region": region,
            "active": not event.stationary,
            "stationary": event.stationary,
            "motionless_count": int(event.stationary),
            "position_changes": _position_changes(event, known),
            "current_zones": list(event.zones),
            "entered_zones": list(event.entered_zones),
            "has_clip": event.has_clip,
            "has_snapshot": event.has_snapshot or (known is not None and known.has_snapshot),
            "thumbnail": None,
            "attributes": {},
            "current_attributes": [],
            "current_estimated_speed": 0,
            "average_estimated_speed": 0,
            "velocity_angle": 0,
            "recognized_license_plate": None,
            "recognized_license_plate_score": None,
        }

    def _snapshot(self, event: Event, known: _Open | None, region: list[int], frame_time: float) -> Payload:
        """Return when and where the object was seen best so far."""
        if known is not None and event.top_score <= known.said["top_score"]:
            return known.snapshot
        return {
            "frame_time": frame_time,
            "box": [round(side) for side in event.box],
            "area": _area(event.box),
            "region": region,
            "score": round(event.score, 4),
            "attributes": [],
        }


def _frame_time(event: Event) -> float:
    if event.end_time is not None:
        return event.end_time
    return event.path[-1].time if event.path else event.start_time


def _position_changes(event: Event, known: _Open | None) -> int:
    """Return how often an object began to move: when it came, and whenever it had stood still."""
    if known is None:
        return int(not event.stationary)
    return known.position_changes + int(known.said["stationary"] and not event.stationary)


def _area(box: Box) -> int:
    return round(box[2] - box[0]) * round(box[3] - box[1])


def _ratio(box: Box) -> float:
    """Return width over height."""
    return round((box[2] - box[0]) / max(1.0, box[3] - box[1]), 3)
