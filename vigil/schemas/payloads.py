"""The JSON Schema of every payload. Integration tests hold all that vigil says against them."""

from __future__ import annotations

from typing import Any

from vigil.core.events import EventType
from vigil.core.settings import BOUNDS
from vigil.core.types import CameraState, CameraStatus, Condition, Setting
from vigil.schemas.shapes import (
    Schema,
    nullable,
    number,
    record,
    several,
    table,
    text,
    truth,
    whole,
    word,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"

_NAME = "^[a-z0-9_-]+$"
_SWITCH = ("ON", "OFF")

_MODEL = {
    "model": text("The weights' name."),
    "engine": text("The runtime and device that run them."),
    "why": text("Why it is that engine."),
}
_BOX = record(
    "Whole pixels of the camera's frame, from its upper left corner.",
    x1={"type": "integer", "description": "Left."},
    y1={"type": "integer", "description": "Top."},
    x2={"type": "integer", "description": "Right."},
    y2={"type": "integer", "description": "Bottom."},
)
_ZONES = text("A zone's name.")


def _decimal(setting: Setting) -> Schema:
    """Return the text of a setting's number; bounds are in words, for text has none."""
    bounds = BOUNDS[setting]
    return {
        "type": "string",
        "description": f"{str(bounds).capitalize()}.",
        "pattern": r"^\d+(\.\d+)?(e-\d+)?$",
    }


PAYLOADS: dict[str, Schema] = {
    "presence": word("Whether vigil runs; `offline` is the last will too.", ("online", "offline")),
    "info": record(
        "What runs here.",
        version=text("vigil's version."),
        **_MODEL,
        models=table(
            "More models by their names in the configuration.", record("One model.", **_MODEL), _NAME
        ),
        cameras=several("Names of the cameras.", text("A camera's name.")),
        profiles=several("Names of the profiles.", text("A profile's name.")),
    ),
    "stats": record(
        "How all of vigil did lately.",
        version=text("vigil's version."),
        uptime=whole("Seconds since the start."),
        saturation=number("Engine time that cameras ask for over what there is; over 1 they get less."),
        inferences_per_second=number("Inferred frames per second of all cameras together."),
        cameras=table(
            "By camera.",
            record(
                "One camera.",
                capture_fps=number("Frames per second from the camera, over ten seconds."),
                inference_fps=number("Inferred frames per second, over ten seconds."),
                target_fps=number("Inferred frames per second that are asked for; 0 where detection is off."),
                latency_p50=nullable(
                    number(
                        "Median, since the last report, of the seconds from a frame's arrival to its result."
                    )
                ),
                latency_p95=nullable(number("The 95th percentile of the same; null without results.")),
                codec=text("How its stream is coded, such as `h264`; empty where nobody knows."),
                width=whole("Pixels per row of its pictures; 0 before the first one."),
                height=whole("Rows of its pictures."),
            ),
            _NAME,
        ),
    ),
    "profile": text("A profile's name, or `none`."),
    "profile_wish": text("A profile's name, `auto` (what the schedules say) or `none`."),
    "status": word("Whether the camera is there: `online`, `offline` or `disabled`.", CameraStatus),
    "health": record(
        "How a camera is.",
        state=word("Where it is in its life.", CameraState),
        reason=text("A word such as `refused` while it is away, `stopped` after a clean stop, else empty."),
        picture=word("What its picture is like.", Condition),
    ),
    "switch": word("Whether something is on.", _SWITCH),
    "confidence": _decimal(Setting.CONFIDENCE),
    "fps": _decimal(Setting.FPS),
    "objects": table(
        "How many of each label are in view; labels of which there are none are left out.",
        whole("The count.", 1),
    ),
    "count": {"type": "string", "description": "How many there are, `0` included.", "pattern": r"^\d+$"},
    "crossings": record(
        "How many ever crossed a line.",
        **{
            "in": whole("From its left to its right, seen along `from` to `to`."),
            "out": whole("The other way."),
        },
    ),
    "event": record(
        "One object's stay in one camera's picture, as known at one moment.",
        id=text("A ULID; the same from `new` to `end`."),
        type=word("`new`, any number of `update`, one `end`.", EventType),
        camera=text("The camera's name."),
        label=text("The object's class, as the model spells it."),
        score=number("Confidence of the latest detection.", 0, 1),
        top_score=number("The highest confidence so far.", 0, 1),
        start_time=number("When it was first seen, in Unix seconds."),
        end_time=nullable(number("When it was last seen; null until the end.")),
        bbox=_BOX,
        zones=several("Zones that it is in now.", _ZONES),
        entered_zones=several("Zones that it has been in, in the order of entering.", _ZONES),
        stationary=truth("Whether it stays in one place."),
        path=several(
            "Where it stood: Unix seconds, and x and y in fractions of the frame.",
            {"type": "array", "items": {"type": "number"}, "minItems": 3, "maxItems": 3},
        ),
        track_id=whole("The track that shows it now."),
        has_snapshot=truth("Whether there is a picture of it."),
        has_clip=truth("Whether there is a recording of it."),
        message_id=text("The same in every delivery of one message: drop what you have had already."),
    ),
    "detections": record(
        "The boxes of one inferred frame.",
        camera=text("The camera's name."),
        seq=whole("The frame's number among the camera's decoded frames since vigil started."),
        captured_at=number("When its packet arrived, in Unix seconds."),
        published_at=number("When this message was made."),
        width=whole("Pixels per row of the frame.", 1),
        height=whole("Rows of the frame.", 1),
        model=text("The weights' name."),
        count=whole("How many detections follow."),
        detections=several(
            "The boxes.",
            record(
                "One box.",
                label=text("The class, as the model spells it."),
                class_id=whole("The class's number in the model."),
                confidence=number("How sure the model is.", 0, 1),
                bbox=_BOX,
                track_id=nullable(
                    whole("Its track, never used twice while vigil runs; null of a box that no track owns.")
                ),
                zones=several("Zones that its object is in.", _ZONES),
            ),
        ),
    ),
    "picture": {
        "type": "string",
        "format": "binary",
        "description": "A JPEG.",
        "contentMediaType": "image/jpeg",
    },
}
"""By the names that `topics` uses."""


def event_schema() -> dict[str, Any]:
    """Return the JSON Schema of an event, alone."""
    return {"$schema": DIALECT, "title": "vigil event", **PAYLOADS["event"]}
