"""`vigil replay`: what a configuration makes of recordings, for tuning zones and thresholds."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from contextlib import ExitStack
from pathlib import Path  # noqa: TC003 -- typer reads the annotations
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vigil import log
from vigil.config.load import load
from vigil.config.model import LogConfig
from vigil.console import download_bar, err, out, recording_bar
from vigil.core.events import EventType
from vigil.core.types import MAIN_MODEL
from vigil.errors import CannotStartError, VigilError
from vigil.inference.store import Store, cache_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vigil.core.events import Event, Totals
    from vigil.inference.service import Service
    from vigil.replay import Moment, Subject


def replay(
    videos: Annotated[list[Path], typer.Argument(help="Recordings.")],
    *,
    config: Annotated[Path, typer.Option("--config", "-c", help="The YAML file that names the cameras.")],
    camera: Annotated[str | None, typer.Option(help="Whose zones, lines and settings to use.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line per event: as on MQTT, with its `video`.")
    ] = False,
    annotate: Annotated[
        Path | None,
        typer.Option(
            help="Copy with boxes, ids, trails, zones and counts drawn in (.mp4); with `detect.regions: on`, "
            "the model's inputs under each picture."
        ),
    ] = None,
) -> None:
    """Play recordings through a camera's zones, lines and events, as fast as the machine can.

    The same recordings and configuration tell the same events with the same ids in each run. With
    `detect.regions: on` parts of frames are looked at, as in the daemon; `auto` means whole frames here,
    because nothing else wants the engine.
    """
    from vigil.inference.replicas import open_first  # noqa: PLC0415 -- `vigil version` need not load a runtime
    from vigil.replay import subject  # noqa: PLC0415 -- as above

    log.set_up(LogConfig(level="warning"))
    if annotate is not None and len(videos) > 1:
        raise CannotStartError("--annotate: makes one file; play one recording at a time with it")
    settings = load(config, os.environ)
    seen = subject(settings, camera)
    with download_bar(seen.model.name) as progress:
        weights = Store(os.environ).resolve(seen.model.name, progress)
    service = open_first(weights, seen.model, cache_folder(os.environ))
    # Seeded, so that the same call gives the same ids; one source, so that no two recordings share any.
    draw_bits = random.Random(0).getrandbits  # noqa: S311 -- no secrets
    failed = False
    for video in videos:
        try:
            _play(seen, service, draw_bits, video, annotate, as_json=as_json)
        except VigilError as error:
            failed = True
            err.print(f"{video}: {error}", style="red", markup=False)
    raise typer.Exit(1 if failed else 0)


def _play(
    camera: Subject,
    service: Service,
    draw_bits: Callable[[int], int],
    video: Path,
    target: Path | None,
    *,
    as_json: bool,
) -> None:
    """Play one recording and print its events, and what it comes to."""
    from vigil.offline import pictures  # noqa: PLC0415 -- as in `replay`
    from vigil.replay import Replay, seconds_of  # noqa: PLC0415 -- as in `replay`
    from vigil.sinks.messages import Messages  # noqa: PLC0415 -- as in `replay`

    messages = Messages("vigil", {MAIN_MODEL: service.loaded})
    player = Replay(camera, service, draw_bits)
    counted: Counter[str] = Counter()

    def told(events: Sequence[Event]) -> None:
        for event in events:
            counted[event.label] += event.type is EventType.NEW
            if as_json:
                # `echo`, because rich would wrap lines, and take `:car:` in a file's name for a picture.
                typer.echo(json.dumps({"video": str(video), **json.loads(messages.event(event).payload)}))
            else:
                _print(event, player.now)

    with ExitStack() as stack:
        reached = stack.enter_context(recording_bar(str(video), seconds_of(video)))
        draw = _drawer(camera, target, stack, in_parts=player.in_parts)
        for moment in player.moments(pictures(video)):
            reached(player.now)
            draw(moment)
            told(moment.events)
        totals = player.pipeline.state.totals
        told(player.close())
    if not as_json:
        out.print(f"\n{video}", markup=False, highlight=False, soft_wrap=True)
        out.print(_summary(counted, totals))


def _print(event: Event, now: float) -> None:
    place = f" in {', '.join(event.zones)}" if event.zones else ""
    still = ", stationary" if event.stationary else ""
    text = f"{now:8.2f} s  {event.type:6}  {event.label} #{event.track_id}{place}{still}"
    out.print(text, markup=False, highlight=False, soft_wrap=True)


def _drawer(
    camera: Subject, target: Path | None, stack: ExitStack, *, in_parts: bool
) -> Callable[[Moment], None]:
    """Return what draws a moment into the annotated copy, or does nothing without one."""
    from vigil.analytics.annotate import Painter  # noqa: PLC0415 -- as in `replay`
    from vigil.analytics.looks import Strip  # noqa: PLC0415 -- as in `replay`
    from vigil.video.write import VideoWriter  # noqa: PLC0415 -- as in `replay`

    if target is None:
        return lambda _moment: None
    painter, writers = Painter(camera.config.zones, camera.config.lines), dict[str, VideoWriter]()
    strip = Strip() if in_parts else None

    def draw(moment: Moment) -> None:
        seconds, bgr, looked = moment.frame.captured_at, moment.frame.image.to_bgr(), moment.looked
        picture = painter.paint(bgr, moment.result, seconds, looked.parts if looked else ())
        if strip is not None:
            picture = strip.under(picture, bgr, looked)
        if "one" not in writers:
            height, width = picture.shape[:2]
            writers["one"] = stack.enter_context(VideoWriter(target, width, height))
        writers["one"].write(picture, seconds)

    return draw


def _summary(events: Counter[str], totals: Totals) -> Table:
    """Return what a recording came to."""
    table = Table("what", "label", "number", box=None, header_style="bold")
    for label, number in sorted(events.items()):
        table.add_row("events", label, str(number))
    for line, labels in totals.lines.items():
        for label, crossed in labels.items():
            table.add_row(f"line {line}", label, f"in {crossed.inwards}, out {crossed.outwards}")
    return table
