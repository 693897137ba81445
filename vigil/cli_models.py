"""`vigil models export`, `verify` and `bench`, and `vigil bench …`: commands that measure."""

from __future__ import annotations

import asyncio
import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vigil import log
from vigil.config.model import LogConfig, ModelConfig
from vigil.console import download_bar, err, frame_bar, out
from vigil.errors import CannotStartError
from vigil.inference.store import Store, cache_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.bench.engine import Figures
    from vigil.core.types import Image
    from vigil.inference.detector import Detector
    from vigil.inference.export import Exported
    from vigil.inference.verify import Verdict

models = typer.Typer(no_args_is_help=True)
bench = typer.Typer(no_args_is_help=True, help="Measure vigil against the bare parts that it is made of.")

Name = Annotated[str, typer.Argument(help="A name from `vigil models list`, or a file of weights.")]
Size = Annotated[int, typer.Option(help="Longer side of the model's input.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Images = Annotated[
    list[str] | None,
    typer.Option("--images", help="Folder, recording or camera to compare on; else two photographs."),
]
Labels = Annotated[
    Path | None, typer.Option(help="Folder of pictures with YOLO labels to measure precision on.")
]
Share = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of boxes that have to agree.")]


@models.command()
def export(
    name: Name,
    *,
    size: Size = 640,
    engine: Annotated[str, typer.Option(help="auto, onnxruntime or openvino.")] = "auto",
    int8: Annotated[bool, typer.Option("--int8", help="Round to 8 bits; needs --calibrate.")] = False,
    calibrate: Annotated[
        list[str] | None,
        typer.Option(help="Folder, recording or camera whose frames are calibrated and compared on."),
    ] = None,
    labels: Labels = None,
    max_map_drop: Annotated[float, typer.Option(help="Points of precision that may be lost.")] = 1.0,
    min_agreement: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Share of boxes that have to agree; 0.99, or 0.96 for 8 bits."),
    ] = None,
) -> None:
    """Make what this machine's engine runs best of weights, once, and check it."""
    from vigil.inference.export import Exporter, Limits  # noqa: PLC0415 -- `vigil version` need not load a runtime
    from vigil.samples import labelled  # noqa: PLC0415 -- as above

    log.set_up(LogConfig(level="warning"))
    if int8 and not calibrate:
        raise typer.BadParameter(
            "8 bits need frames of your cameras: --calibrate FOLDER, RECORDING or ADDRESS"
        )
    cache = _cache()
    settings = ModelConfig.model_validate(
        {"name": name, "size": size, "engine": engine, "precision": "int8" if int8 else "auto"}
    )
    limits = Limits(map_drop=max_map_drop)
    if min_agreement is not None:
        limits = dataclasses.replace(limits, same=min_agreement, quantized=min_agreement)
    weights, pictures = _weights(name), _pictures(calibrate)
    with err.status(f"{name}") as status:

        def progress(done: int, _total: int | None, what: str) -> None:
            status.update(f"{name}: {what}{f', {done}' if done else ''}")

        exporter = Exporter(cache, _open, progress, limits)
        made = exporter.make(weights, settings, pictures, labelled(labels) if labels else ())
    out.print(exported_text(made), markup=False, highlight=False, soft_wrap=True)


@models.command()
def verify(
    name: Name,
    *,
    size: Size = 640,
    images: Images = None,
    as_json: AsJson = False,
    min_agreement: Share = 0.99,
) -> None:
    """Hold every installed engine that can run the weights against the first; exit 1 if one differs."""
    from vigil.inference.export import Limits  # noqa: PLC0415 -- as in `export`
    from vigil.inference.verify import verify as verdicts  # noqa: PLC0415 -- as above

    log.set_up(LogConfig(level="warning"))
    settings, limits = ModelConfig(name=name, size=size), Limits(same=min_agreement)
    weights, pictures, cache = _weights(name), _pictures(images), cache_folder(os.environ)
    with err.status(f"comparing engines on {len(pictures)} pictures"):
        found = list(verdicts(weights, settings, cache, pictures, _open, limits))
    if as_json:
        out.print_json(data={"model": name, "engines": [verdict_json(each) for each in found]})
    else:
        out.print(verdict_table(found))
    raise typer.Exit(0 if all(verdict.passed for verdict in found) else 1)


@models.command("bench")
@bench.command()
def engine(
    name: Name = "yolo11n",
    *,
    size: Size = 640,
    batch: Annotated[int | None, typer.Option(min=1, help="Frames at once; else what pays off.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each side.")] = 5,
    as_json: AsJson = False,
) -> None:
    """Measure each engine bare and through vigil's inference loop."""
    from vigil.bench.engine import measure  # noqa: PLC0415 -- as in `export`
    from vigil.inference.backends import Installed  # noqa: PLC0415 -- as above
    from vigil.inference.candidates import able  # noqa: PLC0415 -- as above
    from vigil.inference.service import open_service  # noqa: PLC0415 -- as above

    log.set_up(LogConfig(level="error"))
    weights, picture = _weights(name), _pictures(None)[-1]
    settings = ModelConfig(name=name, size=size, max_batch=batch or "auto")
    with err.status("loading") as status:
        runtimes = able(weights, settings, lambda runtime: Installed().version(runtime) is not None)
        services = {
            runtime: open_service(weights, settings.model_copy(update={"engine": runtime}), _cache())
            for runtime in runtimes
        }
        turns = 2 * rounds * len(services)
        done = iter(range(1, turns + 1))

        def tick(what: str) -> None:
            status.update(f"turn {next(done)} of {turns}: {what}")

        found = measure(services, picture, tick, rounds=rounds)
    if as_json:
        out.print_json(data={"backends": {key: dataclasses.asdict(each) for key, each in found.items()}})
    else:
        out.print(bench_table(found))


@bench.command()
def overhead(
    *,
    cameras: Annotated[int, typer.Option(min=1, help="How many.")] = 16,
    objects: Annotated[int, typer.Option(min=0, help="How many in every picture.")] = 10,
    batch: Annotated[int, typer.Option(min=1, help="Frames that the engine takes at once.")] = 1,
    as_json: AsJson = False,
) -> None:
    """Measure vigil's own CPU time per inferred frame, stage by stage."""
    from vigil.bench.overhead import measure_overhead  # noqa: PLC0415 -- as in `export`

    with frame_bar(f"{cameras} cameras with {objects} objects") as tick:
        found = measure_overhead(cameras, objects, min(batch, cameras), tick=tick)
    figures = {
        "python_ms_per_frame": round(found.python_ms, 4),
        "stages_ms": {stage: round(spent, 4) for stage, spent in found.stages_ms.items()},
        "tracker_ms_per_frame": round(found.tracker_ms, 4),
        "motion_ms_per_frame": round(found.motion_ms, 4),
        "frames_per_second": round(1000 / found.python_ms, 1),
        "batch": found.batch,
    }
    if as_json:
        out.print_json(data=figures)
        return
    table = Table("stage", "CPU ms/frame", box=None, header_style="bold")
    for stage, spent in found.stages_ms.items():
        table.add_row(stage, f"{spent:.3f}")
    table.add_row("[bold]together", f"[bold]{found.python_ms:.3f}")
    table.add_row("tracker, in batches of 32", f"{found.tracker_ms:.3f}")
    table.add_row("motion check", f"{found.motion_ms:.3f}")
    out.print(table)


@bench.command()
def mqtt(
    *,
    messages: Annotated[int, typer.Option(min=1000, help="How many in a turn.")] = 20_000,
    rounds: Annotated[int, typer.Option(min=1, help="Turns of each way.")] = 3,
    protocol: Annotated[str, typer.Option(help="Version of MQTT: 3.1.1 or 5.")] = "3.1.1",
    host: Annotated[str | None, typer.Option(help="A broker; else a mosquitto is started.")] = None,
    port: Annotated[int, typer.Option(help="The broker's port.")] = 1883,
    as_json: AsJson = False,
) -> None:
    """Measure publishing to a broker: messages a second, and this process's CPU time for each."""
    from vigil.bench.mqtt import WAYS, measure_mqtt  # noqa: PLC0415 -- as in `export`

    if protocol not in {"3.1.1", "5"}:
        raise typer.BadParameter("the version is 3.1.1 or 5")
    broker = None if host is None else (host, port)
    with frame_bar(f"{messages} messages, {rounds * len(WAYS)} turns") as tick:
        found = asyncio.run(measure_mqtt(broker, protocol, messages, rounds, tick))
    if as_json:
        figures = {way: dataclasses.asdict(each) for way, each in found.items()}
        out.print_json(data={"protocol": protocol, **figures})
        return
    table = Table("way", "messages/s", "CPU us/message", "bytes", box=None, header_style="bold")
    for way, each in found.items():
        rate, cost = f"{each.messages_per_second:,.0f}", f"{each.cpu_us_per_message:.1f}"
        table.add_row(way, rate, cost, str(each.payload_bytes))
    out.print(table)


@bench.command()
def packing(
    clips: Annotated[list[Path], typer.Argument(help="Recordings.", exists=True, dir_okay=False)],
    *,
    cameras: Annotated[int, typer.Option(min=1, help="How many see each recording.")] = 8,
    fps: Annotated[float, typer.Option(min=1, max=10, help="Frames looked at per second.")] = 5,
    seconds: Annotated[float, typer.Option(min=2, help="How much of the recording.")] = 20,
    model: Annotated[str, typer.Option(help="A name of the model store, or a file of weights.")] = "yolo11n",
    shape: Annotated[
        tuple[int, int] | None, typer.Option(help="Height and width of the input; else the daemon's.")
    ] = None,
    shift: Annotated[
        tuple[int, int] | None,
        typer.Option(
            help="Compare with whole frames so many pixels to the right and down, not with regions."
        ),
    ] = None,
    finer: Annotated[
        bool, typer.Option("--finer", help="Hold both against whole frames at twice the sides as well.")
    ] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Write the canvas with the most regions here, as a PNG.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what packing regions of many cameras would gain and miss, as `detect.regions` does it."""
    from vigil.bench.packing import Case, Fullest, measure_packing  # noqa: PLC0415 -- as in `engine`
    from vigil.inference.service import open_service  # noqa: PLC0415 -- as above

    log.set_up(LogConfig(level="error"))
    detector = open_service(_weights(model), ModelConfig(name=model), _cache()).detector
    figures, fullest = [], Fullest(detector.letterbox())
    for clip in clips:
        with frame_bar(clip.name) as tick:
            case = Case(clip, cameras, fps, seconds, shape, shift, finer)
            figures.append(measure_packing(detector, case, tick=tick, on_canvas=fullest.take).as_dict())
    if picture is not None:
        picture.write_bytes(fullest.png)
    if as_json:
        out.print_json(data=figures)
        return
    table = Table("clip", "frames/inference", "recall", "precision", "IDF1", box=None, header_style="bold")
    for each in figures:
        keys = ("clip", "camera_frames_per_inference", "recall", "precision", "idf1")
        table.add_row(*(str(each[key]) for key in keys))
    out.print(table)


def exported_text(made: Exported) -> str:
    """Return what was made and how it measured up, in words."""
    if made.agreement is None:
        return f"{made.path}: made before"
    lines = [f"{made.path}: {made.agreement.share:.1%} of {made.agreement.total} boxes agree with the source"]
    if made.before is not None and made.after is not None:
        lines.append(
            f"mAP50-95 {made.after.map50_95:.1f} after {made.before.map50_95:.1f}, "
            f"mAP50 {made.after.map50:.1f} after {made.before.map50:.1f}"
        )
    return "\n".join(lines)


def verdict_json(verdict: Verdict) -> dict[str, object]:
    """Return a verdict as an object."""
    agreed = verdict.agreement
    return {
        "engine": verdict.engine,
        "weights": str(verdict.weights),
        "agreement": None if agreed is None else round(agreed.share, 4),
        "boxes": None if agreed is None else agreed.total,
        "passed": verdict.passed,
        "problem": verdict.problem,
    }


def verdict_table(verdicts: Sequence[Verdict]) -> Table:
    """Return the verdicts for people."""
    table = Table("engine", "weights", "agreement", "boxes", "", box=None, header_style="bold")
    for verdict in verdicts:
        agreed = verdict.agreement
        numbers = ("-", "-") if agreed is None else (f"{agreed.share:.1%}", str(agreed.total))
        word = "[green]ok[/]" if verdict.passed else f"[red]{verdict.problem or 'differs'}[/]"
        table.add_row(verdict.engine, verdict.weights.name, *numbers, word)
    return table


def bench_table(found: Mapping[str, Figures]) -> Table:
    """Return the figures for people."""
    columns = ("engine", "workers", "batch", "images/s", "CPU ms/image", "bare images/s", "of bare")
    table = Table(*columns, box=None, header_style="bold")
    for each in found.values():
        table.add_row(
            each.engine,
            str(each.workers),
            str(each.batch),
            f"{each.images_per_second:.1f}",
            f"{each.cpu_ms_per_image:.1f}",
            f"{each.bare_images_per_second:.1f}",
            f"{each.ratio_to_bare:.1%}",
        )
    return table


def _open(weights: Path, settings: ModelConfig) -> Detector:
    """Load weights on exactly the runtime that the settings name."""
    from vigil.inference.choose import Chooser  # noqa: PLC0415 -- as in `export`
    from vigil.inference.detector import Detector  # noqa: PLC0415 -- as above

    chosen = Chooser(None).choose(weights, settings)
    return Detector(chosen.engine, size=settings.size, iou=settings.iou, labels=settings.labels)


def _weights(name: str) -> Path:
    with download_bar(name) as progress:
        return Store(os.environ).resolve(name, progress)


def _cache() -> Path:
    cache = cache_folder(os.environ)
    if cache is None:
        raise CannotStartError("there is no cache folder: set VIGIL_CACHE, XDG_CACHE_HOME or HOME")
    return cache


def _pictures(sources: Sequence[str] | None) -> list[Image]:
    """Return the pictures of the sources, or the two photographs that vigil fetches for itself."""
    from vigil.samples import gather  # noqa: PLC0415 -- as in `export`

    if not sources:
        sources = [str(_weights(photo)) for photo in ("bus", "zidane")]
    with err.status("gathering pictures") as status:
        return gather(sources, lambda number: status.update(f"gathering pictures: {number}"))
