"""What the laboratory costs and where it ends: CPU time per client, with the server in a process of its own.

Clients read and throw away, so nearly all the work is the server's. A figure is valid while no access unit
was dropped, every client got its share, and timers kept their time.
"""

import asyncio
import socket
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from vigil.bench.clips import make_clip
from vigil.bench.rtsp.client import RtspClient
from vigil.bench.rtsp.control import RtspLabProcess
from vigil.bench.rtsp.media import load_media

_CHUNK = 1 << 18
_SETTLE = 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement: `delivered` is the part of the clip's frames that the clients were sent."""

    clients: int
    cpu_ms_per_client_second: float
    core: float
    delivered: float
    dropped: int
    lateness_p95_ms: float

    def __str__(self) -> str:
        return (
            f"{self.clients:7d} {self.cpu_ms_per_client_second:22.2f} {self.core:9.1%} {self.delivered:10.1%}"
            f" {self.dropped:8d} {self.lateness_p95_ms:16.2f}"
        )


HEADINGS = "clients CPU ms/client-second  one core  delivered  dropped  late p95 (ms)"


async def bench(
    counts: Sequence[int], seconds: float, clip: Path | None, *, shared: bool, udp: bool
) -> list[Figure]:
    """Measure each number of clients for `seconds`, each client on a path of its own unless `shared`.

    Without a clip: 1280x720, 25 fps, H.264, 4 Mbit/s. With `udp` the clients leave their datagrams unread,
    which costs the server the same.
    """
    with tempfile.TemporaryDirectory() as folder:
        clip = clip or make_clip(
            Path(folder) / "bench.mp4", width=1280, height=720, seconds=4, gop=50, bitrate=4_000_000
        )
        return [await _measure(count, seconds, clip, shared=shared, udp=udp) for count in counts]


async def _measure(count: int, seconds: float, clip: Path, *, shared: bool, udp: bool) -> Figure:
    """Measure one number of clients."""
    async with RtspLabProcess() as lab, AsyncExitStack() as stack:
        urls = [
            await lab.add(f"/cam{number}", clip, start="live") for number in range(1 if shared else count)
        ]
        play = _ignore if udp else _drain
        tasks = await stack.enter_async_context(asyncio.TaskGroup())
        readers = [
            tasks.create_task(play(urls[number % len(urls)]), name=f"bench-{number}")
            for number in range(count)
        ]
        await asyncio.sleep(_SETTLE)
        before = await lab.stats()
        await asyncio.sleep(seconds)
        after = await lab.stats()
        for reader in readers:
            reader.cancel()
    cpu = after.cpu_seconds - before.cpu_seconds
    return Figure(
        clients=count,
        cpu_ms_per_client_second=1000 * cpu / seconds / count,
        core=cpu / seconds,
        delivered=(after.units_sent - before.units_sent) / (load_media(clip).fps * seconds * count),
        dropped=after.units_dropped - before.units_dropped,
        lateness_p95_ms=1000 * after.lateness_p95,
    )


async def _drain(url: str) -> None:
    """Play a path and throw everything away."""
    async with RtspClient(url) as client:
        await client.play()
        while await client.reader.read(_CHUNK):
            pass


async def _ignore(url: str) -> None:
    """Play a path over UDP and read nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        port = receiver.getsockname()[1]
        async with RtspClient(url) as client:
            await client.set_up(f"RTP/AVP;unicast;client_port={port}-{port}")
            await client.ask("PLAY")
            await client.reader.read()
