"""Taking over a configuration while all runs: all of it or nothing, told in a line and a metric."""

from __future__ import annotations

import asyncio
import logging
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.fakes import LOADED, PATIENCE
from tests.support.household import House, config_of
from vigil.config.diff import Changes
from vigil.core.types import CameraHealth, CameraState
from vigil.errors import CannotStartError, ConfigError, Problem
from vigil.messaging import Messaging
from vigil.reload import Reload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from vigil.config.model import Config
    from vigil.errors import VigilError

ONE = config_of({"drive": {}}, mqtt={"host": "broker"})
TWO = config_of({"drive": {}, "door": {}}, mqtt={"host": "broker"})
WRONG = ConfigError([Problem("vigil.yaml", 3, 1, "mqtt.hots", "is not a key of `mqtt`")])
FILES: tuple[Config | ConfigError, ...] = (WRONG, TWO)


class NotingMessaging(Messaging):
    """The real checks of new settings; what is applied is only noted, for nobody runs it."""

    applied: Config | None = None

    def apply(self, config: Config) -> None:
        """Note."""
        self.applied = config


class Stage:
    """A running household whose configuration file holds what the test puts there."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, config: Config) -> None:
        self.house = House(monkeypatch, config)
        self.file: Config | VigilError = config
        self.loads = 0
        self.messaging = NotingMessaging(
            config, LOADED, self.house.bus, self.house.metrics, lambda _command: None
        )
        self.log_settings: list[Any] = []
        monkeypatch.setattr("vigil.reload.logging_setup.set_up", self.log_settings.append)
        self.reload = Reload(config, self._load, self.house.supervisor, self.messaging, self.house.metrics)

    @property
    def successful(self) -> float | None:
        """What Prometheus is told of the last reload."""
        return self.house.value("config_last_reload_successful")

    @property
    def names(self) -> list[str]:
        """The cameras that are there."""
        return [view.name for view in self.house.supervisor.views()]

    async def take(self, file: Config | VigilError) -> Changes:
        """Put this into the file and reload."""
        self.file = file
        return await self.reload.reload()

    async def loaded(self, times: int) -> None:
        """Wait until the file has been read so often and taken over."""
        async with asyncio.timeout(PATIENCE):
            while self.loads < times or self.reload._busy.locked():
                await asyncio.sleep(0)

    def _load(self) -> Config:
        self.loads += 1
        if isinstance(self.file, Exception):
            raise self.file
        return self.file


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> AsyncIterator[Stage]:
    """Return a household with one camera, which runs."""
    caplog.set_level(logging.INFO)
    stage = Stage(monkeypatch, ONE)
    async with stage.house.running():
        caplog.clear()
        yield stage


def told(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    """Return what the reload wrote: level and text."""
    return [
        (record.levelname, record.getMessage()) for record in caplog.records if record.name == "vigil.reload"
    ]


async def test_first_load_counts_as_a_good_one(stage: Stage) -> None:
    """From the start the metrics say that the configuration in force is the file's."""
    assert stage.successful == 1
    since = stage.house.value("config_last_reload_success_timestamp_seconds")
    assert since is not None
    assert since > 1.7e9
    assert stage.reload.config is ONE


async def test_good_configuration_is_taken_over(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A new camera runs, the configuration in force is the new one, and one line says what changed."""
    assert await stage.take(TWO) == Changes(added=("door",))
    await stage.house.until(CameraHealth("door", CameraState.LIVE))
    assert stage.reload.config is TWO
    assert stage.successful == 1
    assert told(caplog) == [("INFO", "configuration taken over: added door")]
    assert stage.messaging.applied is None
    assert stage.log_settings == []


async def test_changes_are_those_since_the_last_reload(stage: Stage) -> None:
    """A second reload compares with what is in force, not with what vigil was started with."""
    await stage.take(TWO)
    assert await stage.take(TWO) == Changes()
    assert await stage.take(ONE) == Changes(removed=("door",))
    assert stage.names == ["drive"]


async def test_wrong_file_changes_nothing(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """Its problems are raised and logged without a traceback, the metric falls, everything goes on."""
    await stage.take(TWO)
    since = stage.house.value("config_last_reload_success_timestamp_seconds")
    caplog.clear()
    with pytest.raises(ConfigError, match=r"mqtt\.hots"):
        await stage.take(WRONG)
    assert stage.reload.config is TWO
    assert stage.names == ["drive", "door"]
    assert stage.successful == 0
    assert stage.house.value("config_last_reload_success_timestamp_seconds") == since
    ((level, text),) = told(caplog)
    assert (level, text.splitlines()) == (
        "ERROR",
        [
            "the configuration is left as it was:",
            "vigil.yaml:3:1: mqtt.hots: is not a key of `mqtt`",
        ],
    )
    assert not [record for record in caplog.records if record.exc_info]


async def test_good_file_after_a_wrong_one_mends_it(stage: Stage) -> None:
    """The metric is 1 again as soon as a configuration is taken over."""
    with pytest.raises(ConfigError):
        await stage.take(WRONG)
    await stage.take(TWO)
    assert stage.successful == 1
    assert stage.names == ["drive", "door"]


async def test_unknown_class_changes_nothing(stage: Stage) -> None:
    """A class that the model does not know spoils the whole file: broker, log and other cameras stay."""
    bad = config_of(
        {"drive": {"transport": "udp"}, "door": {"detect": {"classes": ["unicorn"]}}},
        mqtt={"host": "other"},
        log={"level": "debug"},
    )
    with pytest.raises(CannotStartError, match="unicorn"):
        await stage.take(bad)
    assert stage.reload.config is ONE
    assert (stage.names, stage.successful) == (["drive"], 0)
    assert not stage.house.sources("drive")[0].closed.is_set()
    assert (stage.messaging.applied, stage.log_settings) == (None, [])


@pytest.fixture
def taken_port() -> Iterator[int]:
    """Hold a port that somebody else listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


async def test_taken_port_changes_nothing(stage: Stage, taken_port: int) -> None:
    """An embedded broker that could not listen is refused before a camera is touched."""
    bad = config_of({"drive": {}, "door": {}}, mqtt={"port": taken_port})
    with pytest.raises(CannotStartError, match=rf"mqtt\.port: 127\.0\.0\.1:{taken_port} is taken"):
        await stage.take(bad)
    assert (stage.names, stage.successful, stage.messaging.applied) == (["drive"], 0, None)


async def test_port_of_a_foreign_broker_may_be_taken(stage: Stage, taken_port: int) -> None:
    """A configured broker's port is of course somebody's."""
    other = config_of({"drive": {}}, mqtt={"host": "127.0.0.1", "port": taken_port})
    assert await stage.take(other) == Changes(mqtt=True)
    assert stage.messaging.applied == other


async def test_own_brokers_port_is_not_taken(monkeypatch: pytest.MonkeyPatch, taken_port: int) -> None:
    """When only another key of `mqtt` changes, the embedded broker's own port is no obstacle."""
    stage = Stage(monkeypatch, config_of({"drive": {}}, mqtt={"port": taken_port}))
    async with stage.house.running():
        new = config_of({"drive": {}}, mqtt={"port": taken_port, "topic_prefix": "home"})
        assert await stage.take(new) == Changes(mqtt=True)


async def test_broker_and_log_are_changed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """New settings reach the messaging and the log's set-up, each only when it changed."""
    new = config_of({"drive": {}}, mqtt={"host": "other"}, log={"level": "debug"})
    await stage.take(new)
    assert stage.messaging.applied == new
    assert stage.log_settings == [new.log]
    assert told(caplog) == [("INFO", "configuration taken over: broker; log")]


async def test_what_waits_for_a_restart_is_named(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """A person reads once which keys do nothing yet; the reload as such is a good one."""
    new = config_of({"drive": {}}, mqtt={"host": "broker"}, model={"size": 320}, http={"port": 81})
    await stage.take(new)
    await stage.take(new)
    assert told(caplog) == [
        ("INFO", "configuration taken over: nothing that can change now"),
        ("WARNING", "model.size takes effect only when vigil starts again"),
        ("WARNING", "http.port takes effect only when vigil starts again"),
        ("INFO", "configuration taken over: nothing that can change now"),
    ]
    assert stage.successful == 1


async def test_reloads_come_one_after_another(stage: Stage) -> None:
    """Two at once end as the file says, and the second finds nothing left to change."""
    stage.file = TWO
    first, second = await asyncio.gather(stage.reload.reload(), stage.reload.reload())
    assert (first, second) == (Changes(added=("door",)), Changes())


@asynccontextmanager
async def watching(stage: Stage, path: Path, requested: asyncio.Event) -> AsyncIterator[asyncio.Task[None]]:
    """Run what watches the file and the signal."""
    task = asyncio.ensure_future(stage.reload.run(path, requested))
    await stage.house.settled()
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_request_reloads_and_survives_a_wrong_file(stage: Stage, tmp_path: Path) -> None:
    """Each SIGHUP reloads once; one that finds a wrong file ends nothing, and the next one works."""
    requested = asyncio.Event()
    async with watching(stage, tmp_path / "none.yaml", requested) as task:
        for number, file in enumerate(FILES, start=1):
            stage.file = file
            requested.set()
            await stage.loaded(number)
        assert not task.done()
        assert not requested.is_set()
        assert (stage.names, stage.successful) == (["drive", "door"], 1)


async def test_changed_file_reloads_and_survives_a_wrong_one(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each change of the file reloads, and a wrong one in between ends nothing."""
    monkeypatch.setattr("vigil.config.watch._PERIOD", 0)
    path = tmp_path / "vigil.yaml"
    path.write_text("0")
    async with watching(stage, path, asyncio.Event()) as task:
        for number, file in enumerate(FILES, start=1):
            stage.file = file
            path.write_text("x" * (number + 1))
            await stage.loaded(number)
        assert not task.done()
        assert (stage.names, stage.successful) == (["drive", "door"], 1)
