"""Engines that fail, hang and lack memory, and what becomes of the frames, with real worker threads."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.fakes import PATIENCE, Clock, FakeImage, Gate, frame, one_person
from tests.support.serving import Bench, Engines, failing, held, reached, until
from vigil.aio.tasks import Backoff
from vigil.core.types import MAIN_MODEL
from vigil.errors import CannotStartError, PixelsError
from vigil.inference.engine import EngineError, EngineMemoryError
from vigil.inference.pool import EngineHungError, EngineLostError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Sequence

    from tests.support.serving import Answer
    from vigil.core.types import Detections, Float32, Frame
    from vigil.inference.letterbox import Letterbox

BROKEN = EngineError("out of order")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the workers all the time, give them little grace, and start engines again at once."""
    monkeypatch.setattr("vigil.inference.pool._BACKOFF", Backoff(least=0, first=0, longest=0))
    monkeypatch.setattr("vigil.inference.pool._LOOK", 0.005)
    monkeypatch.setattr("vigil.inference.pool._GRACE", 0.02)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the loop and its pools a clock that the test sets."""
    clock = Clock()
    for module in ("loop", "pool"):
        monkeypatch.setattr(f"vigil.inference.{module}.time", clock)
    return clock


def bench(engines: Engines) -> Bench:
    """Return a loop with the cameras `a` and `b` over one device."""
    return Bench({MAIN_MODEL: engines.service})


def lost(group: ExceptionGroup[Exception]) -> EngineLostError:
    """Return the one error that ended a loop."""
    (error,) = group.exceptions
    assert isinstance(error, EngineLostError)
    return error


async def raised(waiting: Awaitable[object]) -> Exception:
    """Return the exception that something waited for ends with."""
    async with asyncio.timeout(PATIENCE):
        try:
            await waiting
        except (EngineError, ExceptionGroup) as error:
            return error
    raise AssertionError("nothing was raised")


class Hang:
    """An engine's answer that hangs at a gate, and the thread that hangs there."""

    def __init__(self) -> None:
        self.gate = Gate()
        self._thread = threading.current_thread()

    def __call__(self, batch: Float32) -> Float32:
        """Hang."""
        self._thread = threading.current_thread()
        self.gate.pass_through()
        return one_person(batch)

    async def let_go(self) -> None:
        """Let the thread go on, and wait for its end."""
        self.gate.open()
        await asyncio.to_thread(self._thread.join, PATIENCE)
        assert not self._thread.is_alive()


async def test_engine_that_raises_is_replaced() -> None:
    """After an engine's exception a new one serves the same camera; the lost frame and the failure count."""
    engines = Engines(failing(BROKEN), one_person)
    lab = bench(engines)
    assert lab.failures() == 0
    async with lab.running():
        lab.loop.offer(frame("a", 1))
        await until(lambda: lab.failures() == 1)
        lab.loop.offer(frame("a", 2))
        await lab.handler.next()
        assert lab.loop.trouble() == ""
    assert lab.handler.seen == [("a", 2)]
    assert (lab.dropped("a", "engine_failed"), lab.dropped("b", "engine_failed")) == (1, 0)
    assert [engine.closed for engine in engines.opened] == [True, False]


async def test_upload_in_a_batch_that_fails_is_told() -> None:
    """Whoever waits for a picture's boxes gets the engine's error, and the next one an answer."""
    lab = bench(Engines(failing(BROKEN), one_person))
    async with lab.running(), asyncio.timeout(PATIENCE):
        assert await raised(lab.loop.detect(FakeImage(), 0.5)) is BROKEN
        assert len(await lab.loop.detect(FakeImage(), 0.5)) == 1


async def test_upload_is_answered_whatever_becomes_of_the_frame_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Where the handler of a batch fails, an upload in the same batch has its boxes already."""

    def broken(_frames: Sequence[Frame], _found: Sequence[Detections]) -> None:
        raise ValueError("a bug in somebody's analytics")

    gate = Gate()
    lab = bench(Engines(held(gate)))
    monkeypatch.setattr(lab.handler, "handle", broken)
    async with lab.running(), asyncio.timeout(PATIENCE):
        lab.loop.offer(frame("a", 1))
        await reached(gate)
        lab.loop.offer(frame("b", 1))
        upload = asyncio.ensure_future(lab.loop.detect(FakeImage(), 0.5))
        await asyncio.sleep(0)
        gate.open()
        assert len(await upload) == 1


async def test_all_workers_of_a_device_come_back() -> None:
    """After one of several workers fails, as many as before serve the new engine, each with its own work."""
    gates = [Gate(), Gate()]
    arrived = iter(gates)

    def answer(batch: Float32) -> Float32:
        next(arrived).pass_through()
        return one_person(batch)

    engines = Engines(failing(BROKEN), answer, workers=2, max_batch=1)
    lab = bench(engines)
    async with lab.running():
        lab.loop.offer(frame("a", 1))
        await until(lambda: lab.failures() == 1)
        for camera in "ab":
            lab.loop.offer(frame(camera, 2))
        for gate in gates:
            await reached(gate)
        for gate in gates:
            gate.open()
        await until(lambda: len(lab.handler.seen) == 2)


async def test_trouble_is_told_while_an_engine_opens() -> None:
    """From an engine's failure until the next one serves there is trouble, with the reason."""
    gate = Gate()
    lab = bench(Engines(failing(BROKEN), one_person, before=gate.pass_through))
    async with lab.running():
        assert lab.loop.trouble() == ""
        lab.loop.offer(frame("a", 1))
        await reached(gate)
        assert lab.loop.trouble() == "the engine on cpu failed: out of order"
        lab.loop.offer(frame("b", 1))
        gate.open()
        await lab.handler.next()
        assert lab.loop.trouble() == ""
    assert lab.handler.seen == [("b", 1)]


async def test_hung_call_gets_a_new_engine(clock: Clock) -> None:
    """A call that exceeds its timeout is given up: its frame is lost, its camera and the others go on."""
    hang = Hang()
    engines = Engines(hang, one_person, timeout=30)
    lab = bench(engines)
    async with lab.running():
        lab.loop.offer(frame("a", 1))
        await reached(hang.gate)
        clock.now += 30
        lab.loop.offer(frame("b", 1))
        assert lab.failures() == 0
        clock.now += 1
        await lab.handler.next()
        lab.loop.offer(frame("a", 2))
        await lab.handler.next()
        assert lab.loop.trouble() == ""
        await hang.let_go()
    assert lab.handler.seen == [("b", 1), ("a", 2)]
    assert (lab.failures(), lab.dropped("a", "engine_failed")) == (1, 1)
    assert len(engines.opened) == 2


async def test_engine_under_a_worker_that_hangs_is_not_closed(clock: Clock) -> None:
    """What a worker may still be inside of is left alone; an engine that fails after it is closed again."""
    hang = Hang()
    engines = Engines(hang, failing(BROKEN), one_person, timeout=30)
    lab = bench(engines)
    async with lab.running():
        lab.loop.offer(frame("a", 1))
        await reached(hang.gate)
        clock.now += 31
        await until(lambda: len(engines.opened) == 2)
        lab.loop.offer(frame("b", 1))
        await until(lambda: len(engines.opened) == 3)
        await hang.let_go()
    assert [engine.closed for engine in engines.opened] == [False, True, False]


async def test_engine_that_does_not_open_again_is_seen(clock: Clock) -> None:
    """While a new engine is being opened, frames that wait count as work that nobody takes."""
    hang, opening = Hang(), Gate()
    lab = bench(Engines(hang, one_person, timeout=30, before=opening.pass_through))
    async with lab.running():
        lab.loop.offer(frame("a", 1))
        await reached(hang.gate)
        clock.now += 1
        lab.loop.offer(frame("a", 2))
        clock.now += 31
        await reached(opening)
        assert lab.loop.stuck_for() == 0
        clock.now += 100
        assert lab.loop.stuck_for() == 100
        opening.open()
        await hang.let_go()


async def test_late_result_is_thrown_away(clock: Clock) -> None:
    """What a worker brings that was given up reaches nobody, and frees no camera that another has in hand."""
    hang, second = Hang(), Gate()
    lab = bench(Engines(hang, held(second), timeout=30, max_batch=1))
    async with lab.running():
        lab.loop.offer(frame("a", 1))
        await reached(hang.gate)
        clock.now += 31
        await until(lambda: lab.dropped("a", "engine_failed") == 1)
        lab.loop.offer(frame("a", 2))
        await reached(second)
        lab.loop.offer(frame("a", 3))
        await hang.let_go()
        assert lab.handler.seen == []
        second.open()
        await until(lambda: len(lab.handler.seen) == 2)
    assert lab.handler.seen == [("a", 2), ("a", 3)]


async def test_upload_in_a_call_that_hangs_is_told(clock: Clock) -> None:
    """Nobody waits for an answer that does not come: the timeout ends the wait too."""
    hang = Hang()
    lab = bench(Engines(hang, one_person, timeout=30))
    async with lab.running():
        upload = asyncio.ensure_future(lab.loop.detect(FakeImage(), 0.5))
        await reached(hang.gate)
        clock.now += 31
        assert isinstance(await raised(upload), EngineHungError)
        await hang.let_go()


async def test_stopping_does_not_wait_for_an_engine_that_hangs() -> None:
    """Cancelling ends the loop within the grace though a call does not come back, and its upload is told."""
    hang = Hang()
    lab = bench(Engines(hang))
    async with lab.running() as task:
        upload = asyncio.ensure_future(lab.loop.detect(FakeImage(), 0.5))
        await reached(hang.gate)
        task.cancel()
        async with asyncio.timeout(PATIENCE / 2):  # the gate itself holds for longer
            await asyncio.wait([task])
        assert isinstance(await raised(upload), EngineHungError)
        await hang.let_go()
    assert task.cancelled()


def up_to(most: int, sizes: list[int], max_batch: int = 4) -> Engines:
    """Return engines whose memory holds so many frames at once, and note each batch's size."""

    def answer(batch: Float32) -> Float32:
        sizes.append(len(batch))
        if len(batch) > most:
            raise EngineMemoryError("no memory")
        return one_person(batch)

    return Engines(answer, max_batch=max_batch)


async def test_batch_too_large_for_the_memory_is_halved() -> None:
    """Where four frames are too many two are tried from then on, and the engine stays."""
    sizes: list[int] = []
    engines = up_to(2, sizes)
    lab = Bench({MAIN_MODEL: engines.service}, cameras="abcd")
    for camera in "abcd":
        lab.loop.offer(frame(camera, 1))
    async with lab.running():
        await until(lambda: sizes == [4])
        await until(lambda: engines.service.limit == 2)
        for camera in "abcd":
            lab.loop.offer(frame(camera, 2))
        await until(lambda: len(lab.handler.seen) == 4)
        assert lab.loop.trouble() == ""
    assert max(sizes[1:]) == 2
    assert [lab.dropped(camera, "engine_failed") for camera in "abcd"] == [1, 1, 1, 1]
    assert (len(engines.opened), engines.opened[0].closed, lab.failures()) == (1, False, 0)


async def test_what_is_halved_is_what_was_tried() -> None:
    """An engine that could take sixteen and ran out of memory at two takes one from then on."""
    sizes: list[int] = []
    engines = up_to(1, sizes, max_batch=16)
    engines.service.max_batch = 2
    lab = bench(engines)
    for camera in "ab":
        lab.loop.offer(frame(camera, 1))
    async with lab.running():
        await until(lambda: lab.dropped("a", "engine_failed") == 1)
        await until(lambda: engines.service.limit == 1)
        for camera in "ab":
            lab.loop.offer(frame(camera, 2))
        await until(lambda: len(lab.handler.seen) == 2)
    assert (sizes, lab.failures()) == ([2, 1, 1], 0)


async def test_no_memory_for_the_input_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that cannot even make its tensors loses its frame, not its camera: a new engine goes on."""

    def no() -> Letterbox:
        raise MemoryError

    engines = Engines(one_person)
    monkeypatch.setattr(engines.service.detector, "letterbox", no)
    lab = bench(engines)
    async with lab.running():
        lab.loop.offer(frame("a", 1))
        await until(lambda: lab.failures() == 1)
        lab.loop.offer(frame("a", 2))
        await lab.handler.next()
    assert lab.handler.seen == [("a", 2)]
    assert lab.dropped("a", "engine_failed") == 1


class Unreadable(FakeImage):
    """A picture whose pixels nobody can convert."""

    def write_rgb(self, out: Float32) -> None:  # noqa: ARG002 -- the Protocol's name
        """Refuse."""
        raise PixelsError("no such pixel format")


async def test_unreadable_frame_is_its_cameras_trouble_alone(caplog: pytest.LogCaptureFixture) -> None:
    """A camera whose pixels are of no use loses its frames, told once; the engine and the worker stay."""
    engines = Engines(one_person)
    lab = bench(engines)
    async with lab.running():
        for number in range(1, 6):
            lab.loop.offer(frame("a", number, image=Unreadable()))
            await until(lambda count=number: lab.dropped("a", "unreadable") == count)  # type: ignore[misc]  # bound now
        lab.loop.offer(frame("b", 1, image=Unreadable()))
        await until(lambda: lab.dropped("b", "unreadable") == 1)
        lab.loop.offer(frame("a", 6))
        await lab.handler.next()
        assert lab.loop.trouble() == ""
    assert lab.handler.seen == [("a", 6)]
    assert (lab.dropped("a", "engine_failed"), lab.failures(), len(engines.opened)) == (0, 0, 1)
    told = [record.getMessage() for record in caplog.records if "no such pixel format" in record.getMessage()]
    assert told == [f"{camera}: no such pixel format; such frames are left out" for camera in "ab"]


async def test_unreadable_frame_spoils_no_batch() -> None:
    """The other frames and uploads of its batch get their boxes, one by one; an unreadable upload is told."""
    gate = Gate()
    engines = Engines(held(gate), max_batch=8)
    lab = Bench({MAIN_MODEL: engines.service}, cameras="abcd")
    async with lab.running(), asyncio.timeout(PATIENCE):
        lab.loop.offer(frame("d", 1))
        await reached(gate)
        lab.loop.offer(frame("a", 1))
        lab.loop.offer(frame("b", 1, image=Unreadable()))
        lab.loop.offer(frame("c", 1))
        bad, good = (
            asyncio.ensure_future(lab.loop.detect(each, 0.5)) for each in (Unreadable(), FakeImage())
        )
        await asyncio.sleep(0)
        gate.open()
        assert len(await good) == 1
        with pytest.raises(PixelsError):
            await bad
        for camera in "abc":
            lab.loop.offer(frame(camera, 2))
        await until(lambda: len(lab.handler.seen) == 6)
    assert sorted(lab.handler.seen) == [("a", 1), ("a", 2), ("b", 2), ("c", 1), ("c", 2), ("d", 1)]
    assert [lab.dropped(camera, "unreadable") for camera in "abc"] == [0, 1, 0]
    assert engines.opened[0].batches[:4] == [(1, 3, 384, 640)] * 4
    assert (lab.failures(), len(engines.opened)) == (0, 1)


async def test_no_memory_for_one_frame_is_a_failure() -> None:
    """When one frame alone is too much a new engine is the last resort."""
    sizes: list[int] = []
    engines = up_to(0, sizes)
    engines.service.detector.halve_batch(2)
    lab = bench(engines)
    async with lab.running():
        lab.loop.offer(frame("a"))
        await until(lambda: lab.failures() == 1)
        await until(lambda: len(engines.opened) == 2)


async def test_third_failure_within_a_minute_ends_the_process(clock: Clock) -> None:
    """Two failures are borne, a third within a minute is raised out of the loop with exit status 4."""
    engines = Engines(failing(BROKEN))
    lab = bench(engines)
    async with lab.running() as task:
        for failure in (1, 2):
            lab.loop.offer(frame("a", failure))
            await until(lambda count=failure: lab.failures() == count)  # type: ignore[misc]  # bound now
            clock.now += 29
        lab.loop.offer(frame("a", 3))
        ended = await raised(task)
    assert isinstance(ended, ExceptionGroup)
    error = lost(ended)
    assert error.exit_status == 4
    assert str(error) == "the engine on cpu failed 3 times within 60 s; the last time: out of order"
    assert len(engines.opened) == 3


async def test_failures_far_apart_are_borne(clock: Clock) -> None:
    """Engines that fail every half a minute, and then some, are replaced again and again."""
    engines = Engines(failing(BROKEN))
    lab = bench(engines)
    async with lab.running() as task:
        for failure in range(1, 7):
            lab.loop.offer(frame("a", failure))
            await until(lambda count=failure: lab.failures() == count)  # type: ignore[misc]  # bound now
            clock.now += 31
        await until(lambda: len(engines.opened) == 7)
        assert not task.done()


async def test_engine_that_cannot_be_opened_again_ends_the_process() -> None:
    """When the model does not load any more, that is raised out of the loop at once."""

    def refuse() -> None:
        raise CannotStartError("the file is gone")

    lab = bench(Engines(failing(BROKEN), before=refuse))
    async with lab.running() as task:
        lab.loop.offer(frame("a"))
        ended = await raised(task)
    assert isinstance(ended, ExceptionGroup)
    assert str(ended.exceptions[0]) == "the file is gone"


async def test_lost_engine_lets_nobody_wait() -> None:
    """When an engine is given up, the uploads that wait are told, and the other devices stop too."""
    lab = Bench(
        {MAIN_MODEL: Engines(failing(BROKEN)).service, "other": Engines(one_person, device="gpu").service}
    )
    async with lab.running() as task:
        uploads = [asyncio.ensure_future(lab.loop.detect(FakeImage(), 0.5)) for _ in range(12)]
        async with asyncio.timeout(PATIENCE):
            answers = await asyncio.gather(*uploads, return_exceptions=True)
            await asyncio.wait([task])
    assert all(isinstance(answer, Exception) for answer in answers)
    assert isinstance(task.exception(), ExceptionGroup)


async def test_workers_that_fail_together_are_one_failure(caplog: pytest.LogCaptureFixture) -> None:
    """A device that takes all its workers with it failed once, and no exception is left unretrieved."""
    gate = Gate()
    threads: list[threading.Thread] = []

    def fail(_batch: Float32) -> Float32:
        threads.append(threading.current_thread())
        gate.pass_through()
        raise BROKEN

    lab = bench(Engines(fail, one_person, workers=2, max_batch=1))
    async with lab.running():
        for camera in "ab":
            lab.loop.offer(frame(camera))
        await until(lambda: len(threads) == 2)
        gate.open()
        for thread in threads:  # without a turn of the event loop: it hears of both at once
            thread.join(PATIENCE)
        await until(lambda: lab.failures() == 1)
        lab.loop.offer(frame("a", 2))
        await lab.handler.next()
        assert lab.failures() == 1
    gc.collect()
    assert not [record for record in caplog.records if "never retrieved" in record.getMessage()]


def two_devices(cpu: Engines, gpu: Engines) -> Bench:
    """Return a loop with `a` and `b` on the one device and `g` on the other."""
    lab = Bench({MAIN_MODEL: cpu.service, "other": gpu.service})
    lab.add("g", "other")
    return lab


async def test_stuck_device_does_not_stop_another() -> None:
    """While an engine hangs, the cameras of another device are inferred as before, and only theirs."""
    hang = Hang()
    cpu, gpu = Engines(hang), Engines(one_person, device="gpu")
    lab = two_devices(cpu, gpu)
    async with lab.running():
        lab.loop.offer(frame("a"))
        await reached(hang.gate)
        for number in range(1, 6):
            lab.loop.offer(frame("b", number))
            lab.loop.offer(frame("g", number))
            await lab.handler.next()
        assert lab.handler.seen == [("g", number) for number in range(1, 6)]
        hang.gate.open()
        await until(lambda: len(lab.handler.seen) == 7)
    assert len(gpu.opened[0].batches) == 5


class Naps(threading.Condition):
    """Counts how often a worker found nothing and lay down."""

    count = 0

    def wait(self, timeout: float | None = None) -> bool:
        """Count, with the lock held, and wait."""
        self.count += 1
        return super().wait(timeout)


async def test_frame_that_waits_goes_with_its_camera_to_another_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A camera that gets a model of an idle device has the frame that waits taken there, at once."""
    hang, naps = Hang(), Naps()
    lab = two_devices(Engines(hang, timeout=1e6), Engines(one_person, device="gpu"))
    monkeypatch.setattr(lab.loop, "_changed", naps)
    async with lab.running():
        await until(lambda: naps.count == 2)
        lab.loop.offer(frame("a"))
        await reached(hang.gate)
        await until(lambda: naps.count == 3)
        lab.loop.offer(frame("b"))
        await until(lambda: naps.count == 4)
        lab.loop.set_camera("b", fps=1e6, weight=1, floor=0.5, model="other")
        await lab.handler.next()
        assert lab.handler.seen == [("b", 1)]
        hang.gate.open()


async def test_failure_of_a_device_is_its_own() -> None:
    """A new engine is opened for the device that failed, and counted there; the other's goes on."""
    cpu, gpu = Engines(one_person), Engines(failing(BROKEN), one_person, device="gpu")
    lab = two_devices(cpu, gpu)
    async with lab.running():
        lab.loop.offer(frame("g", 1))
        await until(lambda: lab.failures("gpu") == 1)
        for camera in "ag":
            lab.loop.offer(frame(camera, 2))
        await until(lambda: sorted(lab.handler.seen) == [("a", 2), ("g", 2)])
    assert (lab.failures("cpu"), lab.failures("gpu")) == (0, 1)
    assert (len(cpu.opened), len(gpu.opened), cpu.opened[0].closed) == (1, 2, False)


async def test_models_of_a_device_are_replaced_together() -> None:
    """A device's engines share its fate: when one fails, all models on it are opened again."""
    main, other = Engines(failing(BROKEN), one_person), Engines(one_person)
    lab = two_devices(main, other)
    async with lab.running():
        lab.loop.offer(frame("a", 1))
        await until(lambda: lab.failures() == 1)
        lab.loop.offer(frame("g", 2))
        await lab.handler.next()
    assert (len(main.opened), len(other.opened)) == (2, 2)
    assert other.opened[0].closed


async def test_one_engine_serves_any_number_of_cameras() -> None:
    """However many cameras there are, the model was opened once."""
    engines = Engines(one_person, workers=2)
    cameras = [f"c{number}" for number in range(50)]
    lab = Bench({MAIN_MODEL: engines.service}, cameras=cameras)
    async with lab.running():
        for camera in cameras:
            lab.loop.offer(frame(camera))
        await until(lambda: len(lab.handler.seen) == 50)
    assert len(engines.opened) == 1


async def test_frames_of_two_models_reach_their_own_engines() -> None:
    """On one device each model's frames go through that model, in batches of their own."""
    gate = Gate()

    def answer(batch: Float32) -> Float32:
        gate.pass_through()
        assert np.allclose(batch[:, :, 192, 320], 0.25), "a frame of the other model"
        return one_person(batch)

    lab = two_devices(Engines(answer), Engines(one_person))
    async with lab.running():
        lab.loop.offer(frame("a", image=FakeImage(value=0.25)))
        await reached(gate)
        lab.loop.offer(frame("b", image=FakeImage(value=0.25)))
        lab.loop.offer(frame("g", image=FakeImage(value=0.75)))
        gate.open()
        await until(lambda: len(lab.handler.seen) == 3)
    assert all(len({each.camera == "g" for each in frames}) == 1 for frames, _ in lab.handler.batches)


async def test_pool_that_is_stopped_twice_gives_back_all(clock: Clock) -> None:
    """A stop while an engine that hung is being replaced ends at once too."""
    hang, opening = Hang(), Gate()
    lab = bench(Engines(hang, one_person, timeout=30, before=opening.pass_through))
    async with lab.running() as task:
        lab.loop.offer(frame("a"))
        await reached(hang.gate)
        clock.now += 31
        await reached(opening)
        task.cancel()
        async with asyncio.timeout(PATIENCE / 2):
            with suppress(asyncio.CancelledError):
                await task
        opening.open()
        await hang.let_go()
    assert lab.dropped("a", "engine_failed") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere threads have no priority of their own")
def test_workers_never_take_back_what_a_process_steps_back() -> None:
    """A worker of a process that was made nicer is nicer still, never less so than that process."""
    nice: list[int] = []

    def mine() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def answer(batch: Float32) -> Float32:
        nice.append(mine())
        return one_person(batch)

    async def serve() -> None:
        lab = bench(Engines(answer))
        async with lab.running():
            lab.loop.offer(frame("a"))
            await lab.handler.next()

    def process() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), mine() + 10)
        nice.append(mine())
        asyncio.run(serve())

    thread = threading.Thread(target=process)
    thread.start()
    thread.join(PATIENCE)
    before, worker = nice
    assert worker == min(before + 5, 19)


async def test_engine_that_fails_at_a_single_frame_takes_nobody_with_it() -> None:
    """When a batch was taken apart and the engine fails at one of its frames, the others come back too."""
    gate = Gate()
    sizes: list[int] = []

    def answer(batch: Float32) -> Float32:
        sizes.append(len(batch))
        gate.pass_through()
        if len(sizes) > 1:
            raise BROKEN
        return one_person(batch)

    lab = Bench({MAIN_MODEL: Engines(answer, one_person).service}, cameras="abcd")
    async with lab.running(), asyncio.timeout(PATIENCE):
        lab.loop.offer(frame("d", 1))
        await reached(gate)
        for camera in "ac":
            lab.loop.offer(frame(camera, 1))
        lab.loop.offer(frame("b", 1, image=Unreadable()))
        upload = asyncio.ensure_future(lab.loop.detect(FakeImage(), 0.5))
        await asyncio.sleep(0)
        gate.open()
        assert await raised(upload) is BROKEN
        await until(lambda: lab.failures() == 1)
        for camera in "abc":
            lab.loop.offer(frame(camera, 2))
        await until(lambda: len(lab.handler.seen) == 4)


async def test_engine_that_hangs_at_a_single_frame_takes_nobody_with_it(clock: Clock) -> None:
    """When a batch was taken apart and a worker hangs at one of its frames, the others come back too."""
    first, hang = Gate(), Hang()
    calls: Iterator[Answer] = iter([held(first), hang])
    lab = bench(Engines(lambda batch: next(calls)(batch), one_person, timeout=30))  # noqa: PLW0108 -- another at each call
    async with lab.running(), asyncio.timeout(PATIENCE):
        lab.loop.offer(frame("b", 1))
        await reached(first)
        clock.now += 1
        lab.loop.offer(frame("a", 1))
        lab.loop.offer(frame("b", 2, image=Unreadable()))
        upload = asyncio.ensure_future(lab.loop.detect(FakeImage(), 0.5))
        await asyncio.sleep(0)
        first.open()
        await reached(hang.gate)
        clock.now += 31
        assert isinstance(await raised(upload), EngineHungError)
        clock.now += 1
        for camera in "ab":
            lab.loop.offer(frame(camera, 3))
        await until(lambda: len(lab.handler.seen) == 3)
        await hang.let_go()
