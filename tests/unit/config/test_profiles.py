"""Profiles in the file: every camera whole under each of them, and every mistake at its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vigil.config.load import load, schema
from vigil.config.profiles import Moment, Schedule, Window
from vigil.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.config.model import Config

CAMERAS = """\
defaults: {detect: {classes: [person]}}
cameras:
  drive: {url: rtsp://a/1, detect: {fps: 5}, zones: {gate: {polygon: [[0, 0], [1, 0], [1, 1]]}}}
  door: {url: rtsp://a/2}
profiles:
"""


def loaded(folder: Path, profiles: str, head: str = CAMERAS) -> Config:
    """Return the configuration of two cameras and these profiles."""
    path = folder / "vigil.yaml"
    path.write_text(head + profiles)
    return load(path, {})


def problems(folder: Path, profiles: str) -> list[str]:
    """Return what is wrong with these profiles; their first line is the file's sixth."""
    with pytest.raises(ConfigError) as caught:
        loaded(folder, profiles)
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


def test_changes_are_merged_over_cameras(tmp_path: Path) -> None:
    """`defaults` of a profile beat the camera, its own `cameras` beat both, what neither names stays."""
    config = loaded(
        tmp_path,
        "  night:\n"
        "    defaults: {detect: {fps: 10, confidence: 0.6}}\n"
        "    cameras: {drive: {detect: {fps: 20}, zones: {gate: {loiter: 5s}}}}\n",
    )
    drive, door = (config.under("night").cameras[name] for name in ("drive", "door"))
    assert (drive.detect.fps, door.detect.fps) == (20, 10)
    assert (drive.detect.confidence, drive.detect.classes) == (0.6, ["person"])
    assert (drive.zones["gate"].loiter, len(drive.zones["gate"].polygon)) == (5.0, 3)
    assert config.cameras["drive"].detect.fps == 5
    assert config.under(None) is config


@pytest.mark.parametrize(
    "profile", ["  away:\n", "  away: {cameras: {}}\n", "  away: {cameras: , defaults: }\n"]
)
def test_profile_without_changes_changes_nothing(tmp_path: Path, profile: str) -> None:
    """A profile whose keys are all commented out leaves every camera as it is."""
    config = loaded(tmp_path, profile)
    assert config.under("away").cameras == config.cameras


def test_every_mistake_has_its_place(tmp_path: Path) -> None:
    """What is wrong with a profile is told where it stands in the profile, once, with what would be right."""
    found = problems(
        tmp_path,
        "  night:\n"
        "    defaults: {detect: {fps: 100}}\n"
        "    cameras:\n"
        "      drive: {zones: {gat: {loiter: 5s}}, detct: {}}\n"
        "      drvie: {}\n"
        "      door: 7\n"
        "  wrong: {cameras: 4, defaults: 5}\n",
    )
    assert [problem.partition("; ")[0] for problem in found] == [
        "vigil.yaml:7:30: profiles.night.defaults.detect.fps: 100 is out of range",
        "vigil.yaml:9:23: profiles.night.cameras.drive.zones.gat.polygon: is missing",
        "vigil.yaml:9:43: profiles.night.cameras.drive.detct: is not a key of `profiles.night.cameras.drive`",
        "vigil.yaml:10:7: profiles.night.cameras.drvie: is none of `cameras`",
        "vigil.yaml:11:13: profiles.night.cameras.door: 7 is not a mapping",
        "vigil.yaml:12:20: profiles.wrong.cameras: 4 is not a mapping",
        "vigil.yaml:12:33: profiles.wrong.defaults: is not a mapping",
    ]
    assert found[3].endswith("there is drive, door")


def test_mistake_of_a_camera_is_told_once(tmp_path: Path) -> None:
    """A camera that is wrong without any profile is no problem of every profile."""
    head = "cameras: {drive: {detect: {fps: 0}}}\nprofiles: {night: {}, away: {}}\n"
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, "", head)
    assert [problem.path for problem in caught.value.problems] == [
        "cameras.drive.url",
        "cameras.drive.detect.fps",
    ]


def test_unknown_model_of_a_profile_is_told(tmp_path: Path) -> None:
    """A model that only a profile asks for is looked for as those of cameras are."""
    (found,) = problems(tmp_path, "  night: {cameras: {door: {detect: {model: big}}}}\n")
    assert found.startswith(
        'vigil.yaml:6:44: profiles.night.cameras.door.detect.model: "big" is none of `models`'
    )


def test_sun_asks_for_a_place(tmp_path: Path) -> None:
    """A window that follows the sun is a problem without `location`, and none with it."""
    profile = "  night: {when: [sunset - 23:00]}\n"
    (found,) = problems(tmp_path, profile)
    assert found.startswith("vigil.yaml:6:17: profiles.night.when: follows the sun; write `location`")
    place = "location: {latitude: 52.5, longitude: 13.4}\n"
    assert loaded(tmp_path, profile, place + CAMERAS).location is not None


@pytest.mark.parametrize("name", ["auto", "none"])
def test_reserved_names_are_refused(tmp_path: Path, name: str) -> None:
    """What means something else where a profile is chosen can be no profile's name."""
    (found,) = problems(tmp_path, f"  {name}: {{}}\n")
    assert f"has a profile called `{name}`" in found


@pytest.mark.parametrize(
    ("text", "start", "end", "overnight"),
    [
        ("22:00-06:00", Moment("midnight", 79_200), Moment("midnight", 21_600), True),
        ("6:30 - 24:00", Moment("midnight", 23_400), Moment("midnight", 86_400), False),
        ("08:00-08:00", Moment("midnight", 28_800), Moment("midnight", 28_800), True),
        ("sunset-sunrise", Moment("sunset", 0), Moment("sunrise", 0), True),
        ("Sunset+30m - sunrise-15m", Moment("sunset", 1800), Moment("sunrise", -900), True),
        ("sunrise - sunset", Moment("sunrise", 0), Moment("sunset", 0), False),
        ("sunset - 23:00", Moment("sunset", 0), Moment("midnight", 82_800), False),
        ("05:00 - sunrise - 30m", Moment("midnight", 18_000), Moment("sunrise", -1800), False),
        ("18:30-sunrise+1.5h", Moment("midnight", 66_600), Moment("sunrise", 5400), True),
    ],
)
def test_windows_are_read(text: str, start: Moment, end: Moment, *, overnight: bool) -> None:
    """A window's two ends, and whether the second is on the next day, are what a person means by it."""
    (window,) = Schedule.model_validate({"when": text}).when
    assert window == Window(start, end)
    assert window.ends_next_day is overnight


@pytest.mark.parametrize(
    "text",
    [
        *("", "22:00", "22-06", "25:00-06:00", "24:01-1:00", "22:60-23:00", "sunset-30m"),
        *("sunset+30 - 1:00", "dawn - dusk", "sunset+13h - 23:00", "22:00-06:00-07:00"),
        *("22:00+5m-23:00", "\u0662\u0662:00-06:00", "sunset+5x-1:00"),
    ],
)
def test_other_windows_are_refused(text: str) -> None:
    """What is no window is told with one that is."""
    with pytest.raises(ValidationError, match="is no stretch of a day; write a window such as"):
        Schedule.model_validate({"when": [text]})


@given(st.text(max_size=30) | st.from_regex(r"[0-9]{1,2}:[0-9]{2} ?- ?(sunset|sunrise)[+-]?[0-9a-z.]{0,6}"))
def test_any_text_is_a_window_or_a_problem(text: str) -> None:
    """Nothing that can be written as a window ends in anything but a window or a problem."""
    try:
        (window,) = Schedule.model_validate({"when": text}).when
    except ValidationError:
        return
    assert window.start.seconds <= 86_400


def test_schema_lets_a_profile_name_only_what_changes() -> None:
    """An editor asks for neither a `url` nor a zone's `polygon` in a profile, and knows every key there."""
    profile = schema()["$defs"]["ProfileConfig"]["properties"]
    (camera,) = profile["cameras"]["patternProperties"].values()
    assert {"url", "zones", "detect"} <= set(camera["properties"])
    assert "url" not in profile["defaults"]["properties"]
    assert "required" not in str(profile)
    (zone,) = profile["defaults"]["properties"]["zones"]["patternProperties"].values()
    assert zone["additionalProperties"] is False
