"""How many workers and how large batches: decisions on invented machines, measured with an invented clock."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.config.model import ModelConfig
from vigil.inference.engine import EngineMemoryError, Output, Weights
from vigil.inference.measured import Measurements
from vigil.inference.tune import Tuned, batch_steps, climb, throughput, tune, worker_steps

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vigil.core.types import Float32
    from vigil.inference.schedule import Shape

SHAPE = (64, 64)


class FakeEngine:
    """An engine on a clock of its own: a fixed cost per call and one per image, memory for so many images."""

    name = "fake 1.0"
    fixed_shape: Shape | None = None
    outputs: Sequence[Output] = ()
    weights = Weights("fake", (), 32, 640, {})

    def __init__(
        self, device: str = "cuda:0", workers: int = 1, max_batch: int = 64, memory: int = 64
    ) -> None:
        self.device, self.workers, self.max_batch = device, workers, max_batch
        self.sizes: list[int] = []
        self._memory = memory
        self._lock = threading.Lock()
        self.now = 0.0

    def clock(self) -> float:
        """Return the time that all calls have taken, in seconds."""
        return self.now

    def run(self, batch: Float32) -> list[Float32]:
        """Take 10 ms and 1 ms for each image."""
        if len(batch) > self._memory:
            raise EngineMemoryError("no memory")
        with self._lock:
            self.sizes.append(len(batch))
            self.now += 0.010 + 0.001 * len(batch)
        return [batch]

    def close(self) -> None:
        """Have nothing to give back."""


def tuned(engine: FakeEngine, settings: ModelConfig | None = None, cache: Path | None = None) -> Tuned:
    """Tune on the engine's own clock."""
    return tune(engine, SHAPE, "abc", settings or ModelConfig(), Measurements(cache), clock=engine.clock)


class TestDecisions:
    """What follows from rates."""

    @pytest.mark.parametrize(
        ("rates", "best"),
        [
            ([100, 190, 300, 310, 900], 4),  # 310 is 3 % more than 300, and what comes later is not asked
            ([100, 100], 1),
            ([100, 90, 500], 1),
            ([100, 105], 2),
            ([100, None], 1),
            ([None], 1),
        ],
    )
    def test_climb(self, rates: list[float | None], best: int) -> None:
        """Steps are taken while each brings a twentieth more, and none after a failure."""
        steps = [1 << number for number in range(len(rates))]
        assert climb(steps, dict(zip(steps, rates, strict=True)).get) == best

    @given(st.lists(st.floats(1, 1000), min_size=1, max_size=7))
    def test_climb_pays(self, rates: list[float]) -> None:
        """Every step up to the chosen one gained a twentieth, and the next one did not."""
        best = climb(range(len(rates)), lambda step: rates[step])
        gains = [later >= 1.05 * earlier for earlier, later in itertools.pairwise(rates)]
        assert all(gains[:best])
        assert not any(gains[best : best + 1])

    @pytest.mark.parametrize(("cores", "steps"), [(1, [1]), (2, [2]), (4, [2, 4]), (7, [3, 7])])
    def test_worker_steps(self, cores: int, steps: list[int]) -> None:
        """All cores, and their half where there are more than two."""
        assert worker_steps(cores) == steps

    @pytest.mark.parametrize(("most", "steps"), [(1, [1]), (8, [1, 2, 4, 8]), (6, [1, 2, 4, 6])])
    def test_batch_steps(self, most: int, steps: list[int]) -> None:
        """Powers of two up to the most, which is tried itself."""
        assert batch_steps(most) == steps


class TestTune:
    """Measured, remembered, or given."""

    def test_device(self) -> None:
        """Batches grow while images per second do; with 10 ms a call the gain ends at 64."""
        assert tuned(FakeEngine()) == Tuned(1, 64)

    def test_memory_ends_the_climb(self) -> None:
        """A batch that the device has no memory for is not a failure."""
        assert tuned(FakeEngine(memory=10)) == Tuned(1, 8)

    def test_no_memory_for_one(self) -> None:
        """A device without memory for a single image is one."""
        with pytest.raises(EngineMemoryError):
            tuned(FakeEngine(memory=0))

    def test_cpu_tries_workers_not_batches(self) -> None:
        """On four cores two and four workers are tried; on this one, where calls queue, two stay."""
        engine = FakeEngine("cpu", workers=4, max_batch=1)
        assert tuned(engine) == Tuned(2, 1)
        assert set(engine.sizes) == {1}

    def test_two_cores_need_no_measurement(self) -> None:
        """Where there is one candidate nothing runs."""
        engine = FakeEngine("cpu", workers=2, max_batch=1)
        assert tuned(engine) == Tuned(2, 1)
        assert engine.sizes == []

    @pytest.mark.parametrize(
        ("device", "settings"), [("cpu", ModelConfig(workers=4)), ("cuda:0", ModelConfig(max_batch=64))]
    )
    def test_numbers_in_the_settings_win(self, device: str, settings: ModelConfig) -> None:
        """What the configuration says is not measured."""
        engine = FakeEngine(device, workers=4)
        assert tuned(engine, settings) == Tuned(4, 64)
        assert engine.sizes == []

    def test_second_start_remembers(self, tmp_path: Path) -> None:
        """Only the first start measures."""
        first = tuned(FakeEngine(memory=10), cache=tmp_path)
        again = FakeEngine()
        assert tuned(again, cache=tmp_path) == first
        assert again.sizes == []

    def test_other_device_measures_again(self, tmp_path: Path) -> None:
        """What one device showed says nothing of another."""
        tuned(FakeEngine(memory=10), cache=tmp_path)
        assert tuned(FakeEngine("cuda:1"), cache=tmp_path) == Tuned(1, 64)

    def test_seven_batches_in_two_seconds(self) -> None:
        """A whole climb stays under two seconds, with warm-ups of this engine."""
        engine = FakeEngine()
        tuned(engine)
        assert engine.now < 2.4


def test_throughput_counts_images() -> None:
    """Four images in 14 ms are 286 a second; the warm-up is not in it."""
    engine = FakeEngine()
    assert throughput(engine, np.zeros((4, 3, *SHAPE), np.float32), 1, engine.clock) == pytest.approx(
        4 / 0.014
    )
