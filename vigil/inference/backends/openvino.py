"""OpenVINO: the CPU, Intel's GPUs and NPUs, from .onnx and .xml files. Only importer of `openvino`.

On the CPU each worker has compiled models of its own, of one stream and one thread: such a model computes in
the thread that calls it, so that a worker's priority and CPU time are its own. (With several streams in one
model OpenVINO computes in threads that it makes itself.)
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino

from vigil.config.tree import Reader, plain
from vigil.errors import CannotStartError
from vigil.inference.backends.batches import bucket_for, most_images, most_workers, padded
from vigil.inference.backends.describe import SIZES_INPUT, describe, fixed_shape, image_input
from vigil.inference.backends.failures import engine_failure
from vigil.inference.backends.trim import agree, noise, trimmed
from vigil.inference.engine import Output
from vigil.inference.heads import DISTANCES
from vigil.inference.measured import Measured, Measurements, digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.core.types import Float32
    from vigil.inference.engine import Dimension, Weights
    from vigil.inference.schedule import Shape

_STATIC_SHAPES = 4
"""Input shapes that get compiled models of their own on the CPU; the others share a dynamic one.

A static model takes 6 % less CPU time (yolo11n at 384x640: 51.7 against 54.8 ms) and 0.3 s to compile.
"""
_KINDS = {"cpu": "CPU", "intel-gpu": "GPU", "intel-npu": "NPU"}
_PRECISIONS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16"}


@cache
def _shared_core() -> Any:
    """Return the process's one `openvino.Core`, which stays for as long as the process.

    Its plugin for the CPU gives the thread that loads it a stack for signals (OpenVINO 2026.4), and frees it
    with itself. If another thread lets go of the plugin, the first has a stack that is not there, and the
    process dies of its next signal, be it SIGTERM or SIGHUP.
    """
    return openvino.Core()


def devices() -> tuple[str, ...]:
    """Return the kinds of device that OpenVINO finds on this machine."""
    found = {name.partition(".")[0] for name in _shared_core().available_devices}
    return tuple(device for device in ("intel-gpu", "intel-npu", "cpu") if _KINDS[device] in found)


class OpenVinoEngine:
    """A network that is compiled when an input shape first comes; calls from several threads run at once."""

    def __init__(self, weights: Path, settings: ModelConfig, device: str, cache: Path | None = None) -> None:
        """Load `weights`; raises `CannotStartError` if they are no model or the device is not there.

        `device` is a device's name, not `auto`; kernels that devices compile are kept under `cache`.
        """
        self._core = _shared_core()
        self._target = _target(self._core, device)
        self._network = network = _read(self._core, weights)
        inputs = {port.get_any_name(): _shape(port) for port in network.inputs}
        self._input = image_input(weights, inputs)
        self._sizes = SIZES_INPUT in inputs
        self._input_shape = inputs[self._input]
        self._fixed_batch = self._input_shape[0] if isinstance(self._input_shape[0], int) else 0
        self.device = device
        self._static_only = device.startswith("intel-npu")
        self._on_cpu = device == "cpu"
        self._options, precision = _options(self._core, self._target, network, settings, on_cpu=self._on_cpu)
        if cache is not None and not self._on_cpu:
            self._options["CACHE_DIR"] = str(cache / "openvino")
        version = openvino.__version__.partition("-")[0]
        self.name = f"openvino {version} {device} {precision}"
        self.fixed_shape: Shape | None = fixed_shape(self._input_shape)
        self.weights: Weights = describe(weights, _metadata(weights, network), self.fixed_shape)
        if self._on_cpu and weights.suffix == ".onnx" and not _quantised(network):
            self._network = network = self._trimmed(weights, cache)
        self.outputs: Sequence[Output] = [
            Output(min(port.get_names(), default=""), _shape(port)) for port in network.outputs
        ]
        batch = 1 if self._static_only else self._input_shape[0]
        self.max_batch = most_images(batch, settings, on_cpu=self._on_cpu)
        self.workers = most_workers(settings, on_cpu=self._on_cpu)
        self._lock = threading.Lock()
        self._compiled: dict[tuple[int, ...] | None, Any] = {}
        self._idle: dict[tuple[int, ...] | None, list[Any]] = {}

    def _trimmed(self, weights: Path, cache: Path | None) -> Any:
        """Return a network that costs less, if there is one that tells the same, else this one.

        That they do is remembered, since to compile both for it takes a second.
        """
        model = trimmed(weights)
        ended = None if model is None else self._core.read_model(model)
        if ended is None or DISTANCES not in ended.outputs[0].get_names():
            return self._network
        measurements = Measurements(cache)
        key = {"what": "boxes", "weights": digest(weights), "runtime": f"openvino {openvino.__version__}"}
        if measurements.recall(key) is None:
            batch = noise(self.weights.stride, self.fixed_shape, self._fixed_batch)
            if not agree(partial(self._exactly, self._network), partial(self._exactly, ended), batch):
                return self._network
            measurements.remember(key, Measured(datetime.now(UTC).date().isoformat(), {"agree": 1}))
        return ended

    def _exactly(self, network: Any, batch: Float32) -> list[Float32]:
        """Return what a network makes of a batch with all bits."""
        network = network.clone()
        network.reshape({self._input: list(batch.shape)})
        exact = {**self._options, "INFERENCE_PRECISION_HINT": "f32"}
        return [self._core.compile_model(network, self._target, exact)(batch)[0]]

    def run(self, batch: Float32) -> list[Float32]:
        """Run as `Engine.run` says; the first call of an input shape compiles, on the CPU for each worker."""
        images = len(batch)
        batch = padded(batch, self._fixed_batch if self._on_cpu else bucket_for(images))
        feed = {self._input: np.ascontiguousarray(batch)}
        if self._sizes:
            # The input's own size, so that boxes come out in input pixels.
            feed[SIZES_INPUT] = np.tile(np.array(batch.shape[:1:-1], np.int64), (len(batch), 1))
        try:
            with self._request(batch.shape) as request:
                outputs = request.infer(feed, share_inputs=True, share_outputs=True)
                # The request overwrites its outputs when it is used again.
                return [outputs[index][:images].astype(np.float32) for index in range(len(self.outputs))]
        except RuntimeError as error:
            raise engine_failure(error, self.name) from error

    def close(self) -> None:
        """Let go of the compiled models; OpenVINO frees their memory with them."""
        with self._lock:
            self._idle.clear()
            self._compiled.clear()

    @contextmanager
    def _request(self, shape: tuple[int, ...]) -> Iterator[Any]:
        """Lend an infer request for `shape` that nobody else uses."""
        with self._lock:
            key = self._key(shape)
            idle = self._idle.setdefault(key, [])
            request = idle.pop() if idle else None
        if request is None:
            request = self._new_request(key)
        try:
            yield request
        finally:
            idle.append(request)

    def _key(self, shape: tuple[int, ...]) -> tuple[int, ...] | None:
        """Return the shape to compile for, `None` for the file's own, which may be dynamic."""
        if self.fixed_shape is not None and self._fixed_batch:
            return None
        known = [key for key in self._idle if key is not None]
        full = self._on_cpu and shape not in known and len(known) >= _STATIC_SHAPES
        return None if full else shape

    def _new_request(self, key: tuple[int, ...] | None) -> Any:
        if self._on_cpu:
            return self._compile(key).create_infer_request()
        with self._lock:  # devices are shared: one compiled model serves all workers
            if key not in self._compiled:
                self._compiled[key] = self._compile(key)
            return self._compiled[key].create_infer_request()

    def _compile(self, key: tuple[int, ...] | None) -> Any:
        network = self._network.clone()
        if key is not None:
            shapes = {self._input: list(key)}
            if self._sizes:
                shapes[SIZES_INPUT] = [key[0], 2]
            network.reshape(shapes)
        return self._core.compile_model(network, self._target, self._options)


def _read(core: Any, weights: Path) -> Any:
    try:
        return core.read_model(weights)
    except RuntimeError as error:
        raise CannotStartError(f"model.name: {weights} cannot be loaded: {error}") from error


def _target(core: Any, device: str) -> str:
    """Return OpenVINO's name of a device; raises `CannotStartError` if it is not there."""
    kind, _, number = device.partition(":")
    if kind not in _KINDS:
        raise CannotStartError(
            f"model.device: {device!r} is none of OpenVINO's; use auto, cpu, intel-gpu or intel-npu"
        )
    target = f"{_KINDS[kind]}.{number}" if number else _KINDS[kind]
    found: list[str] = core.available_devices
    if target not in found and not any(name.partition(".")[0] == target for name in found):
        raise CannotStartError(
            f"model.device: {device!r} is not on this machine; OpenVINO finds {', '.join(found)}; "
            "Intel's driver for it may be missing"
        )
    return target


def _options(
    core: Any, target: str, network: Any, settings: ModelConfig, *, on_cpu: bool
) -> tuple[dict[str, Any], str]:
    """Return the options to compile with, and the precision that they give, for people."""
    able: list[str] = core.get_property(target, "OPTIMIZATION_CAPABILITIES")
    quantised = _quantised(network)
    if settings.precision == "int8" and not quantised:
        raise CannotStartError(
            "model.precision: the weights are not quantised; `vigil models export --int8` makes such weights"
        )
    wants_half = settings.precision == "fp16" or (settings.precision in {"auto", "int8"} and not on_cpu)
    hint = half(able, on_cpu=on_cpu) if wants_half else "f32"
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": hint}
    if on_cpu:
        options |= {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1, "ENABLE_CPU_PINNING": False}
    return options, "int8" if quantised else _PRECISIONS[hint]


def _quantised(network: Any) -> bool:
    return any(node.get_type_name() == "FakeQuantize" for node in network.get_ops())


def half(able: Sequence[str], *, on_cpu: bool) -> str:
    """Return the hint for the 16 bits that a device multiplies in, by its capabilities; `f32` for none.

    On a CPU that is BF16 alone: yolo11n took 22 ms on a Xeon with both, in fp32 40, and in FP16 63.
    """
    if "FP16" in able and not on_cpu:
        return "f16"
    return "bf16" if "BF16" in able else "f32"


def _shape(port: Any) -> tuple[Dimension, ...]:
    return tuple(None if axis.is_dynamic else axis.get_length() for axis in port.get_partial_shape())


def _metadata(weights: Path, network: Any) -> dict[str, str]:
    """Return what stands in the file, or in ultralytics' `metadata.yaml` beside it."""
    beside = weights.with_name("metadata.yaml")
    if weights.suffix == ".xml" and beside.is_file():
        tree = Reader(str(beside)).read(beside.read_text(encoding="utf-8"))
        found = {} if tree is None else plain(tree)
        return {key: value if isinstance(value, str) else repr(value) for key, value in found.items()}
    return {**_labels(network), **_onnx_metadata(network)}


def _onnx_metadata(network: Any) -> dict[str, str]:
    """Return an ONNX file's metadata, which OpenVINO keeps under `framework`."""
    if not network.has_rt_info(["framework"]):
        return {}
    return {key: str(value) for key, value in network.get_rt_info(["framework"]).value.items()}


def _labels(network: Any) -> dict[str, str]:
    """Return the class names that Model API's `model_info` carries, whose spaces have become `_`."""
    if not network.has_rt_info(["model_info", "labels"]):
        return {}
    labels = network.get_rt_info(["model_info", "labels"]).value
    return {"names": repr(labels.split() if isinstance(labels, str) else [str(label) for label in labels])}
