"""Several cores compute a call where there is little to do, one call after the other; else each its own."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from tests.support.fakes import Clock, FakeEngine, Gate, frame, one_person
from tests.support.serving import Bench, held, reached, service, until
from vigil.config.model import ModelConfig
from vigil.core.types import MAIN_MODEL
from vigil.inference.backends.onnx import OnnxEngine
from vigil.inference.budget import Budget
from vigil.inference.engine import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.serving import Answer
    from vigil.core.types import Float32
    from vigil.inference.pool import Pool


class Recorded(onnxruntime.InferenceSession):  # type: ignore[misc]  # it has no types
    """A session that notes on how many threads each call is computed, and may be held in it."""

    threads: list[int]
    held: threading.Event | None = None
    entered: threading.Semaphore

    def __init__(self, model: Any, options: Any, **others: Any) -> None:
        super().__init__(model, options, **others)
        self._threads = options.intra_op_num_threads

    def run(self, *arguments: Any, **others: Any) -> Any:
        """Note it, wait while held, and compute."""
        Recorded.threads.append(self._threads)
        Recorded.entered.release()
        if Recorded.held is not None:
            assert Recorded.held.wait(10)
        return super().run(*arguments, **others)


@pytest.fixture(autouse=True)
def recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have engines open sessions that note their calls."""
    Recorded.threads, Recorded.held, Recorded.entered = [], None, threading.Semaphore(0)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Recorded)


def engine_of(folder: Path, workers: int) -> OnnxEngine:
    """Return an engine over a network of one layer."""
    axes = ["batch", 3, "height", "width"]
    graph = helper.make_graph(
        [helper.make_node("Relu", ["images"], ["output0"])],
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, axes)],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, axes)],
    )
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), path)
    return OnnxEngine(path, ModelConfig(workers=workers), "cpu")


def picture() -> Float32:
    """Return an input of noise, around 0."""
    return np.random.default_rng(0).normal(size=(1, 3, 32, 32)).astype(np.float32)


def test_calls_share_cores_one_after_the_other(tmp_path: Path) -> None:
    """While they do, a call waits for the one before it, and both find what a call on one core finds."""
    engine = engine_of(tmp_path, workers=2)
    engine.run(picture())
    assert Recorded.entered.acquire(timeout=10)
    assert engine.spread(on=True) == 2
    Recorded.held = threading.Event()
    with ThreadPoolExecutor() as pool:
        calls = [pool.submit(engine.run, picture()) for _ in range(2)]
        assert Recorded.entered.acquire(timeout=10)
        assert not Recorded.entered.acquire(blocking=False)
        Recorded.held.set()
        for call in calls:
            np.testing.assert_array_equal(call.result()[0], np.maximum(picture(), 0))
    assert engine.spread(on=False) == 1
    engine.run(picture())
    assert Recorded.threads == [1, 2, 2, 1]


@pytest.mark.parametrize(("workers", "threads"), [(1, 1), (3, 3), (16, 4)])
def test_workers_are_the_most_cores(tmp_path: Path, workers: int, threads: int) -> None:
    """No call takes more cores than there may be workers, nor than pay off."""
    engine = engine_of(tmp_path, workers=workers)
    assert engine.spread(on=True) == threads
    engine.run(picture())
    assert Recorded.threads == [threads]


def test_what_cannot_be_opened_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Without a second session, for which there may be no memory, calls keep to their core."""
    engine = engine_of(tmp_path, workers=2)
    (tmp_path / "net.onnx").unlink()
    assert engine.spread(on=True) == 1
    assert "net.onnx cannot be loaded" in caplog.text
    engine.run(picture())
    assert Recorded.threads == [1]


def test_call_that_fails_is_over(tmp_path: Path) -> None:
    """An error holds up nobody."""
    engine = engine_of(tmp_path, workers=2)
    assert engine.spread(on=True)
    with pytest.raises(EngineError):
        engine.run(picture()[0])
    engine.run(picture())
    assert Recorded.threads == [2, 2]


class Spreading(FakeEngine):
    """A fake engine whose calls can share cores, and what it was told of that."""

    def __init__(self, answer: Answer, **others: Any) -> None:
        super().__init__(answer, **others)
        self.told: list[bool] = []

    def spread(self, *, on: bool) -> int:
        """Note it."""
        self.told.append(on)
        return 2 if on else 1


async def test_frame_that_would_wait_is_left_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once calls share cores, a frame whose turn it is gives it to the next one while another is inferred."""
    clock = Clock()
    for module in ("loop", "pool"):
        monkeypatch.setattr(f"vigil.inference.{module}.time", clock)
    monkeypatch.setattr("vigil.inference.loop._PLAN_EVERY", 0.0)
    monkeypatch.setattr(Budget, "light", True)
    gate = Gate()
    engine = Spreading(held(gate), workers=2)
    lab = Bench({MAIN_MODEL: service(engine)}, cameras="c")
    lab.metrics.add_camera("a")
    lab.loop.set_camera("a", fps=1, weight=1, floor=0.5)
    gate.open()
    async with lab.running():
        for number in range(4):  # the source's interval is learnt, and engines are told
            clock.now += 0.04
            lab.loop.offer(frame("a", number))
            lab.loop.offer(frame("c", number))
            await lab.handler.next()
            await until(lambda: lab.loop.has_time("c"))
        await until(lambda: engine.told == [True])
        gate.close()
        lab.loop.offer(frame("c", 9))
        await reached(gate)
        for _ in range(25):  # the last one more than a second after the first, whose turn was at once
            clock.now += 0.04
            lab.loop.offer(frame("a", 10))
        assert lab.dropped("a", "not_due") == 3 + 25
        lab.loop.offer(replace(frame("a", 10), late=0.01))  # while catching up
        assert lab.dropped("a", "not_due") == 3 + 25
        gate.open()
        await lab.handler.next()
        await until(lambda: lab.handler.seen[-1] == ("a", 10))


async def test_calls_share_no_cores_after_one_that_was_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that takes much longer than others ends it at once, and it begins again when all is well."""
    clock = Clock()
    for module in ("loop", "pool"):
        monkeypatch.setattr(f"vigil.inference.{module}.time", clock)
    monkeypatch.setattr("vigil.inference.loop._PLAN_EVERY", 0.0)
    takes = 0.01

    def answer(batch: Float32) -> Float32:
        clock.now += takes
        return one_person(batch)

    engine = Spreading(answer, workers=2)
    lab = Bench({MAIN_MODEL: service(engine)}, cameras="")
    lab.metrics.add_camera("a")
    lab.loop.set_camera("a", fps=1, weight=1, floor=0.5)

    async def look() -> None:
        clock.now += 1.0
        lab.loop.offer(frame("a", 0))
        await lab.handler.next()
        await until(lambda: lab.loop.has_time("a"))
        await asyncio.sleep(0.01)  # real time, for a plan

    async with lab.running():
        while not engine.told:
            await look()
        takes = 0.005  # of two cores
        for _ in range(3):
            await look()
        takes = 0.012
        for _ in range(3):
            await look()
        assert engine.told == [True]
        takes = 0.05
        await look()
        await until(lambda: engine.told == [True, False])
        takes = 0.01
        for _ in range(4):
            await look()
        assert engine.told == [True, False]
        while len(engine.told) == 2:
            await look()
        assert engine.told == [True, False, True]


class Occupied:
    """What a loop asks of a pool, with a call under way that is over when it is asked about again."""

    cores = 2
    device = "cpu"
    limits: ClassVar = {MAIN_MODEL: 4}

    def __init__(self) -> None:
        self.asked = threading.Event()

    @property
    def idle(self) -> bool:
        """Note that it was asked."""
        was = self.asked.is_set()
        self.asked.set()
        return was


async def test_what_waits_for_a_call_gives_way_to_a_newer_frame() -> None:
    """A worker that is free takes nothing while calls share cores and one is under way."""
    lab, pool = Bench({MAIN_MODEL: service(FakeEngine(workers=2))}), Occupied()
    lab.loop.offer(frame("a", 1))
    taken = asyncio.create_task(asyncio.to_thread(lab.loop.next_batch, cast("Pool", pool), threading.Event()))
    assert await asyncio.to_thread(pool.asked.wait, 10)
    lab.loop.offer(frame("a", 2))
    lab.loop.wake()
    batch = await taken
    assert batch is not None
    assert [each.seq for each in batch.frames] == [2]
    assert lab.dropped("a", "overwritten") == 1
