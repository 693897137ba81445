"""What the benches found, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from vigil.bench.density import ratio

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.bench.compare import Compared
    from vigil.bench.decode import Decoding
    from vigil.bench.density import Density
    from vigil.bench.efficiency import Efficiency
    from vigil.bench.latency import Latencies
    from vigil.bench.memory import Memory
    from vigil.bench.shards import Scale


def decode(found: Decoding) -> Table:
    """Return both sides of every kind of stream for people."""
    columns = ("stream", f"ffmpeg {found.ffmpeg} ms/frame", "vigil ms/frame", "of ffmpeg")
    table = Table(*columns, box=None, header_style="bold")
    for row in found.rows:
        case = row.case
        gop = "" if case.codec == "mjpeg" else f" GOP {case.gop}"
        name = f"{case.codec} {case.size}{gop}, {'moving' if case.moving else 'still'}"
        table.add_row(name, f"{row.ffmpeg_ms:.2f}", f"{row.vigil_ms:.2f}", f"{row.ratio:.2f}")
    return table


def decode_modes(found: Decoding) -> str:
    """Return what a quiet camera costs, in words."""
    modes = found.modes
    return (
        f"quiet camera: {modes.full_ms:.2f} ms/frame in full, {modes.keyframe_ratio:.3f} of it by keyframes "
        f"only, {modes.packet_ratio:.3f} with the packet gate"
    )


def latency(found: Latencies) -> Table:
    """Return the ages of every load for people."""
    columns = ("load", "results/s", "p50 ms", "p95", "p99", "engine", "glass p50", "p95", "p99", "cores")
    title = f"{found.cameras} cameras, saturated at {found.capacity:.1f} results/s"
    table = Table(*columns, box=None, header_style="bold", title=title, title_justify="left")
    for load, each in found.loads.items():
        ages = (each.p50_ms, each.p95_ms, each.p99_ms, each.engine_ms)
        glass = (each.glass_p50_ms, each.glass_p95_ms, each.glass_p99_ms)
        numbers = [f"{value:.0f}" for value in (*ages, *glass)]
        table.add_row(f"{load} %", f"{each.results_per_second:.1f}", *numbers, f"{each.cores:.2f}")
    return table


def efficiency(found: Efficiency) -> Table:
    """Return every size for people."""
    columns = ("clips", "efficiency", "ideal CPU s", "used CPU s", "decoded/s", "inferred/s", "saturation")
    table = Table(*columns, box=None, header_style="bold")
    for height, part in found.parts.items():
        table.add_row(
            f"{part.cameras} x {height}p",
            f"{part.efficiency:.3f}",
            f"{part.ideal_cpu_seconds:.1f}",
            f"{part.used_cpu_seconds:.1f}",
            f"{part.decoded / part.seconds:.0f}",
            f"{part.inferred / part.seconds:.1f}",
            f"{part.saturation:.2f}",
        )
    return table


def memory(found: Memory) -> Table:
    """Return the figures for people."""
    table = Table("memory", "MB", box=None, header_style="bold")
    table.add_row("with one 1080p camera", f"{found.first_camera_mb:.0f}")
    table.add_row(f"with {found.cameras}", f"{found.all_cameras_mb:.0f}")
    table.add_row("[bold]each camera over the first", f"[bold]{found.mb_per_camera:.1f}")
    growth = f"{found.slope_mb_per_hour:+.2f} +- {found.slope_error_mb_per_hour:.2f}"
    table.add_row(f"per hour, over {found.minutes:g} minutes", growth)
    return table


def shards(found: Scale) -> Table:
    """Return every run for people."""
    columns = ("cameras", "processes", "asked/s", "results/s", "p95 ms", "front", "shards", "CPU ms/result")
    rates = f"{found.looks:g} of {found.fps:g} frames/s each"
    title = f"{found.machine_cores} cores; {found.objects} objects, {rates}; CPU in cores"
    table = Table(*columns, box=None, header_style="bold", title=title, title_justify="left")
    for row in found.rows:
        table.add_row(
            str(row.cameras),
            "1" if row.shards == 1 else f"front and {row.shards}",
            f"{row.asked_per_second:.0f}",
            f"{row.results_per_second:.0f}",
            f"{row.p95_ms:.0f}",
            f"{row.front_cores:.2f}",
            ", ".join(f"{each:.2f}" for each in row.shard_cores),
            f"{row.cpu_ms_per_result:.2f}",
        )
    return table


def density(found: Compared) -> Table:
    """Return one scene's outcome for people."""
    columns = (
        "system",
        "cameras",
        "vigil is",
        "CPU ms/result",
        "cores",
        "server",
        "stolen",
        "p95 ms",
        "objects",
        "then",
    )
    table = Table(*columns, box=None, header_style="bold", title=f"scene {found.scene}", title_justify="left")
    for system in (found.vigil, *found.peers):
        table.add_row(*_density_row(found.vigil, system))
    return table


def _density_row(vigil: Density, system: Density) -> Sequence[str]:
    times = ratio(vigil, system)
    best = system.best
    failed = next((trial for trial in reversed(system.trials) if not trial.passed), None)
    row = [system.system, str(system.cameras), "" if times is None else f"{times:.2f}x"]
    if best is None:
        row += ["-"] * 6
    else:
        last = best.verdicts[-1]
        row += [f"{best.cpu_ms_per_result:.1f}"]
        row += [f"{cores:.2f}" for cores in (best.cores, best.server_cores, best.stolen_cores)]
        row += [f"{last.p95_ms:.0f}", f"{best.objects:.2f}"]
    return [*row, f"{failed.cameras}: {failed.verdicts[-1].problem}" if failed else "no more were tried"]
