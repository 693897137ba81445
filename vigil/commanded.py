"""Keeps what people set over MQTT and HTTP over restarts, where `commands.keep` says so.

A value is kept with the one of the configuration that it stands in for. So a key that was changed in the
file while vigil did not run wins, as it does when vigil runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from vigil.config.profiles import AUTO
from vigil.core.settings import WORDS, Held, checked
from vigil.statefile import StateFile

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Commanded:
    """The profile that was chosen, and what is held of each camera by the word of its setting."""

    profile: str = AUTO
    cameras: Mapping[str, Mapping[str, Held]] = field(default_factory=dict)


class CommandFile(StateFile[Commanded]):
    """All that is set in one configuration; without a `path` nothing is kept."""

    subject = "commands"
    begins = "cameras begin as the configuration has them"

    def __init__(self, path: Path | None) -> None:
        super().__init__(path, Commanded())

    def plain(self, value: Commanded) -> Any:
        """Return `{"profile": name, "cameras": {camera: {word: [value, instead_of]}}}`."""
        cameras = {
            camera: {word: [each.value, each.instead_of] for word, each in held.items()}
            for camera, held in value.cameras.items()
        }
        return {"profile": value.profile, "cameras": cameras}

    def value(self, plain: Any) -> Commanded:
        """Return what was set; raises `ValueError` for what could not have been."""
        cameras = {
            camera: {word: _held(word, *pair) for word, pair in held.items()}
            for camera, held in plain["cameras"].items()
        }
        return Commanded(str(plain["profile"]), cameras)


def _held(word: str, value: object, instead_of: object) -> Held:
    if word not in WORDS:
        raise ValueError(f"there is no setting {word!r}")
    return Held(checked(word, value), checked(word, instead_of))
