"""Keeps over restarts what Home Assistant was told, so that what has left the configuration leaves it too.

A component that a discovery message leaves out stays in Home Assistant: somebody has to remember it and say
that it is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vigil.sinks.homeassistant.dialect import Told
from vigil.statefile import StateFile

if TYPE_CHECKING:
    from pathlib import Path


class Announced(StateFile[dict[str, Told]]):
    """What was announced, by topic; without a `path` nothing is kept."""

    subject = "announcements"
    begins = "entities that have left the configuration may stay in Home Assistant"

    def __init__(self, path: Path | None) -> None:
        super().__init__(path, {})

    def plain(self, value: dict[str, Told]) -> Any:
        """Return `{topic: [device, {key: platform}]}`."""
        return {topic: [told.device, dict(told.platforms)] for topic, told in value.items()}

    def value(self, plain: Any) -> dict[str, Told]:
        """Return what was announced by topic."""
        return {
            str(topic): Told(str(device), {str(key): str(of) for key, of in platforms.items()})
            for topic, (device, platforms) in plain.items()
        }
