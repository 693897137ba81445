"""`vigil bench density`: vigil and its peers in front of the same streams, in turn, in one run."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from vigil.bench.alone import engine_ms
from vigil.bench.density import oldest_ms, ratio, same_objects
from vigil.bench.footage import FPS
from vigil.bench.scenes import make_scene
from vigil.bench.systems import PEERS, Peer, Settings, Vigil, Work
from vigil.bench.trials import Plan, density, rules_of
from vigil.config.model import ModelConfig
from vigil.core.cores import cores
from vigil.errors import CannotStartError
from vigil.inference.service import open_service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vigil.bench.density import Density
    from vigil.bench.scenes import Name


@dataclass(frozen=True, slots=True)
class Order:
    """What is compared, and how thoroughly."""

    scenes: Sequence[Name]
    weights: Path
    footage: Path | None
    pythons: Mapping[str, Path]
    """The Python of each peer that takes part."""
    settings: Settings = field(default_factory=Settings)
    """vigil's own."""
    fps: float = 5.0
    seconds: float = 60.0
    settle: float = 10.0
    most: int = 64
    guess: int = 4
    peer_guess: int | None = None
    """Where the search begins for peers, if elsewhere."""
    height: int = 432
    faults: bool = True
    peer_faults: bool = False
    """Whether the peers get the dead and the stuttering camera too."""
    scene_seconds: float = 60.0
    peer_engine: str = "onnxruntime"
    """See `Work.engine`."""
    roboflow_mode: str = "freshest"


@dataclass(frozen=True, slots=True)
class Compared:
    """One scene's outcome; `peers` in the order in which they were tried."""

    scene: str
    engine_ms: float
    oldest_ms: float
    vigil: Density
    peers: tuple[Density, ...]


async def compare(order: Order, tick: Callable[[str], None]) -> list[Compared]:
    """Find the density of vigil and of the peers in each scene; raises `CannotStartError`."""
    if FPS % order.fps:
        raise CannotStartError(
            f"--fps: peers skip whole frames of {FPS} per second; 5 or 2.5, not {order.fps:g}"
        )
    tick("measuring the engine")
    engine = time_of_engine(order)
    with tempfile.TemporaryDirectory(prefix="vigil-scenes-") as folder:
        found = []
        for name in order.scenes:
            tick(f"making the scene {name}")
            scene = make_scene(
                name, Path(folder), order.footage, height=order.height, seconds=order.scene_seconds
            )
            limit = oldest_ms(engine)
            ours = Plan(
                scene,
                rules_of(order.fps, limit, gates=True, scene=scene, rests=order.settings.decode != "full"),
                seconds=order.seconds,
                settle=order.settle,
                faults=order.faults,
                most=order.most,
                guess=order.guess,
            )
            # Not every peer tells how old its results are, so none is failed for their age.
            rules = rules_of(order.fps, None, gates=False, scene=scene)
            theirs = dataclasses.replace(
                ours, rules=rules, faults=order.peer_faults, guess=order.peer_guess or order.guess
            )
            work = Work(
                order.weights,
                order.fps,
                round(FPS / order.fps),
                engine=order.peer_engine,
                mode=order.roboflow_mode,
            )
            vigil = await density(Vigil(work, order.settings), ours, tick)
            peers = [
                await density(Peer(peer, python, work), theirs, tick)
                for peer, python in order.pythons.items()
            ]
            found.append(Compared(name, engine, limit, vigil, tuple(peers)))
    return found


def time_of_engine(order: Order) -> float:
    """Return the milliseconds of one inference, alone."""
    settings = {"engine": order.settings.engine, "precision": order.settings.precision}
    service = open_service(order.weights, ModelConfig.model_validate(settings), None)
    spent = engine_ms(service.detector, service.detector.shape_of(16 * order.height // 9, order.height))
    service.detector.engine.close()
    return spent


def pythons_of(names: Sequence[str], folder: Path, given: Sequence[str]) -> dict[str, Path]:
    """Return the Python of each named peer: `NAME=PATH` where given, else of the environment in the folder.

    Raises `CannotStartError` for one that is not there.
    """
    paths = {name: folder / environment_of(name) / "bin" / "python" for name in names}
    for each in given:
        name, _, path = each.partition("=")
        if name not in PEERS or not path:
            raise CannotStartError(f"--peer {each}: NAME=PYTHON is wanted, NAME one of {', '.join(PEERS)}")
        paths[name] = Path(path)
    for name, python in paths.items():
        if not python.is_file():
            raise CannotStartError(
                f"the peer {name} has no Python at {python}; install it with `vigil bench peers {folder}`, "
                f"or name one that has it: --peer {name}=PYTHON"
            )
    return paths


def environment_of(peer: str) -> str:
    """Return the name of the environment that a peer lives in: the blog design stands on ultralytics."""
    return "ultralytics" if peer == "blog" else peer


def to_json(found: Sequence[Compared]) -> dict[str, object]:
    """Return the outcome: at the top the first scene's, under `scenes` each in full."""
    first = found[0]
    return {
        **_numbers(first),
        "cores": cores(),
        "engine_ms": round(first.engine_ms, 2),
        "p95_limit_ms": round(first.oldest_ms, 1),
        "scenes": {
            each.scene: {
                **_numbers(each),
                "same_objects": {peer.system: same_objects(each.vigil, peer) for peer in each.peers},
                "systems": {one.system: _details(one) for one in (each.vigil, *each.peers)},
            }
            for each in found
        },
    }


def _numbers(each: Compared) -> dict[str, object]:
    return {
        "vigil": each.vigil.cameras,
        "peers": {peer.system: peer.cameras for peer in each.peers},
        "ratios": {peer.system: ratio(each.vigil, peer) for peer in each.peers},
    }


def _details(found: Density) -> dict[str, object]:
    return {
        "cameras": found.cameras,
        "cameras_without_server": round(found.without_server(cores()), 1),
        "versions": dict(found.versions),
        "trials": [
            {
                "cameras": trial.cameras,
                "passed": trial.passed,
                "cpu_ms_per_result": round(trial.cpu_ms_per_result, 1),
                "cores": round(trial.cores, 2),
                "server_cores": round(trial.server_cores, 3),
                "bench_cores": round(trial.bench_cores, 3),
                "stolen_cores": round(trial.stolen_cores, 3),
                "windows": [
                    {name: _plain(value) for name, value in dataclasses.asdict(verdict).items()}
                    for verdict in trial.verdicts
                ],
            }
            for trial in found.trials
        ],
    }


def _plain(value: float | str) -> float | str | None:
    """Return a value as JSON knows it: rounded, nothing for not a number."""
    if isinstance(value, float):
        return None if value != value else round(value, 4)  # noqa: PLR0124 -- only NaN differs from itself
    return value
