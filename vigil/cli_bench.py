"""`vigil bench …` over running daemons: decode, latency, efficiency, density and memory."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vigil import log
from vigil.bench import tables
from vigil.config.model import LogConfig
from vigil.console import download_bar, err, out
from vigil.inference.store import Store, cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import RenderableType

bench = typer.Typer(no_args_is_help=True)

_LARGEST = 10**8
"""Pixels of the photograph, at most."""

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Footage = Annotated[
    Path | None, typer.Option(help="Folder with vtest.avi and the person clip; else VIGIL_ASSETS.")
]
Weights = Annotated[str, typer.Option("--model", help="A name from `vigil models list`, or a file.")]
Engine = Annotated[str, typer.Option(help="vigil's engine: auto, onnxruntime or openvino.")]


@bench.command()
def decode(
    *,
    codec: Annotated[list[str] | None, typer.Option(help="h264, hevc or mjpeg; else all.")] = None,
    size: Annotated[list[str] | None, typer.Option(help="360p, 720p or 1080p; else all.")] = None,
    gop: Annotated[list[int] | None, typer.Option(help="Frames between keyframes; else 25, 50, 250.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each side.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of a clip.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Measure libavcodec alone against vigil's capture, and the capture's modes for quiet cameras."""
    from vigil.bench.decode import CODECS, GOPS, SIZES, cases, measure  # noqa: PLC0415 -- as in `cli.run`

    log.set_up(LogConfig(level="error"))
    for given, known in ((codec, CODECS), (size, SIZES)):
        if wrong := set(given or ()) - set(known):
            raise typer.BadParameter(f"{', '.join(wrong)}: one of {', '.join(known)} is wanted")
    wanted = cases(codec or CODECS, size or tuple(SIZES), gop or GOPS)  # type: ignore[arg-type]  # checked above
    with progress() as tick, work_folder() as folder:
        found = measure(wanted, folder, tick, rounds, seconds)
    tell(found.to_json(), tables.decode(found), tables.decode_modes(found), as_json=as_json)


@bench.command()
def latency(
    *,
    load: Annotated[
        list[int] | None, typer.Option(help="Percent of saturation; else 25, 50, 90, 200.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=2, help="Seconds of each load.")] = 30,
    settle: Annotated[float, typer.Option(min=0, help="Seconds before each.")] = 16,
    model: Weights = "yolo11n",
    engine: Engine = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure how old results are, from a frame's arrival and from the glass, at several loads."""
    from vigil.bench.latency import LOADS, Order, measure  # noqa: PLC0415 -- as in `cli.run`
    from vigil.video.upload import decode_picture  # noqa: PLC0415 -- as above

    log.set_up(LogConfig(level="error"))
    photograph = decode_picture(_weights("bus").read_bytes(), _LARGEST).to_bgr()
    order = Order(_weights(model), photograph, engine, load or LOADS, seconds, settle)
    with progress() as tick, work_folder() as folder:
        found = asyncio.run(measure(order, folder, tick))
    tell(found.to_json(), tables.latency(found), as_json=as_json)


@bench.command()
def efficiency(
    *,
    height: Annotated[list[int] | None, typer.Option(help="Rows of the clips; else 720 and 1080.")] = None,
    cameras: Annotated[int, typer.Option(min=1, help="How many of each size.")] = 8,
    fps: Annotated[float, typer.Option(min=1, help="Inferences per second that each asks for.")] = 15,
    seconds: Annotated[float, typer.Option(min=2, help="Seconds of each size.")] = 60,
    settle: Annotated[float, typer.Option(min=0, help="Seconds before each.")] = 12,
    footage: Footage = None,
    model: Weights = "yolo11n",
    engine: Engine = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure which part of a saturated vigil's CPU time is decoding and inference alone."""
    from vigil.bench.efficiency import HEIGHTS, Order, measure  # noqa: PLC0415 -- as in `cli.run`

    log.set_up(LogConfig(level="error"))
    order = Order(_weights(model), footage, engine, height or HEIGHTS, cameras, fps, seconds, settle)
    with progress() as tick, work_folder() as folder:
        found = asyncio.run(measure(order, folder, tick))
    tell(found.to_json(), tables.efficiency(found), as_json=as_json)


@bench.command()
def memory(
    *,
    cameras: Annotated[int, typer.Option(min=2, help="1080p cameras of the long run.")] = 5,
    minutes: Annotated[float, typer.Option(min=0.1, help="Length of the long run.")] = 30,
    when: Annotated[str, typer.Option(help="detect.when of the cameras.")] = "always",
    model: Weights = "yolo11n",
    engine: Engine = "auto",
    as_json: AsJson = False,
) -> None:
    """Measure resident memory per 1080p camera, and whether it grows."""
    from vigil.bench.memory import Order, measure  # noqa: PLC0415 -- as in `cli.run`

    log.set_up(LogConfig(level="error"))
    seconds = 60 * minutes
    order = Order(_weights(model), engine, cameras, seconds, min(5.0, seconds / 20), when=when)
    with progress() as tick, work_folder() as folder:
        found = asyncio.run(measure(order, folder, tick))
    figures = {name: round(value, 3) for name, value in dataclasses.asdict(found).items()}
    tell(figures, tables.memory(found), as_json=as_json)


@bench.command()
def shards(
    *,
    cameras: Annotated[list[int] | None, typer.Option(help="Numbers of cameras to try.")] = None,
    processes: Annotated[list[int] | None, typer.Option(help="Values of `shards`; else 1 and 2.")] = None,
    fps: Annotated[float, typer.Option(min=1, max=60, help="Frames that each sends per second.")] = 25,
    looks: Annotated[float, typer.Option(min=0.1, max=60, help="How many of them are inferred.")] = 25,
    objects: Annotated[int, typer.Option(min=0, help="How many in every picture.")] = 10,
    seconds: Annotated[float, typer.Option(min=2, help="Seconds of each run.")] = 15,
    settle: Annotated[float, typer.Option(min=0, help="Seconds before each.")] = 6,
    as_json: AsJson = False,
) -> None:
    """Measure from how many cameras on several processes do more than one; the engine costs nothing."""
    from vigil.bench.shards import CAMERAS, SHARDS, Order, measure  # noqa: PLC0415 -- as in `cli.run`

    log.set_up(LogConfig(level="error"))
    order = Order(cameras or CAMERAS, processes or SHARDS, fps, looks, objects, seconds, settle)
    with progress() as tick, work_folder() as folder:
        found = asyncio.run(measure(order, folder, tick))
    tell(found.to_json(), tables.shards(found), as_json=as_json)


@bench.command()
def density(
    *,
    scene: Annotated[str, typer.Option(help="busy, typical or all.")] = "busy",
    peers: Annotated[bool, typer.Option("--peers", help="Measure the peers too, in turn.")] = False,
    peer: Annotated[
        list[str] | None, typer.Option(help="NAME=PYTHON: only these peers, with these Pythons.")
    ] = None,
    peers_folder: Annotated[
        Path | None, typer.Option(help="Where `vigil bench peers` put them; else vigil's cache.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=5, help="Length of a window; two in a row must pass.")] = 60,
    settle: Annotated[float, typer.Option(min=0, help="Seconds before the first window.")] = 10,
    most: Annotated[int, typer.Option(min=1, help="Largest number of cameras that is tried.")] = 64,
    guess: Annotated[int, typer.Option(min=1, help="Number that the search begins with.")] = 4,
    peer_guess: Annotated[int | None, typer.Option(min=1, help="The same for peers, if another.")] = None,
    fps: Annotated[float, typer.Option(min=0.5, help="Target rate of each camera, per second.")] = 5,
    height: Annotated[int, typer.Option(min=144, help="Rows of the streams, 16:9.")] = 432,
    scene_seconds: Annotated[float, typer.Option(min=4, help="Length of the busy clip.")] = 60,
    faults: Annotated[bool, typer.Option(help="Add a dead and a stuttering camera for vigil.")] = True,
    peer_faults: Annotated[bool, typer.Option(help="Add them for the peers as well.")] = False,
    peer_engine: Annotated[
        str, typer.Option(help="onnxruntime or openvino, for the peers that have both.")
    ] = "onnxruntime",
    roboflow_mode: Annotated[str, typer.Option(help="freshest, auto or legacy.")] = "freshest",
    regions: Annotated[str, typer.Option(help="vigil's detect.regions: off, auto or on.")] = "off",
    decode: Annotated[str, typer.Option(help="vigil's decode: auto or full.")] = "auto",
    precision: Annotated[str, typer.Option(help="vigil's model.precision: auto, fp32 or fp16.")] = "auto",
    footage: Footage = None,
    model: Weights = "yolo11n",
    engine: Engine = "auto",
    as_json: AsJson = False,
) -> None:
    """Find how many cameras fit on this machine, and how many fit with the peers."""
    # Long since every option takes a line to be named and one to be handed on.
    from vigil.bench.compare import Order, compare, pythons_of, to_json  # noqa: PLC0415 -- as in `cli.run`
    from vigil.bench.systems import PEERS, Settings  # noqa: PLC0415 -- as above

    log.set_up(LogConfig(level="error"))
    if scene not in {"busy", "typical", "all"}:
        raise typer.BadParameter("--scene is busy, typical or all")
    if peer_engine not in {"onnxruntime", "openvino"}:
        raise typer.BadParameter("--peer-engine is onnxruntime or openvino")
    order = Order(
        scenes=("busy", "typical") if scene == "all" else (scene,),  # type: ignore[arg-type]  # checked above
        weights=_weights(model),
        footage=footage,
        pythons=pythons_of(list(PEERS) if peers and not peer else [], _peers(peers_folder), peer or []),
        settings=Settings(engine, precision, regions, decode),
        fps=fps,
        seconds=seconds,
        settle=settle,
        most=most,
        guess=guess,
        peer_guess=peer_guess,
        height=height,
        faults=faults,
        peer_faults=peer_faults,
        scene_seconds=scene_seconds,
        peer_engine=peer_engine,
        roboflow_mode=roboflow_mode,
    )
    with progress() as tick:
        found = asyncio.run(compare(order, tick))
    tell(to_json(found), *map(tables.density, found), as_json=as_json)


@bench.command("peers")
def install_peers(
    folder: Annotated[Path | None, typer.Argument(help="Where to; else vigil's cache.")] = None,
    *,
    only: Annotated[str | None, typer.Option(help="ultralytics or roboflow.")] = None,
) -> None:
    """Install the peers that `density --peers` compares with, each into an environment of its own (13 GB)."""
    from vigil.bench.peers.install import PACKAGES, install  # noqa: PLC0415 -- as in `cli.run`

    if only not in {None, *PACKAGES}:
        raise typer.BadParameter(f"--only is one of {', '.join(PACKAGES)}")
    for environment in [only] if only else PACKAGES:
        with err.status(f"installing {environment}"):
            python = install(_peers(folder), environment)
        out.print(f"{environment}: {python}", highlight=False, soft_wrap=True)


def tell(data: object, *shown: RenderableType, as_json: bool) -> None:
    """Print what was measured, for machines or for people."""
    if as_json:
        out.print_json(data=data)
        return
    for each in shown:
        out.print(each, highlight=False)


@contextmanager
def work_folder() -> Iterator[Path]:
    """Give a folder for clips that lasts as long as the block."""
    with tempfile.TemporaryDirectory(prefix="vigil-bench-") as name:
        yield Path(name)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Give a callback that shows what is going on."""
    with err.status("starting") as status:
        yield status.update


def _weights(name: str) -> Path:
    with download_bar(name) as bar:
        return Store(os.environ).resolve(name, bar)


def _peers(folder: Path | None) -> Path:
    return folder or (cache_folder(os.environ) or Path()) / "peers"
