"""Two shards over real streams and a real broker: nobody sees a difference, and a death is a shard's own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from paho.mqtt import publish

from tests.support.assets import photograph
from tests.support.broker import mosquitto, recorder
from tests.support.daemon import STOP_WITHIN, DaemonProcess
from tests.support.footage import clips
from tests.support.go2rtc import go2rtc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.support.broker import Recorder

pytestmark = pytest.mark.alone

CAMERAS = ("one", "three", "two")
"""In the order of the file: each goes where less is asked for, so `three` is alone in the second shard."""
TWO = {"VIGIL_SHARDS": "2"}


def write_config(
    folder: Path, urls: Mapping[str, str], *, mqtt: str = "host: 127.0.0.1", more: str = ""
) -> Path:
    """Write a configuration of cameras that see people all the time."""
    cameras = "".join(
        f"  {name}:\n    url: {json.dumps(url)}\n"
        "    zones: {all: {polygon: [[0, 0], [1, 0], [1, 1], [0, 1]], inertia: 0s}}\n"
        "    lines: {entry: {from: [0.5, 0], to: [0.5, 1]}}\n"
        for name, url in urls.items()
    )
    path = folder / "vigil.yaml"
    path.write_text(
        f"model: {{size: 320}}\nmqtt: {{{mqtt}}}\ncommands: {{keep: true}}\n{more}"
        f"defaults: {{detect: {{fps: 4, classes: [person], when: always}}}}\ncameras:\n{cameras}"
    )
    return path


def photos(*names: str) -> dict[str, str]:
    """Return cameras over a photograph of two people."""
    return {name: f"photo:{photograph('zidane')}?size=640x360&fps=10" for name in names}


@asynccontextmanager
async def streams() -> AsyncIterator[dict[str, str]]:
    """Serve three cameras by RTSP that show people."""
    [people] = [clip for clip in clips() if clip.name == "people"][:1] or clips()[:1]
    async with go2rtc(dict.fromkeys(CAMERAS, people.path)) as urls:
        yield urls


def shards_of(daemon: DaemonProcess) -> list[int]:
    """Return the process ids of a front's shards, the first one first."""
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    return [
        int(each) for each in children if b"vigil.shards.child" in Path(f"/proc/{each}/cmdline").read_bytes()
    ]


def is_there(pid: int) -> bool:
    """Tell whether a process runs: it may be dead already and only not waited for yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def health(daemon: DaemonProcess) -> tuple[int, dict[str, Any]]:
    """Return what `/health` says, and with which status."""
    async with aiohttp.ClientSession() as session, session.get(daemon.url("/health")) as response:
        return response.status, await response.json()


async def all_seen(heard: Recorder, *cameras: str) -> None:
    """Wait until every camera counts somebody and has a picture of an event."""
    await heard.until(
        lambda: all(
            heard.last(f"vigil/{camera}/objects/person") not in {None, b"0"}
            and heard.last(f"vigil/{camera}/person/snapshot")
            for camera in cameras
        ),
        within=60,
    )


async def ask(port: int, topic: str, payload: bytes) -> None:
    """Publish as anybody would."""
    await asyncio.to_thread(publish.single, topic, payload, 1, hostname="127.0.0.1", port=port)


def series(metrics: bytes) -> set[str]:
    """Return names and labels of what is exposed, without what depends on chance (causes, collections)."""
    lines = [line.rpartition(" ")[0] for line in metrics.decode().splitlines() if not line.startswith("#")]
    assert len(lines) == len(set(lines)), "a series comes once"
    return set(lines)


async def seen_from_outside(folder: Path, urls: Mapping[str, str], shards: int) -> tuple[Any, ...]:
    """Return topics, series and answers of vigil with so many shards."""
    environ = {"VIGIL_SHARDS": str(shards), "VIGIL_STATE": str(folder / f"state{shards}")}
    config = write_config(folder, urls, more="compat: {frigate: true}\nprofiles: {night: {}}\n")
    async with mosquitto() as broker, recorder(broker) as heard:
        async with DaemonProcess("run", "-c", str(config), mqtt_port=broker, environ=environ) as daemon:
            assert len(shards_of(daemon)) == (shards if shards > 1 else 0)
            await all_seen(heard, *urls)
            await heard.until(lambda: heard.last("vigil/stats"), within=30)
            exposed = series(await daemon.get("/metrics"))
            listed = (await daemon.get_json("/api/cameras"))["cameras"]
            answers = [
                await health(daemon),
                await daemon.get_json("/detectors"),
                await daemon.get_json("/api/profile"),
            ]
            info = json.loads(heard.last("vigil/info") or b"{}")
            assert set(json.loads(heard.last("vigil/stats") or b"{}")["cameras"]) == set(urls)
        await heard.until(lambda: heard.last("vigil/status") == b"offline")  # the last word
        statuses = {name: heard.last(f"vigil/{name}/status") for name in urls}
        topics = {topic for topic, said in heard.heard.items() if any(said)}
    return (
        topics,
        exposed,
        [list(view) for view in listed],
        [view["name"] for view in listed],
        answers,
        info,
        statuses,
    )


async def test_nobody_sees_a_difference(tmp_path: Path) -> None:
    """Topics of all dialects, series, lists and answers are the same with two shards as with one process."""
    async with streams() as urls:
        one = await seen_from_outside(tmp_path, urls, 1)
        two = await seen_from_outside(tmp_path, urls, 2)
    assert one == two
    assert two[-1] == dict.fromkeys(urls, b"offline")


async def test_killed_shard_takes_only_its_cameras(tmp_path: Path) -> None:
    """SIGKILL: its camera goes offline and comes back, events end, the others never stop, /health tells."""
    async with streams() as urls, mosquitto() as broker, recorder(broker) as heard:
        config = write_config(tmp_path, urls)
        environ = {**TWO, "VIGIL_STATE": str(tmp_path)}
        async with DaemonProcess("run", "-c", str(config), mqtt_port=broker, environ=environ) as daemon:
            await all_seen(heard, *CAMERAS)
            await ask(broker, "vigil/three/fps/set", b"3")
            await heard.until(lambda: heard.last("vigil/three/fps/state") == b"3")
            first, second = shards_of(daemon)
            others = [name for name in CAMERAS if name != "three"]
            for name in CAMERAS:
                heard.heard.pop(f"vigil/{name}/status")
            before = {name: len(heard.heard[f"vigil/{name}/detections"]) for name in others}
            counted = len(heard.heard["vigil/three/objects/person"])
            os.kill(second, signal.SIGKILL)
            began = time.monotonic()
            await heard.until(lambda: heard.last("vigil/three/status") == b"offline")
            status, said = await health(daemon)
            assert status == 503
            assert "shard 1 (three)" in said["detail"]
            await heard.until(lambda: heard.last("vigil/three/status") == b"online", within=30)
            took = time.monotonic() - began
            assert "crashed" in {each.get("reason") for each in heard.objects("vigil/three/health")}
            assert b"0" in heard.heard["vigil/three/objects/person"][counted:]
            await heard.until(lambda: heard.last("vigil/three/objects/person") not in {None, b"0"}, within=30)

            async def well() -> bool:
                return (await health(daemon))[0] == 200

            await daemon.until(well, 10, "be well again")
            await heard.until(lambda: heard.last("vigil/three/fps/state") == b"3")
            assert shards_of(daemon)[0] == first
            rates = {
                name: (len(heard.heard[f"vigil/{name}/detections"]) - before[name]) / took for name in others
            }
            assert min(rates.values()) > 2, rates
            assert not any(heard.heard[f"vigil/{name}/status"] for name in others)
        await heard.until(lambda: heard.heard["vigil/status"] == [b"online", b"offline"])
    for name in CAMERAS:
        told = heard.objects(f"vigil/{name}/events")
        ids = [{each["id"] for each in told if each["type"] == kind} for kind in ("new", "end")]
        assert ids[0] == ids[1], "every event that begins ends"


async def test_reload_reaches_every_shard_or_none(tmp_path: Path) -> None:
    """A mistake changes nothing anywhere; cameras come and go; SIGHUP and POST do the same."""
    async with mosquitto() as broker, recorder(broker) as heard:
        config = write_config(tmp_path, photos(*CAMERAS))
        environ = {**TWO, "VIGIL_STATE": str(tmp_path)}
        async with DaemonProcess("run", "-c", str(config), mqtt_port=broker, environ=environ) as daemon:
            await all_seen(heard, *CAMERAS)
            right = config.read_text()
            config.write_text(right.replace("[person]", "[unicorn]").replace("fps: 4", "fps: 1"))
            async with (
                aiohttp.ClientSession() as session,
                session.post(daemon.url("/api/reload")) as response,
            ):
                assert response.status == 422
                assert "unicorn" in (await response.json())["detail"]
            assert {heard.last(f"vigil/{name}/fps/state") for name in CAMERAS} == {b"4"}

            write_config(tmp_path, photos("one", "two", "four"))
            os.kill(daemon.pid, signal.SIGHUP)
            await all_seen(heard, "four")
            await heard.until(lambda: heard.last("vigil/three/status") == b"")
            views = (await daemon.get_json("/api/cameras"))["cameras"]
            assert [view["name"] for view in views] == ["one", "two", "four"]

            async def taken_over() -> bool:
                exposed = (await daemon.get("/metrics")).decode()
                return (
                    'camera="three"' not in exposed and "vigil_config_last_reload_successful 1.0" in exposed
                )

            await daemon.until(taken_over, 10, "show the new configuration in its metrics")


async def test_number_of_shards_changes_and_nothing_is_lost(tmp_path: Path) -> None:
    """What was set holds over restarts with another number of processes, and topics stay what they were."""
    async with mosquitto() as broker, recorder(broker) as heard:
        config = write_config(tmp_path, photos(*CAMERAS))
        for number in (2, 3, 1):
            environ = {"VIGIL_SHARDS": str(number), "VIGIL_STATE": str(tmp_path)}
            async with DaemonProcess("run", "-c", str(config), mqtt_port=broker, environ=environ) as daemon:
                await all_seen(heard, *CAMERAS)
                if number == 2:
                    for name in CAMERAS:
                        await ask(broker, f"vigil/{name}/fps/set", b"2")
                for name in CAMERAS:
                    await heard.until(lambda name=name: heard.last(f"vigil/{name}/fps/state") == b"2")  # type: ignore[misc]  # mypy cannot infer a lambda with a default
                assert await daemon.stop() == 0
        assert all(said for topic, said in heard.heard.items() if topic.startswith("vigil/three/"))
        # A camera that moves to another process is never taken back in between.
        assert b"" not in heard.heard["vigil/three/objects/person"]


async def test_uploads_and_pictures_come_from_shards(tmp_path: Path) -> None:
    """`POST /detect` and pictures work through the front, and the embedded broker is the front's."""
    config = write_config(tmp_path, photos(*CAMERAS), mqtt="host: null")
    environ = {**TWO, "VIGIL_STATE": str(tmp_path)}
    async with DaemonProcess("run", "-c", str(config), environ=environ) as daemon:
        async with recorder(daemon.mqtt_port) as heard:
            await all_seen(heard, *CAMERAS)
            body = photograph("zidane").read_bytes()
            async with aiohttp.ClientSession() as session:
                for _ in range(2):
                    async with session.post(daemon.url("/detect"), data=body) as response:
                        found = await response.json()
                    assert [each["label"] for each in found["detections"]].count("person") == 2
                for name in CAMERAS:
                    assert (await daemon.get(f"/api/cameras/{name}/snapshot.jpg"))[:2] == b"\xff\xd8"
                async with session.post(daemon.url("/api/cameras/three/disable")) as response:
                    assert response.status == 200
            await heard.until(lambda: heard.last("vigil/three/status") == b"disabled")
            pids = shards_of(daemon)
            began = time.monotonic()
            assert await daemon.stop() == 0
            assert time.monotonic() - began < STOP_WITHIN - 5
        assert not any(map(is_there, pids))


async def test_shards_never_outlive_their_front(tmp_path: Path) -> None:
    """A front that is killed leaves no process behind."""
    async with mosquitto() as broker, recorder(broker) as heard:
        config = write_config(tmp_path, photos(*CAMERAS))
        environ = {**TWO, "VIGIL_STATE": str(tmp_path)}
        async with DaemonProcess("run", "-c", str(config), mqtt_port=broker, environ=environ) as daemon:
            await all_seen(heard, *CAMERAS)
            pids = shards_of(daemon)
            await daemon.kill()
            await heard.until(lambda: heard.last("vigil/status") == b"offline")
            await heard.until(lambda: not any(map(is_there, pids)), within=15)


async def test_systemd_hears_the_front(tmp_path: Path) -> None:
    """READY comes once, when all shards are; the watchdog is fed while a shard is being replaced."""
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        systemd.setblocking(False)
        environ = {
            **TWO,
            "VIGIL_STATE": str(tmp_path),
            "NOTIFY_SOCKET": str(address),
            "WATCHDOG_USEC": "1000000",
        }
        async with mosquitto() as broker, recorder(broker) as heard:
            config = write_config(tmp_path, photos(*CAMERAS))
            async with DaemonProcess("run", "-c", str(config), mqtt_port=broker, environ=environ) as daemon:
                await all_seen(heard, *CAMERAS)
                said = received(systemd)
                assert said.count("READY=1") == 1
                assert "WATCHDOG=1" in said
                os.kill(shards_of(daemon)[1], signal.SIGSTOP)
                await asyncio.sleep(2)
                assert received(systemd).count("WATCHDOG=1") >= 2
                os.kill(shards_of(daemon)[1], signal.SIGKILL)
                await heard.until(lambda: heard.last("vigil/three/status") == b"online", within=30)
                await daemon.stop()
            assert "STOPPING=1" in received(systemd)


def received(systemd: socket.socket) -> list[str]:
    """Return what has been said to systemd."""
    found = []
    while True:
        try:
            found.append(systemd.recv(4096).decode())
        except BlockingIOError:
            return found


async def test_wrong_class_is_told_as_by_one_process(tmp_path: Path) -> None:
    """A start that fails in a shard ends with the line and the status of one process."""
    config = write_config(tmp_path, photos(*CAMERAS))
    config.write_text(config.read_text().replace("[person]", "[unicorn]"))
    texts = []
    for number in (1, 2):
        environ = {"VIGIL_SHARDS": str(number)}
        async with mosquitto() as broker:
            process = DaemonProcess(
                "run", "-c", str(config), mqtt_port=broker, environ=environ, ready_within=None
            )
            async with process as daemon:
                assert await daemon.ended(60) == 3
        [line] = {line for line in daemon.log.splitlines() if "unicorn" in line}
        texts.append(re.sub(r"^\S+ ", "", line))
    assert texts[0] == texts[1]
