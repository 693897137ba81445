"""Remembers measurements of this machine in the cache folder, so that only the first start pays for them.

A file per measurement, named by its key, is written beside its place and renamed into it: processes that
measure the same at once write the same file, and the last one stays. A cache that cannot be read or written
costs a measurement and a line in the log.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vigil.core.cores import cores

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

_VERSION = 3
"""Raised when what is measured, or how, changes: older results are not looked at any more."""
_GPUS = "/proc/driver/nvidia/gpus"


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured, by name, and the day, `2026-11-23`."""

    on: str
    values: Mapping[str, float]


class Measurements:
    """The measurements under a cache folder; without a folder nothing is remembered."""

    def __init__(self, cache: Path | None) -> None:
        self._folder = None if cache is None else cache / "measured"

    def recall(self, key: Mapping[str, str]) -> Measured | None:
        """Return what was remembered under `key`, `None` if nothing was or it cannot be read."""
        if self._folder is None:
            return None
        try:
            found = json.loads(self._path(self._folder, key).read_text(encoding="utf-8"))
            return Measured(str(found["on"]), {name: float(value) for name, value in found["values"].items()})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("a remembered measurement cannot be read and is made again: %s", error)
            return None

    def remember(self, key: Mapping[str, str], measured: Measured) -> None:
        """Keep what was measured."""
        if self._folder is None:
            return
        text = json.dumps({"key": dict(key), "on": measured.on, "values": dict(measured.values)}, indent=2)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _write(self._path(self._folder, key), text)
        except OSError as error:
            log.warning("the measurement cannot be kept and is made again at the next start: %s", error)

    def _path(self, folder: Path, key: Mapping[str, str]) -> Path:
        text = json.dumps([_VERSION, sorted(key.items())])
        return folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def digest(weights: Path) -> str:
    """Return the sha256 of the weights, with an .xml's .bin in it; raises `OSError`."""
    total = hashlib.sha256()
    for path in (weights, weights.with_suffix(".bin")) if weights.suffix == ".xml" else (weights,):
        if path.exists():
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()


def machine() -> str:
    """Return what measurements depend on: the processor, the cores that we may use, NVIDIA's devices."""
    lines = _text(Path("/proc/cpuinfo")).splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    gpus = [_text(path).splitlines()[:1] for path in sorted(Path(_GPUS).glob("*/information"))]
    return f"{model or os.uname().machine}, {cores()} cores, {gpus or 'no NVIDIA device'}"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _write(path: Path, text: str) -> None:
    """Put a whole file in place or nothing at all; raises `OSError`."""
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=".", encoding="utf-8", delete=False
    ) as file:
        try:
            file.write(text)
            file.flush()
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise
