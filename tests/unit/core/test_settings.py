"""What may be set of a camera: the same values over MQTT, HTTP and in the file, and nothing else."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from vigil.config.model import DetectConfig
from vigil.core.settings import BOUNDS, WORDS, camera_command, checked, payload_of, value_of_payload
from vigil.core.types import Action, CameraCommand, Setting, SettingCommand, Tuning


def in_file(word: str, number: float) -> bool:
    """Tell whether the configuration file may have this number."""
    try:
        DetectConfig.model_validate({word: number})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize("word", BOUNDS)
@given(st.floats())
@example(0.0)
@example(0.01)
@example(1.0)
@example(60.0)
@example(math.nextafter(60, 61))
def test_numbers_are_those_of_the_file(word: str, number: float) -> None:
    """What a command may set is what the file may say, to the last digit."""
    assert (number in BOUNDS[word]) is in_file(word, number)


@pytest.mark.parametrize("word", WORDS)
@given(st.floats(min_value=0.01, max_value=1), st.booleans())
def test_what_is_said_can_be_set(word: str, number: float, on: bool) -> None:  # noqa: FBT001 -- drawn
    """A setting's state is a payload that sets the very same, to ten digits."""
    value = number if word in BOUNDS else on
    assert value_of_payload(word, payload_of(value)) == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize(
    "payload",
    [b"", b" 1", b"1 ", b"1\n", b"1_0", b"nan", b"inf", b"-1", b"0x1", b"1,5", b"ON", b"\xd9\xa5", b"\xff"],
)
@pytest.mark.parametrize("word", BOUNDS)
def test_what_is_no_number_is_refused(word: str, payload: bytes) -> None:
    """Blanks, other scripts, not-a-number and words are told what would be right."""
    with pytest.raises(ValueError, match=r"a number .* is wanted"):
        value_of_payload(word, payload)


@pytest.mark.parametrize("value", [None, "ON", 1, 0.0, [], {}])
@pytest.mark.parametrize("word", ["enabled", "detect", "motion"])
def test_json_switches_are_true_or_false(word: str, value: object) -> None:
    """Nothing that merely looks like a truth value is one."""
    assert (checked(word, True), checked(word, False)) == (True, False)
    with pytest.raises(ValueError, match="true or false is wanted"):
        checked(word, value)


@pytest.mark.parametrize("value", [None, "1", True, math.nan, 10**400, [1]])
def test_json_numbers_are_numbers(value: object) -> None:
    """Text, truth values and what is out of all bounds are no numbers."""
    with pytest.raises(ValueError, match=r"a number from 0\.01 to 1 is wanted"):
        checked("confidence", value)


def test_words_become_commands() -> None:
    """`enabled` is an action, all else a setting, each of which a camera's tuning tells."""
    assert camera_command("drive", "enabled", value=False) == CameraCommand("drive", Action.DISABLE)
    assert camera_command("drive", "enabled", value=True) == CameraCommand("drive", Action.ENABLE)
    assert camera_command("drive", "fps", 2.0) == SettingCommand("drive", Setting.FPS, 2.0)
    assert [field.name for field in fields(Tuning)] == list(Setting)
