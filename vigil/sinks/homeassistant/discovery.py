"""How entities are announced: one message per device, or one per entity for Home Assistant before 2024.11.

Both forms give an entity the same identity (node and object of its topic, `unique_id`), so that Home
Assistant knows it again when the mode changes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vigil import __version__
from vigil.sinks.dialect import Message
from vigil.sinks.homeassistant.naming import ident, slug, title

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.sinks.homeassistant.entities import Entity

_SHORT = {
    "availability": "avty",
    "availability_mode": "avty_mode",
    "command_topic": "cmd_t",
    "device": "dev",
    "device_class": "dev_cla",
    "enabled_by_default": "en",
    "entity_category": "ent_cat",
    "icon": "ic",
    "json_attributes_topic": "json_attr_t",
    "options": "ops",
    "origin": "o",
    "state_class": "stat_cla",
    "state_topic": "stat_t",
    "topic": "t",
    "unique_id": "uniq_id",
    "unit_of_measurement": "unit_of_meas",
    "value_template": "val_tpl",
}
"""Abbreviations that all releases know; a device with many zones is a large message without them."""

_ORIGIN = {"name": "vigil", "sw": __version__, "url": "https://github.com/vigil-analytics/vigil"}
_PICTURES = ("image", "camera")
_ONLINE = "{{ 'online' if value == 'online' else 'offline' }}"
"""A camera's status has a third word, `disabled`, that Home Assistant would take for no news at all."""


@dataclass(frozen=True, slots=True)
class Device:
    """What is one device in Home Assistant; `camera` is `None` for vigil itself."""

    prefix: str
    camera: str | None = None

    @property
    def id(self) -> str:
        """The device's identifier, and its node in topics."""
        own = ident(self.prefix)
        return own if self.camera is None else f"{own}_{self.camera}"

    def about(self) -> dict[str, Any]:
        """Return what Home Assistant shows of it."""
        if self.camera is None:
            return {"ids": [self.id], "name": "vigil", "mf": "vigil", "mdl": "Daemon", "sw": __version__}
        return {
            "ids": [self.id],
            "name": title(self.camera),
            "mf": "vigil",
            "mdl": "Camera",
            "via_device": ident(self.prefix),
        }

    def availability(self, *, needs_camera: bool) -> dict[str, Any]:
        """Return on whose being there something depends: vigil's, and its camera's if it has one."""
        topics = [{"t": f"{self.prefix}/status"}]
        if needs_camera and self.camera is not None:
            topics.append({"t": f"{self.prefix}/{self.camera}/status", "val_tpl": _ONLINE})
        return {"avty": topics, "avty_mode": "all"}


@dataclass(frozen=True, slots=True)
class Announcement:
    """A discovery message and the platforms of what it announces, by key."""

    message: Message
    platforms: Mapping[str, str]


def as_device(
    prefix: str, device: Device, entities: Mapping[str, Entity], gone: Mapping[str, str]
) -> list[Announcement]:
    """Announce all in one message; what is `gone`, by key, is named with its platform alone: so it goes."""
    # What stands at the root cannot be taken off a component again.
    common = all(entity.needs_vigil for entity in entities.values())
    root = device.availability(needs_camera=True) if common else {}
    components: dict[str, dict[str, Any]] = {key: {"p": platform} for key, platform in gone.items()}
    for key, entity in entities.items():
        components[key] = {"p": entity.platform, **_component(device, key, entity)}
        depends = _availability(device, entity)
        components[key] |= {option: value for option, value in depends.items() if root.get(option) != value}
    payload = {"dev": device.about(), "o": _ORIGIN, **root, "cmps": components}
    platforms = {key: entity.platform for key, entity in entities.items()}
    return [Announcement(_message(device_topic(prefix, device.id), payload), platforms)]


def as_entities(prefix: str, device: Device, entities: Mapping[str, Entity]) -> list[Announcement]:
    """Announce each in a message of its own."""
    announced = []
    for key, entity in entities.items():
        payload = {
            **_component(device, key, entity),
            **_availability(device, entity),
            "dev": device.about(),
            "o": _ORIGIN,
        }
        topic = f"{prefix}/{entity.platform}/{device.id}/{key}/config"
        announced.append(Announcement(_message(topic, payload), {key: entity.platform}))
    return announced


def device_topic(prefix: str, device: str) -> str:
    """Return the topic that announces a whole device."""
    return f"{prefix}/device/{device}/config"


def _availability(device: Device, entity: Entity) -> dict[str, Any]:
    """Return on what an entity depends; vigil's own connection has to be shown while it is away."""
    return device.availability(needs_camera=entity.needs_camera) if entity.needs_vigil else {}


def _component(device: Device, key: str, entity: Entity) -> dict[str, Any]:
    options = {
        "name": entity.name,
        "unique_id": f"{device.id}.{key}",
        "default_entity_id": f"{entity.platform}.{slug(device.camera or device.prefix)}_{slug(entity.name)}",
        "qos": 0 if entity.platform in _PICTURES else 1,
        **entity.options,
    }
    return {_SHORT.get(option, option): value for option, value in options.items()}


def _message(topic: str, payload: Mapping[str, Any]) -> Message:
    return Message(topic, json.dumps(payload, separators=(",", ":")).encode(), qos=1, retain=True)
