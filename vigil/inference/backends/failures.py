"""Runtimes' own exceptions become vigil's: no memory for this batch, or an engine to start anew."""

from __future__ import annotations

from vigil.inference.engine import EngineError, EngineMemoryError

_NO_MEMORY = (
    "out of memory",
    "failed to allocate",
    "bad_alloc",
    "alloc_failed",
    "out_of_resources",
    "mem_object_allocation_failure",
    "exceeded max size of memory",
    "bfcarena",
)
"""Parts of what ONNX Runtime, cuDNN, OpenCL and OpenVINO say when memory ends, in lower case."""


def engine_failure(error: Exception, engine: str) -> EngineError:
    """Return the error to raise from `error`."""
    text = f"{type(error).__name__}: {error}".strip()
    kind = EngineMemoryError if any(sign in text.lower() for sign in _NO_MEMORY) else EngineError
    return kind(f"{engine}: {text}")
