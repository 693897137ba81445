"""One camera's life with a fake source: live, ended, refused, stalled, hung. Real threads, no sleeping."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import PATIENCE, Clock, FakeImage, FakeSource, Gate
from vigil.core.types import CameraStatus
from vigil.errors import (
    EndedError,
    RefusedError,
    SourceError,
    StalledError,
    UnauthorizedError,
)
from vigil.metrics import CAPTURE_FAILURES, Metrics
from vigil.video.camera import Camera
from vigil.video.source import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vigil.core.types import Frame
    from vigil.video.source import Pause

LIVE = (CameraStatus.ONLINE, "")


class Scene:
    """A camera whose sources come from a list, and all that it tells."""

    def __init__(self, *sources: Callable[[Pause], FakeSource], stall_after: float = PATIENCE) -> None:
        self._sources = iter(sources)
        self.opened: list[FakeSource] = []
        self.frames: list[Frame] = []
        self.statuses: list[tuple[CameraStatus, str]] = []
        self.told = asyncio.Event()
        self.metrics = Metrics()
        self.camera = Camera(
            "drive",
            self._open,
            self,
            self.metrics.add_camera("drive", ["person"], 5.0),
            stall_after=stall_after,
            on_status=self._status,
        )

    def offer(self, frame: Frame) -> None:
        """Take a frame."""
        self.frames.append(frame)

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.metrics.registry.get_sample_value(f"vigil_{name}", labels)

    def _open(self, pause: Pause) -> FakeSource:
        self.opened.append(next(self._sources)(pause))
        return self.opened[-1]

    def _status(self, status: CameraStatus, reason: str) -> None:
        self.statuses.append((status, reason))
        self.told.set()


def pictures(count: int) -> Iterator[Picture]:
    """Yield pictures that arrived a second apart."""
    for number in range(count):
        yield Picture(100.0 + number, float(number), FakeImage())


def endless(pause: Pause) -> Iterator[Picture]:
    """Yield one picture, then wait until told to stop."""
    yield from pictures(1)
    assert pause(PATIENCE)


async def test_frames_are_numbered_and_told() -> None:
    """Each picture becomes a frame of its camera, with its times and a number without gaps; up means up."""
    scene = Scene(lambda _pause: FakeSource(pictures(3), end=EndedError("over")))
    with pytest.raises(EndedError):
        await scene.camera.run_once()
    assert [(each.camera, each.seq, each.captured_at, each.pts) for each in scene.frames] == [
        ("drive", 1, 100, 0),
        ("drive", 2, 101, 1),
        ("drive", 3, 102, 2),
    ]
    assert scene.statuses == [LIVE]
    assert scene.value("camera_up", camera="drive") == 1
    assert scene.value("frames_captured_total", camera="drive") == 3
    assert scene.opened[0].closed.is_set()


async def test_numbers_go_on_over_reconnects() -> None:
    """A second connection goes on counting where the first one ended."""
    scene = Scene(*[lambda _pause: FakeSource(pictures(2), end=EndedError("over"))] * 2)
    for _ in range(2):
        with pytest.raises(EndedError):
            await scene.camera.run_once()
    assert [each.seq for each in scene.frames] == [1, 2, 3, 4]


async def test_refused_source_is_closed_and_told() -> None:
    """A source that cannot be opened raises its own error, is closed, and never counts as live."""
    scene = Scene(lambda _pause: FakeSource(refuses=RefusedError("nobody listens")))
    with pytest.raises(RefusedError, match="nobody listens"):
        await scene.camera.run_once()
    assert scene.opened[0].closed.is_set()
    assert (scene.statuses, scene.frames) == ([], [])


async def test_source_that_just_ends_is_an_error() -> None:
    """`Source.pictures` may end without an exception; the camera is tried again all the same."""
    scene = Scene(lambda _pause: FakeSource(pictures(1)))
    with pytest.raises(EndedError):
        await scene.camera.run_once()


async def test_cancelling_stops_the_thread() -> None:
    """When the camera's task is cancelled, the capture thread ends and closes its source."""
    scene = Scene(lambda pause: FakeSource(endless(pause)))
    task = asyncio.ensure_future(scene.camera.run())
    async with asyncio.timeout(PATIENCE):
        await scene.told.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert scene.opened[0].closed.is_set()
    assert scene.value("capture_threads_abandoned_total") == 0


class Leaping(Clock):
    """A clock that leaps by a minute whenever it is read."""

    def monotonic(self) -> float:
        """Return the time, which has passed."""
        self.now += 60
        return self.now


async def test_silent_source_is_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that is open and gives no frame for `stall_after` seconds is left."""
    monkeypatch.setattr("vigil.video.camera.time", Leaping())
    scene = Scene(lambda pause: FakeSource(silence(pause)), stall_after=30)
    with pytest.raises(StalledError, match="no frame for 30 s"):
        await asyncio.wait_for(scene.camera.run_once(), PATIENCE)
    assert scene.opened[0].closed.is_set()
    assert scene.statuses == []


def silence(pause: Pause) -> Iterator[Picture]:
    """Yield nothing until told to stop."""
    assert pause(PATIENCE)
    yield from ()


async def test_hung_thread_is_left_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A capture thread that does not answer is abandoned after its grace, with a line and a count."""
    monkeypatch.setattr("vigil.video.camera.time", Leaping())
    monkeypatch.setattr("vigil.video.camera._GRACE", 0)
    gate = Gate()

    def hang() -> Iterator[Picture]:
        gate.pass_through()
        yield from pictures(1)

    scene = Scene(lambda _pause: FakeSource(hang()), stall_after=30)
    with pytest.raises(StalledError):
        await asyncio.wait_for(scene.camera.run_once(), PATIENCE)
    assert scene.value("capture_threads_abandoned_total") == 1
    assert "drive: the capture thread hangs and is left behind" in caplog.messages
    gate.open()
    assert await asyncio.to_thread(scene.opened[0].closed.wait, PATIENCE)
    assert scene.frames == []


async def test_failure_reaches_the_status(caplog: pytest.LogCaptureFixture) -> None:
    """A camera that cannot be opened is told to be offline, with the reason, before it is tried again."""
    scene = Scene(lambda _pause: FakeSource(refuses=RefusedError("nobody listens")))
    task = asyncio.ensure_future(scene.camera.run())
    async with asyncio.timeout(PATIENCE):
        await scene.told.wait()
    task.cancel()
    await asyncio.wait([task])
    assert scene.statuses == [(CameraStatus.OFFLINE, "refused")]
    assert scene.value("camera_up", camera="drive") == 0
    assert scene.value("camera_reconnects_total", camera="drive", reason="refused") == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


async def test_log_and_status_speak_once_per_cause(caplog: pytest.LogCaptureFixture) -> None:
    """A camera that is off for days is one line and one status, each further try only a count."""
    scene = Scene()
    for error in [RefusedError("no")] * 5 + [UnauthorizedError("who")] * 5 + [RefusedError("no"), OSError()]:
        scene.camera._failed(error, 1.0)
    assert scene.statuses == [
        (CameraStatus.OFFLINE, reason) for reason in ("refused", "unauthorized", "refused", "error")
    ]
    assert len(caplog.records) == 4
    assert scene.value("camera_reconnects_total", camera="drive", reason="refused") == 6


async def test_camera_that_came_back_speaks_again() -> None:
    """The same failure after a live period is told anew."""
    source = FakeSource(pictures(1), end=EndedError("over"))
    scene = Scene(lambda _pause: source)
    scene.camera._failed(EndedError("over"), 1.0)
    with pytest.raises(EndedError):
        await scene.camera.run_once()
    scene.camera._failed(EndedError("over"), 1.0)
    offline = (CameraStatus.OFFLINE, "ended")
    assert scene.statuses == [offline, LIVE, offline]


def test_every_failure_has_its_series() -> None:
    """Each reason that a source can fail for is one that the metric knows."""
    kinds: list[type[SourceError]] = [SourceError, *SourceError.__subclasses__()]
    assert {kind.reason for kind in kinds} == set(CAPTURE_FAILURES)
