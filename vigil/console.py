"""What the command line shows people: progress bars, tables, the demo's welcome."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vigil.config.model import Config
    from vigil.inference.store import State

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


def models_table(states: Sequence[State]) -> Table:
    """Return what the model store knows, and where it has it."""
    table = Table("name", "kind", "size", "here", "licence", "description", box=None, header_style="bold")
    for state in states:
        item = state.artifact
        here = "[green]yes[/]" if state.path else "[dim]no[/]"
        table.add_row(item.name, item.kind, f"{item.size / 1e6:.1f} MB", here, item.licence, item.description)
    return table


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
