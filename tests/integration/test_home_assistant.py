"""A real vigil, a real mosquitto, and what Home Assistant knows of them through restarts of everything."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from paho.mqtt.publish import single

from tests.support.assets import photograph
from tests.support.broker import mosquitto, recorder
from tests.support.daemon import DaemonProcess, free_port
from tests.support.discovery import Registry, available, state
from vigil.sinks.dialect import Message

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.broker import Recorder

WHOLE = "{polygon: [[0, 0], [1, 0], [1, 1], [0, 1]], classes: [person]}"
DEVICE = "homeassistant/device/vigil_bus-stop/config"


def write(path: Path, *, zone: bool = True, door: bool = True, extra: str = "") -> None:
    """Write a configuration of a camera that shows people, and of one that is not watched."""
    lines = [
        "mqtt: {host: 127.0.0.1, keepalive: 2s}",
        extra,
        "defaults: {detect: {fps: 2, classes: [person, bus], when: always}}",
        "cameras:",
        f"  bus-stop: {{url: 'photo:{photograph('bus')}?size=640x480&fps=5'",
        f", zones: {{gate: {WHOLE}}}}}" if zone else "}",
        *([f"  door: {{url: 'photo:{photograph('bus')}', enabled: false}}"] if door else []),
    ]
    path.write_text("\n".join(lines))


def known(heard: Recorder) -> Registry:
    """Return what a Home Assistant knows that has heard the latest of everything."""
    registry = Registry()
    registry.hear(
        Message(topic, payloads[-1], 1, retain=True)
        for topic, payloads in list(heard.heard.items())
        if payloads and topic.endswith("/config")
    )
    return registry


def shown(heard: Recorder, key: str, device: str = "vigil_bus-stop") -> str | None:
    """Return what an entity shows, `unavailable` included; `None` where there is no such entity."""
    options = known(heard).of(device).get(key)
    if options is None:
        return None
    said = {topic: payloads[-1] for topic, payloads in list(heard.heard.items()) if payloads}
    if not available(options, said):
        return "unavailable"
    return state(options, said.get(options["state_topic"], b"unknown"))


async def test_home_assistant_is_right_after_any_restart(tmp_path: Path) -> None:
    """Occupancy is right, and nothing stays that is gone, whatever is killed, restarted and changed."""
    config, port = tmp_path / "vigil.yaml", free_port()
    environ = {"VIGIL_STATE": str(tmp_path / "state")}
    write(config)
    async with mosquitto(port), recorder(port) as heard:
        async with DaemonProcess("run", "-c", str(config), mqtt_port=port, environ=environ) as vigil:
            await heard.until(lambda: shown(heard, "zone_gate_OF_occupancy_person") == "ON", within=60)
            await heard.until(lambda: shown(heard, "occupancy_person") == "ON")
            image = known(heard).of("vigil_bus-stop")["image_person"]["image_topic"]
            await heard.until(lambda: (heard.last(image) or b"").startswith(b"\xff\xd8"))
            await heard.until(lambda: shown(heard, "enabled", "vigil_door") == "OFF")
            await heard.until(lambda: shown(heard, "occupancy_person", "vigil_door") == "unavailable")
            await heard.until(lambda: shown(heard, "status", "vigil") == "ON")
            await vigil.kill()
        await heard.until(lambda: shown(heard, "status", "vigil") == "OFF")
        assert shown(heard, "occupancy_person") == "unavailable"
        await _changed_while_away(config, port, environ, heard)
    await _broker_that_forgets(config, port, environ)


async def _changed_while_away(config: Path, port: int, environ: dict[str, str], heard: Recorder) -> None:
    """Take a zone and a camera out while vigil is away, then change the mode while it runs."""
    write(config, zone=False, door=False)
    async with DaemonProcess("run", "-c", str(config), mqtt_port=port, environ=environ):
        await heard.until(lambda: shown(heard, "occupancy_person") == "ON", within=60)
        await heard.until(lambda: shown(heard, "zone_gate_OF_occupancy_person") is None)
        await heard.until(lambda: known(heard).of("vigil_door") == {})
        before = len(heard.heard[DEVICE])
        await asyncio.to_thread(
            single, "homeassistant/status", b"online", hostname="127.0.0.1", port=port, qos=1
        )
        await heard.until(lambda: len(heard.heard[DEVICE]) > before)
        write(config, zone=False, door=False, extra="homeassistant: {mode: entity}")
        await heard.until(lambda: heard.last(DEVICE) == b"")
        await heard.until(lambda: shown(heard, "occupancy_person") == "ON")
    await heard.until(lambda: heard.last("vigil/status") == b"offline")  # the last word of a clean stop
    assert shown(heard, "occupancy_person") == "unavailable"
    assert heard.last("vigil/bus-stop/objects/person") == b"0"


async def _broker_that_forgets(config: Path, port: int, environ: dict[str, str]) -> None:
    """Restart a broker that keeps nothing: everything is there again."""
    async with DaemonProcess("run", "-c", str(config), mqtt_port=port, environ=environ):
        for _ in range(2):
            async with mosquitto(port), recorder(port) as heard:
                await heard.until(lambda heard=heard: shown(heard, "occupancy_person") == "ON", within=60)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                assert not [topic for topic in heard.heard if topic.startswith("homeassistant/device/")]
