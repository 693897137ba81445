"""The inference loop with real worker threads and a fake engine that tests hold up and let go."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import PATIENCE, Clock, FakeImage, Gate, frame, one_person
from tests.support.serving import Bench, Engines, held, reached, until
from vigil.core.types import MAIN_MODEL
from vigil.inference.attentions import Attentions
from vigil.inference.loop import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.core.types import Float32


def bench(
    answer: Callable[[Float32], Float32] = one_person,
    *,
    workers: int = 1,
    max_batch: int = 4,
    max_uploads: int = 32,
) -> Bench:
    """Return a loop with the cameras `a` and `b` over one fake engine, which nobody ever thinks hung."""
    engines = Engines(answer, workers=workers, max_batch=max_batch, timeout=1e6)
    return Bench({MAIN_MODEL: engines.service}, max_uploads=max_uploads)


async def test_offered_frame_comes_out_with_its_boxes() -> None:
    """A frame goes through the detector and reaches the handler with boxes in its own pixels."""
    lab = bench()
    async with lab.running():
        offered = frame("a")
        lab.loop.offer(offered)
        await lab.handler.next()
    (((got,), (found,)),) = lab.handler.batches
    assert got is offered
    assert found.xyxy.tolist() == [[576, 296, 704, 424]]
    assert lab.value("batch_size_count") == 1


async def test_frames_that_wait_share_a_batch() -> None:
    """What arrived while the engine was busy goes through it together."""
    gate = Gate()
    lab = bench(held(gate))
    async with lab.running():
        lab.loop.offer(frame("a", 1))
        await reached(gate)
        lab.loop.offer(frame("a", 2))
        lab.loop.offer(frame("b", 1))
        gate.open()
        while sum(len(frames) for frames, _ in lab.handler.batches) < 3:
            await lab.handler.next()
    assert sorted(each.camera for each in lab.handler.batches[1][0]) == ["a", "b"]


async def test_overwritten_and_unwanted_frames_are_counted_by_cause() -> None:
    """A frame that a newer one replaces, and one that nobody wants yet, count as drops of their camera."""
    lab = bench()
    lab.loop.remove_camera("b")
    lab.loop.set_camera("b", fps=0.001, weight=1, floor=0.5)
    async with lab.running():
        lab.loop.offer(frame("b"))
        await lab.handler.next()
        lab.loop.offer(frame("b"))
    for _ in range(3):
        lab.loop.offer(frame("a"))
    lab.loop.offer(frame("stranger"))
    assert (lab.dropped("a", "overwritten"), lab.dropped("a", "not_due")) == (2, 0)
    assert (lab.dropped("b", "overwritten"), lab.dropped("b", "not_due")) == (0, 1)


async def test_there_is_time_while_no_engine_is_busy_and_nobody_waits() -> None:
    """A frame that waits, and one that the only engine has, leave no time for what is not urgent."""
    gate = Gate()
    lab = bench(held(gate))
    lab.loop.offer(frame("a", 1))
    assert not lab.loop.has_time("b")
    async with lab.running():
        await reached(gate)
        assert not lab.loop.has_time("b")
        assert lab.loop.has_room("a")
        gate.open()
        await lab.handler.next()
        assert lab.loop.has_time("b")
        assert not lab.loop.has_time("stranger")


async def test_upload_gets_its_own_answer() -> None:
    """A picture that somebody sent is answered to them, and no sink hears of it."""
    lab = bench()
    async with lab.running(), asyncio.timeout(PATIENCE):
        found = await lab.loop.detect(FakeImage(640, 360), 0.5)
        nothing = await lab.loop.detect(FakeImage(640, 360), 0.95)
    assert found.xyxy.tolist() == [[288, 148, 352, 212]]
    assert len(nothing) == 0
    assert lab.handler.batches == []


async def test_too_many_uploads_are_refused() -> None:
    """When the queue is full, one more is refused at once, and those in it still get their answers."""
    gate = Gate()
    lab = bench(held(gate), max_uploads=2, max_batch=1)
    async with lab.running():
        first = asyncio.ensure_future(lab.loop.detect(FakeImage(), 0.5))
        await reached(gate)
        waiting = [asyncio.ensure_future(lab.loop.detect(FakeImage(), 0.5)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2 uploads wait already"):
            await lab.loop.detect(FakeImage(), 0.5)
        gate.open()
        async with asyncio.timeout(PATIENCE):
            assert [len(each) for each in await asyncio.gather(first, *waiting)] == [1, 1, 1]


async def test_abandoned_upload_harms_nobody() -> None:
    """Somebody who hangs up does not spoil the batch for those who wait."""
    gate = Gate()
    lab = bench(held(gate))
    async with lab.running(), asyncio.timeout(PATIENCE):
        gone = asyncio.ensure_future(lab.loop.detect(FakeImage(), 0.5))
        await reached(gate)
        gone.cancel()
        gate.open()
        assert len(await lab.loop.detect(FakeImage(), 0.5)) == 1


async def test_stopping_answers_all_uploads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for ever: the upload in hand is answered, one that waits is told that vigil stops."""
    gate = Gate()
    lab = bench(held(gate), max_batch=1)
    monkeypatch.setattr(lab.loop, "wake", gate.open)  # what follows the order to stop
    async with lab.running():
        first = asyncio.ensure_future(lab.loop.detect(FakeImage(), 0.5))
        await reached(gate)
        second = asyncio.ensure_future(lab.loop.detect(FakeImage(), 0.5))
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        assert len(await first) == 1
        with pytest.raises(BusyError, match="stopping"):
            await second


async def test_upload_after_the_end_is_refused() -> None:
    """A picture sent while the web server still finishes and the workers are gone is refused, not kept."""
    lab = bench()
    async with lab.running():
        pass
    with pytest.raises(BusyError):
        await asyncio.wait_for(lab.loop.detect(FakeImage(), 0.5), 0.1)


async def test_one_camera_is_never_inferred_twice_at_once() -> None:
    """With two workers free, a camera's next frame waits for its previous one, and another's does not."""
    gate = Gate()
    engines = Engines(held(gate), workers=2, max_batch=1)
    lab = Bench({MAIN_MODEL: engines.service})
    async with lab.running():
        lab.loop.offer(frame("a", 1))
        await reached(gate)
        lab.loop.offer(frame("a", 2))
        assert len(engines.opened[0].batches) == 1
        gate.open()
        while len(lab.handler.batches) < 2:
            await lab.handler.next()
    assert [each.seq for frames, _ in lab.handler.batches for each in frames] == [1, 2]


async def test_removed_camera_is_not_inferred() -> None:
    """After `remove_camera` its frames are ignored, and nothing is counted."""
    lab = bench()
    lab.loop.remove_camera("a")
    async with lab.running():
        lab.loop.offer(frame("a"))
        lab.loop.offer(frame("b"))
        await lab.handler.next()
    assert [each.camera for frames, _ in lab.handler.batches for each in frames] == ["b"]
    assert lab.dropped("a", "not_due") == 0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Give the loop and its pools a clock that the test sets."""
    clock = Clock()
    for module in ("loop", "pool"):
        monkeypatch.setattr(f"vigil.inference.{module}.time", clock)
    return clock


async def test_loop_with_nothing_to_do_is_not_stuck(clock: Clock) -> None:
    """All cameras away, an hour long: that is no reason for a restart."""
    lab = bench()
    async with lab.running():
        lab.loop.offer(frame("a"))
        await lab.handler.next()
        clock.now += 3600
        lab.loop.offer(frame("stranger"))
    assert lab.loop.stuck_for() == 0


async def test_engine_that_hangs_is_told_by_time(clock: Clock) -> None:
    """A batch that does not come back counts from when it was taken, and no more once it is back."""
    gate = Gate()
    lab = bench(held(gate))
    async with lab.running():
        lab.loop.offer(frame("a"))
        await reached(gate)
        clock.now += 42
        assert lab.loop.stuck_for() == 42
        gate.open()
        await lab.handler.next()
    assert lab.loop.stuck_for() == 0


async def test_attention_knows_how_often_there_are_looks(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a camera asks for, as far as its source has frames for it, is what its regions are judged by."""
    monkeypatch.setattr("vigil.inference.loop._PLAN_EVERY", 0.0)
    told: list[tuple[str, float]] = []
    monkeypatch.setattr(Attentions, "expect", lambda _, camera, fps: told.append((camera, fps)))
    lab = bench()
    lab.loop.set_camera("b", fps=2, weight=1, floor=0.5)
    async with lab.running():
        for number in range(100):
            clock.now += 0.25
            for camera in "ab":
                lab.loop.offer(frame(camera, number))
            await lab.handler.next()
        told.clear()
        await until(lambda: len(told) >= 2)
    rates = dict(told)
    assert rates["a"] == pytest.approx(4, rel=0.05)
    assert rates["b"] == pytest.approx(2, rel=0.05)


async def test_work_that_nobody_takes_is_told_by_time(clock: Clock) -> None:
    """Frames that wait while no worker runs count from when the first of them came."""
    lab = bench()
    lab.loop.offer(frame("a"))
    clock.now += 5
    lab.loop.offer(frame("b"))
    clock.now += 6
    assert lab.loop.stuck_for() == 11


async def test_one_hung_worker_of_two_is_seen(clock: Clock) -> None:
    """A worker that goes on does not hide one that hangs."""
    gate = Gate()

    def answer(batch: Float32) -> Float32:
        if batch[0, 0, 192, 320] > 0.8:
            gate.pass_through()
        return one_person(batch)

    lab = bench(answer, workers=2, max_batch=1)
    async with lab.running():
        lab.loop.offer(frame("a", image=FakeImage(value=0.9)))
        await reached(gate)
        clock.now += 30
        lab.loop.offer(frame("b"))
        await lab.handler.next()
        assert lab.loop.stuck_for() == 30
        gate.open()
