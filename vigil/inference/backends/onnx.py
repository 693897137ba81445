"""ONNX Runtime: the default engine, on the CPU and through its providers on devices. Only importer of it.

A provider comes with the package that was installed: onnxruntime has the CPU, onnxruntime-gpu adds CUDA and
TensorRT, onnxruntime-openvino adds Intel's GPUs and NPUs.
"""

from __future__ import annotations

import logging
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

from vigil.errors import CannotStartError
from vigil.inference.backends.batches import most_images, most_workers, padded
from vigil.inference.backends.describe import SIZES_INPUT, describe, fixed_shape, image_input
from vigil.inference.backends.failures import engine_failure
from vigil.inference.backends.providers import package_of, providers_for
from vigil.inference.backends.trim import agree, noise, trimmed
from vigil.inference.engine import MOST_CORES, Output
from vigil.inference.heads import DISTANCES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.core.types import Float32
    from vigil.inference.backends.providers import Provider
    from vigil.inference.engine import Weights
    from vigil.inference.schedule import Shape

log = logging.getLogger(__name__)

_PRECISIONS = {"tensor(float)": "fp32", "tensor(float16)": "fp16"}


def devices() -> tuple[str, ...]:
    """Return the kinds of device that the installed package has providers for; one may still not start."""
    available = onnxruntime.get_available_providers()
    return tuple(
        device
        for device in ("tensorrt", "cuda", "intel-gpu", "intel-npu", "cpu")
        if providers_for(device, None)[0].name in available
    )


class OnnxEngine:
    """A session over an exported model; calls from several threads run at the same time."""

    def __init__(self, weights: Path, settings: ModelConfig, device: str, cache: Path | None = None) -> None:
        """Load `weights`; raises `CannotStartError` if they are no model or the device is not there.

        `device` is a device's name, not `auto`; TensorRT keeps what it builds under `cache`.
        """
        providers = _installed(device, providers_for(device, cache, half=settings.precision != "fp32"))
        if device.startswith("tensorrt"):
            providers[0] = providers[0].for_inputs(
                _inputs(_open(weights, providers_for("cpu", None))), settings
            )
        self._session = _open(weights, providers)
        self._open_spread = partial(_open, weights, providers)
        self.device = _started(device, self._session, providers)
        on_cpu = self.device == "cpu"
        inputs = _inputs(self._session)
        self._input = image_input(weights, inputs)
        self._sizes = SIZES_INPUT in inputs
        batch = inputs[self._input]
        kind = next(item.type for item in self._session.get_inputs() if item.name == self._input)
        self._half = kind == "tensor(float16)"
        precision = _precision(weights, settings, kind, device)
        self.name = f"onnxruntime {onnxruntime.__version__} {self.device} {precision}"
        self.fixed_shape: Shape | None = fixed_shape(batch)
        self._fixed_batch = batch[0] if isinstance(batch[0], int) else 0
        metadata = self._session.get_modelmeta().custom_metadata_map
        self.weights: Weights = describe(weights, metadata, self.fixed_shape)
        if on_cpu and kind == "tensor(float)":
            self._trim(weights, providers)
        self.outputs: Sequence[Output] = [
            Output(item.name, tuple(item.shape)) for item in self._session.get_outputs()
        ]
        self.max_batch = most_images(batch[0], settings, on_cpu=on_cpu)
        self.workers = most_workers(settings, on_cpu=on_cpu)
        self._one_by_one = threading.Lock()
        self._spreads = False
        self._spread: onnxruntime.InferenceSession | None = None

    def spread(self, *, on: bool) -> int:
        """Spread calls as `SpreadingEngine.spread` says; devices spread theirs themselves.

        The session for it has threads of its own, which are as nice as the thread that calls this first.
        """
        cores = min(self.workers, MOST_CORES) if on and self.device == "cpu" else 1
        if cores > 1 and self._spread is None:
            try:
                self._spread = self._open_spread(threads=cores)
            except CannotStartError as error:  # what serves without goes on
                log.warning("%s; each call keeps to one core", error)
        self._spreads = cores > 1 and self._spread is not None
        return cores if self._spreads else 1

    def _trim(self, weights: Path, providers: list[Provider]) -> None:
        """Take a session that costs less in the place of this one, if it tells the same."""
        for before_boxes in (True, False):
            model = trimmed(weights, before_boxes=before_boxes)
            if model is None:
                return
            session = _open(weights, providers, model)
            if session.get_outputs()[0].name != DISTANCES or self._tells_the_same(session):
                self._session = session
                self._open_spread = partial(_open, weights, providers, model)
                return

    def _tells_the_same(self, ended: onnxruntime.InferenceSession) -> bool:
        def run(session: onnxruntime.InferenceSession, batch: Float32) -> list[Float32]:
            outputs: list[Float32] = session.run(None, {self._input: batch})
            return outputs

        batch = noise(self.weights.stride, self.fixed_shape, self._fixed_batch)
        return agree(partial(run, self._session), partial(run, ended), batch)

    def run(self, batch: Float32) -> list[Float32]:
        """Run as `Engine.run` says."""
        images, batch = len(batch), padded(batch, self._fixed_batch)
        feed: dict[str, Any] = {self._input: batch.astype(np.float16) if self._half else batch}
        if self._sizes:
            # The input's own size, so that boxes come out in input pixels.
            feed[SIZES_INPUT] = np.tile(np.array(batch.shape[:1:-1], np.int64), (len(batch), 1))
        try:
            outputs = self._run(feed)
        except Exception as error:  # its classes are many and share no base of their own
            raise engine_failure(error, self.name) from error
        return [output[:images].astype(np.float32, copy=False) for output in outputs]

    def close(self) -> None:
        """Let go of the sessions; the runtime frees their memory with them."""
        del self._session
        self._spread = None

    def _run(self, feed: dict[str, Any]) -> list[Float32]:
        outputs: list[Float32]
        if (spread := self._spread) is None or not self._spreads:
            outputs = self._session.run(None, feed)
        else:
            with self._one_by_one:
                outputs = spread.run(None, feed)
        return outputs


def _installed(device: str, wanted: list[Provider]) -> list[Provider]:
    """Return `wanted`; raises `CannotStartError` if the first is not in the installed package."""
    available = onnxruntime.get_available_providers()
    if wanted[0].name not in available:
        raise CannotStartError(
            f"model.device: {device!r} needs {wanted[0].name}, which the installed onnxruntime lacks; "
            f"install {package_of(device)} in its place, or use cpu"
        )
    return [provider for provider in wanted if provider.name in available]


def _open(
    weights: Path, providers: list[Provider], model: bytes | None = None, threads: int = 1
) -> onnxruntime.InferenceSession:
    """Open `weights`, or what was made of them, for calls on so many cores; raises `CannotStartError`."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Between calls threads shall not wait busily; within one that takes a quarter off its time.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; its warnings name graph nodes that no user can act on
    chosen = [(provider.name, dict(provider.options)) for provider in providers]
    try:
        return onnxruntime.InferenceSession(model or str(weights), options, providers=chosen)
    except Exception as error:
        raise CannotStartError(f"model.name: {weights} cannot be loaded: {error}") from error


def _started(device: str, session: onnxruntime.InferenceSession, wanted: list[Provider]) -> str:
    """Return the device that runs: the runtime passes over providers that do not start and says nothing."""
    running = session.get_providers()
    for provider in wanted:
        if provider.name in running:
            if provider is not wanted[0]:
                log.warning(
                    "model.device: %s does not start on this machine; %s runs", device, provider.device
                )
            return provider.device
    raise CannotStartError(
        f"model.device: {wanted[0].name} is installed but does not start on this machine; "
        "look at the driver and its libraries, or use cpu"
    )


def _inputs(session: onnxruntime.InferenceSession) -> dict[str, list[int | str | None]]:
    return {item.name: item.shape for item in session.get_inputs()}


def _precision(weights: Path, settings: ModelConfig, kind: str, device: str) -> str:
    """Return what the session computes in; raises `CannotStartError` if that is not what is asked for."""
    if settings.precision == "int8":
        # ONNX names its operators in plain text, and every quantised graph has these.
        if b"QuantizeLinear" not in weights.read_bytes():
            raise CannotStartError(
                f"model.precision: {weights} is not quantised; `vigil models export --int8` quantises"
            )
        return "int8"
    given = _PRECISIONS.get(kind, kind)
    if device.startswith(("tensorrt", "intel")) and settings.precision != "fp32":
        return "fp16"
    if settings.precision == "fp16" and given != "fp16":
        raise CannotStartError(
            f"model.precision: {weights} holds {given}, and onnxruntime computes in what the weights hold; "
            "export them in fp16, or leave the precision at auto"
        )
    return given
