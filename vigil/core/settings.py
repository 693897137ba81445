"""What people set of a camera while vigil runs: which values there are, and which of them are held.

MQTT and HTTP read values with the same rules, which are the configuration file's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from vigil.core.types import Action, CameraCommand, Setting, SettingCommand

if TYPE_CHECKING:
    from collections.abc import Mapping

Value: TypeAlias = bool | float
"""Whether something is on, or a number."""

ENABLED = "enabled"
"""The word for whether a camera is watched at all, which is a command of its own beside every `Setting`."""

WORDS = (ENABLED, *Setting)
"""The middle word of every `<camera>/<word>/set`."""

_SWITCH = {b"ON": True, b"OFF": False}


@dataclass(frozen=True, slots=True)
class Bounds:
    """The numbers that a setting can have, `high` among them; `low` only if it is `closed`."""

    low: float
    high: float
    closed: bool = True

    def __contains__(self, number: float) -> bool:
        """Tell whether a number is one of them; NaN never is."""
        return self.low <= number <= self.high and (self.closed or number != self.low)

    def __str__(self) -> str:
        low = f"from {self.low:g}" if self.closed else f"above {self.low:g}"
        return f"a number {low} {'to' if self.closed else 'up to'} {self.high:g}"


BOUNDS: Mapping[str, Bounds] = {Setting.CONFIDENCE: Bounds(0.01, 1), Setting.FPS: Bounds(0, 60, closed=False)}
"""Of what is measured; all else is switched."""


@dataclass(frozen=True, slots=True)
class Held:
    """A value that somebody asked for, and the configuration's that it stands in for."""

    value: Value
    instead_of: Value


def value_of_payload(word: str, payload: bytes) -> Value:
    """Return what an MQTT payload sets; raises `ValueError` that says what would be right."""
    if word not in BOUNDS:
        if payload not in _SWITCH:
            raise ValueError("ON or OFF is wanted")
        return _SWITCH[payload]
    try:
        # `float` alone would also take 1_0, blanks around, and digits of other scripts.
        number = float(payload) if payload.isascii() and payload == payload.strip() else None
    except ValueError:
        number = None
    return checked(word, None if b"_" in payload else number)


def checked(word: str, value: object) -> Value:
    """Return a value that may be set; raises `ValueError` that says what would be right."""
    if word not in BOUNDS:
        if not isinstance(value, bool):
            raise ValueError("true or false is wanted")
        return value
    bounds = BOUNDS[word]
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in bounds:
        raise ValueError(f"{bounds} is wanted")
    return float(value)


def camera_command(camera: str, word: str, value: Value) -> CameraCommand | SettingCommand:
    """Return the wish for a value that was checked."""
    if word == ENABLED:
        return CameraCommand(camera, Action.ENABLE if value else Action.DISABLE)
    return SettingCommand(camera, Setting(word), value)


def payload_of(value: Value) -> bytes:
    """Return a value as `…/state` says it: `ON`, `OFF` or a number."""
    if isinstance(value, bool):
        return b"ON" if value else b"OFF"
    return f"{value:.10g}".encode()
