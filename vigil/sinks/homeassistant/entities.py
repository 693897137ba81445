"""Which entities a camera has in Home Assistant, and which vigil itself: what they read, command and show.

Nothing here knows how they are announced. Every option has the name that Home Assistant's documentation of
the platform gives it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vigil.core.events import EventType
from vigil.core.types import CameraState, Setting, topic_label
from vigil.sinks.homeassistant.naming import ident, title

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator, Mapping

    from vigil.core.types import CameraIntroduced

MANY = 10
"""Labels past which only those get entities that were seen at least once: a model's 80 would flood people."""

_ICONS = {
    "person": "account",
    "car": "car",
    "truck": "truck",
    "bus": "bus",
    "motorcycle": "motorbike",
    "bicycle": "bicycle",
    "dog": "dog",
    "cat": "cat",
    "bird": "bird",
    "horse": "horse",
    "sheep": "sheep",
    "cow": "cow",
    "boat": "sail-boat",
    "train": "train",
    "airplane": "airplane",
}
_CONFIG, _DIAGNOSTIC = {"entity_category": "config"}, {"entity_category": "diagnostic"}
_MEASURED = {"state_class": "measurement"}
_EVENT = (
    "{{ {'event_type': value_json.type, 'id': value_json.id, 'label': value_json.label, "
    "'score': value_json.score, 'top_score': value_json.top_score, 'zones': value_json.zones, "
    "'entered_zones': value_json.entered_zones, 'stationary': value_json.stationary, "
    "'start_time': value_json.start_time, 'end_time': value_json.end_time, "
    "'has_snapshot': value_json.has_snapshot, 'has_clip': value_json.has_clip} | to_json }}"
)
"""Home Assistant asks for JSON with `event_type`; the path and the box would only fill its database."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One entity; `name` is shown behind its device's."""

    platform: str
    name: str
    options: Mapping[str, Any]
    needs_camera: bool = True
    """Whether it is unavailable while its camera is away; everything is while vigil is."""
    needs_vigil: bool = True


def of_daemon(prefix: str, profiles: Iterable[str]) -> dict[str, Entity]:
    """Return vigil's own entities by key."""
    info, stats = f"{prefix}/info", f"{prefix}/stats"
    found = {
        "status": _connectivity(f"{prefix}/status", needs_vigil=False),
        "model": _sensor("Model", info, "value_json.model", icon="mdi:brain", **_DIAGNOSTIC),
        "engine": _sensor("Engine", info, "value_json.engine", icon="mdi:chip", **_DIAGNOSTIC),
        "saturation": _sensor(
            "Saturation",
            stats,
            "(value_json.saturation * 100) | round(1)",
            unit_of_measurement="%",
            icon="mdi:gauge",
            **_MEASURED,
            **_DIAGNOSTIC,
        ),
        "inferences": _sensor(
            "Inferences",
            stats,
            "value_json.inferences_per_second | round(1)",
            unit_of_measurement="1/s",
            icon="mdi:speedometer",
            **_MEASURED,
            **_DIAGNOSTIC,
        ),
    }
    if names := tuple(profiles):
        found["profile"] = Entity(
            "select",
            "Profile",
            {
                "state_topic": f"{prefix}/profile/state",
                "command_topic": f"{prefix}/profile/set",
                "options": ["auto", "none", *names],
                "icon": "mdi:theme-light-dark",
            },
        )
    return found


def of_camera(
    prefix: str, camera: CameraIntroduced, seen: Container[str], *, live: bool
) -> dict[str, Entity]:
    """Return a camera's entities by key.

    Of more than `MANY` labels only those whose key is in `seen` have any. `live` is whether live pictures
    are wanted, where there are any.
    """
    base = f"{prefix}/{camera.camera}"
    found = {
        **_condition(base),
        **_settings(base),
        **_diagnostics(prefix, camera.camera),
        **_objects(base, camera, seen),
        **_places(base, camera, seen),
    }
    if live and camera.live:
        found["live"] = Entity("camera", "Live", {"topic": f"{base}/live"})
    return found


def _objects(base: str, camera: CameraIntroduced, seen: Container[str]) -> dict[str, Entity]:
    """Return what there is of each label in the whole picture."""
    found: dict[str, Entity] = {}
    for label in camera.counts:
        if _shown(object_key(label), camera.counts, seen):
            found |= _counted(f"{base}/objects", "", label, "")
            if camera.snapshots:
                found[f"image_{ident(topic_label(label))}"] = _image(base, label)
    return found


def _places(base: str, camera: CameraIntroduced, seen: Container[str]) -> dict[str, Entity]:
    """Return what there is of each label in zones and at lines."""
    found: dict[str, Entity] = {}
    for zone, counts in camera.zones.items():
        for label in counts:
            if _shown(zone_key(zone, label), counts, seen):
                found |= _counted(f"{base}/zones/{zone}", f"zone_{zone}_OF_", label, f"{title(zone)} ")
    for line, crossings in camera.totals.lines.items():
        for label in crossings:
            if _shown(line_key(line, label), crossings, seen):
                found |= _crossed(f"{base}/lines/{line}", line, label)
    return found


def newly_seen(camera: CameraIntroduced) -> Iterator[str]:
    """Yield the keys of what a camera has seen, as far as it decides on entities."""
    if len(camera.counts) > MANY:
        yield from (object_key(label) for label, count in camera.counts.items() if count)
    for zone, labels in camera.zones.items():
        if len(labels) > MANY:
            yield from (zone_key(zone, label) for label, count in labels.items() if count)
    for line, crossings in camera.totals.lines.items():
        if len(crossings) > MANY:
            yield from (
                line_key(line, label) for label, each in crossings.items() if each.inwards or each.outwards
            )


def object_key(label: str) -> str:
    """Return the key of a label's count."""
    return f"objects_{ident(topic_label(label))}"


def zone_key(zone: str, label: str) -> str:
    """Return the key of a label's count in a zone.

    Zones and lines have no capitals in their names, so `OF` tells where they end.
    """
    return f"zone_{zone}_OF_{object_key(label)}"


def line_key(line: str, label: str) -> str:
    """Return the key of who crossed a line inwards."""
    return f"line_{line}_OF_in_{ident(topic_label(label))}"


def _shown(key: str, labels: Iterable[str], seen: Container[str]) -> bool:
    return len(tuple(labels)) <= MANY or key in seen


def _condition(base: str) -> dict[str, Entity]:
    """Return whether a camera is there, what is wrong with it, and what goes on in general."""
    health = f"{base}/health"
    return {
        "status": _connectivity(f"{base}/status"),
        "state": Entity(
            "sensor",
            "State",
            {
                "state_topic": health,
                "value_template": "{{ value_json.state }}",
                "json_attributes_topic": health,
                "device_class": "enum",
                "options": [state.value for state in CameraState],
                "icon": "mdi:cctv",
                **_DIAGNOSTIC,
            },
            needs_camera=False,
        ),
        "problem": Entity(
            "binary_sensor",
            "Picture",
            {
                "state_topic": health,
                "value_template": "{{ 'OFF' if value_json.picture == 'ok' else 'ON' }}",
                "json_attributes_topic": health,
                "device_class": "problem",
                **_DIAGNOSTIC,
            },
        ),
        "motion": Entity(
            "binary_sensor", "Motion", {"state_topic": f"{base}/motion", "device_class": "motion"}
        ),
        "events": Entity(
            "event",
            "Object",
            {
                "state_topic": f"{base}/events",
                "event_types": [kind.value for kind in EventType],
                "value_template": _EVENT,
                "icon": "mdi:motion-sensor",
            },
            needs_camera=False,
        ),
    }


def _settings(base: str) -> dict[str, Entity]:
    """Return switches and numbers; they can be set while the camera is away."""
    confidence = {"min": 0.01, "max": 1, "step": 0.01, "mode": "slider", "icon": "mdi:target"}
    fps = {"min": 0.1, "max": 60, "step": 0.1, "mode": "box", "unit_of_measurement": "fps"}
    return {
        "enabled": _commanded(base, "switch", "enabled", {"name": "Enabled", "icon": "mdi:video"}),
        "detect": _commanded(
            base, "switch", Setting.DETECT, {"name": "Detection", "icon": "mdi:eye", **_CONFIG}
        ),
        "motion_switch": _commanded(
            base, "switch", Setting.MOTION, {"name": "Motion detection", "icon": "mdi:motion", **_CONFIG}
        ),
        "confidence": _commanded(
            base, "number", Setting.CONFIDENCE, {"name": "Confidence", **confidence, **_CONFIG}
        ),
        "fps": _commanded(
            base,
            "number",
            Setting.FPS,
            {"name": "Detection rate", "icon": "mdi:speedometer", **fps, **_CONFIG},
        ),
    }


def _commanded(base: str, platform: str, setting: str, options: Mapping[str, Any]) -> Entity:
    topics = {"state_topic": f"{base}/{setting}/state", "command_topic": f"{base}/{setting}/set"}
    rest = {key: value for key, value in options.items() if key != "name"}
    return Entity(platform, options["name"], {**topics, **rest}, needs_camera=False)


def _diagnostics(prefix: str, camera: str) -> dict[str, Entity]:
    """Return how a camera did lately; one that the report leaves out is unknown."""

    def told(key: str) -> str:
        return f"value_json.cameras.get('{camera}', {{}}).get('{key}')"

    def number(name: str, key: str, unit: str, *, factor: int = 1, places: int = 1) -> Entity:
        value = f"({told(key)} * {factor}) | round({places}) if {told(key)} is number else None"
        return _sensor(
            name,
            f"{prefix}/stats",
            value,
            unit_of_measurement=unit,
            icon="mdi:speedometer",
            **_MEASURED,
            **_DIAGNOSTIC,
        )

    codec = f"{told('codec')} or None"
    return {
        "capture_fps": number("Capture rate", "capture_fps", "fps"),
        "inference_fps": number("Inference rate", "inference_fps", "fps"),
        "latency": number("Latency", "latency_p95", "ms", factor=1000, places=0),
        "codec": _sensor(
            "Codec", f"{prefix}/stats", codec, icon="mdi:video-box", enabled_by_default=False, **_DIAGNOSTIC
        ),
    }


def _counted(topic: str, prefix: str, label: str, place: str) -> dict[str, Entity]:
    """Return how many of a label are somewhere, and whether there are any."""
    key = ident(topic_label(label))
    reads = {"state_topic": f"{topic}/{topic_label(label)}", "icon": _icon(label)}
    name = f"{place}{title(label)}" if not place else f"{place}{title(label).lower()}"
    return {
        f"{prefix}objects_{key}": Entity("sensor", f"{name} count", {**reads, **_MEASURED}),
        f"{prefix}occupancy_{key}": Entity(
            "binary_sensor",
            f"{name} occupancy",
            {
                **reads,
                "value_template": "{{ 'ON' if value | int(0) > 0 else 'OFF' }}",
                "device_class": "occupancy",
            },
        ),
    }


def _crossed(topic: str, line: str, label: str) -> dict[str, Entity]:
    """Return how many of a label ever crossed a line; totals stay true while the camera is away."""
    key = ident(topic_label(label))
    return {
        f"line_{line}_OF_{way}_{key}": Entity(
            "sensor",
            f"{title(line)} {title(label).lower()} {way}",
            {
                "state_topic": f"{topic}/{topic_label(label)}",
                "value_template": f"{{{{ value_json['{way}'] }}}}",
                "state_class": "total_increasing",
                "icon": _icon(label),
            },
            needs_camera=False,
        )
        for way in ("in", "out")
    }


def _image(base: str, label: str) -> Entity:
    """Return a label's latest picture, which is still that while the camera is away."""
    topic = f"{base}/{topic_label(label)}/snapshot"
    options = {"image_topic": topic, "content_type": "image/jpeg"}
    return Entity("image", f"Latest {title(label).lower()}", options, needs_camera=False)


def _connectivity(topic: str, *, needs_vigil: bool = True) -> Entity:
    return Entity(
        "binary_sensor",
        "Connection",
        {
            "state_topic": topic,
            "value_template": "{{ 'ON' if value == 'online' else 'OFF' }}",
            "device_class": "connectivity",
            **_DIAGNOSTIC,
        },
        needs_camera=False,
        needs_vigil=needs_vigil,
    )


def _sensor(name: str, topic: str, value: str, **options: Any) -> Entity:
    return Entity("sensor", name, {"state_topic": topic, "value_template": f"{{{{ {value} }}}}", **options})


def _icon(label: str) -> str:
    return f"mdi:{_ICONS.get(label, 'shape')}"
