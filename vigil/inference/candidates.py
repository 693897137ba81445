"""The decisions of `choose`, apart from loading and measuring: which runtimes, which devices, which words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.inference.measured import Measured

_ABLE = {
    ".onnx": ("onnxruntime", "openvino"),
    ".xml": ("openvino",),
    ".pt": ("ultralytics",),
}
"""Which runtimes can run a file, the most usual first."""
_EXTRAS = {
    "onnxruntime": "onnxruntime",
    "openvino": "'vigil[openvino]'",
    "ultralytics": "'vigil[ultralytics]'",
}
_AUTO = ("cuda", "intel-gpu", "cpu")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A runtime on a device."""

    runtime: str
    device: str


def able(path: Path, settings: ModelConfig, installed: Callable[[str], bool]) -> list[str]:
    """Return the installed runtimes that may run the file; raises `CannotStartError` if there is none."""
    runners = _ABLE.get(path.suffix)
    if runners is None:
        raise CannotStartError(
            f"model.name: {path} ends in {path.suffix or 'nothing'!r}; vigil loads .onnx, .xml (OpenVINO) "
            "and .pt (ultralytics) files"
        )
    if settings.engine not in {"auto", *runners}:
        hint = "; `vigil models export` makes weights for it" if path.suffix == ".pt" else ""
        raise CannotStartError(
            f"model.engine: {settings.engine} cannot run {path.name}; "
            f"use auto or {' or '.join(runners)}{hint}"
        )
    wanted = runners if settings.engine == "auto" else (settings.engine,)
    if settings.engine == "auto" and settings.device.startswith("intel"):
        wanted = tuple(sorted(wanted, key=lambda runtime: runtime != "openvino"))
    there = [runtime for runtime in wanted if installed(runtime)]
    if not there:
        extra = _EXTRAS[wanted[0]]
        raise CannotStartError(
            f"model: {path.name} needs {wanted[0]}, which is not installed: pip install {extra}"
        )
    if settings.device.startswith("intel") and there[0] != "openvino" and "openvino" in wanted:
        extra = _EXTRAS["openvino"]
        raise CannotStartError(f"model.device: {settings.device!r} needs openvino: pip install {extra}")
    return there


def tiers(
    visible: Mapping[str, Sequence[str]], device: str, *, tensorrt_built: bool
) -> list[list[Candidate]]:
    """Return the candidates by device, the best device first, never empty.

    `visible` maps runtimes to the kinds of device that they see. TensorRT builds for minutes, so `auto` takes
    it only where something was built before. A device that none sees goes to the first runtime, which says
    what is missing.
    """
    if device == "auto":
        kinds = [*(["tensorrt"] if tensorrt_built else []), *_AUTO]
        found = [_seeing(visible, kind, kind) for kind in kinds]
    else:
        found = [_seeing(visible, device.partition(":")[0], device)]
    return [tier for tier in found if tier] or [
        [Candidate(next(iter(visible)), "cpu" if device == "auto" else device)]
    ]


def reason(candidate: Candidate, settings: ModelConfig) -> str:
    """Return why a candidate without rivals runs."""
    what = f"{candidate.runtime} on {candidate.device}"
    asked = [key for key in ("engine", "device") if getattr(settings, key) != "auto"]
    if asked:
        return f"{what}: the configuration names the {' and the '.join(asked)}"
    if candidate.device == "cpu":
        return f"{what}: nothing else is installed that runs such weights"
    return f"{what}: devices come before the CPU"


def comparison(best: str, device: str, measured: Measured) -> str:
    """Return why the fastest runs: `openvino on cpu: 17.1 images/s against 16.2 of onnxruntime (...)`."""
    others = [f"{rate:.1f} of {runtime}" for runtime, rate in measured.values.items() if runtime != best]
    against = f" against {' and '.join(others)}" if others else ""
    return f"{best} on {device}: {measured.values[best]:.1f} images/s{against} (measured {measured.on})"


def _seeing(visible: Mapping[str, Sequence[str]], kind: str, device: str) -> list[Candidate]:
    return [Candidate(runtime, device) for runtime, kinds in visible.items() if kind in kinds]
