"""CUDA graphs for a torch network: one per input shape and bucket of batch sizes, captured when first needed.

A graph replays the network's hundreds of kernels with one launch, which is what a nano model's batch costs
most. It reads and writes the same memory each time: batches are copied into a static input, filled up to the
bucket, and the output is copied out before the next replay. torch is handed in by `ultralytics.py`.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vigil.inference.backends.batches import bucket_for

if TYPE_CHECKING:
    from collections.abc import Callable

_WARM_UPS = 3
"""Runs before a capture, as torch's notes on CUDA graphs ask: cuDNN chooses its kernels in them."""


@dataclass(frozen=True, slots=True, eq=False)
class _Captured:
    """A graph, its static memory, and the network whose tensors it reads, which must live as long."""

    graph: Any
    images: Any
    output: Any
    network: Callable[[Any], Any]


class Graphs:
    """The graphs of one network on one device; calls take turns, since they share a pool of memory."""

    def __init__(
        self, torch: Any, new_network: Callable[[], Callable[[Any], Any]], device: Any, dtype: Any
    ) -> None:
        """`new_network` returns a view of the network that nobody else calls, whatever it caches its own."""
        self._torch, self._new_network, self._device, self._dtype = torch, new_network, device, dtype
        self._lock = threading.Lock()
        self._captured: dict[tuple[int, int, int], _Captured] = {}
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, images: Any) -> Any:
        """Return the output for `(b, 3, h, w)`, both in the CPU's memory; inference mode is the caller's."""
        torch = self._torch
        with self._lock, torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            captured = self._for(images.shape)
            captured.images[: len(images)].copy_(images)
            captured.graph.replay()
            output = captured.output[: len(images)].to("cpu")
            self._stream.synchronize()
        return output

    def _for(self, shape: Any) -> _Captured:
        key = (bucket_for(shape[0]), shape[2], shape[3])
        if key not in self._captured:
            self._captured[key] = self._capture(*key)
        return self._captured[key]

    def _capture(self, batch: int, height: int, width: int) -> _Captured:
        torch = self._torch
        images = torch.zeros(batch, 3, height, width, device=self._device, dtype=self._dtype)
        images = images.contiguous(memory_format=torch.channels_last)
        network = self._new_network()
        for _ in range(_WARM_UPS):
            network(images)
        self._stream.synchronize()
        graph = torch.cuda.CUDAGraph()
        # Other threads may use the device meanwhile, hence `thread_local`.
        with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
            output = network(images)
        return _Captured(graph, images, output, network)
