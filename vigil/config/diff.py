"""What a reload has to touch: a pure comparison of two configurations.

Only what changed is touched; what cannot change while vigil runs is named, so that a person knows why
nothing happened.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vigil.config.model import CameraConfig, Config, ModelConfig


_LOOKING = ("detect", "motion", "tracking", "filters", "masks", "zones", "lines", "snapshots")
"""Keys of a camera that change while it goes on capturing."""

_MESSAGING = ("mqtt", "homeassistant", "compat")
"""Sections of what goes over MQTT."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What differs between a running configuration and a new one; names of cameras in the new one's order."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    recaptured: tuple[str, ...] = ()
    """Cameras whose source is opened anew."""
    retuned: tuple[str, ...] = ()
    """Cameras that go on capturing while what is detected in them changes."""
    mqtt: bool = False
    """The broker, or what is said to it beside vigil's own topics."""
    log: bool = False
    commands: bool = False
    needs_restart: tuple[str, ...] = ()
    """Keys whose change takes effect only when vigil starts again."""

    def __bool__(self) -> bool:
        """Tell whether anything differs at all."""
        return self != Changes()

    def __str__(self) -> str:
        """Say in a line what changes."""
        parts = [
            f"{word} {', '.join(names)}"
            for word, names in (
                ("added", self.added),
                ("removed", self.removed),
                ("reopened", self.recaptured),
                ("retuned", self.retuned),
            )
            if names
        ]
        touched = {"broker": self.mqtt, "log": self.log, "commands": self.commands}
        parts += [word for word, changed in touched.items() if changed]
        return "; ".join(parts) or "nothing that can change now"


def diff(old: Config, new: Config) -> Changes:
    """Return what `new` changes of `old`."""
    both = [name for name in new.cameras if name in old.cameras]
    recaptured = tuple(name for name in both if _capture(old.cameras[name]) != _capture(new.cameras[name]))
    retuned = tuple(
        name
        for name in both
        if name not in recaptured
        and (
            _looking(old.cameras[name]) != _looking(new.cameras[name])
            or (
                _default_confidence(old, name) != _default_confidence(new, name)
                and not isinstance(new.cameras[name].detect.confidence, float)
            )
        )
    )
    return Changes(
        added=tuple(name for name in new.cameras if name not in old.cameras),
        removed=tuple(name for name in old.cameras if name not in new.cameras),
        recaptured=recaptured,
        retuned=retuned,
        mqtt=any(getattr(old, section) != getattr(new, section) for section in _MESSAGING),
        log=old.log != new.log,
        commands=old.commands != new.commands,
        needs_restart=(*_models(old, new), *_http_keys(old, new), *_shards(old, new)),
    )


def _default_confidence(config: Config, camera: str) -> float:
    """Return the confidence that a camera has from its model."""
    key = config.cameras[camera].detect.model
    return (config.model if key is None else config.models[key]).confidence


def _models(old: Config, new: Config) -> list[str]:
    """Return the keys of models that are loaded only at the start."""
    keys = _model_keys("model", old.model, new.model)
    for name in sorted(old.models.keys() | new.models.keys()):
        before, after = old.models.get(name), new.models.get(name)
        if before is None or after is None:
            keys.append(f"models.{name}")
        else:
            keys += _model_keys(f"models.{name}", before, after)
    return keys


def _capture(camera: CameraConfig) -> CameraConfig:
    """Return the part of a camera that its capture depends on."""
    return camera.model_copy(update=dict.fromkeys(_LOOKING))


def _looking(camera: CameraConfig) -> tuple[object, ...]:
    """Return the part of a camera that says what is made of its pictures."""
    return tuple(getattr(camera, key) for key in _LOOKING)


def _model_keys(path: str, old: ModelConfig, new: ModelConfig) -> list[str]:
    fixed = [key for key in type(old).model_fields if key != "confidence"]
    return [f"{path}.{key}" for key in fixed if getattr(old, key) != getattr(new, key)]


def _shards(old: Config, new: Config) -> list[str]:
    return ["shards"] if old.shards != new.shards else []


def _http_keys(old: Config, new: Config) -> list[str]:
    fixed = [key for key in type(old.http).model_fields if key != "max_pixels"]
    return [f"http.{key}" for key in fixed if getattr(old.http, key) != getattr(new.http, key)]
