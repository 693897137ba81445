"""The systems that the density bench drives, each a process of its own that is given addresses of cameras."""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from vigil import __version__
from vigil.bench import rig, usage
from vigil.bench.daemon import end
from vigil.bench.density import Result
from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from contextlib import AbstractAsyncContextManager

_STARTED_WITHIN = 120.0
_LOG_TAIL = 2000
_LONGEST_LINE = 1 << 20
PEERS = {"ultralytics": "with_ultralytics.py", "blog": "blog.py", "roboflow": "with_roboflow.py"}
"""The script of each peer, under `vigil/bench/peers`."""


class Running(Protocol):
    """A system at work."""

    def results(self, start: float) -> list[Result]:
        """Return what came from a time on (Unix seconds), in no order."""

    def cpu_seconds(self) -> float:
        """Return the CPU time of its processes so far."""

    def ended(self) -> str:
        """Return why it runs no more; empty while it does."""


class System(Protocol):
    """Something that looks at many cameras."""

    name: str
    versions: dict[str, str]
    """What it is made of; complete once it ran."""

    def run(self, urls: Mapping[str, str]) -> AbstractAsyncContextManager[Running]:
        """Look at cameras until the block ends."""


@dataclass(slots=True)
class Work:
    """What every system gets: the same weights, input size, rate and confidence."""

    weights: Path
    fps: float
    stride: int
    """Every which frame of a 25 frames/s camera that rate is."""
    height: int = 384
    width: int = 640
    confidence: float = 0.5
    iou: float = 0.7
    engine: str = "onnxruntime"
    """What ultralytics and the thread per camera run them on; Roboflow's class has ONNX Runtime only."""
    mode: str = "freshest"
    """How Roboflow's pipeline collects frames of several sources."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What of vigil's own settings a run chooses; the defaults are vigil's."""

    engine: str = "auto"
    precision: str = "auto"
    regions: str = "off"
    """`detect.regions`."""
    decode: str = "auto"
    """Whether quiet cameras rest."""


class Vigil:
    """vigil itself, through a broker."""

    name = "vigil"

    def __init__(self, work: Work, settings: Settings) -> None:
        self._work = work
        self._settings = settings
        self.versions = {"vigil": __version__}

    @asynccontextmanager
    async def run(self, urls: Mapping[str, str]) -> AsyncIterator[Running]:
        """Run the daemon with these cameras, its gates as they are by default."""
        settings = self._settings
        cameras = {
            name: rig.camera(url, self._work.fps, "auto", settings.regions, settings.decode)
            for name, url in urls.items()
        }
        model = rig.model(self._work.weights, settings.engine, precision=settings.precision)
        configuration = {"model": model, "cameras": cameras}
        async with rig.watching(configuration) as running:
            self.versions["broker"] = running.broker
            yield _RunningVigil(running)


class _RunningVigil:
    def __init__(self, running: rig.Rig) -> None:
        self._rig = running

    def results(self, start: float) -> list[Result]:
        return [
            Result(each.camera, each.published_at, len(each.boxes), each.captured_at)
            for each in _since(self._rig.heard, start)
        ]

    def cpu_seconds(self) -> float:
        return self._rig.daemon.cpu_seconds

    def ended(self) -> str:
        return "" if usage.family(self._rig.daemon.pid) else "the daemon ended"


def _since(heard: list[Any], start: float) -> Iterator[Any]:
    """Yield the entries from a time on; they came in order, and more come meanwhile."""
    for number in range(len(heard) - 1, -1, -1):
        if heard[number].heard_at < start:
            return
        yield heard[number]


class Peer:
    """A peer: a script of `vigil/bench/peers` run by a Python that has the peer installed."""

    def __init__(self, name: str, python: Path, work: Work) -> None:
        self.name = name
        self._python = python
        self._work = work
        self.versions: dict[str, str] = {}

    @asynccontextmanager
    async def run(self, urls: Mapping[str, str]) -> AsyncIterator[Running]:
        """Run the script until the block ends; raises `CannotStartError` if it does not start."""
        with tempfile.TemporaryDirectory(prefix="vigil-peer-") as folder:
            order = {**asdict(self._work), "weights": str(self._work.weights), "folder": folder, "urls": urls}
            log = Path(folder, "log")
            with await asyncio.to_thread(log.open, "wb") as errors:
                process = await asyncio.create_subprocess_exec(
                    *(str(self._python), str(Path(__file__).parent / "peers" / PEERS[self.name])),
                    json.dumps(order, default=dict),
                    cwd=folder,
                    env=_environ(folder),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=errors,
                    limit=_LONGEST_LINE,
                )
            running = _RunningPeer(process, log)
            reading = asyncio.create_task(running.read(), name=f"peer-{self.name}")
            try:
                await running.started()
                self.versions = running.versions
                yield running
            finally:
                await end(process)
                await asyncio.wait([reading])


@dataclass(slots=True)
class _RunningPeer:
    process: asyncio.subprocess.Process
    log: Path
    versions: dict[str, str] = field(default_factory=dict)
    found: list[Result] = field(default_factory=list)
    said: asyncio.Event = field(default_factory=asyncio.Event)

    async def read(self) -> None:
        """Take what the script prints: one JSON object a line, the first one its versions."""
        if self.process.stdout is None:
            return
        async for line in self.process.stdout:
            if not line.startswith(b"{"):
                continue  # libraries greet on standard output
            said = json.loads(line)
            if "versions" in said:
                self.versions = said["versions"]
            else:
                self.found.append(Result(said["camera"], said["time"], said["count"], said.get("captured")))
            self.said.set()
        self.said.set()

    async def started(self) -> None:
        """Wait for the first line; raises `CannotStartError` with the end of the log."""
        try:
            async with asyncio.timeout(_STARTED_WITHIN):
                await self.said.wait()
        except TimeoutError:
            raise CannotStartError(f"the peer says nothing:\n{self._tail()}") from None
        if not self.versions:
            raise CannotStartError(f"the peer ended:\n{self._tail()}")

    def results(self, start: float) -> list[Result]:
        """Return what came from a time on."""
        return [each for each in self.found if each.at >= start]

    def cpu_seconds(self) -> float:
        """Return the CPU time of the process and its children."""
        return usage.cpu_seconds(self.process.pid)

    def ended(self) -> str:
        """Return why it runs no more."""
        if self.process.returncode is None:
            return ""
        return f"ended with status {self.process.returncode}: {self._tail().strip()[-300:]}"

    def _tail(self) -> str:
        return self.log.read_text("utf-8", errors="replace")[-_LOG_TAIL:]


def _environ(folder: str) -> dict[str, str]:
    """Return an environment in which the peer's own Python finds its own packages, and nobody phones home."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIGIL_"))}
    quiet = {"YOLO_OFFLINE": "true", "YOLO_AUTOINSTALL": "false", "YOLO_CONFIG_DIR": folder}
    silent = {"TELEMETRY_OPT_OUT": "True", "MODEL_CACHE_DIR": folder}
    return {**kept, **quiet, **silent, "PYTHONUNBUFFERED": "1"}
