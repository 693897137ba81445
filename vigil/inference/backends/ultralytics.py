"""Any ultralytics `.pt` checkpoint through torch. Only importer of `ultralytics` and `torch`.

The extra `vigil[ultralytics]` brings both: several GB, and AGPL-3.0.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from vigil.core.types import Model
from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.core.types import Float32
    from vigil.inference.heads import Dimension
    from vigil.inference.schedule import Shape

_GPU_BATCH = 16


class UltralyticsEngine:
    """A checkpoint's network, fused, in inference mode, on the CPU or a CUDA device."""

    def __init__(self, weights: Path, settings: ModelConfig) -> None:
        """Load `weights` once; raises `CannotStartError` if the extra or the device is missing."""
        try:
            import torch  # noqa: PLC0415 -- heavy: only for those who ask for a .pt
            from ultralytics import YOLO  # noqa: PLC0415 -- as above
        except ImportError as error:
            raise CannotStartError(
                f"model.name: {weights.name} needs the extra: pip install 'vigil[ultralytics]' ({error})"
            ) from error
        self._torch = torch
        self._device = _device(torch, settings.device)
        self._net, self.model = _load(YOLO, weights, self._device)
        self.name = f"torch {self._device}"
        on_cpu = self._device.type == "cpu"
        if on_cpu:
            # One thread per call and one call per core, as for ONNX Runtime: see `onnx.py`.
            torch.set_num_threads(1)
        self.max_batch = (1 if on_cpu else _GPU_BATCH) if settings.max_batch == "auto" else settings.max_batch
        ideal = len(os.sched_getaffinity(0)) if on_cpu else 2
        self.workers = ideal if settings.workers == "auto" else settings.workers
        # The head caches its anchors per input shape in the module itself: calls of different shapes
        # must not meet in it, so the first call of a shape is made alone.
        self._shape: Shape | None = None
        self._lock = threading.Lock()
        self._nets = threading.local()
        self.outputs: Sequence[Sequence[Dimension]] = [self._probe()]

    @property
    def fixed_shape(self) -> Shape | None:
        """Any multiple of the stride will do."""
        return None

    def run(self, batch: Float32) -> list[Float32]:
        """Return the raw output for `(b, 3, h, w)` RGB in 0..1."""
        with self._torch.inference_mode():
            output = self._thread_net()(self._torch.from_numpy(batch).to(self._device))
        # In inference mode the head answers (decoded, raw feature maps).
        decoded = output[0] if isinstance(output, (tuple, list)) else output
        result: Float32 = decoded.float().cpu().numpy()
        return [result]

    def _thread_net(self) -> Any:
        """Return this thread's view of the network: its own head, everybody's weights."""
        net = getattr(self._nets, "net", None)
        if net is None:
            with self._lock:
                net = self._nets.net = _with_own_head(self._net)
        return net

    def _probe(self) -> Sequence[Dimension]:
        side = self.model.stride * 2
        shape = self.run(self._torch.zeros(1, 3, side, side).numpy())[0].shape
        return (None, *shape[1:])


def _device(torch: Any, wanted: str) -> Any:
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise CannotStartError(f"model.device: {wanted!r} is not known; use auto, cpu or cuda") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise CannotStartError(f"model.device: {wanted!r} is asked for and torch sees no CUDA device")
    return device


def _load(yolo: Any, weights: Path, device: Any) -> tuple[Any, Model]:
    try:
        loaded = yolo(str(weights))
    except Exception as error:
        raise CannotStartError(f"model.name: {weights} cannot be loaded: {error}") from error
    if loaded.task != "detect":
        raise CannotStartError(
            f"model.name: {weights} is made for {loaded.task!r}; vigil needs a detection model"
        )
    net = loaded.model.fuse(verbose=False).eval().to(device).float()
    names = tuple(loaded.names[index] for index in sorted(loaded.names))
    return net, Model(weights.stem, names, stride=int(max(net.stride)), size=640)


def _with_own_head(net: Any) -> Any:
    """Return a shallow copy of `net` whose head, which caches anchors per input shape, is its own."""
    import copy  # noqa: PLC0415 -- needed in this one place

    twin = copy.copy(net)
    twin._modules = dict(net._modules)  # noqa: SLF001 -- torch has no public shallow copy
    layers = copy.copy(net.model)
    layers._modules = dict(net.model._modules)  # noqa: SLF001 -- as above
    last = next(reversed(layers._modules))  # noqa: SLF001 -- as above
    head = copy.copy(layers._modules[last])  # noqa: SLF001 -- as above
    layers._modules[last] = head  # noqa: SLF001 -- as above
    twin._modules["model"] = layers  # noqa: SLF001 -- as above
    return twin
