"""What can be set of a running camera: what changes, what goes on, and how long it holds."""

from __future__ import annotations

from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import boxes, frame
from tests.support.household import LABELS, House, config_of
from vigil.config.diff import diff
from vigil.core.events import Event, EventType
from vigil.core.settings import ENABLED, Held
from vigil.core.types import (
    Action,
    CameraCommand,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    MotionChanged,
    Result,
    Setting,
    SettingCommand,
    Tuning,
)

if TYPE_CHECKING:
    from vigil.config.model import Config
    from vigil.core.types import BusMessage

TWO = config_of({"drive": {}, "door": {"detect": {"confidence": {"car": 0.8}}}})
FAINT, CLEAR = (10, 20, 30, 40, 0.45, 0), (10, 20, 30, 40, 0.9, 0)
MOMENTS = count(1)


def show(house: House, *rows: tuple[float, float, float, float, float, int], times: int = 3) -> None:
    """Have `drive` see this for long enough to believe it."""
    for _ in range(times):
        moment = next(MOMENTS)
        house.pipelines.handle([frame("drive", moment, moment * 0.2)], [boxes(*rows)])


async def told(house: House, since: int) -> list[BusMessage]:
    """Return what was said after the first `since` messages, without the results of frames."""
    return [each for each in (await house.settled())[since:] if not isinstance(each, Result)]


async def put(house: House, setting: Setting, value: float, camera: str = "drive") -> None:
    """Set something and wait until it is done."""
    await house.supervisor.command(SettingCommand(camera, setting, value))


async def apply(house: House, old: Config, new: Config) -> None:
    """Have the supervisor take over a configuration."""
    await house.supervisor.apply(new, diff(old, new))


def settings(house: House, camera: str = "drive") -> dict[str, float]:
    """Return what people are shown."""
    (view,) = [view for view in house.supervisor.views() if view.name == camera]
    return dict(view.settings)


async def test_rate_changes_and_events_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new rate is in force at once; who is there stays there, with the same event and capture."""
    house = House(monkeypatch, TWO)
    async with house.running():
        show(house, CLEAR)
        since = len(await house.settled())
        await put(house, Setting.FPS, 2.5)
        said = await told(house, since)
        assert said == [
            CameraIntroduced("drive", {**dict.fromkeys(LABELS, 0), "person": 1}, tuning=Tuning(fps=2.5)),
            MotionChanged("drive", on=False),
        ]
        assert house.value("camera_target_fps", camera="drive") == 2.5
        assert house.loop._schedule._entries["drive"].target == 2.5
        show(house, CLEAR)
        assert not [each for each in await told(house, since) if isinstance(each, Event)]
        assert len(house.sources("drive")) == 1
        assert settings(house)["fps"] == 2.5


async def test_confidence_changes_and_objects_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under a higher confidence no faint box is reported or begins an object; an old one goes on."""
    house = House(monkeypatch, TWO)
    async with house.running():
        show(house, CLEAR)
        await put(house, Setting.CONFIDENCE, 0.95)
        since = len(await house.settled())
        show(house, CLEAR, (500, 500, 600, 600, 0.9, 1), times=6)
        results = [each for each in (await house.settled())[since:] if isinstance(each, Result)]
        assert {len(each.detections) for each in results} == {0}
        assert results[-1].counts == {**dict.fromkeys(LABELS, 0), "person": 1}
        assert await told(house, since) == []


async def test_lower_confidence_lets_new_objects_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was too faint is an object once the confidence is lower, and its totals and events count."""
    house = House(monkeypatch, TWO)
    async with house.running():
        show(house, FAINT, times=6)
        assert house.value("objects", camera="drive", label="person") == 0
        await put(house, Setting.CONFIDENCE, 0.4)
        show(house, FAINT, times=12)
        assert house.value("objects", camera="drive", label="person") == 1
        assert house.value("events_total", camera="drive", label="person") == 1


async def test_confidence_of_a_class_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class with a number of its own keeps it; the others go by what is set."""
    house = House(monkeypatch, TWO)
    async with house.running():
        await put(house, Setting.CONFIDENCE, 0.3, "door")
        filters = house.pipelines.get("door")
        assert filters is not None
        assert filters.class_filter.thresholds.tolist() == pytest.approx([0.3, 0.8, 0.3])


async def test_detection_can_be_switched_off_and_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off ends events, counts 0 and asks for no frame while capture goes on; on finds anew."""
    house = House(monkeypatch, TWO)
    async with house.running():
        show(house, CLEAR)
        since = len(await house.settled())
        await put(house, Setting.DETECT, value=False)
        ended, introduced, motion = await told(house, since)
        assert isinstance(ended, Event)
        assert ended.type is EventType.END
        assert introduced == CameraIntroduced("drive", dict.fromkeys(LABELS, 0), tuning=Tuning(detect=False))
        assert motion == MotionChanged("drive", on=False)
        assert set(house.loop._schedule._entries) == {"door"}
        show(house, CLEAR)
        assert house.value("objects", camera="drive", label="person") == 0
        assert house.value("camera_target_fps", camera="drive") == 0
        assert house.state("drive") is CameraState.LIVE
        await put(house, Setting.DETECT, value=True)
        show(house, CLEAR)
        assert house.value("objects", camera="drive", label="person") == 1
        assert len(house.sources("drive")) == 1


async def test_motion_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Off tells that nothing moves, and the gate that saves inferences opens for good."""
    house = House(monkeypatch, TWO)
    async with house.running():
        await put(house, Setting.MOTION, value=False)
        watch = house.supervisor._units["drive"].watch
        assert watch._detector is None
        assert watch._gate.awake(moving=False, present=False, now=1e9)
        assert settings(house)["motion"] is False
        await put(house, Setting.MOTION, value=True)
        assert watch._detector is not None


async def test_same_value_again_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Setting what is so already interrupts and tells nobody."""
    house = House(monkeypatch, TWO)
    async with house.running():
        since = len(await house.settled())
        await put(house, Setting.FPS, 5.0)
        await put(house, Setting.DETECT, value=True)
        assert await told(house, since) == []
        assert house.supervisor.held() == {}


async def test_setting_of_a_camera_that_is_off_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A disabled camera takes a setting and goes by it once it is enabled."""
    house = House(monkeypatch, config_of({"drive": {"enabled": False}}))
    async with house.running():
        await house.settled()
        await put(house, Setting.FPS, 3.0)
        assert house.loop._schedule._entries == {}
        await house.supervisor.command(CameraCommand("drive", Action.ENABLE))
        await house.until(CameraHealth("drive", CameraState.LIVE))
        assert house.loop._schedule._entries["drive"].target == 3
        assert house.supervisor.held() == {
            "drive": {"fps": Held(3.0, 5.0), ENABLED: Held(value=True, instead_of=False)}
        }


async def test_reload_wins_where_its_own_key_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed `detect.fps` ends what was set of it; a changed zone or confidence does not."""
    house = House(monkeypatch, TWO)
    zoned = config_of({"drive": {"detect": {"confidence": 0.6}}, "door": {}})
    faster = config_of({"drive": {"detect": {"confidence": 0.6, "fps": 8}}, "door": {}})
    async with house.running():
        await put(house, Setting.FPS, 3.0)
        await put(house, Setting.CONFIDENCE, 0.9)
        await apply(house, TWO, zoned)
        assert (settings(house)["fps"], settings(house)["confidence"]) == (3.0, 0.6)
        assert house.loop._schedule._entries["drive"].target == 3
        await apply(house, zoned, faster)
        assert settings(house)["fps"] == 8.0
        assert house.supervisor.held() == {}


async def test_reload_that_leaves_a_camera_alone_leaves_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What another camera's change means for this one is nothing."""
    house = House(monkeypatch, TWO)
    async with house.running():
        await put(house, Setting.FPS, 3.0)
        await apply(house, TWO, config_of({"drive": {}, "door": {"detect": {"fps": 1}}}))
        assert settings(house)["fps"] == 3.0


async def test_kept_settings_are_there_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was held before is in force before the first frame; of a camera that is gone nothing is left."""
    held = {
        "drive": {"fps": Held(2.0, 5.0), ENABLED: Held(value=False, instead_of=True)},
        "door": {"fps": Held(2.0, 4.0)},
        "cellar": {"fps": Held(2.0, 5.0)},
    }
    house = House(monkeypatch, TWO, held=held)
    async with house.running():
        assert house.state("drive") is CameraState.DISABLED
        assert (settings(house)["fps"], settings(house, "door")["fps"]) == (2.0, 5.0)
        assert house.supervisor.held() == {"drive": held["drive"]}
        told_first = next(each for each in house.heard if isinstance(each, CameraIntroduced))
        assert told_first == replace(told_first, camera="drive", tuning=Tuning(fps=2))
