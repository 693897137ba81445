"""What the command line shows people: progress bars, tables, the demo's welcome."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.panel import Panel
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vigil.config.model import CameraConfig, Config
    from vigil.inference.store import State
    from vigil.video.probe import Report

out = Console()
err = Console(stderr=True)


@contextmanager
def download_bar(name: str) -> Iterator[Callable[[int, int | None, str], None]]:
    """Give a callback `(done, total, source)` that draws a progress bar while a file is fetched."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    bar = Progress(*columns, console=err, transient=True)
    task = bar.add_task(name, total=None)

    def report(done: int, total: int | None, source: str) -> None:
        bar.start()  # only now: what is here already needs no bar
        bar.update(task, completed=done, total=total, description=f"{name} from {source}")

    try:
        yield report
    finally:
        bar.stop()


@contextmanager
def frame_bar(title: str) -> Iterator[Callable[[], None]]:
    """Give a callback that counts one more frame done."""
    columns = (SpinnerColumn(), TextColumn(title), TextColumn("{task.completed:.0f} frames"))
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda: bar.update(task, advance=1)


@contextmanager
def recording_bar(title: str, seconds: float | None) -> Iterator[Callable[[float], None]]:
    """Give a callback that is told how far into a recording of `seconds` (`None`: not known) one is."""
    length = "" if seconds is None else f" of {seconds:.0f}"
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn(f"{{task.completed:.0f}}{length} s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task(title, total=seconds)
        yield lambda now: bar.update(task, completed=now)


def models_table(states: Sequence[State]) -> Table:
    """Return what the model store knows, and where it has it."""
    table = Table("name", "kind", "size", "here", "licence", "description", box=None, header_style="bold")
    for state in states:
        item = state.artifact
        here = "[green]yes[/]" if state.path else "[dim]no[/]"
        table.add_row(item.name, item.kind, f"{item.size / 1e6:.1f} MB", here, item.licence, item.description)
    return table


def probe_report(report: Report, camera: CameraConfig) -> str:
    """Return what a camera sends, line by line, and the YAML that makes it one of vigil's."""
    steadiness = {True: "constant", False: "variable", None: "too short to tell whether constant"}
    gop = "seldom: fewer than two came" if report.gop is None else f"every {report.gop} frames"
    drift = "not known" if report.drift is None else f"{report.drift:+.1f} s per hour"
    lines = [
        f"codec        {report.codec}",
        f"size         {report.width}x{report.height}",
        f"frame rate   {report.frame_rate:.2f} per second",
        f"keyframes    {gop}",
        f"bit rate     {report.bit_rate / 1000:.0f} kbit/s, {steadiness[report.constant]}",
        f"opened in    {report.opened_after:.2f} s",
        f"first frame  {report.first_frame_after:.2f} s",
        f"clock drift  {drift}",
        "",
        "cameras:",
        "  my-camera:",
        f"    url: {json.dumps(camera.url)}",
    ]
    if camera.username is not None:
        lines.append(f"    username: {json.dumps(camera.username)}")
    if camera.password is not None:
        lines.append('    password: "${MY_CAMERA_PASSWORD}"')
    if camera.transport != "tcp":
        lines.append(f"    transport: {camera.transport}")
    return "\n".join(lines)


def welcome(config: Config) -> Panel:
    """Return where to look once the demo runs."""
    page = f"http://{config.http.host}:{config.http.port}/"
    prefix = config.mqtt.topic_prefix
    lines = [
        f"[bold]{len(config.cameras)} cameras[/]: {', '.join(config.cameras)}",
        "",
        f"See them           [cyan]{page}[/]",
        f"Subscribe          [cyan]mosquitto_sub -p {config.mqtt.port} -t '{prefix}/#' -v[/]",
        f"Send a picture     [cyan]curl -F file=@photo.jpg {page}detect[/]",
        f"Metrics            [cyan]{page}metrics[/]",
        "",
        "Ctrl-C stops it.",
    ]
    return Panel("\n".join(lines), title="vigil demo", border_style="green", expand=False)
