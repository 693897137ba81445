"""CUDA graphs for a torch network: one per input shape and bucket of batch sizes, captured when first needed.

A graph replays the network's hundreds of kernels with one launch, which is what a nano model's batch costs
most. It reads and writes the same memory each time: batches are copied into a static input, filled up to the
bucket, and the output is copied out before the next replay. Frames that are in the device's memory already
are letterboxed straight into the static input, and only boxes come back. `ultralytics.py` hands torch in.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vigil.inference.backends.batches import bucket_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

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
        self._pinned: dict[tuple[int, ...], Any] = {}
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()

    def run(self, images: Any) -> Any:
        """Return the output for `(b, 3, h, w)`, both in the CPU's memory; inference mode is the caller's."""
        _, output = self.run_filled(images.shape, lambda static: static.copy_(images))
        return output

    def run_filled(
        self,
        shape: Sequence[int],
        fill: Callable[[Any], object],
        pick: Callable[[Any], Any] | None = None,
        enough: Callable[[Any], bool] = lambda _picked: True,
    ) -> tuple[Any, Any]:
        """Have `fill` write `(b, 3, h, w)`; return what `pick` makes of the output, and the output.

        Both are in the CPU's memory, and there is one of the two: the output only where nothing is picked, or
        that is not `enough`. `fill` and `pick` work on the device; what is picked comes by one pinned copy.
        """
        torch = self._torch
        with self._lock, torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            captured = self._for(shape)
            # Decoders write frames on the default stream.
            self._stream.wait_stream(torch.cuda.default_stream(self._device))
            fill(captured.images[: shape[0]])
            captured.graph.replay()
            raw = captured.output[: shape[0]]
            if pick is not None:
                picked = self._fetched(pick(raw))
                if enough(picked):
                    return picked, None
            output = raw.to("cpu")
            self._stream.synchronize()
        return None, output

    def _fetched(self, picked: Any) -> Any:
        """Return a copy in the CPU's memory, by way of pinned memory that is used again."""
        key = tuple(picked.shape)
        if key not in self._pinned:
            self._pinned[key] = self._torch.empty(key, dtype=picked.dtype, pin_memory=True)
        pinned = self._pinned[key]
        pinned.copy_(picked, non_blocking=True)
        self._stream.synchronize()
        return pinned.clone()

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
