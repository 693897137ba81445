"""Pictures of events as a subscriber gets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from tests.support.assets import photograph
from tests.support.broker import mosquitto, recorder
from tests.support.daemon import DaemonProcess

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.core.types import UInt8


def decoded(jpeg: bytes) -> UInt8:
    """Return the pixels of a picture, none where it is none."""
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


async def test_an_event_comes_with_its_picture(tmp_path: Path) -> None:
    """Who subscribes later still gets the person's cut-out; the live picture is the whole frame."""
    config = tmp_path / "vigil.yaml"
    config.write_text(
        "model: {size: 320}\ncameras:\n  cam:\n"
        f"    url: 'photo:{photograph('zidane')}?size=640x360&fps=10'\n"
        "    detect: {fps: 3, classes: [person]}\n    snapshots: {live: 1s}\n"
    )
    async with mosquitto() as port:
        environ = {"VIGIL_MQTT__HOST": "127.0.0.1"}
        async with DaemonProcess("run", "-c", str(config), environ=environ, mqtt_port=port) as daemon:
            async with recorder(port) as heard:
                await heard.until(lambda: heard.last("vigil/cam/person/snapshot"), within=30)
                await heard.until(lambda: heard.last("vigil/cam/live"))
                await heard.until(lambda: heard.objects("vigil/cam/events"))
                assert heard.objects("vigil/cam/events")[0]["has_snapshot"]
                assert decoded(heard.last("vigil/cam/live") or b"").shape == (360, 640, 3)
            async with recorder(port) as late:
                await late.until(lambda: late.last("vigil/cam/person/snapshot"), within=5)
                assert "vigil/cam/person/snapshot" in late.retained
                shown = decoded(late.last("vigil/cam/person/snapshot") or b"")
                assert 160 <= max(shown.shape[:2]) <= 640
            assert 'vigil_snapshots_taken_total{camera="cam"}' in (await daemon.get("/metrics")).decode()
