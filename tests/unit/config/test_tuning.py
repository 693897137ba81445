"""A camera's configuration under what was set: what is in force, and how long it holds."""

from __future__ import annotations

from typing import Any

import pytest

from vigil.config.model import CameraConfig
from vigil.config.tuning import Wanted
from vigil.core.settings import Held
from vigil.core.types import Setting, Tuning


def wanted(**detect: Any) -> Wanted:
    """Return a camera of these `detect` keys whose model has a confidence of 0.4, with nothing set."""
    return Wanted(CameraConfig.model_validate({"url": "rtsp://10.0.0.5/a", "detect": detect}), 0.4)


def test_nothing_set_is_the_configuration() -> None:
    """Without commands the file's values are in force, and it is the same object."""
    plain = wanted(fps=2, enabled=False)
    assert plain.camera is plain.config
    assert plain.tuning == Tuning(detect=False, motion=True, confidence=0.4, fps=2)
    assert wanted(confidence=0.7).tuning.confidence == 0.7


def test_everything_can_be_set() -> None:
    """Each value set replaces its key and no other."""
    plain = wanted(fps=2, classes=["car"])
    tuned = plain
    for word, value in {"enabled": False, "detect": False, "motion": False, "fps": 9.5}.items():
        tuned = tuned.holding(word, value)
    camera = tuned.camera
    assert (camera.enabled, camera.detect.enabled, camera.motion.enabled, camera.detect.fps) == (
        *(False, False, False),
        9.5,
    )
    assert camera.detect.classes == ["car"]
    assert camera.motion.hold == plain.config.motion.hold
    assert tuned.without("enabled").camera.enabled


@pytest.mark.parametrize("own", [None, 0.7, {"person": 0.6}])
def test_confidence_is_for_classes_without_their_own(own: float | dict[str, float] | None) -> None:
    """What is set takes the place of the camera's one number, and leaves those of classes alone."""
    tuned = wanted(confidence=own).holding(Setting.CONFIDENCE, 0.25)
    assert (tuned.confidence, tuned.tuning.confidence) == (0.25, 0.25)
    assert tuned.camera.detect.confidence == (own if isinstance(own, dict) else 0.25)


def test_what_the_configuration_says_anyway_is_not_held() -> None:
    """Setting a value back ends its being set."""
    tuned = wanted(fps=2).holding("fps", 3.0)
    assert tuned.held == {"fps": Held(3.0, 2.0)}
    assert tuned.holding("fps", 2.0).held == {}


def test_value_gives_way_to_its_own_key_only() -> None:
    """Over another configuration a value holds unless that very key has changed."""
    tuned = wanted(fps=2).holding("fps", 3.0).holding("confidence", 0.9)
    moved = tuned.over(wanted(fps=4).config, 0.4)
    assert moved.tuning == Tuning(confidence=0.9, fps=4)
    assert tuned.over(wanted(fps=2, weight=3).config, 0.4).tuning == tuned.tuning
    assert tuned.over(wanted(fps=2).config, 0.3).tuning == Tuning(confidence=0.3, fps=3)


def test_kept_value_gives_way_to_a_changed_file() -> None:
    """What was kept over a restart holds only where the file still says what it stood in for."""
    kept = {"fps": Held(3.0, 2.0), "detect": Held(value=False, instead_of=True), "weight": Held(1.0, 1.0)}
    assert wanted(fps=2).keeping(kept).tuning == Tuning(detect=False, confidence=0.4, fps=3)
    assert wanted(fps=4).keeping(kept).tuning == Tuning(detect=False, confidence=0.4, fps=4)
