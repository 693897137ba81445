"""Runtimes behind the `Engine` protocol; each is imported only when it is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.inference.detector import Engine


def open_engine(weights: Path, settings: ModelConfig) -> Engine:
    """Load `weights` into the runtime that their ending asks for."""
    match weights.suffix:
        case ".onnx":
            from vigil.inference.backends.onnx import OnnxEngine  # noqa: PLC0415 -- lazily, as DESIGN asks

            return OnnxEngine(weights, settings)
        case ".pt":
            from vigil.inference.backends.ultralytics import UltralyticsEngine  # noqa: PLC0415 -- lazily, as DESIGN asks

            return UltralyticsEngine(weights, settings)
        case ending:
            raise CannotStartError(
                f"model.name: {weights} ends in {ending or 'nothing'!r}; vigil loads .onnx files, "
                "and .pt files with the extra vigil[ultralytics]"
            )
