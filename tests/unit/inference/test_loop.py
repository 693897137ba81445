"""The inference loop with real worker threads and a fake engine that tests hold up and let go."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import PATIENCE, Clock, FakeEngine, FakeImage, Gate, frame, one_person
from vigil.inference.detector import Detector
from vigil.inference.loop import BusyError, InferenceLoop
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from vigil.core.types import Detections, Float32, Frame


class Handler:
    """Collects what the workers hand over; `arrived` is set in the loop for each batch."""

    def __init__(self) -> None:
        self.batches: list[tuple[list[Frame], list[Detections]]] = []
        self.arrived = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def handle(self, frames: Sequence[Frame], found: Sequence[Detections]) -> None:
        """Take one batch."""
        self.batches.append((list(frames), list(found)))
        self._loop.call_soon_threadsafe(self.arrived.set)

    async def next(self) -> None:
        """Wait for a batch."""
        async with asyncio.timeout(PATIENCE):
            await self.arrived.wait()
        self.arrived.clear()


class Bench:
    """A loop with the cameras `a` and `b` that always want a frame."""

    def __init__(
        self,
        answer: Callable[[Float32], Float32] = one_person,
        *,
        workers: int = 1,
        max_batch: int = 4,
        max_uploads: int = 32,
    ) -> None:
        self.engine = FakeEngine(answer, workers=workers, max_batch=max_batch)
        self.handler = Handler()
        self.metrics = Metrics()
        detector = Detector(self.engine, size=640, iou=0.7)
        self.loop = InferenceLoop(detector, self.handler, self.metrics, max_uploads=max_uploads)
        for camera in "ab":
            self.metrics.add_camera(camera, ["person"], 5.0)
            self.loop.set_camera(camera, fps=1e6, weight=1, floor=0.5)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the workers."""
        task = asyncio.ensure_future(self.loop.run())
        await asyncio.sleep(0)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            assert task.done()

    def dropped(self, camera: str, reason: str) -> float | None:
        """Return what was counted."""
        labels = {"camera": camera, "reason": reason}
        return self.metrics.registry.get_sample_value("vigil_frames_dropped_total", labels)


async def reached(gate: Gate) -> None:
    """Wait until a worker stands at the gate."""
    assert await asyncio.to_thread(gate.reached.wait, PATIENCE)


def held(gate: Gate) -> Callable[[Float32], Float32]:
    """Return an engine's answer that waits at the gate."""

    def answer(batch: Float32) -> Float32:
        gate.pass_through()
        return one_person(batch)

    return answer


async def test_offered_frame_comes_out_with_its_boxes() -> None:
    """A frame goes through the detector and reaches the handler with boxes in its own pixels."""
    bench = Bench()
    async with bench.running():
        offered = frame("a")
        bench.loop.offer(offered)
        await bench.handler.next()
    (((got,), (found,)),) = bench.handler.batches
    assert got is offered
    assert found.xyxy.tolist() == [[576, 296, 704, 424]]
    assert bench.metrics.registry.get_sample_value("vigil_batch_size_count") == 1


async def test_frames_that_wait_share_a_batch() -> None:
    """What arrived while the engine was busy goes through it together."""
    gate = Gate()
    bench = Bench(held(gate))
    async with bench.running():
        bench.loop.offer(frame("a", 1))
        await reached(gate)
        bench.loop.offer(frame("a", 2))
        bench.loop.offer(frame("b", 1))
        gate.open()
        while sum(len(frames) for frames, _ in bench.handler.batches) < 3:
            await bench.handler.next()
    assert sorted(each.camera for each in bench.handler.batches[1][0]) == ["a", "b"]


async def test_overwritten_and_unwanted_frames_are_counted_by_cause() -> None:
    """A frame that a newer one replaces, and one that nobody wants yet, count as drops of their camera."""
    bench = Bench()
    bench.loop.remove_camera("b")
    bench.loop.set_camera("b", fps=0.001, weight=1, floor=0.5)
    async with bench.running():
        bench.loop.offer(frame("b"))
        await bench.handler.next()
        bench.loop.offer(frame("b"))
    for _ in range(3):
        bench.loop.offer(frame("a"))
    bench.loop.offer(frame("stranger"))
    assert (bench.dropped("a", "overwritten"), bench.dropped("a", "not_due")) == (2, 0)
    assert (bench.dropped("b", "overwritten"), bench.dropped("b", "not_due")) == (0, 1)


async def test_upload_gets_its_own_answer() -> None:
    """A picture that somebody sent is answered to them, and no sink hears of it."""
    bench = Bench()
    async with bench.running(), asyncio.timeout(PATIENCE):
        found = await bench.loop.detect(FakeImage(640, 360), 0.5)
        nothing = await bench.loop.detect(FakeImage(640, 360), 0.95)
    assert found.xyxy.tolist() == [[288, 148, 352, 212]]
    assert len(nothing) == 0
    assert bench.handler.batches == []


async def test_too_many_uploads_are_refused() -> None:
    """When the queue is full, one more is refused at once, and those in it still get their answers."""
    gate = Gate()
    bench = Bench(held(gate), max_uploads=2, max_batch=1)
    async with bench.running():
        first = asyncio.ensure_future(bench.loop.detect(FakeImage(), 0.5))
        await reached(gate)
        waiting = [asyncio.ensure_future(bench.loop.detect(FakeImage(), 0.5)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2 uploads wait already"):
            await bench.loop.detect(FakeImage(), 0.5)
        gate.open()
        async with asyncio.timeout(PATIENCE):
            assert [len(each) for each in await asyncio.gather(first, *waiting)] == [1, 1, 1]


async def test_abandoned_upload_harms_nobody() -> None:
    """Somebody who hangs up does not spoil the batch for those who wait."""
    gate = Gate()
    bench = Bench(held(gate))
    async with bench.running(), asyncio.timeout(PATIENCE):
        gone = asyncio.ensure_future(bench.loop.detect(FakeImage(), 0.5))
        await reached(gate)
        gone.cancel()
        gate.open()
        assert len(await bench.loop.detect(FakeImage(), 0.5)) == 1


async def opened_when_stopping(bench: Bench, gate: Gate) -> None:
    """Let the workers go on once they have been told to stop, and not before."""
    async with asyncio.timeout(PATIENCE):
        while not bench.loop._stopping:
            await asyncio.sleep(0)
    gate.open()


async def test_stopping_answers_uploads_that_wait() -> None:
    """Nobody waits for ever: uploads that were not taken are told that vigil stops."""
    gate = Gate()
    bench = Bench(held(gate), max_batch=1)
    async with bench.running():
        first = asyncio.ensure_future(bench.loop.detect(FakeImage(), 0.5))
        await reached(gate)
        second = asyncio.ensure_future(bench.loop.detect(FakeImage(), 0.5))
        await asyncio.sleep(0)
        opening = asyncio.ensure_future(opened_when_stopping(bench, gate))
    async with asyncio.timeout(PATIENCE):
        await opening
        assert len(await first) == 1
        with pytest.raises(BusyError, match="stopping"):
            await second


async def test_upload_after_the_end_is_refused() -> None:
    """A picture sent while the web server still finishes and the workers are gone is refused, not kept."""
    bench = Bench()
    async with bench.running():
        pass
    with pytest.raises(BusyError):
        await asyncio.wait_for(bench.loop.detect(FakeImage(), 0.5), 0.1)


async def test_engine_that_fails_ends_all() -> None:
    """An engine's exception ends `run` and the other workers, and whoever waits for an upload gets it."""

    def fail(_batch: Float32) -> Float32:
        raise MemoryError("device")

    bench = Bench(fail, workers=3)
    task = asyncio.ensure_future(bench.loop.run())
    await asyncio.sleep(0)
    upload = asyncio.ensure_future(bench.loop.detect(FakeImage(), 0.5))
    async with asyncio.timeout(PATIENCE):
        with pytest.raises(MemoryError, match="device"):
            await task
        with pytest.raises(MemoryError, match="device"):
            await upload


async def test_workers_that_fail_together_complain_once(caplog: pytest.LogCaptureFixture) -> None:
    """When a device takes all workers with it, one exception is raised and none is left unretrieved."""
    for _ in range(10):  # which of the two is noticed first is chance
        await fail_together()
        await asyncio.sleep(0)
    gc.collect()
    assert not [record for record in caplog.records if "never retrieved" in record.getMessage()]


async def fail_together() -> None:
    """Let two workers fail at the same time."""
    both = threading.Barrier(2)

    def fail(_batch: Float32) -> Float32:
        both.wait(PATIENCE)
        raise MemoryError("device")

    bench = Bench(fail, workers=2, max_batch=1)
    for camera in "ab":
        bench.loop.offer(frame(camera))
    with pytest.raises(MemoryError):
        await asyncio.wait_for(bench.loop.run(), PATIENCE)


async def test_one_camera_is_never_inferred_twice_at_once() -> None:
    """With two workers free, a camera's next frame waits for its previous one, and another's does not."""
    gate = Gate()
    bench = Bench(held(gate), workers=2, max_batch=1)
    async with bench.running():
        bench.loop.offer(frame("a", 1))
        await reached(gate)
        bench.loop.offer(frame("a", 2))
        assert len(bench.engine.batches) == 1
        gate.open()
        while len(bench.handler.batches) < 2:
            await bench.handler.next()
    assert [each.seq for frames, _ in bench.handler.batches for each in frames] == [1, 2]


async def test_removed_camera_is_not_inferred() -> None:
    """After `remove_camera` its frames are ignored, and nothing is counted."""
    bench = Bench()
    bench.loop.remove_camera("a")
    async with bench.running():
        bench.loop.offer(frame("a"))
        bench.loop.offer(frame("b"))
        await bench.handler.next()
    assert [each.camera for frames, _ in bench.handler.batches for each in frames] == ["b"]
    assert bench.dropped("a", "not_due") == 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the loop a clock that the test sets."""
    clock = Clock()
    monkeypatch.setattr(clock, "perf_counter", clock.monotonic, raising=False)
    monkeypatch.setattr("vigil.inference.loop.time", clock)
    return clock


async def test_loop_with_nothing_to_do_is_not_stuck(clock: Clock) -> None:
    """All cameras away, an hour long: that is no reason for a restart."""
    bench = Bench()
    async with bench.running():
        bench.loop.offer(frame("a"))
        await bench.handler.next()
        clock.now += 3600
        bench.loop.offer(frame("stranger"))
    assert bench.loop.stuck_for() == 0


async def test_engine_that_hangs_is_told_by_time(clock: Clock) -> None:
    """A batch that does not come back counts from when it was taken, and no more once it is back."""
    gate = Gate()
    bench = Bench(held(gate))
    async with bench.running():
        bench.loop.offer(frame("a"))
        await reached(gate)
        clock.now += 42
        assert bench.loop.stuck_for() == 42
        gate.open()
        await bench.handler.next()
    assert bench.loop.stuck_for() == 0


async def test_work_that_nobody_takes_is_told_by_time(clock: Clock) -> None:
    """Frames that wait while no worker runs count from when the first of them came."""
    bench = Bench()
    bench.loop.offer(frame("a"))
    clock.now += 5
    bench.loop.offer(frame("b"))
    clock.now += 6
    assert bench.loop.stuck_for() == 11


async def test_one_hung_worker_of_two_is_seen(clock: Clock) -> None:
    """A worker that goes on does not hide one that hangs."""
    gate = Gate()

    def answer(batch: Float32) -> Float32:
        if batch[0, 0, 192, 320] > 0.8:
            gate.pass_through()
        return one_person(batch)

    bench = Bench(answer, workers=2, max_batch=1)
    async with bench.running():
        bench.loop.offer(frame("a", image=FakeImage(value=0.9)))
        await reached(gate)
        clock.now += 30
        bench.loop.offer(frame("b"))
        await bench.handler.next()
        assert bench.loop.stuck_for() == 30
        gate.open()
