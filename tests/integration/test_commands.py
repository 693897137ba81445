"""Commands over a real broker to a running vigil: what they change, what is refused, what a restart keeps."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING

import aiohttp
from paho.mqtt import publish

from tests.support.assets import photograph
from tests.support.broker import mosquitto, recorder
from tests.support.daemon import DaemonProcess
from vigil.schemas.topics import TOPICS, topic_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.broker import Recorder

CONFIG = """
model: {{size: 320}}
mqtt: {{host: 127.0.0.1}}
commands: {{keep: {keep}}}
defaults:
  detect: {{fps: {fps}, classes: [person], when: always}}
cameras:
  drive:
    url: "photo:{photo}?size=640x360&fps=10"
    zones: {{all: {{polygon: [[0, 0], [1, 0], [1, 1], [0, 1]], inertia: 0s}}}}
    lines: {{entry: {{from: [0.5, 0], to: [0.5, 1]}}}}
    snapshots: {{live: 1s}}
  door: {{url: "photo:{photo}?size=640x360&fps=10"}}
profiles:
  night: {{cameras: {{door: {{detect: {{weight: 2}}}}}}}}
"""


def write_config(folder: Path, *, keep: bool, fps: float = 4) -> str:
    """Write a configuration of two cameras that see people."""
    path = folder / "vigil.yaml"
    path.write_text(CONFIG.format(photo=photograph("zidane"), keep=str(keep).lower(), fps=fps))
    return str(path)


async def ask(port: int, topic: str, payload: bytes) -> None:
    """Publish as anybody would."""
    await asyncio.to_thread(publish.single, topic, payload, 1, hostname="127.0.0.1", port=port)


def kept(state: Path) -> str:
    """Return what is kept of commands, as it stands on disk."""
    return "".join(path.read_text() for path in state.glob("commands-*.json"))


async def sees_somebody(heard: Recorder, camera: str) -> None:
    """Wait until a camera counts a person."""
    await heard.until(lambda: heard.last(f"vigil/{camera}/objects/person") not in {None, b"0"})


async def test_settings_are_obeyed_without_a_gap(tmp_path: Path) -> None:
    """Each command shows in its state and in what follows; captures and the other camera notice nothing."""
    async with mosquitto() as broker, recorder(broker) as heard:
        config = write_config(tmp_path, keep=False)
        async with DaemonProcess("run", "-c", config, mqtt_port=broker) as daemon:
            await sees_somebody(heard, "drive")
            await sees_somebody(heard, "door")
            await ask(broker, "vigil/drive/fps/set", b"2")
            await heard.until(lambda: heard.last("vigil/drive/fps/state") == b"2", within=2)
            first = len(heard.heard["vigil/drive/detections"])
            began = time.monotonic()
            await asyncio.sleep(5)
            rate = (len(heard.heard["vigil/drive/detections"]) - first) / (time.monotonic() - began)
            assert 1.5 <= rate <= 2.5
            assert {each["type"] for each in heard.objects("vigil/drive/events")} <= {"new", "update"}

            await ask(broker, "vigil/drive/detect/set", b"OFF")
            await heard.until(lambda: heard.last("vigil/drive/detect/state") == b"OFF", within=2)
            await heard.until(lambda: heard.last("vigil/drive/objects/person") == b"0", within=2)
            await heard.until(lambda: heard.last("vigil/drive/zones/all/person") == b"0")
            await heard.until(lambda: heard.objects("vigil/drive/events")[-1]["type"] == "end")
            before = len(heard.heard["vigil/drive/detections"])
            await ask(broker, "vigil/drive/motion/set", b"OFF")
            await heard.until(lambda: heard.last("vigil/drive/motion/state") == b"OFF", within=2)
            await heard.until(lambda: heard.last("vigil/drive/motion") == b"OFF", within=2)
            assert len(heard.heard["vigil/drive/detections"]) <= before + 1
            assert heard.last("vigil/drive/status") == b"online"

            await ask(broker, "vigil/drive/confidence/set", b"0.6")
            await ask(broker, "vigil/drive/detect/set", b"ON")
            await sees_somebody(heard, "drive")
            await heard.until(lambda: heard.last("vigil/drive/confidence/state") == b"0.6")
            assert {each["type"] for each in heard.objects("vigil/door/events")} <= {"new", "update"}
            assert daemon.log.count("drive: live") == daemon.log.count("door: live") == 1
        said = {topic_of(name.removeprefix("vigil/")) for name in heard.heard if name.startswith("vigil/")}
        unsaid = {topic.path for topic in TOPICS if not topic.asked and topic not in said}
        assert unsaid == set()


async def test_what_makes_no_sense_changes_nothing(tmp_path: Path) -> None:
    """Each malformed command is one line that says what would be right; no state changes."""
    wrong = {
        "vigil/drive/fps/set": (b"fast", b"0", b"61", b"nan", b""),
        "vigil/drive/confidence/set": (b"50", b"-1", b"inf", b"\xff\xfe"),
        "vigil/drive/detect/set": (b"off", b"true"),
        "vigil/cellar/motion/set": (b"OFF",),
        "vigil/profile/set": (b"dusk",),
    }
    async with mosquitto() as broker, recorder(broker) as heard:
        config = write_config(tmp_path, keep=False)
        async with DaemonProcess("run", "-c", config, mqtt_port=broker) as daemon:
            await heard.until(lambda: heard.last("vigil/door/status") == b"online")

            def states() -> dict[str, bytes | None]:
                return {topic: heard.last(topic) for topic in list(heard.heard) if topic.endswith("/state")}

            await heard.until(lambda: len(states()) == 11)
            before = states()
            for topic, payloads in wrong.items():
                for payload in payloads:
                    await ask(broker, topic, payload)
            await daemon.wait_for_log("there is no profile 'dusk'")
            for topic, payloads in wrong.items():
                if topic != "vigil/profile/set":
                    assert daemon.log.count(f"mqtt: {topic} says") == len(payloads)
            assert "a number above 0 up to 60 is wanted" in daemon.log
            assert states() == before


async def test_restart_keeps_what_was_set(tmp_path: Path) -> None:
    """With `keep` settings and profile are there again, but for a key that the file changed; else none."""
    environ = {"VIGIL_STATE": str(tmp_path / "state")}
    async with mosquitto() as broker:
        config = write_config(tmp_path, keep=True)
        async with (
            recorder(broker) as heard,
            DaemonProcess("run", "-c", config, mqtt_port=broker, environ=environ) as daemon,
        ):
            await heard.until(lambda: heard.last("vigil/drive/status") == b"online")
            body = {"fps": 1, "confidence": 0.7, "motion": False}
            async with (
                aiohttp.ClientSession() as session,
                session.patch(daemon.url("/api/cameras/drive/settings"), json=body) as answer,
            ):
                assert await answer.json() == {"enabled": True, "detect": True, **body}
            await ask(broker, "vigil/door/enabled/set", b"OFF")
            await ask(broker, "vigil/profile/set", b"night")
            await heard.until(lambda: heard.last("vigil/profile/state") == b"night", within=5)
            await heard.until(lambda: heard.last("vigil/door/status") == b"disabled", within=5)
            state = tmp_path / "state"
            await heard.until(lambda: all(each in kept(state) for each in ("night", "door", "0.7")))
            await daemon.kill()

        config = write_config(tmp_path, keep=True, fps=3)
        async with (
            recorder(broker) as heard,
            DaemonProcess("run", "-c", config, mqtt_port=broker, environ=environ) as daemon,
        ):
            cameras = {each["name"]: each for each in (await daemon.get_json("/api/cameras"))["cameras"]}
            assert cameras["drive"]["settings"] == {
                "enabled": True,
                "detect": True,
                "motion": False,
                "confidence": 0.7,
                "fps": 3.0,
            }
            assert (cameras["door"]["state"], cameras["door"]["settings"]["enabled"]) == ("disabled", False)
            await heard.until(lambda: heard.last("vigil/profile/state") == b"night", within=5)
            await heard.until(lambda: heard.last("vigil/drive/confidence/state") == b"0.7", within=5)

        config = write_config(tmp_path, keep=False, fps=3)
        async with DaemonProcess("run", "-c", config, mqtt_port=broker, environ=environ) as daemon:
            drive = await daemon.get_json("/api/cameras/drive")
            assert (drive["settings"]["confidence"], drive["settings"]["motion"]) == (0.5, True)
        (file,) = (tmp_path / "state").glob("commands-*.json")
        assert json.loads(file.read_text()) == {"profile": "auto", "cameras": {}}
