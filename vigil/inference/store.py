"""Finds or fetches a named file (weights, a sample photograph) and hands back a path with verified bytes.

Looked for in the folders of `VIGIL_ASSETS`, then in the cache, then at the manifest's sources in their order.
Nothing is trusted but the sha256, and the cache only ever sees whole files: a pull works in a folder of its
own beside them and renames at the end. Pulls of one file take turns through a lock file, so whoever holds the
lock may sweep the folders that killed pulls left behind.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from vigil.errors import CannotStartError
from vigil.inference.fetch import (
    Opener,
    Programs,
    Progress,
    Runner,
    SourceFailedError,
    Tools,
    UrlOpener,
    deliver,
    mismatch,
    unwritable,
)
from vigil.inference.manifest import ARTIFACTS, Artifact, find
from vigil.inference.turns import turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

log = logging.getLogger(__name__)

_PATH_SUFFIXES = (".onnx", ".pt")


class Place(StrEnum):
    """Where a file was found."""

    ASSETS = "assets"
    CACHE = "cache"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class State:
    """What is on disk of an artifact; `rejected` says, a line each, which files of its name are not it."""

    artifact: Artifact
    place: Place
    path: Path | None
    rejected: tuple[str, ...]


def quiet(done: int, total: int | None, source: str) -> None:
    """Be a `Progress` that tells nobody."""


class Store:
    """The artifacts on this machine; `environ` is read for `VIGIL_ASSETS`, `VIGIL_CACHE` and the home."""

    def __init__(
        self,
        environ: Mapping[str, str],
        *,
        artifacts: Sequence[Artifact] = ARTIFACTS,
        opener: Opener | None = None,
        runner: Runner | None = None,
    ) -> None:
        self._artifacts = tuple(artifacts)
        self._tools = Tools(opener or UrlOpener(), runner or Programs())
        self._folders = [Path(name) for name in environ.get("VIGIL_ASSETS", "").split(os.pathsep) if name]
        self._cache = cache_folder(environ)

    def artifacts(self) -> tuple[Artifact, ...]:
        """Return everything that can be asked for, in the manifest's order."""
        return self._artifacts

    def locate(self, name: str) -> Path | None:
        """Return the verified file if this machine has it; never asks the network."""
        return self.state(find(name, self._artifacts)).path

    def resolve(self, name_or_path: str, progress: Progress = quiet) -> Path:
        """Return an existing file as it is, else `pull` the artifact of that name."""
        path = Path(name_or_path).expanduser()
        if path.is_file():
            return path
        known = any(name_or_path in (item.name, item.filename) for item in self._artifacts)
        if not known and (path.suffix in _PATH_SUFFIXES or os.sep in name_or_path):
            raise CannotStartError(f"{path}: no such file")
        return self.pull(name_or_path, progress)

    def state(self, artifact: Artifact) -> State:
        """Return what this machine has of `artifact`; reads the whole file (30 ms for 10 MB)."""
        rejected: list[str] = []
        for place, path in self._candidates(artifact):
            try:
                problem = mismatch(path, artifact)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                problem = f"cannot be read: {error.strerror}"
            if problem is None:
                return State(artifact, place, path, tuple(rejected))
            rejected.append(f"{path}: {problem}")
        return State(artifact, Place.ABSENT, None, tuple(rejected))

    def pull(self, name: str, progress: Progress = quiet) -> Path:
        """Return the verified file, fetched into the cache if need be.

        Raises `UnknownArtifactError`, or `CannotStartError` that says what was tried and what to do.
        """
        artifact = find(name, self._artifacts)
        state = self.state(artifact)
        for line in state.rejected:
            log.warning("not used: %s", line)
        if state.path:
            return state.path
        if self._cache is None:
            raise CannotStartError("there is no cache folder: set VIGIL_CACHE, XDG_CACHE_HOME or HOME")
        try:
            with turn(self._cache / artifact.filename, progress, "another process that fetches it already"):
                # Whoever had the lock before us may have brought the file.
                return self.state(artifact).path or self._fetch(artifact, self._cache, progress)
        except OSError as error:
            raise unwritable(self._cache, error) from error

    def _candidates(self, artifact: Artifact) -> Iterator[tuple[Place, Path]]:
        for folder in self._folders:
            yield Place.ASSETS, folder / artifact.filename
            for path in sorted(folder.glob(f"*/{artifact.filename}")):
                yield Place.ASSETS, path
        if self._cache:
            yield Place.CACHE, self._cache / artifact.filename

    def _fetch(self, artifact: Artifact, cache: Path, progress: Progress) -> Path:
        """Try the sources in turn; the caller holds the artifact's lock."""
        prefix = f".pull-{artifact.filename}-"
        for left in cache.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        failures = []
        for source in artifact.sources:
            with tempfile.TemporaryDirectory(prefix=prefix, dir=cache, ignore_cleanup_errors=True) as work:
                fresh = Path(work) / "fresh"
                try:
                    deliver(source, artifact, fresh, progress, self._tools)
                except SourceFailedError as error:
                    failures.append(f"{source}: {error}")
                    continue
                final = cache / artifact.filename
                fresh.replace(final)
                _sync_folder(cache)
                return final
        raise self._nothing_answered(artifact, cache, failures)

    def _nothing_answered(self, artifact: Artifact, cache: Path, failures: list[str]) -> CannotStartError:
        """Return the error that lists every place tried and what to do about it."""
        lines = [f"{artifact.filename} is not on this machine and could not be fetched:"]
        lines += [f"  {line}" for line in self.state(artifact).rejected]
        if not self._folders:
            lines.append("  VIGIL_ASSETS: not set")
        lines += [f"  {place}: no {artifact.filename} to use" for place in (*self._folders, cache)]
        lines += [f"  {line}" for line in failures]
        lines.append(
            f"Put {artifact.filename} (sha256 {artifact.sha256}) into a folder that VIGIL_ASSETS names or "
            f"into {cache}, or run `vigil models pull {artifact.name}` where there is a network."
        )
        return CannotStartError("\n".join(lines))


def cache_folder(environ: Mapping[str, str]) -> Path | None:
    """Return where fetched files and measurements live, None if nothing names a home."""
    if named := environ.get("VIGIL_CACHE"):
        return Path(named).absolute()
    xdg = Path(environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():  # The XDG specification has relative ones ignored.
        return xdg / "vigil"
    home = environ.get("HOME")
    return Path(home, ".cache", "vigil") if home else None


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
