"""Every topic of vigil's own: what is said there, how, and what may be asked for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from vigil.core.settings import BOUNDS, ENABLED, WORDS
from vigil.core.types import Setting
from vigil.schemas.payloads import DIALECT, PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "vigil"
"""`mqtt.topic_prefix`, unless somebody changes it."""

Content: TypeAlias = Literal["text/plain", "application/json", "image/jpeg"]

PARAMETERS: Mapping[str, str] = {
    "camera": "A camera's name: a-z, 0-9, _ and -.",
    "label": "A class of the model, its spaces as _ (`cell_phone`).",
    "zone": "A zone's name.",
    "line": "A line's name.",
}


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic under the prefix, with `<names>` in it; `payload` is the name of its schema."""

    path: str
    payload: str
    content: Content
    qos: int
    retained: bool
    meaning: str
    """In Markdown, for the reference page."""
    asked: bool = False
    """Whether vigil hears it, instead of saying it."""

    @property
    def parameters(self) -> list[str]:
        """The names in its path."""
        return re.findall(r"<(\w+)>", self.path)

    def fits(self, path: str) -> bool:
        """Tell whether a path, without the prefix, is of this topic."""
        pattern = re.sub(r"\\?<\w+\\?>", "[^/+#]+", re.escape(self.path))
        return re.fullmatch(pattern, path) is not None


def _said(path: str, payload: str, qos: int, meaning: str, *, retained: bool = True) -> Topic:
    kinds: Mapping[str, Content] = {"object": "application/json"}
    content: Content = (
        "image/jpeg" if payload == "picture" else kinds.get(PAYLOADS[payload]["type"], "text/plain")
    )
    return Topic(path, payload, content, qos, retained, meaning)


def _asked(path: str, payload: str, meaning: str) -> Topic:
    return Topic(path, payload, "text/plain", 1, retained=False, meaning=meaning, asked=True)


_STATES = {
    ENABLED: "`ON`, `OFF`: whether the camera is wanted",
    Setting.DETECT: "`ON`, `OFF`: whether its frames are looked at",
    Setting.MOTION: "`ON`, `OFF`: whether motion is looked for",
    Setting.CONFIDENCE: "a number: the least confidence, of classes that have none of their own",
    Setting.FPS: "a number: frames to be looked at per second",
}
_WISHES = {
    ENABLED: "`ON` watches the camera, `OFF` stops watching it",
    Setting.DETECT: "`ON` looks at its frames, `OFF` does not: events end and counts are 0",
    Setting.MOTION: "`ON` looks for motion, `OFF` does not: `motion` is `OFF`, and no frame is spared",
    Setting.CONFIDENCE: f"{BOUNDS[Setting.CONFIDENCE]}, for classes that have no confidence of their own",
    Setting.FPS: str(BOUNDS[Setting.FPS]),
}

TOPICS: tuple[Topic, ...] = (
    _said("status", "presence", 1, "`online`, `offline`; `offline` is also the last will"),
    _said("info", "info", 0, "JSON: [what runs here](#info)"),
    _said("stats", "stats", 0, "JSON, every 30 s: [rates, latencies, formats](#stats) of all cameras"),
    _said("profile/state", "profile", 1, "the [profile](../guide/profiles.md) in force: its name, or `none`"),
    _said("<camera>/status", "status", 1, "`online`, `offline`, `disabled`"),
    _said("<camera>/health", "health", 1, "JSON: [`state`, `reason`, `picture`](#health)"),
    *(
        _said(f"<camera>/{word}/state", word if word in BOUNDS else "switch", 1, _STATES[word])
        for word in WORDS
    ),
    _said(
        "<camera>/objects",
        "objects",
        1,
        'JSON, the labels in view and how many: `{"person":2}`; `{}` for none',
    ),
    _said("<camera>/objects/<label>", "count", 1, "the count as a number, `0` included"),
    _said("<camera>/zones/<zone>/<label>", "count", 1, "the count in the zone, `0` included"),
    _said(
        "<camera>/lines/<line>/<label>",
        "crossings",
        1,
        'JSON, how many ever crossed: `{"in":3,"out":1}`; goes on after a restart',
    ),
    _said("<camera>/motion", "switch", 1, "`ON`, `OFF`: whether anything moves in the picture"),
    _said("<camera>/events", "event", 1, "JSON for every [event](#events)", retained=False),
    _said(
        "<camera>/detections", "detections", 0, "JSON for every [inferred frame](#detections)", retained=False
    ),
    _said(
        "<camera>/<label>/snapshot",
        "picture",
        0,
        "JPEG: the [best view](#snapshots) of the latest event of the label",
    ),
    _said(
        "<camera>/live",
        "picture",
        0,
        "JPEG: what the camera sees, every `snapshots.live`",
        retained=False,
    ),
    *(_asked(f"<camera>/{word}/set", word if word in BOUNDS else "switch", _WISHES[word]) for word in WORDS),
    _asked("profile/set", "profile_wish", "a profile's name, `auto` (what the schedules say) or `none`"),
)
"""The first that fits a path is the one: names that nobody would choose can make two of them fit."""


def topic_of(path: str) -> Topic | None:
    """Return what is said on a path, given without the prefix; `None` if it is no topic of vigil."""
    return next((topic for topic in TOPICS if topic.fits(path)), None)


def mqtt_schema(prefix: str = PREFIX) -> dict[str, Any]:
    """Return the JSON Schemas of all payloads in one document, and the topics that carry them."""
    return {
        "$schema": DIALECT,
        "title": "vigil MQTT payloads",
        "description": "A payload of text/plain is a string. `x-topics` tells which topic carries which.",
        "x-topics": {
            f"{prefix}/{topic.path}": {
                "$ref": f"#/$defs/{topic.payload}",
                "contentType": topic.content,
                "qos": topic.qos,
                "retain": topic.retained,
                "direction": "to vigil" if topic.asked else "from vigil",
            }
            for topic in TOPICS
        },
        "$defs": PAYLOADS,
    }
