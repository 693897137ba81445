"""Where cameras are decoded, by what they belong to, what failed, and how full decoders are."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest

from vigil.gpu.decoders import Decoders

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

HOMES = {"a": "cuda:0", "b": "cuda:0", "c": "cuda:1"}
COSTS = {"a": 10.0, "b": 20.0, "c": 10.0, "elsewhere": 10.0}


class Meter:
    """Reads what the test says."""

    def __init__(self, **busy: float) -> None:
        self.readings: Mapping[str, float] = {f"cuda:{name[1:]}": value for name, value in busy.items()}
        self.asked: list[str] = []
        self.told: Callable[[], object] = lambda: None

    def busy(self, device: str) -> float | None:
        """Read."""
        self.asked.append(device)
        self.told()
        return self.readings.get(device)


def settled(meter: Meter) -> Decoders:
    """Return decoders whose cameras have their GPUs."""
    decoders = Decoders(meter)
    decoders.settle(HOMES)
    return decoders


def where(decoders: Decoders) -> dict[str, str | None]:
    """Return where each camera is decoded."""
    return {camera: decoders.device(camera) for camera in COSTS}


def test_each_on_its_own_gpu() -> None:
    """A camera is decoded where it belongs, and on the CPU if it belongs to no GPU."""
    decoders = settled(Meter())
    assert where(decoders) == {**HOMES, "elsewhere": None}
    assert decoders.of("a").opens() == decoders.of("a").device() == "cuda:0"


def test_a_full_decoder_spills(caplog: pytest.LogCaptureFixture) -> None:
    """Of the full GPU the cheapest camera leaves, with a line; the other GPU's stay."""
    decoders = settled(Meter(_0=0.95, _1=0.3))
    with caplog.at_level(logging.INFO):
        for now in range(5):
            decoders.look(COSTS, now)
    assert where(decoders) == {"a": None, "b": "cuda:0", "c": "cuda:1", "elsewhere": None}
    assert caplog.messages == ["a: decoded on the CPU from now on, the decoder of cuda:0 is full"]


def test_a_camera_opened_while_it_is_full() -> None:
    """One that is opened then begins on the CPU, and stays there when it is asked again."""
    decoders = settled(Meter(_0=0.95))
    decoders.look({}, 0)
    assert decoders.opens("b") is None
    assert decoders.device("b") is None
    assert decoders.opens("c") == "cuda:1"


def test_they_come_back(caplog: pytest.LogCaptureFixture) -> None:
    """When the decoder has been free for long enough the camera is decoded there again, with a line."""
    meter = Meter(_0=0.95)
    decoders = settled(meter)
    for now in range(5):
        decoders.look(COSTS, now)
    meter.readings = {"cuda:0": 0.3}
    with caplog.at_level(logging.INFO):
        for now in range(5, 40):
            decoders.look(COSTS, now)
    assert where(decoders)["a"] == "cuda:0"
    assert caplog.messages == ["a: decoded by cuda:0 again"]


def test_a_stream_that_a_gpu_cannot_decode(caplog: pytest.LogCaptureFixture) -> None:
    """Only this camera goes to the CPU, said once, and it stays there through a reload."""
    decoders = settled(Meter())
    for _ in range(3):
        decoders.of("a").failed("cuda:0", "10 bits", wholly=False)
    decoders.settle(HOMES)
    assert where(decoders) == {"a": None, "b": "cuda:0", "c": "cuda:1", "elsewhere": None}
    assert caplog.messages == ["a: is decoded on the CPU, the decoder of cuda:0 failed: 10 bits"]


def test_a_gpu_that_cannot_decode_at_all(caplog: pytest.LogCaptureFixture) -> None:
    """All its cameras go to the CPU with one line between them, and it is no longer read."""
    meter = Meter(_1=0.2)
    decoders = settled(meter)
    for camera in ("a", "b"):
        decoders.of(camera).failed("cuda:0", "no libnvcuvid", wholly=True)
    decoders.look(COSTS, 0)
    assert where(decoders) == {"a": None, "b": None, "c": "cuda:1", "elsewhere": None}
    assert meter.asked == ["cuda:1"]
    assert len(caplog.messages) == 1


@pytest.mark.looptime
async def test_looks_once_a_second() -> None:
    """The task reads with what cameras cost now, and rests while no camera belongs to a GPU."""
    loop, read = asyncio.get_running_loop(), asyncio.Event()
    meter = Meter(_0=0.95)
    meter.told = lambda: loop.call_soon_threadsafe(read.set)
    decoders = Decoders(meter)
    asked: list[float] = []

    def costs() -> Mapping[str, float]:
        asked.append(loop.time())
        return COSTS

    task = asyncio.ensure_future(decoders.run(costs))
    await asyncio.sleep(10.5)
    assert asked == []
    decoders.settle(HOMES)
    await read.wait()
    task.cancel()
    assert asked == [11.0]
    assert meter.asked[0] == "cuda:0"
