"""Profiles while vigil runs: by schedule, by hand, over a reload of the file, and never half way."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import LOADED, PATIENCE
from tests.support.household import House, config_of
from vigil.core.types import CameraHealth, CameraState, ProfileChanged, ProfileCommand, ProfileView
from vigil.errors import CannotStartError
from vigil.messaging import Messaging
from vigil.profiles import Choice, Profiles
from vigil.reload import Reload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vigil.config.model import Config

EVENING = datetime(2026, 1, 5, 21, 59, 30, tzinfo=UTC)


def household(**night: object) -> Config:
    """Return two cameras; at night the drive is looked at oftener, while away the door is not watched."""
    cameras = {name: {"url": f"rtsp://10.0.0.5/{name}"} for name in ("drive", "door")}
    drive, door = cameras["drive"], cameras["door"]
    profiles = {
        "night": {
            "when": "22:00-06:00",
            "cameras": {**cameras, "drive": {**drive, "detect": {"fps": 10, **night}}},
        },
        "away": {"cameras": {**cameras, "door": {**door, "enabled": False}}},
    }
    return config_of({"drive": {}, "door": {}}, mqtt={"host": "broker"}, profiles=profiles)


NAMES = ("night", "away")


class Stage:
    """A running household whose clock and file the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = EVENING
        self.file = household()
        self.house = House(monkeypatch, self.file)
        house = self.house
        messaging = Messaging(self.file, LOADED, house.bus, house.metrics, lambda _command: None)
        self.choice = Choice(lambda: self.time)
        self.reload = Reload(
            self.file, lambda: self.file, house.supervisor, messaging, house.metrics, self.choice.pick
        )
        self.profiles = Profiles(self.choice, self.reload, house.bus)

    @property
    def fps(self) -> float:
        """How often the drive is to be looked at."""
        return next(view.target_fps for view in self.house.supervisor.views() if view.name == "drive")

    async def told(self, active: str | None, times: int = 1) -> None:
        """Wait until the bus has heard so often that this profile is in force."""
        async with asyncio.timeout(PATIENCE):
            while self._told().count(active) < times:
                await asyncio.sleep(0)

    def _told(self) -> list[str | None]:
        return [message.active for message in self.house.heard if isinstance(message, ProfileChanged)]


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Stage]:
    """Return a household of two cameras, which run, half a minute before the night."""
    caplog.set_level(logging.INFO)
    stage = Stage(monkeypatch)
    async with stage.house.running():
        yield stage


async def test_night_comes_and_goes(stage: Stage) -> None:
    """At its time the profile is in force, at its end no more; it rests a minute at most."""
    assert await stage.profiles.run_once() == 30.0
    assert (stage.fps, stage.reload.profile) == (5, None)
    stage.time += timedelta(seconds=30)
    assert await stage.profiles.run_once() == 60.0
    assert (stage.fps, stage.reload.profile) == (10, "night")
    stage.time += timedelta(hours=8)
    await stage.profiles.run_once()
    assert (stage.fps, stage.reload.profile) == (5, None)
    assert [message for message in await stage.house.settled() if isinstance(message, ProfileChanged)] == [
        ProfileChanged(None, NAMES),
        ProfileChanged("night", NAMES),
        ProfileChanged(None, NAMES),
    ]


async def test_time_that_comes_while_models_load_is_not_missed(stage: Stage) -> None:
    """The cameras were started before the night and the reload is made after its beginning: it is noticed."""
    stage.time += timedelta(minutes=1)
    house, file = stage.house, stage.file
    messaging = Messaging(file, LOADED, house.bus, house.metrics, lambda _command: None)
    late = Reload(file, lambda: file, house.supervisor, messaging, house.metrics, stage.choice.pick)
    await Profiles(stage.choice, late, house.bus).run_once()
    assert (stage.fps, late.profile) == (10, "night")


async def test_switch_leaves_captures_alone(stage: Stage) -> None:
    """A camera whose `detect` a profile changes goes on capturing; nothing of the other one is touched."""
    since = len(await stage.house.settled())
    await stage.profiles.choose(ProfileCommand("night"))
    heard = (await stage.house.settled())[since:]
    assert {getattr(message, "camera", "drive") for message in heard} == {"drive"}
    assert [len(stage.house.sources(name)) for name in ("drive", "door")] == [1, 1]
    assert not stage.house.sources("drive")[0].closed.is_set()


async def test_profile_can_disable_a_camera(stage: Stage) -> None:
    """A camera that a profile does not want stops, and comes back with `none`."""
    await stage.profiles.choose(ProfileCommand("away"))
    assert stage.house.state("door") is CameraState.DISABLED
    since = len(await stage.house.settled())
    await stage.profiles.choose(ProfileCommand("none"))
    await stage.house.until(CameraHealth("door", CameraState.LIVE), since)


async def test_choice_by_hand_holds_until_auto(stage: Stage) -> None:
    """What somebody chose, `none` included, is held against every schedule until it is `auto` again."""
    stage.time += timedelta(hours=1)
    assert await stage.profiles.choose(ProfileCommand("away")) == ProfileView("away", "away", NAMES, None)
    assert await stage.profiles.run_once() == 60.0
    assert stage.reload.profile == "away"
    assert await stage.profiles.choose(ProfileCommand("none")) == ProfileView(None, "none", NAMES, None)
    morning = datetime(2026, 1, 6, 6, tzinfo=UTC).timestamp()
    assert await stage.profiles.choose(ProfileCommand("auto")) == ProfileView("night", "auto", NAMES, morning)


async def test_unknown_profile_changes_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A name that is no profile's is refused, or from MQTT a short line in the log."""
    with pytest.raises(KeyError):
        await stage.profiles.choose(ProfileCommand("nihgt"))
    stage.profiles.request(ProfileCommand("x" * 1000))
    assert stage.profiles.view().chosen == "auto"
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert record.getMessage() == f"there is no profile '{'x' * 40}'"


async def test_runner_is_woken_by_a_request_and_by_a_reload(stage: Stage) -> None:
    """Neither waits for the minute's look at the clock, and the bus hears of each change."""
    task = asyncio.ensure_future(stage.profiles.run())
    try:
        await stage.told(None)
        stage.profiles.request(ProfileCommand("away"))
        await stage.told("away")
        assert stage.house.state("door") is CameraState.DISABLED
        stage.file = stage.file.model_copy(update={"profiles": {"night": stage.file.profiles["night"]}})
        await stage.reload.reload()
        await stage.told(None, 2)
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_reload_keeps_the_profile(stage: Stage) -> None:
    """A changed file is taken over under the profile that is in force."""
    await stage.profiles.choose(ProfileCommand("night"))
    stage.file = household(confidence=0.9)
    await stage.reload.reload()
    assert stage.reload.profile == "night"
    assert stage.reload.config.cameras["drive"].detect.confidence == 0.9
    assert stage.reload.file.cameras["drive"].detect.confidence is None
    assert stage.fps == 10


async def test_profile_that_cannot_come_is_refused_at_once(stage: Stage) -> None:
    """A class that only a sleeping profile asks for and the model does not know spoils start and reload."""
    bad = household(classes=["unicorn"])
    with pytest.raises(CannotStartError, match=r"profiles\.night: .*unicorn"):
        stage.reload.check_profiles(bad)
    before, stage.file = stage.file, bad
    with pytest.raises(CannotStartError, match=r"profiles\.night: "):
        await stage.reload.reload()
    assert stage.reload.file is before


async def test_switch_that_fails_is_told_and_tried_again(
    stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch that is refused leaves all as it was, says so, and comes with the next look at the clock."""

    def refuse(_config: Config) -> None:
        raise CannotStartError("no")

    stage.time += timedelta(minutes=1)
    with monkeypatch.context() as patch:
        patch.setattr(stage.reload, "check_profiles", refuse)
        assert await stage.profiles.run_once() == 60.0
    assert (stage.fps, stage.reload.profile) == (5, None)
    assert "the profile is left as it was: no" in caplog.messages
    await stage.profiles.run_once()
    assert (stage.fps, stage.reload.profile) == (10, "night")
