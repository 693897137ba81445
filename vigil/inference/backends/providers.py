"""ONNX Runtime's execution providers: which one a device's name means, and its options."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from vigil.errors import CannotStartError
from vigil.inference.backends.batches import BUCKETS
from vigil.inference.backends.describe import SIZES_INPUT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.inference.engine import Dimension

_PACKAGES = {"cpu": "onnxruntime", "cuda": "onnxruntime-gpu", "tensorrt": "onnxruntime-gpu and tensorrt"}
_STRIDE, _USUAL_BATCH = 32, 8


@dataclass(frozen=True, slots=True)
class Provider:
    """An execution provider, the device that it computes on, and its options in ONNX Runtime's words."""

    name: str
    device: str
    options: Mapping[str, str]

    def for_inputs(self, inputs: Mapping[str, Sequence[Dimension]], settings: ModelConfig) -> Provider:
        """Return TensorRT's provider with one range for all input shapes, so that it builds one engine.

        Without a range it builds anew, for minutes, at every shape that it has not seen.
        """
        if not any(isinstance(axis, str | None) for shape in inputs.values() for axis in shape):
            return self
        most = BUCKETS[-1] if settings.max_batch == "auto" else settings.max_batch
        ranges = {
            "min": (1, _STRIDE),
            "opt": (min(most, _USUAL_BATCH), settings.size),
            "max": (most, settings.size),
        }
        options = {
            f"trt_profile_{end}_shapes": ",".join(
                f"{name}:{_dimensions(name, shape, *values)}" for name, shape in inputs.items()
            )
            for end, values in ranges.items()
        }
        return replace(self, options={**self.options, **options})


def package_of(device: str) -> str:
    """Return what to install for a device."""
    return _PACKAGES.get(_kind(device), "onnxruntime-openvino")


def providers_for(device: str, cache: Path | None, *, half: bool = True) -> list[Provider]:
    """Return the providers to try for a device such as `cuda:1`, in their order.

    Raises `CannotStartError` for a name that is not known. TensorRT keeps engines under `cache`.
    """
    kind, number = _kind(device), device.partition(":")[2] or "0"
    if not number.isdecimal():
        raise _unknown(device)
    match kind:
        case "cpu":
            return [Provider("CPUExecutionProvider", "cpu", {})]
        case "cuda":
            return [_cuda(number)]
        case "tensorrt":
            return [_tensorrt(number, cache, half=half), _cuda(number)]
        case "intel-gpu" | "intel-npu":
            return [_intel(device, kind, number, cache, half=half)]
    raise _unknown(device)


def tensorrt_folder(cache: Path) -> Path:
    """Return where TensorRT's built engines are kept."""
    return cache / "tensorrt"


def _kind(device: str) -> str:
    return device.partition(":")[0]


def _unknown(device: str) -> CannotStartError:
    return CannotStartError(
        f"model.device: {device!r} is not known; use auto, cpu, cuda, tensorrt, intel-gpu or intel-npu, "
        "or one of several, such as cuda:1"
    )


def _cuda(number: str) -> Provider:
    # The default search tries every convolution at every new input shape, seconds in which cameras wait.
    options = {
        "device_id": number,
        "cudnn_conv_algo_search": "HEURISTIC",
        "cudnn_conv_use_max_workspace": "1",
        "arena_extend_strategy": "kSameAsRequested",
    }
    return Provider("CUDAExecutionProvider", f"cuda:{number}", options)


def _tensorrt(number: str, cache: Path | None, *, half: bool) -> Provider:
    options = {"device_id": number, "trt_fp16_enable": str(half)}
    if cache is not None:
        folder = str(tensorrt_folder(cache))
        options |= {
            "trt_engine_cache_enable": "True",
            "trt_engine_cache_path": folder,
            "trt_timing_cache_enable": "True",
            "trt_timing_cache_path": folder,
        }
    return Provider("TensorrtExecutionProvider", f"tensorrt:{number}", options)


def _intel(device: str, kind: str, number: str, cache: Path | None, *, half: bool) -> Provider:
    name = "GPU" if kind == "intel-gpu" else "NPU"
    several = f".{number}" if ":" in device else ""
    options = {"device_type": f"{name}{several}", "precision": "FP16" if half else "FP32"}
    if cache is not None:
        options["cache_dir"] = str(cache / "openvino")
    return Provider("OpenVINOExecutionProvider", device, options)


def _dimensions(name: str, shape: Sequence[Dimension], batch: int, side: int) -> str:
    """Return an input's shape, dynamic axes filled in, as TensorRT's options spell it: `8x3x640x640`."""
    wished = (batch, 2) if name == SIZES_INPUT else (batch, 3, side, side)
    filled = (axis if isinstance(axis, int) else wish for axis, wish in zip(shape, wished, strict=True))
    return "x".join(str(axis) for axis in filled)
