"""From how many inferences a second on several processes do more than one.

vigil as users have it but for the engine, which costs nothing (`vigil.bench.null`): tiny streams from files,
a real broker, and people to track in every picture. For each number of cameras and of processes: what came
of what was asked for, how old results were, and what each process used.
"""

from __future__ import annotations

import asyncio
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from vigil.bench import rig, usage
from vigil.bench.clips import make_clip
from vigil.bench.daemon import Daemon
from vigil.bench.null import OBJECTS
from vigil.bench.subscriber import broker
from vigil.core.cores import cores

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vigil.bench.daemon import Scrape

CAMERAS = (8, 16, 24, 32, 48, 64)
SHARDS = (1, 2)
_CLIP_SECONDS = 4
_WIDTH, _HEIGHT = 160, 96
_UP_WITHIN = 60.0
_QUANTILE = 0.95


@dataclass(frozen=True, slots=True)
class Order:
    """What to measure: every number of cameras with every number of processes, in turn."""

    cameras: Sequence[int] = CAMERAS
    shards: Sequence[int] = SHARDS
    fps: float = 25.0
    """Frames that a camera sends per second."""
    looks: float = 25.0
    """How many of them are inferred, if there is time."""
    objects: int = 10
    seconds: float = 15.0
    settle: float = 6.0


@dataclass(frozen=True, slots=True)
class Row:
    """One run: rates per second, ages in milliseconds, cores used by each process and by all."""

    cameras: int
    shards: int
    asked_per_second: float
    results_per_second: float
    p95_ms: float
    front_cores: float
    """Of the one process, where there is but one."""
    shard_cores: tuple[float, ...]

    @property
    def cores(self) -> float:
        """CPU time of all processes over the time that passed."""
        return self.front_cores + sum(self.shard_cores)

    @property
    def cpu_ms_per_result(self) -> float:
        """CPU milliseconds of all processes per result."""
        return 1000 * self.cores / max(self.results_per_second, 1e-9)


@dataclass(frozen=True, slots=True)
class Scale:
    """All runs, on a machine of so many cores."""

    machine_cores: int
    fps: float
    looks: float
    objects: int
    rows: tuple[Row, ...]

    @property
    def pays_from(self) -> int | None:
        """The least number of cameras with which more processes brought a twentieth more than one."""
        alone = {row.cameras: row.results_per_second for row in self.rows if row.shards == 1}
        return min(
            (
                row.cameras
                for row in self.rows
                if row.shards > 1 and row.results_per_second > 1.05 * alone.get(row.cameras, float("inf"))
            ),
            default=None,
        )

    def to_json(self) -> dict[str, Any]:
        """Return one object."""
        rows = [
            asdict(row) | {"cores": round(row.cores, 3), "cpu_ms_per_result": round(row.cpu_ms_per_result, 4)}
            for row in self.rows
        ]
        about = {name: getattr(self, name) for name in ("machine_cores", "fps", "looks", "objects")}
        return {**about, "pays_from_cameras": self.pays_from, "rows": rows}


async def measure(order: Order, folder: Path, tick: Callable[[str], None]) -> Scale:
    """Measure every combination; raises `CannotStartError`."""
    clip = make_clip(
        folder / "tiny.mp4",
        width=_WIDTH,
        height=_HEIGHT,
        fps=round(order.fps),
        seconds=_CLIP_SECONDS,
        gop=round(order.fps),
    )
    rows = []
    for cameras in order.cameras:
        for shards in order.shards:
            tick(f"{cameras} cameras, {shards} {'process' if shards == 1 else 'shards'}")
            rows.append(await _run(order, clip, cameras, shards))
    return Scale(cores(), order.fps, order.looks, order.objects, tuple(rows))


async def _run(order: Order, clip: Path, cameras: int, shards: int) -> Row:
    with TemporaryDirectory(prefix="vigil-bench-") as name:
        async with broker() as running:
            mqtt = {"host": "127.0.0.1", "port": running.port}
            configuration = {**_configuration(order, clip, cameras), "shards": shards, "mqtt": mqtt}
            extra = {OBJECTS: str(order.objects), "VIGIL_STATE": name}
            async with Daemon(Path(name), configuration, "vigil.bench.null", **extra) as daemon:
                await rig.captured(daemon, cameras, _UP_WITHIN)
                await asyncio.sleep(order.settle)
                return await _window(order, daemon, cameras, shards)


def _configuration(order: Order, clip: Path, cameras: int) -> dict[str, Any]:
    """Return cameras that are looked at all the time, as often as they send, with zones and lines."""
    zones = {
        f"zone_{n}": {"polygon": [[n / 4, 0.2], [n / 4 + 0.3, 0.1], [n / 4 + 0.35, 0.6], [n / 4, 0.9]]}
        for n in range(3)
    }
    lines = {f"line_{n}": {"from": [0.3 + n / 3, 0.1], "to": [0.3 + n / 3, 0.9]} for n in range(2)}
    about = {
        "decode": "full",
        "detect": {"fps": order.looks, "when": "always", "classes": ["class 0"]},
        "motion": {"enabled": False},
        "zones": zones,
        "lines": lines,
    }
    return {
        "defaults": about,
        "cameras": {f"c{number}": {"url": str(clip)} for number in range(cameras)},
        "log": {"level": "error"},
    }


async def _window(order: Order, daemon: Daemon, cameras: int, shards: int) -> Row:
    loop = asyncio.get_running_loop()
    before, spent, began = await daemon.scrape(), _spent(daemon.pid), loop.time()
    await asyncio.sleep(order.seconds)
    took = loop.time() - began
    used = {pid: now - spent.get(pid, 0.0) for pid, now in _spent(daemon.pid).items()}
    after = await daemon.scrape()
    results = after.total("vigil_frames_inferred_total") - before.total("vigil_frames_inferred_total")
    front = used.pop(daemon.pid, 0.0)
    return Row(
        cameras,
        shards,
        cameras * order.looks,
        round(results / took, 1),
        round(1000 * _age(before, after), 1),
        round(front / took, 3),
        tuple(round(each / took, 3) for _, each in sorted(used.items())),
    )


def _spent(pid: int) -> dict[int, float]:
    """Return the CPU seconds of a front and of each shard so far."""
    return {each: usage.own_cpu_seconds(each) for each in usage.family(pid)}


def _age(before: Scrape, after: Scrape) -> float:
    """Return the age in seconds that 95 % of the results did not exceed, to the histogram's next bound."""
    name = "vigil_capture_to_publish_seconds_bucket"
    bounds = sorted({sample.labels["le"] for sample in after.samples if sample.name == name}, key=float)
    counts = [after.total(name, le=bound) - before.total(name, le=bound) for bound in bounds]
    return next(
        (
            float(bound)
            for bound, count in zip(bounds, counts, strict=True)
            if count >= _QUANTILE * counts[-1]
        ),
        0.0,
    )
