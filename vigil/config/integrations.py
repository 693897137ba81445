"""What is said on MQTT beside vigil's own topics: Home Assistant's discovery, topics in Frigate's form."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from vigil.config.section import Section
from vigil.config.units import TopicPrefix


class HomeAssistantConfig(Section):
    """Home Assistant, which finds cameras and their entities by itself."""

    discovery: bool = Field(
        default=True,
        description="Whether Home Assistant is told of cameras and entities; false takes it back.",
    )
    discovery_prefix: TopicPrefix = Field(
        default="homeassistant", description="Home Assistant's discovery prefix, as set in its MQTT options."
    )
    mode: Literal["device", "entity"] = Field(
        default="device",
        description="`device` is one message per device; `entity` is one per entity, "
        "for Home Assistant before 2024.11.",
    )
    live_images: bool = Field(
        default=True,
        description="Whether a camera that publishes live pictures (`snapshots.live`) "
        "gets a camera entity for them.",
    )


class CompatConfig(Section):
    """Topics in the form of other systems, for what already listens to those."""

    frigate: bool = Field(
        default=False, description="Whether everything is also said as Frigate would say it."
    )
    frigate_prefix: TopicPrefix = Field(default="frigate", description="First part of those topics.")
