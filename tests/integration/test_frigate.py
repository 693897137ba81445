"""A real vigil on a real mosquitto, heard and switched as a Frigate would be."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from paho.mqtt.publish import single

from tests.support.assets import photograph
from tests.support.broker import begun_and_ended, mosquitto, recorder
from tests.support.daemon import DaemonProcess

if TYPE_CHECKING:
    from pathlib import Path


async def test_consumers_of_frigate_are_served(tmp_path: Path) -> None:
    """Counts, events and reviews come, a switch ends them all, and each event that began has its end."""
    config = tmp_path / "vigil.yaml"
    config.write_text(
        "mqtt: {host: 127.0.0.1}\n"
        "compat: {frigate: true}\n"
        "homeassistant: {discovery: false}\n"
        "defaults: {detect: {fps: 2, classes: [person], when: always}}\n"
        f"cameras: {{bus-stop: {{url: 'photo:{photograph('bus')}?size=640x480&fps=5'}}}}\n"
    )
    environ = {"VIGIL_STATE": str(tmp_path / "state")}
    async with mosquitto() as port:
        async with (
            recorder(port, "frigate/#") as heard,
            DaemonProcess("run", "-c", str(config), mqtt_port=port, environ=environ),
        ):
            await heard.until(lambda: heard.objects("frigate/reviews"), within=60)
            await heard.until(lambda: heard.last("frigate/available") == b"online")
            await heard.until(
                lambda: any(int(count) >= 1 for count in heard.heard["frigate/bus-stop/person"])
            )
            await asyncio.to_thread(
                single, "frigate/bus-stop/enabled/set", b"OFF", hostname="127.0.0.1", port=port, qos=1
            )
            await heard.until(lambda: heard.last("frigate/bus-stop/status/detect") == b"disabled")
            await heard.until(lambda: heard.last("frigate/bus-stop/review_status") == b"NONE")
            for topic in ("frigate/events", "frigate/reviews"):
                await heard.until(lambda topic=topic: begun_and_ended(heard, topic))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        async with recorder(port, "frigate/#") as later:
            await later.until(lambda: later.last("frigate/available") == b"offline")
            await later.until(lambda: later.last("frigate/bus-stop/all") == b"0")
            await later.until(lambda: later.last("frigate/bus-stop/enabled/state") == b"OFF")
            assert "frigate/events" not in later.heard
