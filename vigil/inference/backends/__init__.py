"""Runtimes behind the `Engine` protocol; each is imported only when it is asked for."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.inference.engine import Engine

_PACKAGES = {
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime"),
    "openvino": ("openvino",),
    "ultralytics": ("ultralytics",),
}
"""Packages that bring a runtime's module; of ONNX Runtime's one is installed."""


class Installed:
    """The runtimes of this Python; the `Runtimes` that `choose` uses."""

    def version(self, runtime: str) -> str | None:
        """Return the version of a runtime's package without importing it, `None` if it is not installed."""
        if find_spec(runtime) is None:
            return None
        for package in _PACKAGES[runtime]:
            try:
                return f"{package} {version(package)}"
            except PackageNotFoundError:
                continue
        return "unpackaged"

    def devices(self, runtime: str) -> Sequence[str]:
        """Return the kinds of device that an installed runtime has something for."""
        match runtime:
            case "onnxruntime":
                from vigil.inference.backends.onnx import devices  # noqa: PLC0415 -- lazily, as DESIGN asks
            case "openvino":
                from vigil.inference.backends.openvino import devices  # noqa: PLC0415 -- as above
            case _:
                from vigil.inference.backends.ultralytics import devices  # noqa: PLC0415 -- as above
        return devices()

    def open(
        self, runtime: str, weights: Path, settings: ModelConfig, device: str, cache: Path | None
    ) -> Engine:
        """Load `weights` into an installed runtime; raises `CannotStartError`."""
        match runtime:
            case "onnxruntime":
                from vigil.inference.backends.onnx import OnnxEngine  # noqa: PLC0415 -- lazily, as DESIGN asks

                return OnnxEngine(weights, settings, device, cache)
            case "openvino":
                from vigil.inference.backends.openvino import OpenVinoEngine  # noqa: PLC0415 -- as above

                return OpenVinoEngine(weights, settings, device, cache)
            case _:
                from vigil.inference.backends.ultralytics import UltralyticsEngine  # noqa: PLC0415 -- as above

                return UltralyticsEngine(weights, settings, device)
