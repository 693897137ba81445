"""The rules of Home Assistant's MQTT discovery, as its documentation and its schemas have them.

`check` raises `AssertionError` for a message that Home Assistant would refuse, or would take for something
else than was meant; `Registry` is what Home Assistant makes of a sequence of messages.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vigil.sinks.dialect import Message

FULL: Final = {
    "avty": "availability",
    "avty_mode": "availability_mode",
    "cmd_t": "command_topic",
    "cmps": "components",
    "dev": "device",
    "dev_cla": "device_class",
    "e": "encoding",
    "en": "enabled_by_default",
    "ent_cat": "entity_category",
    "ic": "icon",
    "json_attr_t": "json_attributes_topic",
    "o": "origin",
    "ops": "options",
    "p": "platform",
    "stat_cla": "state_class",
    "stat_t": "state_topic",
    "t": "topic",
    "uniq_id": "unique_id",
    "unit_of_meas": "unit_of_measurement",
    "val_tpl": "value_template",
}
"""Abbreviations of options; a device and an origin have their own."""

ANY: Final = {
    *("name", "unique_id", "default_entity_id", "qos", "icon", "entity_category", "enabled_by_default"),
    *("availability", "availability_mode", "json_attributes_topic", "device", "origin", "platform"),
}
PLATFORMS: Final[Mapping[str, tuple[set[str], set[str]]]] = {
    "binary_sensor": ({"state_topic"}, {"device_class", "value_template"}),
    "camera": ({"topic"}, set()),
    "event": ({"state_topic", "event_types"}, {"value_template", "device_class"}),
    "image": (set(), {"image_topic", "url_topic", "content_type"}),
    "number": (
        {"command_topic"},
        {"state_topic", "min", "max", "step", "mode", "unit_of_measurement"},
    ),
    "select": ({"command_topic", "options"}, {"state_topic"}),
    "sensor": (
        {"state_topic"},
        {"device_class", "state_class", "unit_of_measurement", "value_template", "options"},
    ),
    "switch": ({"command_topic"}, {"state_topic"}),
}
"""Options of each platform: those that it asks for, and others that it has and vigil may use."""

DEVICE_CLASSES: Final = {
    "binary_sensor": {"connectivity", "motion", "occupancy", "problem"},
    "sensor": {"enum", "duration"},
    "event": {"motion"},
}
IDENTIFIER: Final = re.compile(r"[a-zA-Z0-9_-]+")
MOST_BYTES: Final = 100_000
"""The strictest broker in wide use takes 128 KB."""


@dataclass
class Announced:
    """What one message says: entities in full words by (platform, object), and what is removed."""

    device: str
    entities: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    removed: set[tuple[str, str]] = field(default_factory=set)


@dataclass
class Registry:
    """A Home Assistant that knows what it was told, by node and object of the topics."""

    entities: dict[tuple[str, str, str], dict[str, Any]] = field(default_factory=dict)
    _topics: dict[tuple[str, str, str], str] = field(default_factory=dict)

    def hear(self, messages: Iterable[Message], prefix: str = "homeassistant") -> None:
        """Take discovery messages; raises `AssertionError` for one that breaks a rule."""
        for message in messages:
            if message.topic.startswith(f"{prefix}/"):
                self._hear(message, prefix)

    def _hear(self, message: Message, prefix: str) -> None:
        if not message.payload:
            for known in [known for known, topic in self._topics.items() if topic == message.topic]:
                del self.entities[known], self._topics[known]
            return
        said = check(message, prefix)
        for platform, key in said.removed:
            self.entities.pop((said.device, platform, key), None)
            self._topics.pop((said.device, platform, key), None)
        for (platform, key), options in said.entities.items():
            known = (said.device, platform, key)
            assert self._topics.get(known, message.topic) == message.topic, (
                f"{known} is known from another topic: Home Assistant refuses it"
            )
            self.entities[known], self._topics[known] = options, message.topic
        identities = [(platform, each["unique_id"]) for (_, platform, _), each in self.entities.items()]
        assert len(identities) == len(set(identities)), "two entities have one unique_id"

    def of(self, device: str) -> dict[str, dict[str, Any]]:
        """Return a device's entities by key."""
        return {key: options for (node, _, key), options in self.entities.items() if node == device}


def check(message: Message, prefix: str = "homeassistant") -> Announced:
    """Return what a discovery message says."""
    assert message.retain, "a Home Assistant that starts later would not hear of it"
    assert message.qos >= 1
    assert len(message.payload) < MOST_BYTES
    levels = message.topic.removeprefix(f"{prefix}/").split("/")
    assert levels.pop() == "config"
    assert all(IDENTIFIER.fullmatch(level) for level in levels), message.topic
    payload = _in_full(json.loads(message.payload))
    _check_device(payload["device"])
    assert payload["origin"]["name"], "an origin has a name"
    if levels[0] == "device":
        return _check_device_form(levels, payload)
    platform, node, key = levels
    _check_component(platform, payload)
    return Announced(node, {(platform, key): payload})


def _check_device_form(levels: list[str], payload: dict[str, Any]) -> Announced:
    assert len(levels) == len(("device", "object"))
    root = {"device", "origin", "components", "availability", "availability_mode"}
    assert set(payload) <= root, "what else stands at the root is not handed down by every release"
    shared: dict[str, Any] = {
        key: payload[key] for key in ("availability", "availability_mode") if key in payload
    }
    said = Announced(levels[1])
    for key, component in payload["components"].items():
        assert IDENTIFIER.fullmatch(key), key
        options = _in_full(component)
        platform = options.pop("platform")
        if not options:
            said.removed.add((platform, key))
            continue
        assert "device" not in options
        whole = {**shared, **options}
        _check_component(platform, whole)
        said.entities[platform, key] = whole
    return said


def _check_device(device: dict[str, Any]) -> None:
    assert device["ids"], "a device has an identifier"
    assert set(device) <= {"ids", "name", "mf", "mdl", "sw", "via_device"}


def _check_component(platform: str, options: dict[str, Any]) -> None:
    asked, others = PLATFORMS[platform]
    assert asked <= set(options), (platform, asked - set(options))
    assert set(options) <= ANY | asked | others, (platform, set(options) - ANY - asked - others)
    assert options["unique_id"]
    assert options["name"]
    assert re.fullmatch(rf"{platform}\.[a-z0-9]+(_[a-z0-9]+)*", options["default_entity_id"])
    assert options["qos"] in {0, 1, 2}, "said by each component"
    assert options.get("entity_category", "config") in {"config", "diagnostic"}
    assert re.fullmatch(r"mdi:[a-z-]+", options.get("icon", "mdi:x"))
    if "device_class" in options:
        assert options["device_class"] in DEVICE_CLASSES[platform]
    for option, value in options.items():
        if option.endswith("topic"):
            assert re.fullmatch(r"[^+#\x00]+", value), value
        if option.endswith("template"):
            template(value)
    _check_availability(options)
    _check_platform(platform, options)


def _check_availability(options: dict[str, Any]) -> None:
    assert options.get("availability") != []
    for each in options.get("availability", ()):
        assert each["topic"]
        template(each.get("value_template", ""))
    assert options.get("availability_mode", "all") == "all", "every one of them has to be there"


def _check_platform(platform: str, options: dict[str, Any]) -> None:
    match platform:
        case "image":
            assert ("image_topic" in options) != ("url_topic" in options)
            assert "image_topic" not in options or options["content_type"]
        case "number":
            assert options["min"] < options["max"]
            assert options["step"] >= 0.001
            assert options["mode"] in {"auto", "box", "slider"}
        case "sensor":
            assert options.get("state_class", "measurement") in {
                *("measurement", "total", "total_increasing")
            }
            is_enum = options.get("device_class") == "enum"
            assert is_enum == ("options" in options)
            assert not is_enum or not {"state_class", "unit_of_measurement"} & set(options)
        case "event":
            assert options["event_types"]
        case "select":
            assert len(options["options"]) == len(set(options["options"])) > 0
        case _:
            pass


@cache
def template(text: str) -> Any:
    """Return a template as Home Assistant reads it; raises for one that it cannot read."""
    environment = ImmutableSandboxedEnvironment()
    environment.filters["to_json"] = json.dumps
    environment.filters["int"] = _int
    return environment.from_string(text)


def state(options: Mapping[str, Any], payload: bytes, *, of: str = "value_template") -> str:
    """Return what Home Assistant makes of a payload."""
    text = payload.decode()
    if of not in options:
        return text
    try:
        as_json = json.loads(text)
    except ValueError:
        return str(template(options[of]).render(value=text))
    return str(template(options[of]).render(value=text, value_json=as_json))


def available(options: Mapping[str, Any], said: Mapping[str, bytes]) -> bool:
    """Tell whether an entity is available after what was last said on each topic.

    Raises `AssertionError` for a word that Home Assistant would not understand: it would stay with the last.
    """
    there = []
    for each in options.get("availability", ()):
        word = state(each, said.get(each["topic"], b"offline"))
        assert word in {"online", "offline"}, f"{each['topic']} says {word}, which is no news"
        there.append(word == "online")
    return all(there)


def _int(value: object, default: int) -> int:
    try:
        return int(float(str(value)))
    except ValueError:
        return default


def _in_full(payload: dict[str, Any]) -> dict[str, Any]:
    full: dict[str, Any] = {FULL.get(key, key): value for key, value in payload.items()}
    assert len(full) == len(payload)
    if "availability" in full:
        full["availability"] = [_in_full(each) for each in full["availability"]]
    return full
