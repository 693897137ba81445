"""The order of things around a captured graph, with a stand-in for CUDA that replays on the CPU."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import torch

from vigil.inference.backends.graphs import Graphs

if TYPE_CHECKING:
    from collections.abc import Iterator

CPU = torch.device("cpu")


class FakeGraph:
    """Holds the calls that were captured, and runs them again."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any]] = []

    def replay(self) -> None:
        """Write each output anew, from what is in its input now."""
        for images, output in self.calls:
            output.copy_(doubled(images))


class FakeStream:
    """Notes who waits for it and what it waits for."""

    def __init__(self, _device: object = None) -> None:
        self.waited: list[object] = []
        self.synchronized = 0

    def wait_stream(self, other: object) -> None:
        """Note it."""
        self.waited.append(other)

    def synchronize(self) -> None:
        """Note it."""
        self.synchronized += 1


class FakeTorch:
    """torch, but for CUDA: the CPU's memory is the device's, and pinned memory is any."""

    def __init__(self) -> None:
        self.capturing: FakeGraph | None = None
        self.captured = 0
        self.pinned = 0
        self.cuda = self

    Stream, CUDAGraph = FakeStream, FakeGraph
    channels_last, uint8 = torch.channels_last, torch.uint8
    zeros = staticmethod(torch.zeros)

    def empty(self, shape: tuple[int, ...], *, dtype: Any, pin_memory: bool) -> Any:
        """Return memory that passes for pinned."""
        assert pin_memory
        self.pinned += 1
        return torch.empty(shape, dtype=dtype)

    def graph_pool_handle(self) -> None:
        """Return no handle."""

    def device(self, _device: object) -> Any:
        """Enter a device."""
        return nullcontext()

    def stream(self, _stream: object) -> Any:
        """Enter a stream."""
        return nullcontext()

    def default_stream(self, _device: object) -> str:
        """Return the stream of decoders."""
        return "default"

    @contextmanager
    def graph(self, graph: FakeGraph, **_options: object) -> Iterator[None]:
        """Capture what is called meanwhile."""
        self.capturing = graph
        self.captured += 1
        try:
            yield
        finally:
            self.capturing = None


def doubled(images: Any) -> Any:
    """Return what the network makes of images: `(b, 2)`, twice the mean and the largest value."""
    return torch.stack([2 * images.mean(dim=(1, 2, 3)), images.amax(dim=(1, 2, 3))], dim=1)


@pytest.fixture
def fake() -> FakeTorch:
    """Return a torch without CUDA that has it."""
    return FakeTorch()


@pytest.fixture
def graphs(fake: FakeTorch) -> Graphs:
    """Return graphs over a small network."""

    def network(images: Any) -> Any:
        output = doubled(images)
        if fake.capturing is not None:
            fake.capturing.calls.append((images, output))
        return output

    return Graphs(fake, lambda: network, CPU, torch.float32)


def test_images_of_the_cpu(graphs: Graphs, fake: FakeTorch) -> None:
    """Each batch has its own answer, whatever the bucket; one capture serves a bucket."""
    for size in (3, 4, 3):
        images = torch.arange(size, dtype=torch.float32)[:, None, None, None].expand(size, 3, 8, 8)
        torch.testing.assert_close(graphs.run(images), doubled(images))
    assert fake.captured == 1


def test_frames_are_filled_in_and_boxes_picked(graphs: Graphs, fake: FakeTorch) -> None:
    """The input is written in place after waiting for decoders, and only what is picked comes back."""
    waited: list[int] = []

    def fill(static: Any) -> None:
        waited.append(graphs._stream.waited.count("default"))
        static[:] = torch.tensor([1.0, 5.0])[:, None, None, None]

    for _ in range(2):
        picked, output = graphs.run_filled((2, 3, 8, 8), fill, lambda raw: raw[:, :1])
        assert output is None
        assert picked.tolist() == [[2.0], [10.0]]
    assert waited == [1, 2]
    assert fake.pinned == 1
    before = picked.clone()
    graphs.run_filled((2, 3, 8, 8), lambda static: static.zero_(), lambda raw: raw[:, :1])
    torch.testing.assert_close(picked, before)  # a result is not the memory that is used again


def test_what_is_not_enough_brings_the_output(graphs: Graphs) -> None:
    """When the pick does not do, the whole output of the same run comes back in its place."""
    picked, output = graphs.run_filled(
        (2, 3, 8, 8), lambda static: static.fill_(3.0), lambda raw: raw[:, :1], lambda _picked: False
    )
    assert picked is None
    assert output.tolist() == [[6.0, 3.0], [6.0, 3.0]]
