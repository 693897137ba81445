"""Cameras over several processes: what one process would do, and what happens when one of them dies."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fakes import MODEL, PATIENCE, FakeImage
from tests.support.household import config_of
from tests.support.shards import ManyHouses
from vigil.config.diff import diff
from vigil.core.events import Crossings, Event, EventType, Totals
from vigil.core.settings import ENABLED, Held
from vigil.core.types import (
    MAIN_MODEL,
    Action,
    CameraCommand,
    CameraGone,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    MotionChanged,
    Result,
    Setting,
    SettingCommand,
)
from vigil.errors import CannotStartError
from vigil.shards.shard import ShardDownError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vigil.core.types import BusMessage

LINE = {"from": [0.5, 0], "to": [0.5, 1]}
ALWAYS = {"detect": {"when": "always", "fps": 30, "classes": ["person", "car"]}}
CONFIG = config_of(
    {"a": {**ALWAYS, "lines": {"entry": LINE}}, "b": ALWAYS, "c": ALWAYS}, model={"confidence": 0.4}
)
TOTALS = {"a": Totals({"entry": {"person": Crossings(3, 4), "car": Crossings(0, 0)}})}


@pytest.fixture
async def houses(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ManyHouses]:
    """Return three cameras over two shards, all live."""
    houses = ManyHouses(monkeypatch, CONFIG, totals=TOTALS)
    async with houses.running():
        yield houses


def begun(told: list[BusMessage], camera: str) -> list[Event]:
    """Return the events of a camera that have begun."""
    return [
        each
        for each in told
        if isinstance(each, Event) and each.camera == camera and each.type is EventType.NEW
    ]


async def test_cameras_are_watched_as_by_one_process(houses: ManyHouses) -> None:
    """Each camera is introduced, live, seen and listed in the configuration's order, by one shard each."""
    await houses.hears(lambda told: {each.camera for each in told if isinstance(each, Result)} == set("abc"))
    views = await houses.shards.views()
    assert [view.name for view in views] == ["a", "b", "c"]
    assert {view.state for view in views} == {CameraState.LIVE}
    assert sorted(houses.opened) == ["a", "b", "c"]
    assert len(houses.processes) == 2
    assert houses.shards.models == {MAIN_MODEL: MODEL}
    assert houses.shards.trouble() == ""
    assert houses.shards.moving()
    assert await houses.shards.picture("b")
    with pytest.raises(KeyError):
        await houses.shards.picture("nobody")


async def test_uploads_are_looked_at_in_turn(houses: ManyHouses) -> None:
    """A picture goes to a shard and its boxes come back."""
    for _ in range(3):
        found = await houses.shards.detect(FakeImage(), 0.5)
        assert len(found) == 1


async def test_commands_reach_the_camera_and_are_held(houses: ManyHouses) -> None:
    """A setting is told as in force, and held beside the configuration's; an unknown camera is told."""
    await houses.shards.command(SettingCommand("b", Setting.FPS, 2.0))
    await houses.hears(
        lambda told: any(isinstance(each, CameraIntroduced) and each.tuning.fps == 2 for each in told)
    )
    await houses.shards.command(CameraCommand("c", Action.DISABLE))
    await houses.until(CameraHealth("c", CameraState.DISABLED))
    assert houses.shards.held() == {
        "b": {"fps": Held(2.0, 30.0)},
        "c": {ENABLED: Held(value=False, instead_of=True)},
    }
    with pytest.raises(KeyError):
        await houses.shards.command(CameraCommand("nobody", Action.DISABLE))
    views = {view.name: view for view in await houses.shards.views()}
    assert views["b"].settings["fps"] == 2
    assert views["c"].state is CameraState.DISABLED


async def test_request_is_done_soon(houses: ManyHouses) -> None:
    """What MQTT asks is done without anybody waiting; what names no camera is ignored."""
    houses.shards.request(CameraCommand("nobody", Action.DISABLE))
    houses.shards.request(CameraCommand("a", Action.DISABLE))
    await houses.until(CameraHealth("a", CameraState.DISABLED))


async def test_death_of_a_shard_is_its_cameras_alone(
    houses: ManyHouses, caplog: pytest.LogCaptureFixture
) -> None:
    """Its cameras go offline, their events end, and they come back; the others notice nothing."""
    await houses.hears(lambda told: bool(begun(told, "b")))
    event = begun(houses.heard, "b")[-1]
    since = len(houses.heard)
    houses.processes[1].kill()
    await houses.until(CameraHealth("b", CameraState.OFFLINE, "crashed"), since)
    assert "shard 1 (b)" in houses.shards.trouble()
    assert houses.shards.moving()
    views = {view.name: view for view in await houses.shards.views()}
    assert (views["b"].state, views["b"].reason) == (CameraState.OFFLINE, "crashed")
    assert views["a"].state is CameraState.LIVE
    after = houses.heard[since:]
    [end] = [
        each
        for each in after
        if isinstance(each, Event) and each.id == event.id and each.type is EventType.END
    ]
    assert after.index(end) < after.index(CameraHealth("b", CameraState.OFFLINE, "crashed"))
    assert MotionChanged("b", on=False) in after

    await houses.until(CameraHealth("b", CameraState.LIVE), since)
    await houses.hears(lambda told: bool(begun(told, "b")), since)
    assert houses.shards.trouble() == ""
    others = [each for each in houses.heard[since:] if isinstance(each, CameraHealth) and each.camera != "b"]
    assert others == []
    assert "nobody watches b" in caplog.text


async def test_shard_that_comes_back_goes_on(houses: ManyHouses) -> None:
    """Totals and what was set are what they were, also what was asked for while nobody was there."""
    await houses.shards.command(SettingCommand("a", Setting.CONFIDENCE, 0.8))
    since = len(houses.heard)
    houses.processes[0].kill()
    await houses.until(CameraHealth("a", CameraState.OFFLINE, "crashed"), since)
    await houses.shards.command(SettingCommand("a", Setting.FPS, 3.0))
    await houses.shards.command(CameraCommand("c", Action.DISABLE))
    await houses.until(CameraHealth("c", CameraState.DISABLED), since)
    await houses.until(CameraHealth("a", CameraState.LIVE), since)
    views = {view.name: view for view in await houses.shards.views()}
    assert views["a"].settings["confidence"] == 0.8
    assert views["a"].settings["fps"] == 3.0
    assert views["c"].state is CameraState.DISABLED
    assert houses.shards.totals()["a"] == TOTALS["a"]
    last = [each for each in houses.heard if isinstance(each, CameraIntroduced) and each.camera == "a"][-1]
    assert last.totals == TOTALS["a"]


async def test_command_while_a_shard_starts_is_not_lost(houses: ManyHouses) -> None:
    """What is asked after a new process has its orders and before it is there is done when it is there."""
    since = len(houses.heard)
    houses.processes[1].kill()
    async with asyncio.timeout(PATIENCE):
        while len(houses.processes) < 3:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert "shard 1" in houses.shards.trouble()
    await houses.shards.command(SettingCommand("b", Setting.FPS, 4.0))
    await houses.shards.command(SettingCommand("b", Setting.FPS, 3.0))
    await houses.until(CameraHealth("b", CameraState.LIVE), since)
    async with asyncio.timeout(PATIENCE):
        while {view.name: view.target_fps for view in await houses.shards.views()}["b"] != 3:
            await asyncio.sleep(0.01)


async def test_nothing_is_asked_of_the_dead(houses: ManyHouses) -> None:
    """Pictures of a camera whose shard is away are none, and uploads go to the others, or are refused."""
    for process in houses.processes:
        process.kill()
    await houses.until(CameraHealth("a", CameraState.OFFLINE, "crashed"))
    await houses.until(CameraHealth("b", CameraState.OFFLINE, "crashed"))
    assert await houses.shards.picture("a") is None
    assert not houses.shards.moving()
    with pytest.raises(ShardDownError):
        await houses.shards.detect(FakeImage(), 0.5)
    assert b'vigil_camera_up{camera="a"} 0.0' in await houses.shards.expose()


def changed(**cameras: dict[str, Any] | None) -> Any:
    """Return the configuration with some cameras otherwise, or gone."""
    keys = {"a": {**ALWAYS, "lines": {"entry": LINE}}, "b": ALWAYS, "c": ALWAYS, **cameras}
    return config_of(
        {name: each for name, each in keys.items() if each is not None}, model={"confidence": 0.4}
    )


async def apply(houses: ManyHouses, before: Any, after: Any) -> None:
    """Take over a configuration as a reload does."""
    await houses.shards.apply(after, diff(before, after))


async def test_reload_touches_what_changed(houses: ManyHouses) -> None:
    """Cameras come, go and change where they are; the rest is left alone, and nobody is moved."""
    since, opened = len(houses.heard), len(houses.opened)
    await apply(houses, CONFIG, changed(b=None, c={**ALWAYS, "masks": [[[0, 0], [1, 0], [1, 1]]]}, d=ALWAYS))
    await houses.until(CameraGone("b"), since)
    await houses.until(CameraHealth("d", CameraState.LIVE), since)
    assert [view.name for view in await houses.shards.views()] == ["a", "c", "d"]
    assert houses.opened[opened:] == ["d"]
    assert b'camera="b"' not in await houses.shards.expose()
    assert [
        each for each in houses.heard[since:] if isinstance(each, CameraHealth) and each.camera == "a"
    ] == []


async def test_reload_is_all_or_nothing(houses: ManyHouses) -> None:
    """A class that the model does not know leaves every shard as it is, those too that could obey."""
    since = len(houses.heard)
    wrong = changed(a={**ALWAYS, "url": "rtsp://10.0.0.6/x"}, b={"detect": {"classes": ["unicorn"]}})
    with pytest.raises(CannotStartError, match="unicorn"):
        await apply(houses, CONFIG, wrong)
    assert (await houses.shards.views())[0].address == "rtsp://10.0.0.5/a"
    assert not any(isinstance(each, CameraIntroduced) for each in houses.heard[since:])


async def test_reload_reaches_a_shard_that_is_away(houses: ManyHouses) -> None:
    """A shard that is started again goes by what was taken over meanwhile; what is gone is told at once."""
    since = len(houses.heard)
    houses.processes[0].kill()
    await houses.until(CameraHealth("a", CameraState.OFFLINE, "crashed"), since)
    await apply(houses, CONFIG, changed(a=None, c={**ALWAYS, "detect": {"fps": 7, "when": "always"}}))
    await houses.until(CameraGone("a"), since)
    await houses.until(CameraHealth("c", CameraState.LIVE), since)
    views = {view.name: view for view in await houses.shards.views()}
    assert list(views) == ["b", "c"]
    assert views["c"].target_fps == 7


async def test_reload_while_a_shard_starts_is_not_lost(houses: ManyHouses) -> None:
    """What is taken over after a new process has its orders reaches it when it is there."""
    since = len(houses.heard)
    houses.processes[1].kill()
    async with asyncio.timeout(PATIENCE):
        while len(houses.processes) < 3:
            await asyncio.sleep(0)
    await apply(houses, CONFIG, changed(b={"detect": {**ALWAYS["detect"], "fps": 6}}))
    await houses.until(CameraHealth("b", CameraState.LIVE), since)
    async with asyncio.timeout(PATIENCE):
        while {view.name: view.target_fps for view in await houses.shards.views()}["b"] != 6:
            await asyncio.sleep(0.01)


async def test_silent_shard_is_replaced(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that says nothing any more is ended and another one started, as one that died."""
    monkeypatch.setattr("vigil.shards.shard._PATIENCE", 0.5)
    monkeypatch.setattr("vigil.shards.shard._LOOK", 0.1)
    monkeypatch.setattr("vigil.shards.child._PULSE", 0.1)
    # Nothing is detected, so that a pulse is all that there is to say.
    houses = ManyHouses(monkeypatch, config_of({"a": {"detect": {"enabled": False}}}), 1)
    async with houses.running():
        await asyncio.sleep(0.8)
        assert len(houses.processes) == 1, "who has a pulse is left alone"
        monkeypatch.setattr("vigil.shards.child._PULSE", 1000)
        await houses.until(CameraHealth("a", CameraState.OFFLINE, "crashed"))
        monkeypatch.setattr("vigil.shards.child._PULSE", 0.1)
        await houses.until(CameraHealth("a", CameraState.LIVE), len(houses.heard))
    assert "it is ended" in caplog.text
    assert len(houses.processes) == 2


async def test_newer_wish_of_the_file_wins(houses: ManyHouses) -> None:
    """What was set holds until the configuration says something else of the same key."""
    await houses.shards.command(SettingCommand("b", Setting.FPS, 2.0))
    await houses.shards.command(SettingCommand("b", Setting.CONFIDENCE, 0.9))
    after = changed(b={"detect": {**ALWAYS["detect"], "fps": 9}})
    await apply(houses, CONFIG, after)
    assert houses.shards.held() == {"b": {"confidence": Held(0.9, 0.4)}}
    views = {view.name: view for view in await houses.shards.views()}
    assert views["b"].settings["fps"] == 9
    assert views["b"].settings["confidence"] == 0.9


@pytest.mark.parametrize("number", [1, 3])
async def test_another_number_of_shards_loses_nothing(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Totals and settings are by camera, so it does not matter how many processes there were before."""
    held = {"a": {"confidence": Held(0.8, 0.4)}, "b": {ENABLED: Held(value=False, instead_of=True)}}
    houses = ManyHouses(monkeypatch, CONFIG, number, TOTALS, held)
    async with houses.running():
        views = {view.name: view for view in await houses.shards.views()}
        assert views["a"].settings["confidence"] == 0.8
        assert views["b"].state is CameraState.DISABLED
        assert houses.shards.totals()["a"] == TOTALS["a"]
        assert houses.shards.held() == held


async def test_end_leaves_no_event_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the front stops, every shard ends in order: what has begun has its end, and processes are over."""
    houses = ManyHouses(monkeypatch, CONFIG)
    async with houses.running():
        await houses.hears(lambda told: all(begun(told, camera) for camera in "abc"))
    events = [each for each in houses.heard if isinstance(each, Event)]
    begins = {each.id for each in events if each.type is EventType.NEW}
    assert begins == {each.id for each in events if each.type is EventType.END}
    assert [process.returncode for process in houses.processes] == [0, 0]


async def test_shard_that_cannot_start_is_fatal_at_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that the model does not know ends the start with the line that one process would give."""
    config = config_of({"a": ALWAYS, "b": {"detect": {"classes": ["unicorn"]}}})
    houses = ManyHouses(monkeypatch, config)
    with pytest.raises((CannotStartError, ExceptionGroup)) as caught:
        await houses.shards.start()
    error = caught.value.exceptions[0] if isinstance(caught.value, ExceptionGroup) else caught.value
    assert "cameras.b.detect.classes" in str(error)
    await houses.shards.end()
    async with asyncio.timeout(PATIENCE):
        for process in houses.processes:
            await process.wait()


async def test_stats_are_of_all_cameras(houses: ManyHouses) -> None:
    """What every shard says of its cameras stands together, with the latencies that the front measured."""
    series = houses.metrics.camera("b")
    assert series is not None
    series.published(0.0)
    async with asyncio.timeout(PATIENCE):
        while not all(stats.target_fps for stats in houses.shards.stats().values()):
            series.published(0.0)
            await asyncio.sleep(0.05)
    series.published(0.0)
    stats = houses.shards.stats()
    assert list(stats) == ["a", "b", "c"]
    assert stats["b"].latency_p50 is not None
    assert replace(stats["a"], capture_fps=0, inference_fps=0).latency_p50 is None
