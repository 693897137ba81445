"""What most benches stand on: a broker, a subscriber and vigil, with cameras that the laboratory serves.

The laboratory and the broker are processes of their own: their CPU time is never vigil's.
"""

from __future__ import annotations

import asyncio
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vigil.bench.daemon import Daemon
from vigil.bench.subscriber import broker, subscribed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from vigil.bench.subscriber import Heard

_PAUSE = 0.2
_GRACE = 30.0
"""Seconds in which every camera must have been inferred once."""


@dataclass(frozen=True, slots=True)
class Rig:
    """vigil at work; `heard` grows while it runs."""

    daemon: Daemon
    broker: str
    heard: list[Heard] = field(repr=False)


@asynccontextmanager
async def watching(configuration: Mapping[str, Any]) -> AsyncIterator[Rig]:
    """Run vigil with a configuration that lacks only the broker and the web server's port."""
    with tempfile.TemporaryDirectory(prefix="vigil-bench-") as name:
        async with broker() as running, subscribed(running.port) as heard:
            mqtt = {"host": "127.0.0.1", "port": running.port}
            async with Daemon(Path(name), {**configuration, "mqtt": mqtt}) as daemon:
                yield Rig(daemon, running.name, heard)


async def captured(daemon: Daemon, cameras: int, within: float = _GRACE) -> bool:
    """Wait until so many cameras deliver frames; returns whether they did in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within
    while loop.time() < deadline:
        up = (await daemon.scrape()).by_camera("vigil_camera_up")
        if sum(up.values()) >= cameras:
            return True
        await asyncio.sleep(_PAUSE)
    return False


def camera(
    url: str, fps: float, when: str = "always", regions: str = "off", decode: str = "auto"
) -> dict[str, Any]:
    """Return a camera of a configuration."""
    return {"url": url, "decode": decode, "detect": {"fps": fps, "when": when, "regions": regions}}


def model(weights: Path, engine: str, size: int = 640, precision: str = "auto") -> dict[str, Any]:
    """Return the `model` section of a configuration."""
    common = {"name": str(weights), "size": size, "confidence": 0.5}
    return {**common, "engine": engine, "precision": precision}
