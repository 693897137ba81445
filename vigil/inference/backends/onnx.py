"""ONNX Runtime: the default engine. Only importer of `onnxruntime`.

On a CPU each worker runs a single-threaded session call of its own: two single-threaded calls on two
cores beat one call with two threads, and they do not fight with the decoders.
"""

from __future__ import annotations

import ast
import os
from typing import TYPE_CHECKING

import onnxruntime

from vigil.core.types import Model
from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.core.types import Float32
    from vigil.inference.heads import Dimension
    from vigil.inference.schedule import Shape

_GPU_BATCH = 16
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxEngine:
    """A session over an exported model; calls from several threads run at the same time."""

    def __init__(self, weights: Path, settings: ModelConfig) -> None:
        """Load `weights`; raises `CannotStartError` if they are no model or the device is not there."""
        provider = _provider(settings.device)
        self._session = _open(weights, provider)
        self._input = self._session.get_inputs()[0]
        self.model = _model(weights, self._session)
        self.name = f"onnxruntime {'cpu' if provider == _PROVIDERS['cpu'] else 'cuda'}"
        on_cpu = provider == _PROVIDERS["cpu"]
        batch = self._input.shape[0]
        # Batching gains nothing on a CPU (measured), so its workers take single frames.
        wished = (1 if on_cpu else _GPU_BATCH) if settings.max_batch == "auto" else settings.max_batch
        self.max_batch = min(wished, batch) if isinstance(batch, int) else wished
        ideal = len(os.sched_getaffinity(0)) if on_cpu else 2
        self.workers = ideal if settings.workers == "auto" else settings.workers

    @property
    def outputs(self) -> Sequence[Sequence[Dimension]]:
        """Shapes of the model's outputs."""
        return [output.shape for output in self._session.get_outputs()]

    @property
    def fixed_shape(self) -> Shape | None:
        """The only input size of a static export."""
        height, width = self._input.shape[2:]
        return (height, width) if isinstance(height, int) and isinstance(width, int) else None

    def run(self, batch: Float32) -> list[Float32]:
        """Return the raw outputs for `(b, 3, h, w)` RGB in 0..1; releases the GIL."""
        outputs: list[Float32] = self._session.run(None, {self._input.name: batch})
        return outputs


def _provider(device: str) -> str:
    available = onnxruntime.get_available_providers()
    wanted = device.split(":", maxsplit=1)[0]
    if wanted == "auto":
        return _PROVIDERS["cuda"] if _PROVIDERS["cuda"] in available else _PROVIDERS["cpu"]
    if wanted not in _PROVIDERS:
        raise CannotStartError(f"model.device: {device!r} is not known; use auto, cpu or cuda")
    if _PROVIDERS[wanted] not in available:
        raise CannotStartError(
            f"model.device: {device!r} needs {_PROVIDERS[wanted]}, which this onnxruntime lacks "
            f"(it has {', '.join(available)}); install onnxruntime-gpu, or use cpu"
        )
    return _PROVIDERS[wanted]


def _open(weights: Path, provider: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; its warnings name graph nodes that no user can act on
    try:
        session = onnxruntime.InferenceSession(str(weights), options, providers=[provider])
    except Exception as error:
        raise CannotStartError(f"model.name: {weights} cannot be loaded: {error}") from error
    if provider not in session.get_providers():
        raise CannotStartError(f"model.device: {provider} is installed but cannot start on this machine")
    return session


def _model(weights: Path, session: onnxruntime.InferenceSession) -> Model:
    metadata: Mapping[str, str] = session.get_modelmeta().custom_metadata_map
    if "names" not in metadata:
        raise CannotStartError(
            f"model.name: {weights} carries no class names; export it with ultralytics "
            "(`yolo export model=... format=onnx dynamic=True`), which writes them into the file"
        )
    if metadata.get("task", "detect") != "detect":
        raise CannotStartError(
            f"model.name: {weights} is made for {metadata['task']!r}; vigil needs a detection model"
        )
    # ultralytics writes Python literals: {0: 'person', ...} and [640, 640].
    names: dict[int, str] = ast.literal_eval(metadata["names"])
    size = max(ast.literal_eval(metadata.get("imgsz", "[640, 640]")))
    ordered = tuple(names[index] for index in sorted(names))
    return Model(weights.stem, ordered, stride=int(metadata.get("stride", "32")), size=size)
