"""MQTT as a whole in the test's own process: real `Messaging`, and a bus that the test feeds."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.support.fakes import LOADED, event
from tests.support.household import config_of
from vigil.aio.bus import Bus
from vigil.core.events import EventType
from vigil.core.types import BusMessage, CameraHealth, CameraIntroduced, CameraState, MotionChanged
from vigil.messaging import Messaging
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from vigil.core.types import Command


class Talking:
    """A vigil of nothing but its MQTT."""

    def __init__(
        self, cameras: Sequence[str], state: Path | None, labels: int, zones: int, **settings: Any
    ) -> None:
        self.cameras = cameras
        self.counts = dict.fromkeys(["person", "car", "bus", "dog"][:labels], 0)
        self.zones = {f"zone{number}": self.counts for number in range(zones)}
        self.metrics = Metrics()
        self.bus: Bus[BusMessage] = Bus()
        self.commands: list[Command] = []
        self.announced = asyncio.Event()
        config = config_of(
            {"cam": {}},
            mqtt={"host": "127.0.0.1", **settings},
            homeassistant={"discovery": False},
        )
        self.messaging = Messaging(config, LOADED, self.bus, self.metrics, self.commands.append, outbox=state)

    def announce(self) -> None:
        """Tell of every camera and that it is live."""
        for camera in self.cameras:
            told = CameraIntroduced(camera, self.counts, self.zones)
            health = CameraHealth(camera, CameraState.LIVE)
            self.bus.publish([told, MotionChanged(camera, on=False), health])
        self.announced.set()

    def happen(self, number: int, kind: EventType = EventType.END) -> None:
        """Have the event of a number happen at the first camera."""
        camera = self.cameras[0]
        self.bus.publish([replace(event(kind, camera), id=f"{number:026}", end_time=1.0)])

    def value(self, name: str, **labels: str) -> float | None:
        """Return a metric."""
        return self.metrics.registry.get_sample_value(f"vigil_{name}", labels)

    async def connected(self, within: float = 20.0) -> None:
        """Wait for the broker."""
        async with asyncio.timeout(within):
            while not self.value("mqtt_connected"):
                await asyncio.sleep(0.01)


@asynccontextmanager
async def talking(
    *cameras: str,
    state: Path | None = None,
    connected: bool = True,
    labels: int = 1,
    zones: int = 0,
    **settings: Any,
) -> AsyncIterator[Talking]:
    """Run MQTT with such settings, connected unless that is not waited for, until it has said goodbye.

    Each of the `cameras` has so many `labels`, up to four, and `zones`.
    """
    vigil = Talking(cameras, state, labels, zones, **settings)
    await vigil.messaging.start()
    running = asyncio.create_task(vigil.messaging.run(vigil.announce))
    try:
        await vigil.announced.wait()
        if connected:
            await vigil.connected()
        yield vigil
    finally:
        running.cancel()
        await asyncio.wait([running])
        await vigil.messaging.stop()
