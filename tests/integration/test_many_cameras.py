"""Sixty-four cameras with four classes and zones each: all that is retained, and nothing waits for it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.support.assets import photograph
from tests.support.broker import mosquitto, recorder
from tests.support.daemon import DaemonProcess, free_port
from tests.support.fakes import LOADED
from tests.support.household import config_of
from vigil.aio.bus import Bus
from vigil.config.mqtt import MqttConfig
from vigil.core.types import BusMessage, CameraHealth, CameraIntroduced, CameraState
from vigil.messaging import Messaging
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.support.broker import Recorder

pytestmark = pytest.mark.alone

CAMERAS = [f"cam{number:02}" for number in range(64)]
LABELS = ("person", "car", "bus", "truck")
ZONES = ("gate", "path", "door", "road")
WITHIN = 2.0
"""Seconds from the connection to all state published."""
FPS, SETTLING, BEFORE, WATCHED = 0.5, 6.0, 10.0, 20.0
"""Of each camera, a second; seconds until rates are steady, watched with the broker, and from its end on."""


def expected() -> set[str]:
    """Return every retained topic that such a household has at least."""
    topics = {"vigil/status", "vigil/info"}
    for camera in CAMERAS:
        topics |= {f"vigil/{camera}/{name}" for name in ("status", "health", "enabled/state", "objects")}
        topics |= {f"vigil/{camera}/objects/{label}" for label in LABELS}
        topics |= {f"vigil/{camera}/zones/{zone}/{label}" for zone in ZONES for label in LABELS}
    return topics


async def all_said(heard: Recorder, *, connect_within: float = 40.0) -> float:
    """Wait for the connection, and return the seconds from then until all state has arrived.

    The first message tells of the connection; that vigil is there is said last.
    """
    clock, topics = asyncio.get_running_loop().time, expected()
    await heard.until(lambda: len(heard.heard), within=connect_within)
    connected = clock()
    await heard.until(lambda: all(map(heard.last, topics)), within=30)
    await heard.until(lambda: heard.last("vigil/status") == b"online")
    return clock() - connected


@asynccontextmanager
async def messaging(settings: MqttConfig) -> AsyncIterator[Messaging]:
    """Run vigil's MQTT with such a household on the bus, as the composition root does."""
    bus: Bus[BusMessage] = Bus()
    config = config_of({name: {} for name in CAMERAS}).model_copy(update={"mqtt": settings})
    part = Messaging(config, LOADED, bus, Metrics(), lambda _command: None)

    def announce() -> None:
        counts = dict.fromkeys(LABELS, 1)
        for camera in CAMERAS:
            bus.publish(
                [
                    CameraIntroduced(camera, counts, dict.fromkeys(ZONES, counts)),
                    CameraHealth(camera, CameraState.LIVE),
                ]
            )

    await part.start()
    running = asyncio.ensure_future(part.run(announce))
    try:
        yield part
    finally:
        running.cancel()
        await asyncio.wait([running])
        await part.stop()


async def test_all_state_is_there_soon_after_the_connection() -> None:
    """To mosquitto, all that is retained of 64 cameras takes less than two seconds."""
    async with mosquitto() as port, recorder(port) as heard:
        async with messaging(MqttConfig(host="127.0.0.1", port=port)):
            took = await all_said(heard)
        print(f"\nmosquitto: {len(heard.heard)} topics in {took:.2f} s")
        assert took < WITHIN


async def test_all_state_is_there_soon_in_the_embedded_broker() -> None:
    """The embedded broker has it as soon, and a subscriber that comes later hears all of it at once."""
    settings = MqttConfig(port=free_port())
    async with messaging(settings), recorder(settings.port) as heard:
        took = await all_said(heard)
        async with recorder(settings.port) as late:
            late_took = await all_said(late)
            assert expected() <= late.retained
        print(f"\nembedded: {len(heard.heard)} topics in {took:.2f} s; a late subscriber: {late_took:.2f} s")
        assert max(took, late_took) < WITHIN


async def inferred(daemon: DaemonProcess) -> float:
    """Return how many frames have been inferred up to now."""
    page = (await daemon.get("/metrics")).decode()
    return sum(
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == "vigil_frames_inferred_total"
    )


async def rate_over(daemon: DaemonProcess, seconds: float) -> float:
    """Return the frames inferred per second, over so many seconds."""
    clock = asyncio.get_running_loop().time
    began, before = clock(), await inferred(daemon)
    await asyncio.sleep(seconds)
    return (await inferred(daemon) - before) / (clock() - began)


def write_config(folder: Path) -> str:
    """Write 64 cameras that pan over photographs, with zones everywhere."""
    square = [[0.1, 0.1], [0.9, 0.1], [0.9, 0.9], [0.1, 0.9]]
    photos = [photograph("bus"), photograph("zidane")]
    whole = {
        "model": {"size": 320},
        "mqtt": {"host": "127.0.0.1"},
        "defaults": {
            "detect": {"fps": FPS, "classes": list(LABELS), "when": "always"},
            "zones": {zone: {"polygon": square} for zone in ZONES},
        },
        "cameras": {
            name: {"url": f"photo:{photos[number % 2]}?size=320x180&fps=2&phase={number / 64}"}
            for number, name in enumerate(CAMERAS)
        },
    }
    path = folder / "vigil.yaml"
    path.write_text(yaml.safe_dump(whole))
    return str(path)


async def test_a_broker_that_comes_back_costs_no_inference(tmp_path: Path) -> None:
    """While a broker that forgot all is told everything, frames are inferred at the same rate as before."""
    config, port = write_config(tmp_path), free_port()
    environ = {"VIGIL_STATE": str(tmp_path / "state")}
    async with DaemonProcess("run", "-c", config, environ=environ, mqtt_port=port) as daemon:
        async with mosquitto(port), recorder(port) as heard:
            await all_said(heard)
            await asyncio.sleep(SETTLING)
            before = await rate_over(daemon, BEFORE)
        await daemon.wait_for_log("the connection is lost")
        watching = asyncio.ensure_future(rate_over(daemon, WATCHED))
        async with mosquitto(port), recorder(port) as heard:
            took = await all_said(heard)
            assert not watching.done(), "all was said after the frames were counted"
            during = await watching
        rates = f"{before:.1f} inferences/s before, {during:.1f} during"
        print(f"\n{len(heard.heard)} topics in {took:.2f} s; {rates}")
        assert took < WITHIN
        assert during >= 0.95 * before
        assert before >= 0.9 * FPS * len(CAMERAS)
