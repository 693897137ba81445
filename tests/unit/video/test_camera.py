"""One camera's life with a fake source: live, ended, refused, stalled, hung. Real threads, no sleeping."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.fakes import PATIENCE, Clock, FakeImage, FakeSource, Gate
from vigil.aio.tasks import Backoff
from vigil.config.model import CameraConfig
from vigil.core.types import CameraHealth, CameraState, CameraStatus, Condition
from vigil.errors import (
    EndedError,
    RefusedError,
    SourceError,
    SourceTimeoutError,
    StalledError,
    UnauthorizedError,
)
from vigil.metrics import Metrics
from vigil.metrics.camera import CAPTURE_FAILURES
from vigil.video.camera import Camera
from vigil.video.source import Picture, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from vigil.core.types import Frame, UInt8
    from vigil.video.source import Pause

CONNECTING = CameraHealth("drive", CameraState.CONNECTING)
LIVE = CameraHealth("drive", CameraState.LIVE)
ENDED = CameraHealth("drive", CameraState.OFFLINE, "ended")
AT_ONCE = Backoff(least=0.0, first=0.0, longest=0.0, slow=0.0)
"""Tries again without a pause."""


def config(**keys: object) -> CameraConfig:
    """Return a camera's configuration, unchecked, so that a timeout can be 0."""
    patient = {"open_timeout": PATIENCE, "read_timeout": PATIENCE}
    return CameraConfig(url="rtsp://10.0.0.5/a").model_copy(update={**patient, **keys})


class Scene:
    """A camera whose sources come from a list, and all that it tells."""

    def __init__(
        self,
        *sources: Callable[[Pause], FakeSource],
        backoff: Backoff | None = None,
        **keys: object,
    ) -> None:
        self._sources = iter(sources)
        self.opened: list[FakeSource] = []
        self.threads: list[threading.Thread] = []
        """Which thread opened each."""
        self.frames: list[Frame] = []
        self.told: list[CameraHealth] = []
        self.metrics = Metrics()
        self._told_more = asyncio.Event()
        self.camera = Camera(
            "drive",
            config(**keys),
            self._open,
            self,
            self.metrics.add_camera("drive"),
            self._changed,
            backoff=backoff,
        )

    def offer(self, frame: Frame) -> None:
        """Take a frame."""
        self.frames.append(frame)

    async def until(self, health: CameraHealth, times: int = 1) -> None:
        """Wait until this is the last that was told, for the `times`-th time."""
        async with asyncio.timeout(PATIENCE):
            while self.told[-1:] != [health] or self.told.count(health) < times:
                self._told_more.clear()
                await self._told_more.wait()

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.metrics.registry.get_sample_value(f"vigil_{name}", labels)

    def _open(self, config: CameraConfig, pause: Pause) -> FakeSource:
        assert config is self.camera.config
        self.threads.append(threading.current_thread())
        self.opened.append(next(self._sources)(pause))
        return self.opened[-1]

    def _changed(self, health: CameraHealth) -> None:
        self.told.append(health)
        self._told_more.set()


async def stopped(task: asyncio.Task[None]) -> None:
    """Cancel a camera and wait until it has stopped."""
    task.cancel()
    async with asyncio.timeout(PATIENCE):
        await asyncio.wait([task])


def pictures(count: int) -> Iterator[Picture]:
    """Yield pictures that arrived a second apart."""
    for number in range(count):
        yield Picture(100.0 + number, float(number), FakeImage())


def endless(pause: Pause) -> Iterator[Picture]:
    """Yield one picture, then wait until told to stop."""
    yield from pictures(1)
    assert pause(PATIENCE)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the camera's log lines without the times that they name."""
    return [message.split(";")[0] for message in caplog.messages if message.startswith("drive: ")]


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
    assert scene.told == [LIVE]
    assert scene.value("camera_up", camera="drive") == 1
    assert scene.value("camera_state", camera="drive", state="live") == 1
    assert scene.value("frames_captured_total", camera="drive") == 3
    assert scene.opened[0].closed.is_set()


async def test_packets_that_are_put_aside_are_counted_when_they_come() -> None:
    """What is kept counts as captured on arrival and as decoded when it is, late, with its own time."""
    late = Picture(100.0, 0.0, FakeImage(), 2.5)
    items: list[Picture | Skipped] = [Skipped(100.0), Skipped(101.0), late, *pictures(1)]
    scene = Scene(lambda _pause: FakeSource(items, end=EndedError("over")))
    with pytest.raises(EndedError):
        await scene.camera.run_once()
    assert [(each.seq, each.captured_at, each.late) for each in scene.frames] == [(1, 100, 2.5), (2, 100, 0)]
    assert scene.value("frames_captured_total", camera="drive") == 3
    assert scene.value("frames_decoded_total", camera="drive") == 2


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
    assert (scene.told, scene.frames) == ([], [])


async def test_source_that_just_ends_is_an_error() -> None:
    """`Source.pictures` may end without an exception; the camera is tried again all the same."""
    scene = Scene(lambda _pause: FakeSource(pictures(1)))
    with pytest.raises(EndedError):
        await scene.camera.run_once()


async def test_cancelling_stops_the_thread() -> None:
    """When the camera's task is cancelled, the capture thread ends and closes its source."""
    scene = Scene(lambda pause: FakeSource(endless(pause)))
    task = asyncio.ensure_future(scene.camera.run())
    await scene.until(LIVE)
    await stopped(task)
    assert task.cancelled()
    assert scene.opened[0].closed.is_set()
    assert scene.value("capture_threads_abandoned_total") == 0


async def test_life_is_told_from_the_start() -> None:
    """A camera tells that it connects, then that it is live, and again after it was stopped and started."""
    scene = Scene(*[lambda pause: FakeSource(endless(pause))] * 2)
    for time in (1, 2):
        task = asyncio.ensure_future(scene.camera.run())
        await scene.until(LIVE, time)
        await stopped(task)
    assert scene.told == [CONNECTING, LIVE] * 2
    assert [each.seq for each in scene.frames] == [1, 2]


class Leaping(Clock):
    """A clock that leaps by a minute whenever it is read."""

    def monotonic(self) -> float:
        """Return the time, which has passed."""
        self.now += 60
        return self.now


async def test_source_without_a_first_frame_is_a_stall() -> None:
    """A source that opens and gives no frame within both timeouts is left."""
    scene = Scene(lambda pause: FakeSource(silence(pause)), open_timeout=0.0, read_timeout=0.0)
    with pytest.raises(StalledError, match="no frame within 0 s of opening it"):
        await asyncio.wait_for(scene.camera.run_once(), PATIENCE)
    assert scene.opened[0].closed.is_set()
    assert scene.told == []


async def test_source_that_falls_silent_is_a_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """A live source that gives no frame for `read_timeout` seconds is left."""
    monkeypatch.setattr("vigil.video.camera.time", Leaping())
    scene = Scene(lambda pause: FakeSource(endless(pause)), read_timeout=30.0)
    with pytest.raises(StalledError, match="no frame for 30 s"):
        await asyncio.wait_for(scene.camera.run_once(), PATIENCE)
    assert scene.opened[0].closed.is_set()
    assert scene.told == [LIVE]


def silence(pause: Pause) -> Iterator[Picture]:
    """Yield nothing until told to stop."""
    assert pause(PATIENCE)
    yield from ()


async def test_camera_of_single_pictures_may_be_silent_between_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture an hour is no stall while the next one is not due: `snapshot_interval` comes on top."""
    clock = Clock()
    monkeypatch.setattr("vigil.video.camera.time", clock)
    monkeypatch.setattr("vigil.video.camera.PERIOD", 0.0)
    scene = Scene(lambda pause: FakeSource(endless(pause)), snapshot_interval=3600.0, read_timeout=5.0)
    running = asyncio.ensure_future(scene.camera.run_once())
    await scene.until(LIVE)
    clock.now += 3604.0
    for _ in range(20):
        await asyncio.sleep(0)
    assert not running.done()
    clock.now += 1.0
    with pytest.raises(StalledError, match="no frame for 3605 s"):
        await asyncio.wait_for(running, PATIENCE)


async def test_stalled_is_a_state_of_its_own() -> None:
    """The watchdog's finding is told as `stalled`, which subscribers see as offline."""
    scene = Scene(lambda pause: FakeSource(silence(pause)), open_timeout=0.0, read_timeout=0.0)
    task = asyncio.ensure_future(scene.camera.run())
    await scene.until(CameraHealth("drive", CameraState.STALLED, "stalled"))
    await stopped(task)
    assert scene.told[-1].status is CameraStatus.OFFLINE
    assert scene.value("camera_state", camera="drive", state="stalled") == 1
    assert scene.value("camera_up", camera="drive") == 0
    assert scene.value("camera_reconnects_total", camera="drive", reason="stalled") == 1


async def test_hung_thread_is_left_and_counted(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A capture thread that does not answer is abandoned after its grace, with a line and a count."""
    monkeypatch.setattr("vigil.video.camera._GRACE", 0)
    gate = Gate()

    def hang() -> Iterator[Picture]:
        gate.pass_through()
        yield from pictures(1)

    scene = Scene(lambda _pause: FakeSource(hang()), open_timeout=0.0, read_timeout=0.0)
    with pytest.raises(StalledError):
        await asyncio.wait_for(scene.camera.run_once(), PATIENCE)
    assert await asyncio.to_thread(gate.reached.wait, PATIENCE)
    assert scene.value("capture_threads_abandoned_total") == 1
    assert "drive: the capture thread hangs and is left behind" in caplog.messages
    gate.open()
    assert await asyncio.to_thread(scene.opened[0].closed.wait, PATIENCE)
    assert scene.frames == []


async def test_hung_thread_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread hangs in its source a new one captures; the old one's late frames are not taken."""
    gate, taken = Gate(), threading.Event()

    def hang() -> Iterator[Picture]:
        gate.pass_through()
        yield from pictures(5)

    def capture(pause: Pause) -> Iterator[Picture]:
        yield from pictures(1)
        taken.set()
        assert pause(PATIENCE)

    hung, good = (lambda _pause: FakeSource(hang())), (lambda pause: FakeSource(capture(pause)))
    scene = Scene(hung, good, backoff=AT_ONCE, open_timeout=0.0, read_timeout=0.0)
    with monkeypatch.context() as hurry:
        hurry.setattr("vigil.video.camera._GRACE", 0)
        with pytest.raises(StalledError):
            await asyncio.wait_for(scene.camera.run_once(), PATIENCE)
    assert await asyncio.to_thread(gate.reached.wait, PATIENCE)
    scene.camera.config = config()
    task = asyncio.ensure_future(scene.camera.run())
    await scene.until(LIVE)
    assert await asyncio.to_thread(taken.wait, PATIENCE)
    assert [(each.name, each.is_alive()) for each in scene.threads] == [("capture-drive", True)] * 2
    gate.open()
    assert await asyncio.to_thread(scene.opened[0].closed.wait, PATIENCE)
    assert not scene.opened[1].closed.is_set()
    assert [each.seq for each in scene.frames] == [1]
    await stopped(task)
    assert scene.value("capture_threads_abandoned_total") == 1


async def test_failure_reaches_the_status(caplog: pytest.LogCaptureFixture) -> None:
    """A camera that cannot be opened is told to be offline, with the reason, before it is tried again."""
    scene = Scene(lambda _pause: FakeSource(refuses=RefusedError("nobody listens")))
    task = asyncio.ensure_future(scene.camera.run())
    await scene.until(CameraHealth("drive", CameraState.OFFLINE, "refused"))
    await stopped(task)
    assert scene.told[0] == CONNECTING
    assert len(scene.told) == 2
    assert scene.value("camera_up", camera="drive") == 0
    assert scene.value("camera_reconnects_total", camera="drive", reason="refused") == 1
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert lines(caplog) == ["drive: offline: nobody listens"]


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (RefusedError(), CameraState.OFFLINE, "refused"),
        (SourceTimeoutError(), CameraState.OFFLINE, "timeout"),
        (EndedError(), CameraState.OFFLINE, "ended"),
        (UnauthorizedError(), CameraState.UNAUTHORIZED, "unauthorized"),
        (StalledError(), CameraState.STALLED, "stalled"),
        (ZeroDivisionError(), CameraState.OFFLINE, "error"),
    ],
)
async def test_each_error_has_its_state(error: Exception, state: CameraState, reason: str) -> None:
    """A wrong password and a silence are told apart from all other ways to be away."""
    scene = Scene()
    scene.camera._failed(error, 1.0)
    assert scene.told == [CameraHealth("drive", state, reason)]


async def test_log_speaks_once_per_state_and_health_once_per_cause(caplog: pytest.LogCaptureFixture) -> None:
    """A camera that is off for days is one line; each new cause is told, each further try only a count."""
    scene = Scene()
    tries = [RefusedError("no")] * 5 + [SourceTimeoutError("late")] * 5 + [UnauthorizedError("who")] * 5
    for error in [*tries, RefusedError("no"), OSError()]:
        scene.camera._failed(error, 1.0)
    assert [(each.state.value, each.reason) for each in scene.told] == [
        ("offline", "refused"),
        ("offline", "timeout"),
        ("unauthorized", "unauthorized"),
        ("offline", "refused"),
        ("offline", "error"),
    ]
    assert lines(caplog) == ["drive: offline: no", "drive: unauthorized: who", "drive: offline: no"]
    assert scene.value("camera_reconnects_total", camera="drive", reason="refused") == 6


async def test_camera_that_came_back_speaks_again() -> None:
    """The same failure after a live period is told anew."""
    source = FakeSource(pictures(1), end=EndedError("over"))
    scene = Scene(lambda _pause: source)
    scene.camera._failed(EndedError("over"), 1.0)
    with pytest.raises(EndedError):
        await scene.camera.run_once()
    scene.camera._failed(EndedError("over"), 1.0)
    assert scene.told == [ENDED, LIVE, ENDED]


class InTheLoop:
    """Stands in for a capture thread: what it does is done at once, so that a test's time can be virtual."""

    def __init__(self, function: Callable[[], None], *, name: str) -> None:
        assert name == "capture-drive"
        self._error: BaseException | None = None
        try:
            function()
        except SourceError as error:
            self._error = error

    async def wait(self) -> None:
        """Give the outcome, after whoever was signalled has had a turn."""
        for _ in range(5):
            await asyncio.sleep(0)
        if self._error is not None:
            raise self._error

    async def ended_within(self, _grace: float) -> bool:
        """Tell that it has ended."""
        return True


@pytest.mark.looptime
async def test_an_hour_away_is_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A camera that is off for an hour is tried dozens of times, and the log and the bus hear of it once."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("vigil.video.camera.Worker", InTheLoop)
    tries = 0

    def refuse(_pause: Pause) -> FakeSource:
        nonlocal tries
        tries += 1
        return FakeSource(refuses=RefusedError("nobody listens"))

    scene = Scene(*[refuse] * 1000)
    task = asyncio.ensure_future(scene.camera.run())
    await asyncio.sleep(3600)
    await stopped(task)
    assert tries > 60, "the longest wait is a minute, half of it on average"
    assert scene.value("camera_reconnects_total", camera="drive", reason="refused") == tries
    assert lines(caplog) == ["drive: offline: nobody listens"]
    assert scene.told == [CONNECTING, CameraHealth("drive", CameraState.OFFLINE, "refused")]


@pytest.mark.looptime
async def test_an_hour_of_changes_is_a_line_for_each(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """However often a camera fails in how many ways, the log has as many lines as its state changed."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("vigil.video.camera.Worker", InTheLoop)
    phases: list[tuple[int, Callable[[], FakeSource], str]] = [
        (40, lambda: FakeSource(refuses=RefusedError("nobody listens")), "offline"),
        (5, lambda: FakeSource(refuses=UnauthorizedError("wrong password")), "unauthorized"),
        (20, lambda: FakeSource(refuses=StalledError("no more data")), "stalled"),
        (1, lambda: FakeSource(pictures(1), end=EndedError("over")), "live"),
        (10_000, lambda: FakeSource(refuses=SourceTimeoutError("no answer")), "offline"),
    ]
    made = [make for count, make, _ in phases for _ in range(count)]
    scene = Scene(*[lambda _pause, make=make: make() for make in made], backoff=Backoff(longest=10, slow=10))
    task = asyncio.ensure_future(scene.camera.run())
    await asyncio.sleep(3600)
    assert 100 < len(scene.opened) < len(made)
    await stopped(task)
    assert [line.split(": ")[1] for line in lines(caplog)] == [state for _, _, state in phases]


async def test_short_lives_do_not_count_as_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits start anew only after a camera that delivered frames for `healthy_after` seconds."""
    clock = Clock()
    monkeypatch.setattr("vigil.video.camera.time", clock)
    scene = Scene(backoff=Backoff(healthy_after=30.0))
    camera = scene.camera
    assert not camera._was_healthy()
    camera._live_since = clock.now
    for age, healthy in ((0.0, False), (29.0, False), (30.0, True)):
        camera._last_frame = clock.now + age
        assert camera._was_healthy() is healthy


async def test_time_of_the_next_try_is_known_while_it_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """`retry_at` is Unix time during the wait, and nothing while the camera is tried or live."""
    clock = Clock(5000.0)
    scene = Scene(
        lambda _pause: FakeSource(refuses=RefusedError("no")),
        lambda pause: FakeSource(endless(pause)),
        backoff=AT_ONCE,
    )
    monkeypatch.setattr("vigil.video.camera.time", clock)
    seen = [scene.camera.retry_at]
    scene.camera._failed(RefusedError("no"), 12.5)
    seen.append(scene.camera.retry_at)
    task = asyncio.ensure_future(scene.camera.run())
    await scene.until(LIVE)
    seen.append(scene.camera.retry_at)
    assert seen == [None, 5012.5, None]
    await stopped(task)


async def test_stopped_camera_waits_for_nothing() -> None:
    """A camera that is stopped in the middle of a wait has no next try."""
    scene = Scene(lambda _pause: FakeSource(refuses=RefusedError("no")))
    task = asyncio.ensure_future(scene.camera.run())
    await scene.until(CameraHealth("drive", CameraState.OFFLINE, "refused"))
    assert scene.camera.retry_at is not None
    await stopped(task)
    assert scene.camera.retry_at is None


class Shade(FakeImage):
    """A picture of one luma value, or a textured one."""

    def __init__(self, level: int | None) -> None:
        super().__init__()
        self._level = level

    def luma(self, stride: int) -> UInt8:
        """Return the coarse picture, on the grid that was asked for."""
        assert stride == 8
        if self._level is None:
            return np.random.default_rng().integers(0, 256, (90, 160)).astype(np.uint8)
        return np.full((90, 160), self._level, np.uint8)


async def test_picture_that_shows_nothing_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A live camera whose picture turns black says so once, and once more when it sees again."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("vigil.video.camera.PERIOD", 0.0)
    lit = Gate()

    def night(pause: Pause) -> Iterator[Picture]:
        for number in range(20):
            yield Picture(float(number), None, Shade(16))
        lit.pass_through()
        yield Picture(20.0, None, Shade(None))
        assert pause(PATIENCE)

    scene = Scene(lambda pause: FakeSource(night(pause)))
    task = asyncio.ensure_future(scene.camera.run())
    black = CameraHealth("drive", CameraState.LIVE, condition=Condition.BLACK)
    await scene.until(black)
    assert scene.value("camera_condition", camera="drive", condition="black") == 1
    assert scene.value("camera_up", camera="drive") == 1
    lit.open()
    await scene.until(LIVE)
    await stopped(task)
    assert scene.told == [CONNECTING, LIVE, black, LIVE]
    assert lines(caplog)[1:] == ["drive: picture black", "drive: picture ok"]


async def test_camera_that_is_away_has_no_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    """A black camera that goes away is offline, and comes back without its old blackness."""
    monkeypatch.setattr("vigil.video.camera.PERIOD", 0.0)
    cut = Gate()

    def black() -> Iterator[Picture]:
        for number in range(20):
            yield Picture(float(number), None, Shade(16))
        cut.pass_through()
        raise EndedError("over")

    scene = Scene(
        lambda _pause: FakeSource(black()), lambda pause: FakeSource(endless(pause)), backoff=AT_ONCE
    )
    task = asyncio.ensure_future(scene.camera.run())
    await scene.until(CameraHealth("drive", CameraState.LIVE, condition=Condition.BLACK))
    cut.open()
    await scene.until(LIVE)
    await stopped(task)
    assert [each.condition for each in scene.told[-2:]] == [Condition.OK] * 2
    assert scene.told[-2:] == [ENDED, LIVE]


class Still(FakeImage):
    """The same textured picture each time, which counts its looks."""

    def __init__(self) -> None:
        super().__init__()
        self.looks = 0
        self._luma = Shade(None).luma(8)

    def luma(self, stride: int) -> UInt8:
        """Return it."""
        del stride
        self.looks += 1
        return self._luma


async def test_frozen_after_is_the_cameras_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same pixels for `frozen_after` seconds are told as frozen."""
    monkeypatch.setattr("vigil.video.camera.PERIOD", 0.0)
    clock, still = Clock(), Still()
    monkeypatch.setattr("vigil.video.camera.time", clock)

    def stills(pause: Pause) -> Iterator[Picture]:
        yield Picture(0.0, None, still)
        clock.now += 7.5
        yield Picture(7.5, None, still)
        assert pause(PATIENCE)

    scene = Scene(lambda pause: FakeSource(stills(pause)), frozen_after=7.5)
    task = asyncio.ensure_future(scene.camera.run())
    await scene.until(CameraHealth("drive", CameraState.LIVE, condition=Condition.FROZEN))
    await stopped(task)


async def test_picture_is_looked_at_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The condition costs a look per second, however many frames come."""
    clock, still = Clock(), Still()
    monkeypatch.setattr("vigil.video.camera.time", clock)

    def quick() -> Iterator[Picture]:
        for number in range(101):
            yield Picture(float(number), None, still)
            clock.now += 0.0625

    with pytest.raises(EndedError):
        await Scene(lambda _pause: FakeSource(quick())).camera.run_once()
    assert still.looks == 7


class Working(Clock):
    """A clock whose thread works all the time, and is asked so and so often for how long."""

    asked = 0

    def thread_time(self) -> float:
        """Return the time since the start."""
        self.asked += 1
        return self.now - 1000.0


async def test_processor_time_is_told_once_a_second_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """To ask for it costs a system call, so not every frame does; none of it is lost, nor that of opening."""
    clock = Working()
    monkeypatch.setattr("vigil.video.camera.time", clock)

    def quick() -> Iterator[Picture]:
        for number in range(101):
            clock.now += 0.0625
            yield Picture(float(number), None, FakeImage())
        clock.now += 0.0625

    scene = Scene(lambda _pause: FakeSource(quick()))
    with pytest.raises(EndedError):
        await scene.camera.run_once()
    assert scene.value("decode_cpu_seconds_total", camera="drive") == 102 * 0.0625
    assert clock.asked == 7 + 1


def test_every_failure_has_its_series() -> None:
    """Each reason that a source can fail for is one that the metric knows."""
    kinds: list[type[SourceError]] = [SourceError, *SourceError.__subclasses__()]
    assert {kind.reason for kind in kinds} == set(CAPTURE_FAILURES)
