"""Any ultralytics `.pt` checkpoint through torch. Only importer of `ultralytics` and `torch`.

The extra `vigil[ultralytics]` brings both: several GB, and AGPL-3.0.
"""

from __future__ import annotations

import copy
import logging
import threading
from typing import TYPE_CHECKING, Any

from vigil.errors import CannotStartError
from vigil.inference.backends.batches import most_images, most_workers
from vigil.inference.backends.describe import describe
from vigil.inference.backends.failures import engine_failure
from vigil.inference.backends.graphs import Graphs
from vigil.inference.backends.planes import TorchArrays, agrees, complete, detections, pick
from vigil.inference.engine import Output
from vigil.inference.heads import RawHead
from vigil.inference.nv12 import fill

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.core.types import Detections, Float32
    from vigil.inference.engine import Weights
    from vigil.inference.heads import Head
    from vigil.inference.nv12 import Canvas, Planes
    from vigil.inference.schedule import Shape


log = logging.getLogger(__name__)


def devices() -> tuple[str, ...]:
    """Return the kinds of device that torch sees."""
    import torch  # noqa: PLC0415 -- heavy: only for those who ask for a .pt

    return ("cuda", "cpu") if torch.cuda.is_available() else ("cpu",)


class UltralyticsEngine:
    """A checkpoint's network, fused, channels-last, in inference mode, on the CPU or a CUDA device."""

    def __init__(self, weights: Path, settings: ModelConfig, device: str) -> None:
        """Load `weights` once; raises `CannotStartError` if the extra or the device is missing.

        `device` is a device's name, not `auto`.
        """
        try:
            import torch  # noqa: PLC0415 -- heavy: only for those who ask for a .pt
            from ultralytics import YOLO  # noqa: PLC0415 -- as above
        except ImportError as error:
            raise CannotStartError(
                f"model.name: {weights.name} needs the extra: pip install 'vigil[ultralytics]' ({error})"
            ) from error
        self._torch = torch
        self._device = _device(torch, device)
        self.device = str(self._device)
        on_cpu = self._device.type == "cpu"
        self._dtype = _dtype(torch, settings, on_cpu=on_cpu)
        self._net, self.weights = _load(YOLO, weights)
        self._net = self._net.to(self._device, self._dtype, memory_format=torch.channels_last)
        self.name = f"torch {torch.__version__} {_device_name(torch, self._device)} {_precision(self._dtype)}"
        self.max_batch = most_images(None, settings, on_cpu=on_cpu)
        self.workers = most_workers(settings, on_cpu=on_cpu)
        if on_cpu:
            torch.set_num_threads(1)  # one thread per call and one call per core
        self._networks = threading.local()
        self._graphs = None if on_cpu else Graphs(torch, self._new_network, self._device, self._dtype)
        self._arrays = TorchArrays(torch, self._device, self._dtype)
        self.outputs: Sequence[Output] = [self._probe()]
        self.takes_planes = self._tried()

    @property
    def fixed_shape(self) -> Shape | None:
        """Any multiple of the stride will do."""
        return None

    def run(self, batch: Float32) -> list[Float32]:
        """Run as `Engine.run` says; on CUDA the first call of a shape and bucket captures its graph."""
        images = self._torch.from_numpy(batch)
        try:
            with self._torch.inference_mode():
                output = self._eager(images) if self._graphs is None else self._graphs.run(images)
        except RuntimeError as error:  # torch's own errors, out of memory among them, are its children
            raise engine_failure(error, self.name) from error
        result: Float32 = output.float().cpu().numpy()
        return [result]

    def detect_planes(
        self, frames: Sequence[Planes], canvas: Canvas, head: Head, floors: Float32
    ) -> list[Detections]:
        """Detect as `PlanesEngine.detect_planes` says."""
        torch, shape = self._torch, (len(frames), 3, *canvas.shape)
        there = torch.from_numpy(floors)
        raw_head = head if isinstance(head, RawHead) else None

        def write(images: Any) -> None:
            fill(images, frames, canvas, self._arrays)

        def boxes(output: Any) -> Any:
            assert raw_head is not None  # noqa: S101 -- it is asked for only then
            return pick(torch, output, there.to(self._device, non_blocking=True), raw_head.iou)

        try:
            with torch.inference_mode():
                if self._graphs is not None:
                    picked, output = self._graphs.run_filled(
                        shape, write, boxes if raw_head else None, lambda found: complete(found.numpy())
                    )
                else:
                    picked, output = self._eager_filled(shape, write, boxes if raw_head else None)
        except RuntimeError as error:  # as in `run`
            raise engine_failure(error, self.name) from error
        if picked is not None:
            return detections(picked.numpy())
        return head.decode([output.float().cpu().numpy()], floors, canvas.shape)

    def close(self) -> None:
        """Free the network's and the graphs' memory."""
        del self._net, self._networks, self._graphs
        if self._device.type == "cuda":
            self._torch.cuda.empty_cache()

    def _eager(self, images: Any) -> Any:
        network = getattr(self._networks, "network", None)
        if network is None:
            network = self._networks.network = self._new_network()
        return network(images.to(self._device, self._dtype, memory_format=self._torch.channels_last))

    def _eager_filled(
        self, shape: Sequence[int], write: Callable[[Any], None], boxes: Callable[[Any], Any] | None
    ) -> tuple[Any, Any]:
        """Do as `Graphs.run_filled`, on the CPU."""
        images = self._torch.empty(*shape, device=self._device, dtype=self._dtype)
        write(images)
        output = self._eager(images)
        picked = None if boxes is None else boxes(output)
        return (picked, None) if picked is not None and complete(picked.numpy()) else (None, output)

    def _tried(self) -> bool:
        """Tell whether this device does with planes what it should, and say so if it does not."""
        try:
            wrong = agrees(self._torch, self._device, self._dtype)
        except (RuntimeError, TypeError, BufferError) as error:
            wrong = str(error)
        if wrong:
            log.warning("%s: frames are not taken from the decoder's memory: %s", self.name, wrong)
        return not wrong

    def _new_network(self) -> Callable[[Any], Any]:
        """Return the call from images to the decoded output: a head of its own, everybody's weights.

        The head caches its anchors per input shape in itself: calls of two shapes must not meet in it.
        """
        net = _with_own_head(self._net)

        def forward(images: Any) -> Any:
            output = net(images)
            # In inference mode the head answers (decoded, raw feature maps).
            return output[0] if isinstance(output, (tuple, list)) else output

        return forward

    def _probe(self) -> Output:
        side = self.weights.stride * 2
        with self._torch.inference_mode():
            _, *shape = self._eager(self._torch.zeros(1, 3, side, side)).shape
        # The last axis of a raw head grows with the input; the others of any head do not.
        return Output("", (None, *shape))


def _device(torch: Any, wanted: str) -> Any:
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise CannotStartError(
            f"model.device: {wanted!r} is not one for a .pt; use auto, cpu or cuda, or export the weights"
        ) from error
    if device.type not in {"cpu", "cuda"}:
        raise CannotStartError(f"model.device: {wanted!r} is not one for a .pt; use auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise CannotStartError(
            f"model.device: {wanted!r} is asked for and torch sees {torch.cuda.device_count()} CUDA devices"
        )
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


def _dtype(torch: Any, settings: ModelConfig, *, on_cpu: bool) -> Any:
    if settings.precision == "int8" or (settings.precision == "fp16" and on_cpu):
        raise CannotStartError(
            f"model.precision: a .pt runs in fp32, and in fp16 on CUDA; {settings.precision} on this device "
            "needs an export: `vigil models export`"
        )
    return torch.float32 if on_cpu or settings.precision == "fp32" else torch.float16


def _precision(dtype: Any) -> str:
    return "fp16" if str(dtype) == "torch.float16" else "fp32"


def _device_name(torch: Any, device: Any) -> str:
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def _load(yolo: Any, weights: Path) -> tuple[Any, Weights]:
    try:
        loaded = yolo(str(weights))
    except Exception as error:
        raise CannotStartError(f"model.name: {weights} cannot be loaded: {error}") from error
    said = {
        "task": str(loaded.task),
        "names": repr(loaded.names),
        "stride": str(int(max(loaded.model.stride))),
    }
    described = describe(weights, said)
    return loaded.model.fuse(verbose=False).eval(), described


def _with_own_head(net: Any) -> Any:
    """Return a shallow copy of `net` whose head is its own."""
    twin = copy.copy(net)
    twin._modules = dict(net._modules)  # noqa: SLF001 -- torch has no public shallow copy
    layers = copy.copy(net.model)
    layers._modules = dict(net.model._modules)  # noqa: SLF001 -- as above
    last = next(reversed(layers._modules))  # noqa: SLF001 -- as above
    head = copy.copy(layers._modules[last])  # noqa: SLF001 -- as above
    layers._modules[last] = head  # noqa: SLF001 -- as above
    twin._modules["model"] = layers  # noqa: SLF001 -- as above
    return twin
