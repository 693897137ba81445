"""A camera's configuration under what people have set since: pure, for the supervisor to put in force.

What is set holds until the same key changes in the configuration, by a reload or by a profile: then the
configuration's new value is the newer wish.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING

from vigil.core.settings import ENABLED, Held, Value
from vigil.core.types import Setting, Tuning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.config.model import CameraConfig


@dataclass(frozen=True, slots=True)
class Wanted:
    """A camera as its configuration has it, and what is set instead."""

    config: CameraConfig
    model_confidence: float
    """The confidence that the camera has from its model."""
    held: Mapping[str, Held] = field(default_factory=dict)

    @property
    def camera(self) -> CameraConfig:
        """The configuration to go by."""
        config, values = self.config, {word: held.value for word, held in self.held.items()}
        detect = {
            key: values[word]
            for key, word in (("enabled", Setting.DETECT), ("fps", Setting.FPS))
            if word in values
        }
        if Setting.CONFIDENCE in values and not isinstance(config.detect.confidence, dict):
            detect["confidence"] = values[Setting.CONFIDENCE]
        changed: dict[str, object] = {"detect": config.detect.model_copy(update=detect)} if detect else {}
        if ENABLED in values:
            changed["enabled"] = values[ENABLED]
        if Setting.MOTION in values:
            changed["motion"] = config.motion.model_copy(update={"enabled": values[Setting.MOTION]})
        return config.model_copy(update=changed) if changed else config

    @property
    def confidence(self) -> float:
        """The least confidence of classes that have none of their own."""
        held = self.held.get(Setting.CONFIDENCE)
        return _tuning(self.config, self.model_confidence).confidence if held is None else held.value

    @property
    def tuning(self) -> Tuning:
        """The settings in force."""
        return _tuning(self.camera, self.confidence)

    def holding(self, word: str, value: Value) -> Wanted:
        """Return the same with a value set; one that the configuration has anyway is not held."""
        others = {each: held for each, held in self.held.items() if each != word}
        own = self._own()[word]
        return replace(self, held=others if value == own else {**others, word: Held(value, own)})

    def over(self, config: CameraConfig, model_confidence: float) -> Wanted:
        """Return what is wanted over another configuration: what it changes is held no more."""
        return Wanted(config, model_confidence).keeping(self.held)

    def keeping(self, held: Mapping[str, Held]) -> Wanted:
        """Return the same with those values set that stand in for what the configuration still says."""
        own = self._own()
        return replace(
            self, held={word: each for word, each in held.items() if own.get(word) == each.instead_of}
        )

    def without(self, word: str) -> Wanted:
        """Return the same with the configuration's own value."""
        return replace(self, held={each: held for each, held in self.held.items() if each != word})

    def _own(self) -> dict[str, Value]:
        """Return the configuration's value of every word that can be set."""
        return {ENABLED: self.config.enabled, **asdict(_tuning(self.config, self.model_confidence))}


def _tuning(config: CameraConfig, confidence: float) -> Tuning:
    """Return a configuration's settings; `confidence` is that of classes for which it has none."""
    detect = config.detect
    own = detect.confidence
    return Tuning(
        detect.enabled,
        config.motion.enabled,
        own if isinstance(own, float) else confidence,
        float(detect.fps),
    )
