"""How many NVIDIA GPUs this process may use, as the environment and the driver say; no library is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_DRIVER = Path("/proc/driver/nvidia/gpus")
"""Holds a folder for each GPU."""


def visible(environ: Mapping[str, str], driver: Path = _DRIVER) -> int:
    """Return for how many GPUs there are names `cuda:0`, `cuda:1`, …; whether one works, its engine tells."""
    chosen = environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return _listed(chosen)
    return sum(entry.is_dir() for entry in driver.iterdir()) if driver.is_dir() else 0


def _listed(chosen: str) -> int:
    """Count as CUDA does: up to the first that is none, such as -1."""
    names = [name.strip() for name in chosen.split(",")]
    valid = [bool(name) and not name.startswith("-") for name in names]
    return valid.index(False) if False in valid else len(valid)
