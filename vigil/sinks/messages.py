"""What is said on MQTT: topics and payloads of the contract in DESIGN section 6, made from bus messages."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from vigil import __version__
from vigil.core.events import EventType
from vigil.core.settings import WORDS, camera_command, payload_of, value_of_payload
from vigil.core.types import (
    MAIN_MODEL,
    UNTRACKED,
    CameraState,
    ProfileCommand,
    Setting,
    topic_label,
)
from vigil.sinks.dialect import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vigil.core.events import Event, Totals
    from vigil.core.types import (
        CameraHealth,
        CameraStats,
        Command,
        LiveView,
        Loaded,
        Result,
        StatsReport,
        Tuning,
    )


class Messages:
    """Makes messages under one topic prefix."""

    def __init__(self, prefix: str, loaded: Mapping[str, Loaded]) -> None:
        """Tell of the models in service, `loaded` by their names in the configuration."""
        self._prefix = prefix
        self._loaded = loaded

    def daemon_status(self, *, online: bool) -> Message:
        """Return `<prefix>/status`, which is the last will too."""
        return Message(f"{self._prefix}/status", b"online" if online else b"offline", qos=1, retain=True)

    def info(self, cameras: Iterable[str], profiles: Iterable[str] = ()) -> Message:
        """Return `<prefix>/info`: what runs here."""
        about = {
            "version": __version__,
            **asdict(self._loaded[MAIN_MODEL]),
            "models": {name: asdict(each) for name, each in self._loaded.items() if name != MAIN_MODEL},
            "cameras": list(cameras),
            "profiles": list(profiles),
        }
        return Message(f"{self._prefix}/info", _json(about), retain=True)

    def stats(self, report: StatsReport) -> Message:
        """Return `<prefix>/stats`: how all of vigil did lately."""
        payload = {
            "version": __version__,
            "uptime": round(report.uptime),
            "saturation": round(report.saturation, 4),
            "inferences_per_second": round(report.inferences_per_second, 2),
            "cameras": {name: _camera_stats(stats) for name, stats in report.cameras.items()},
        }
        return Message(f"{self._prefix}/stats", _json(payload), retain=True)

    def profile(self, active: str | None) -> Message:
        """Return `<prefix>/profile/state`: the profile that is in force."""
        return Message(f"{self._prefix}/profile/state", (active or "none").encode(), qos=1, retain=True)

    def camera_health(self, health: CameraHealth) -> list[Message]:
        """Return `<prefix>/<camera>/status`, the details in `health`, and the switch's `enabled/state`."""
        base = f"{self._prefix}/{health.camera}"
        details = {
            "state": health.state.value,
            "reason": health.reason,
            "picture": health.condition.value,
        }
        enabled = b"OFF" if health.state is CameraState.DISABLED else b"ON"
        return [
            Message(f"{base}/status", health.status.value.encode(), qos=1, retain=True),
            Message(f"{base}/health", _json(details), qos=1, retain=True),
            Message(f"{base}/enabled/state", enabled, qos=1, retain=True),
        ]

    def settings(self, camera: str, tuning: Tuning) -> list[Message]:
        """Return `<prefix>/<camera>/<setting>/state` of every setting."""
        return [
            Message(
                f"{self._prefix}/{camera}/{setting}/state",
                payload_of(getattr(tuning, setting)),
                1,
                retain=True,
            )
            for setting in Setting
        ]

    @property
    def commands(self) -> list[str]:
        """The topic filters under which commands to cameras arrive."""
        return [f"{self._prefix}/+/{word}/set" for word in WORDS]

    @property
    def profile_command(self) -> str:
        """The topic on which a profile is asked for."""
        return f"{self._prefix}/profile/set"

    def command(self, topic: str, payload: bytes) -> Command | None:
        """Return what a message asks for, if it is a command at all.

        Raises `ValueError` that says what would be right.
        """
        if topic == self.profile_command:
            return _profile_command(payload)
        camera, word, verb = [*topic.removeprefix(f"{self._prefix}/").split("/"), "", ""][:3]
        if topic != f"{self._prefix}/{camera}/{word}/{verb}" or verb != "set" or word not in WORDS:
            return None
        return camera_command(camera, word, value_of_payload(word, payload))

    def objects(self, camera: str, counts: Mapping[str, int]) -> list[Message]:
        """Return the counts of all labels in one message, and each label's in its own."""
        base = f"{self._prefix}/{camera}/objects"
        present = {topic_label(label): count for label, count in counts.items()}
        return [
            Message(base, _json({label: count for label, count in present.items() if count}), 1, retain=True),
            *(
                Message(f"{base}/{label}", str(count).encode(), 1, retain=True)
                for label, count in present.items()
            ),
        ]

    def zones(self, camera: str, zones: Mapping[str, Mapping[str, int]]) -> list[Message]:
        """Return the count of each label in each zone."""
        base = f"{self._prefix}/{camera}/zones"
        return [
            Message(f"{base}/{zone}/{topic_label(label)}", str(n).encode(), 1, retain=True)
            for zone, labels in zones.items()
            for label, n in labels.items()
        ]

    def lines(self, camera: str, totals: Totals) -> list[Message]:
        """Return how many of each label have ever crossed each line, in and out."""
        return [
            Message(
                f"{self._prefix}/{camera}/lines/{line}/{topic_label(label)}",
                _json({"in": crossings.inwards, "out": crossings.outwards}),
                1,
                retain=True,
            )
            for line, labels in totals.lines.items()
            for label, crossings in labels.items()
        ]

    def motion(self, camera: str, *, on: bool) -> Message:
        """Return whether anything moves."""
        return Message(f"{self._prefix}/{camera}/motion", b"ON" if on else b"OFF", 1, retain=True)

    def snapshot(self, camera: str, label: str, jpeg: bytes) -> Message:
        """Return the best view of the latest event of a label; no bytes take it back."""
        return Message(f"{self._prefix}/{camera}/{topic_label(label)}/snapshot", jpeg, retain=True)

    def live(self, view: LiveView) -> Message:
        """Return what a camera sees now."""
        return Message(f"{self._prefix}/{view.camera}/live", view.jpeg)

    def event(self, event: Event) -> Message:
        """Return an event as it is now: `new`, `update` or `end`."""
        last = None if event.type is EventType.END else _json(_event(event.ended()))
        return Message(
            f"{self._prefix}/{event.camera}/events",
            _json(_event(event)),
            qos=1,
            durable=True,
            story=f"vigil/{event.id}",
            last_words=last,
        )

    def detections(self, result: Result) -> Message:
        """Return the boxes of one inferred frame."""
        detections = result.detections
        boxes = detections.xyxy.round().astype(int).tolist()
        payload = {
            "camera": result.camera,
            "seq": result.seq,
            "captured_at": round(result.captured_at, 4),
            "published_at": round(time.time(), 4),
            "width": result.width,
            "height": result.height,
            "model": result.model.name,
            "count": len(boxes),
            "detections": [
                {
                    "label": result.model.names[class_id],
                    "class_id": class_id,
                    "confidence": confidence,
                    "bbox": {"x1": box[0], "y1": box[1], "x2": box[2], "y2": box[3]},
                    "track_id": None if track == UNTRACKED else track,
                    "zones": zones,
                }
                for box, confidence, class_id, track, zones in zip(
                    boxes,
                    detections.confidence.astype(np.float64).round(4).tolist(),
                    detections.class_id.tolist(),
                    detections.tracker_id.tolist(),
                    result.detection_zones or [()] * len(boxes),
                    strict=True,
                )
            ],
        }
        return Message(f"{self._prefix}/{result.camera}/detections", _json(payload))


def _camera_stats(stats: CameraStats) -> dict[str, Any]:
    return {
        name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(stats).items()
    }


def _event(event: Event) -> dict[str, Any]:
    x1, y1, x2, y2 = (round(side) for side in event.box)
    return {
        "id": event.id,
        "message_id": f"{event.id}-{event.number}",
        "type": event.type.value,
        "camera": event.camera,
        "label": event.label,
        "score": round(event.score, 4),
        "top_score": round(event.top_score, 4),
        "start_time": round(event.start_time, 4),
        "end_time": None if event.end_time is None else round(event.end_time, 4),
        "bbox": {"x1": x1, "y1": y1, "x2": x2, "y2": y2},
        "zones": event.zones,
        "entered_zones": event.entered_zones,
        "stationary": event.stationary,
        "path": [[round(point.time, 3), round(point.x, 4), round(point.y, 4)] for point in event.path],
        "track_id": event.track_id,
        "has_snapshot": event.has_snapshot,
        "has_clip": event.has_clip,
    }


def _profile_command(payload: bytes) -> ProfileCommand:
    try:
        return ProfileCommand(payload.decode())
    except UnicodeDecodeError:
        raise ValueError("a profile's name, auto or none is wanted") from None


def _json(value: Mapping[str, Any]) -> bytes:
    return orjson.dumps(value)
