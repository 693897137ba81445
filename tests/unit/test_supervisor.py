"""Cameras through commands and reloads, with sources that tests hold: who is touched, and who is not."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fakes import Clock, boxes, frame
from tests.support.household import LABELS, House, config_of
from vigil.config.diff import Changes, diff
from vigil.core.events import Crossings, Event, EventType, Totals
from vigil.core.types import (
    Action,
    CameraCommand,
    CameraGone,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    CameraStatus,
    MotionChanged,
    ProfileChanged,
    Result,
    StatsReport,
    Tuning,
)
from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.config.model import Config
    from vigil.core.types import BusMessage

MOMENTS = count(1)
THREE = config_of({"drive": {}, "door": {}, "attic": {"enabled": False}})
PERSON = (10, 20, 30, 40, 0.9, 0)


def live(camera: str) -> CameraHealth:
    """Return the health of a camera that delivers frames."""
    return CameraHealth(camera, CameraState.LIVE)


def disabled(camera: str) -> CameraHealth:
    """Return the health of a camera that nobody wants now."""
    return CameraHealth(camera, CameraState.DISABLED)


def connecting(camera: str) -> CameraHealth:
    """Return the health of a camera that has just been started."""
    return CameraHealth(camera, CameraState.CONNECTING)


def scheduled(house: House) -> set[str]:
    """Return the cameras whose frames are wanted."""
    return set(house.loop._schedule._entries)


async def told_to(house: House, camera: str, action: Action) -> None:
    """Give a command and wait until it is done."""
    await house.supervisor.command(CameraCommand(camera, action))


async def apply(house: House, old: Config, new: Config) -> Changes:
    """Have the supervisor take over a configuration."""
    changes = diff(old, new)
    await house.supervisor.apply(new, changes)
    return changes


def test_unknown_class_cannot_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that the model does not know is refused before any camera is there."""

    async def build() -> None:
        House(monkeypatch, config_of({"drive": {"detect": {"classes": ["unicorn"]}}}))

    with pytest.raises(CannotStartError, match=r"cameras\.drive\.detect\.classes"):
        asyncio.run(build())


async def test_every_enabled_camera_is_started_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each camera is introduced with all its labels and its state; a disabled one has no source."""
    house = House(monkeypatch, THREE)
    async with house.running():
        assert [view.state.value for view in house.supervisor.views()] == ["live", "live", "disabled"]
        assert scheduled(house) == {"drive", "door"}
        assert house.sources("attic") == []
    told = [message for message in house.heard if not isinstance(message, MotionChanged | Result)]
    assert told[:6] == [
        message
        for name, health in (
            ("drive", connecting("drive")),
            ("door", connecting("door")),
            ("attic", disabled("attic")),
        )
        for message in (introduced(name), health)
    ]
    assert all(source.closed.is_set() for _, source in house.opened)


def introduced(name: str, *labels: str) -> CameraIntroduced:
    """Return what is told of a camera that sees nobody, by default of one that reports every label."""
    return CameraIntroduced(name, dict.fromkeys(labels or LABELS, 0))


def show(house: House, *rows: tuple[float, float, float, float, float, int]) -> None:
    """Have `drive` see this for long enough to believe it."""
    for number in range(3):
        at = next(MOMENTS) * 0.2
        house.pipelines.handle([frame("drive", number, at)], [boxes(*rows)])


async def test_view_tells_what_people_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """A view has the address without its password, the state, and the target; 0 where nothing is detected."""
    config = config_of(
        {
            "drive": {"url": "rtsp://u:sesame@10.0.0.5/drive", "detect": {"fps": 2, "classes": ["car"]}},
            "door": {"detect": {"enabled": False}},
        }
    )
    house = House(monkeypatch, config)
    async with house.running():
        drive, door = house.supervisor.views()
        assert (drive.address, drive.status) == ("rtsp://u:***@10.0.0.5/drive", CameraStatus.ONLINE)
        assert (drive.target_fps, door.target_fps) == (2, 0)
        assert drive.counts == {"car": 0}
        assert scheduled(house) == {"drive"}


async def test_stats_tell_how_a_camera_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """Latencies are those since the last report, `None` without any; the format is what came last."""
    house = House(monkeypatch, THREE)
    monkeypatch.setattr("vigil.metrics.camera.time", clock := Clock(now=1000.0))
    async with house.running():
        drive = house.metrics.camera("drive")
        assert drive is not None
        for hundredths in range(100, 0, -1):
            drive.published(clock.now - hundredths / 100)
        stats = house.supervisor.stats()
        assert stats["drive"].latency_p50 == pytest.approx(0.5)
        assert stats["drive"].latency_p95 == pytest.approx(0.95)
        assert (stats["drive"].codec, stats["drive"].width, stats["drive"].height) == ("h264", 1280, 720)
        assert (stats["attic"].codec, stats["attic"].target_fps) == ("", 5)
        assert house.supervisor.stats()["drive"].latency_p95 is None


async def test_disabled_camera_is_stopped_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disabling ends one camera's capture, zeroes its counts and tells it; another notices nothing."""
    house = House(monkeypatch, THREE)
    async with house.running():
        show(house, PERSON)
        assert house.value("objects", camera="drive", label="person") == 1
        await told_to(house, "drive", Action.DISABLE)
        assert (await house.settled())[-1] == disabled("drive")
        assert house.sources("drive")[0].closed.is_set()
        assert not house.sources("door")[0].closed.is_set()
        assert scheduled(house) == {"door"}
        assert house.value("objects", camera="drive", label="person") == 0
        assert house.value("camera_state", camera="drive", state="disabled") == 1
        assert house.value("camera_up", camera="drive") == 0
        (view, *_) = house.supervisor.views()
        assert (view.status, view.counts["person"]) == (CameraStatus.DISABLED, 0)


async def test_enabled_camera_comes_back_and_goes_on_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enabling starts a new capture whose frames are numbered on from the last one."""
    house = House(monkeypatch, THREE)
    async with house.running():
        await told_to(house, "drive", Action.DISABLE)
        since = len(await house.settled())
        await told_to(house, "drive", Action.ENABLE)
        await house.until(live("drive"), since)
        assert house.heard[since:] == [connecting("drive"), live("drive")]
        assert len(house.sources("drive")) == 2
        assert scheduled(house) == {"drive", "door"}
        await house.captured("drive", 1, 2)


async def test_camera_that_the_file_disables_can_be_enabled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command wins over `enabled: false` until the next reload that touches the camera."""
    house = House(monkeypatch, THREE)
    async with house.running():
        await told_to(house, "attic", Action.ENABLE)
        await house.until(live("attic"))
        assert "attic" in scheduled(house)


async def test_restart_opens_the_source_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old source is closed before the new one is opened, and numbers go on."""
    house = House(monkeypatch, THREE)
    async with house.running():
        since = len(await house.settled())
        await told_to(house, "drive", Action.RESTART)
        await house.until(live("drive"), since)
        first, second = house.sources("drive")
        assert first.closed.is_set()
        assert not second.closed.is_set()
        await house.captured("drive", 1, 2)
        assert len(house.sources("door")) == 1


async def test_restart_of_a_disabled_camera_starts_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who restarts a camera wants it to run."""
    house = House(monkeypatch, THREE)
    async with house.running():
        await told_to(house, "attic", Action.RESTART)
        await house.until(live("attic"))


@pytest.mark.parametrize(("camera", "action"), [("drive", Action.ENABLE), ("attic", Action.DISABLE)])
async def test_command_that_changes_nothing_does_nothing(
    monkeypatch: pytest.MonkeyPatch, camera: str, action: Action
) -> None:
    """A switch that stands there already interrupts nobody and tells nothing."""
    house = House(monkeypatch, THREE)
    async with house.running():
        since = len(await house.settled())
        await told_to(house, camera, action)
        assert (await house.settled())[since:] == []
        assert len(house.opened) == 2


async def test_unknown_camera_cannot_be_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command for a camera that is not there is a `KeyError`; as a request it is ignored."""
    house = House(monkeypatch, THREE)
    house.supervisor.request(CameraCommand("drive", Action.DISABLE))
    async with house.running():
        with pytest.raises(KeyError):
            await told_to(house, "cellar", Action.DISABLE)
        house.supervisor.request(CameraCommand("cellar", Action.DISABLE))
        await house.settled()
        assert house.state("drive") is CameraState.LIVE


async def test_request_is_obeyed_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """What MQTT asks for is done without anybody waiting for it."""
    house = House(monkeypatch, THREE)
    async with house.running():
        house.supervisor.request(CameraCommand("drive", Action.DISABLE))
        await house.until(disabled("drive"))


async def test_camera_that_goes_before_its_command_is_a_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A command that waits while a reload removes its camera ends as a log line, and nothing else ends."""
    house = House(monkeypatch, THREE)
    async with house.running():
        removing = asyncio.ensure_future(apply(house, THREE, config_of({"door": {}})))
        house.supervisor.request(CameraCommand("drive", Action.RESTART))
        await removing
        await house.settled()
        assert house.state("door") is CameraState.LIVE
    assert len(house.sources("drive")) == 1
    assert "drive: is gone before it could do as it was told" in caplog.messages


async def test_commands_are_obeyed_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many contradicting requests at once the last one stands, and no source is open twice."""
    house = House(monkeypatch, THREE)
    async with house.running():
        since = len(await house.settled())
        for action in [Action.DISABLE, Action.ENABLE, Action.RESTART] * 5 + [Action.DISABLE]:
            house.supervisor.request(CameraCommand("drive", action))
            assert sum(not source.closed.is_set() for source in house.sources("drive")) <= 1
        async with asyncio.timeout(10):
            while [each for each in house.heard[since:] if each == disabled("drive")] != [
                disabled("drive")
            ] * 6:
                await asyncio.sleep(0)
        assert house.state("drive") is CameraState.DISABLED
        assert all(source.closed.is_set() for source in house.sources("drive"))


async def test_added_camera_joins(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new camera is introduced, started and scheduled; nobody else is touched."""
    house = House(monkeypatch, THREE)
    async with house.running():
        since = len(await house.settled())
        new = config_of(
            {"drive": {}, "door": {}, "attic": {"enabled": False}, "gate": {}, "shed": {"enabled": False}}
        )
        assert (await apply(house, THREE, new)).added == ("gate", "shed")
        await house.until(live("gate"))
        told = await house.settled()
        said = [message for message in told[since:] if not isinstance(message, Result)]
        expected = [
            *(introduced("gate"), MotionChanged("gate", on=False), connecting("gate"), live("gate")),
            *(introduced("shed"), MotionChanged("shed", on=False), disabled("shed")),
        ]
        assert sorted(map(repr, said)) == sorted(map(repr, expected))
        assert scheduled(house) == {"drive", "door", "gate"}
        assert len(house.opened) == 3


async def test_removed_camera_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera that is gone has no source, series, turn, view or pipeline, and the bus hears of it last."""
    house = House(monkeypatch, THREE)
    async with house.running():
        since = len(await house.settled())
        assert (await apply(house, THREE, config_of({"door": {}}))).removed == ("drive", "attic")
        assert set((await house.settled())[since:]) == {CameraGone("drive"), CameraGone("attic")}
        assert house.sources("drive")[0].closed.is_set()
        assert not house.sources("door")[0].closed.is_set()
        assert [view.name for view in house.supervisor.views()] == ["door"]
        assert scheduled(house) == {"door"}
        assert house.pipelines.get("drive") is None
        assert b'camera="drive"' not in house.metrics.render()
        with pytest.raises(KeyError):
            house.supervisor.sight("drive")


async def test_recaptured_camera_is_reopened_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new address means a new source with the new configuration; numbers and counters go on."""
    house = House(monkeypatch, THREE)
    new = config_of({"drive": {"transport": "udp"}, "door": {}, "attic": {"enabled": False}})
    async with house.running():
        since = len(await house.settled())
        assert await apply(house, THREE, new) == Changes(recaptured=("drive",))
        await house.until(live("drive"), since)
        first, second = house.sources("drive")
        assert first.closed.is_set()
        assert not second.closed.is_set()
        assert house.opened[-1][0] == new.cameras["drive"]
        await house.captured("drive", 1, 2)
        assert not house.sources("door")[0].closed.is_set()
        assert {
            message.camera
            for message in house.heard[since:]
            if not isinstance(message, Result | ProfileChanged | StatsReport)
        } == {"drive"}


async def test_reload_can_disable_and_enable(monkeypatch: pytest.MonkeyPatch) -> None:
    """`enabled` in the file starts and stops a camera like a command does."""
    house = House(monkeypatch, THREE)
    new = config_of({"drive": {"enabled": False}, "door": {}, "attic": {}})
    async with house.running():
        await apply(house, THREE, new)
        await house.until(live("attic"))
        assert house.state("drive") is CameraState.DISABLED
        assert house.sources("drive")[0].closed.is_set()
        assert scheduled(house) == {"door", "attic"}


async def test_retuned_camera_goes_on_capturing(monkeypatch: pytest.MonkeyPatch) -> None:
    """New classes and rates take effect on the same source; its labels and series follow."""
    house = House(monkeypatch, THREE)
    new = config_of(
        {"drive": {"detect": {"classes": ["car"], "fps": 2}}, "door": {}, "attic": {"enabled": False}}
    )
    async with house.running():
        since = len(await house.settled())
        assert await apply(house, THREE, new) == Changes(retuned=("drive",))
        assert (await house.settled())[since:] == [
            replace(introduced("drive", "car"), tuning=Tuning(fps=2)),
            MotionChanged("drive", on=False),
        ]
        assert len(house.opened) == 2
        assert not house.sources("drive")[0].closed.is_set()
        assert house.value("camera_target_fps", camera="drive") == 2
        assert house.value("objects", camera="drive", label="person") is None
        show(house, PERSON, (0, 0, 9, 9, 0.9, 1))
        (drive, *_) = house.supervisor.views()
        assert (drive.counts, drive.target_fps, drive.state) == ({"car": 1}, 2, CameraState.LIVE)


async def test_retuned_camera_that_is_disabled_stays_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is detected in a camera that somebody switched off changes without switching it on."""
    house = House(monkeypatch, THREE)
    new = config_of({"drive": {"detect": {"fps": 2}}, "door": {}, "attic": {"enabled": False}})
    async with house.running():
        await told_to(house, "drive", Action.DISABLE)
        await apply(house, THREE, new)
        assert house.state("drive") is CameraState.DISABLED
        assert scheduled(house) == {"door"}


async def test_camera_that_detects_no_more_sees_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Detection that is switched off leaves no count behind, not even by a frame that was under way."""
    house = House(monkeypatch, THREE)
    new = config_of({"drive": {"detect": {"enabled": False}}, "door": {}, "attic": {"enabled": False}})
    async with house.running():
        show(house, PERSON)
        assert house.value("objects", camera="drive", label="person") == 1
        await apply(house, THREE, new)
        show(house, PERSON)
        assert house.value("objects", camera="drive", label="person") == 0
        (drive, *_) = house.supervisor.views()
        assert drive.counts["person"] == 0
        assert scheduled(house) == {"door"}


async def test_retuned_camera_that_is_away_still_sees_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new filter for a camera that is away does not let a frame that was under way be counted."""
    house = House(monkeypatch, THREE)
    new = config_of({"drive": {"detect": {"classes": ["person"]}}, "door": {}, "attic": {"enabled": False}})
    async with house.running():
        await told_to(house, "drive", Action.DISABLE)
        await apply(house, THREE, new)
        show(house, PERSON)
        (drive, *_) = house.supervisor.views()
        assert drive.counts == {"person": 0}


@pytest.mark.parametrize(
    "cameras",
    [
        {"drive": {"transport": "udp"}, "door": {"detect": {"classes": ["unicorn"]}}},
        {"drive": {}, "gate": {"detect": {"confidence": {"unicorn": 0.5}}}},
    ],
)
async def test_unknown_class_touches_nothing(
    monkeypatch: pytest.MonkeyPatch, cameras: dict[str, Any]
) -> None:
    """A configuration that one camera's class spoils is refused as a whole, before anybody is stopped."""
    house = House(monkeypatch, THREE)
    async with house.running():
        before = await house.settled()
        with pytest.raises(CannotStartError, match="unicorn"):
            await apply(house, THREE, config_of(cameras))
        assert await house.settled() == before
        assert [view.name for view in house.supervisor.views()] == ["drive", "door", "attic"]
        assert scheduled(house) == {"drive", "door"}
        assert len(house.opened) == 2
        assert not any(source.closed.is_set() for _, source in house.opened)


async def test_reload_waits_for_a_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reload that comes in the middle of a restart finds the camera as the restart left it."""
    house = House(monkeypatch, THREE)
    new = config_of({"drive": {"transport": "udp"}, "door": {}, "attic": {"enabled": False}})
    async with house.running():
        since = len(await house.settled())
        await asyncio.gather(told_to(house, "drive", Action.RESTART), apply(house, THREE, new))
        await house.until(live("drive"), since)
        assert house.opened[-1][0] == new.cameras["drive"]
        assert sum(not source.closed.is_set() for source in house.sources("drive")) == 1


def healths(messages: Sequence[object]) -> list[CameraHealth]:
    """Return only the states of cameras."""
    return [message for message in messages if isinstance(message, CameraHealth)]


async def test_announcing_tells_all_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subscriber that comes later can be told of every camera as it is now."""
    house = House(monkeypatch, THREE)
    async with house.running():
        since = len(await house.settled())
        house.supervisor.announce()
        told = (await house.settled())[since:]
        assert healths(told) == [live("drive"), live("door"), disabled("attic")]
        assert [message.camera for message in told if isinstance(message, CameraIntroduced)] == list(
            THREE.cameras
        )


async def test_stopping_stops_every_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the supervisor is cancelled, every source is closed and no task is left."""
    house = House(monkeypatch, THREE)
    async with house.running():
        pass
    assert all(source.closed.is_set() for _, source in house.opened)
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("camera-")]


def ends(told: list[BusMessage]) -> list[str]:
    """Return the cameras of the events that ended, in order."""
    return [each.camera for each in told if isinstance(each, Event) and each.type is EventType.END]


async def test_no_event_stays_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retuning, disabling and removing a camera, and stopping vigil, each end its open events once."""
    house = House(monkeypatch, THREE)
    retuned = config_of({"drive": {"detect": {"fps": 2}}, "door": {}, "attic": {"enabled": False}})
    without = config_of({"door": {}, "attic": {"enabled": False}})
    async with house.running():
        show(house, PERSON)
        await apply(house, THREE, retuned)
        assert ends(await house.settled()) == ["drive"]
        show(house, PERSON)
        await told_to(house, "drive", Action.DISABLE)
        assert ends(await house.settled()) == ["drive"] * 2
        await told_to(house, "drive", Action.ENABLE)
        await house.until(live("drive"), len(house.heard))
        show(house, PERSON)
        await apply(house, retuned, without)
        assert ends(await house.settled()) == ["drive"] * 3
        house.pipelines.handle([frame("door", n, n * 0.2) for n in range(1)], [boxes(PERSON)])
        for number in range(1, 4):
            house.pipelines.handle([frame("door", number, number * 0.2)], [boxes(PERSON)])
        subscription = house.bus.subscribe("last words")
    assert ends(subscription.drain()) == ["door"]


async def test_line_that_is_away_for_a_while_counts_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile without a line, or a camera that was removed, forgets nothing that was counted before."""
    config = config_of({"drive": {"lines": {"entry": {"from": [0, 0.5], "to": [1, 0.5]}}}, "door": {}})
    counted = Crossings(5, 4)
    house = House(monkeypatch, config, {"drive": Totals({"entry": {"person": counted}})})
    async with house.running():
        for without in (config_of({"drive": {}, "door": {}}), config_of({"door": {}})):
            await apply(house, config, without)
            assert house.supervisor.totals()["drive"].lines["entry"]["person"] == counted
            await apply(house, without, config)
            pipeline = house.pipelines.get("drive")
            assert pipeline is not None
            assert pipeline.state.totals.lines["entry"]["person"] == counted


async def test_retuned_camera_keeps_its_totals(monkeypatch: pytest.MonkeyPatch) -> None:
    """What lines have counted goes on under new settings, and is there for whoever keeps it."""
    line = {"lines": {"entry": {"from": [0, 0.5], "to": [1, 0.5]}}}
    config = config_of({"drive": line})
    house = House(monkeypatch, config, {"drive": Totals({"entry": {"person": Crossings(5, 4)}})})
    async with house.running():
        await apply(house, config, config_of({"drive": {**line, "detect": {"fps": 2}}}))
        assert house.supervisor.totals()["drive"].lines["entry"]["person"] == Crossings(5, 4)
