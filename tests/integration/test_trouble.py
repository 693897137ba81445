"""What can go wrong around a running vigil, and what then must go on."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.assets import photograph
from tests.support.broker import mosquitto, recorder
from tests.support.daemon import DaemonProcess, free_port

if TYPE_CHECKING:
    from pathlib import Path


def write_config(folder: Path, *, cameras: int = 1, extra: str = "") -> str:
    """Write a configuration of photo cameras and further ones as YAML text; returns its path."""
    photo = f"photo:{photograph('zidane')}?size=640x360&fps=10"
    lines = "".join(f"  cam{number}: {{url: '{photo}'}}\n" for number in range(cameras))
    path = folder / "vigil.yaml"
    path.write_text(
        f"model: {{size: 320}}\ndefaults: {{detect: {{fps: 2, classes: [person]}}}}\ncameras:\n{lines}{extra}"
    )
    return str(path)


async def test_unreachable_camera_leaves_the_others_alone(tmp_path: Path) -> None:
    """Of four cameras one cannot be reached: it is `offline`, `camera_up` 0; the other three see people."""
    config = write_config(tmp_path, cameras=3, extra=f"  gone: {{url: 'rtsp://127.0.0.1:{free_port()}/x'}}\n")
    async with DaemonProcess("run", "-c", config) as daemon, recorder(daemon.mqtt_port) as heard:
        seeing = [f"vigil/cam{number}/objects/person" for number in range(3)]
        await heard.until(lambda: all((heard.last(topic) or b"0") > b"0" for topic in seeing))
        await heard.until(lambda: heard.last("vigil/gone/status") == b"offline")
        online = [f"vigil/cam{number}/status" for number in range(3)]
        await heard.until(lambda: all(heard.last(topic) == b"online" for topic in online))
        metrics = (await daemon.get("/metrics")).decode()
        assert 'vigil_camera_up{camera="gone"} 0.0' in metrics
        assert 'vigil_camera_up{camera="cam0"} 1.0' in metrics
        refused = await daemon.get_json("/api/cameras/gone")
        assert refused["reason"] == "refused"
        await daemon.wait_for_log("gone: offline")
        assert daemon.log.count("gone: offline") == 1


async def test_broker_that_comes_late_is_found(tmp_path: Path) -> None:
    """Without a broker vigil runs and looks at its cameras; when the broker comes, all state is there."""
    config, port = write_config(tmp_path), free_port()
    environ = {"VIGIL_MQTT__HOST": "127.0.0.1"}
    async with DaemonProcess("run", "-c", config, environ=environ, mqtt_port=port) as daemon:
        await daemon.wait_for_log("cam0: live")
        assert "vigil_mqtt_connected 0.0" in (await daemon.get("/metrics")).decode()
        async with mosquitto(port), recorder(port) as heard:
            await heard.until(lambda: heard.last("vigil/cam0/objects/person") not in {None, b"0"}, within=40)
            await heard.until(lambda: heard.last("vigil/cam0/status") == b"online")
            await heard.until(lambda: heard.last("vigil/status") == b"online")  # said last
            await heard.until(lambda: heard.heard["vigil/cam0/detections"])


async def test_broker_restart_finds_all_state_again(tmp_path: Path) -> None:
    """A broker that comes back with nothing in memory is told everything retained again."""
    config, port = write_config(tmp_path), free_port()
    environ = {"VIGIL_MQTT__HOST": "127.0.0.1"}
    async with DaemonProcess("run", "-c", config, environ=environ, mqtt_port=port) as daemon:
        async with mosquitto(port), recorder(port) as heard:
            await heard.until(lambda: heard.last("vigil/cam0/objects/person") not in {None, b"0"}, within=40)
        await daemon.wait_for_log("connection is lost")
        async with mosquitto(port), recorder(port) as heard:
            await heard.until(lambda: heard.last("vigil/cam0/objects/person") not in {None, b"0"}, within=40)
            await heard.until(lambda: heard.last("vigil/cam0/status") == b"online")
            await heard.until(lambda: heard.last("vigil/status") == b"online")  # said last


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_clean_stop_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    """Both signals: counts go to 0, `offline` is published, the exit status is 0, within ten seconds."""
    async with mosquitto() as port, recorder(port) as heard:
        environ = {"VIGIL_MQTT__HOST": "127.0.0.1"}
        config = write_config(tmp_path)
        async with DaemonProcess("run", "-c", config, environ=environ, mqtt_port=port) as daemon:
            await heard.until(lambda: heard.last("vigil/cam0/objects/person") not in {None, b"0"})
            assert await daemon.stop(within=10, number=number) == 0
        await heard.until(lambda: heard.last("vigil/status") == b"offline")
        assert heard.last("vigil/cam0/objects/person") == b"0"
        assert heard.last("vigil/cam0/objects") == b"{}"
        assert heard.last("vigil/cam0/status") == b"offline"


async def test_killed_daemon_is_offline_by_its_last_will(tmp_path: Path) -> None:
    """After SIGKILL the broker says `offline` for vigil."""
    async with mosquitto() as port, recorder(port) as heard:
        environ = {"VIGIL_MQTT__HOST": "127.0.0.1"}
        config = write_config(tmp_path)
        async with DaemonProcess("run", "-c", config, environ=environ, mqtt_port=port) as daemon:
            await heard.until(lambda: heard.last("vigil/status") == b"online")
            await daemon.kill()
            await heard.until(lambda: heard.last("vigil/status") == b"offline")


async def test_embedded_broker_ends_with_a_killed_daemon(tmp_path: Path) -> None:
    """The embedded broker does not outlive vigil, even after SIGKILL, and its port is free again."""
    async with DaemonProcess("run", "-c", write_config(tmp_path)) as daemon:
        await daemon.kill()
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", daemon.mqtt_port)
                except ConnectionRefusedError:
                    break
                writer.close()
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("key", ["http.port", "mqtt.port"])
async def test_taken_port_is_named(tmp_path: Path, key: str) -> None:
    """A port that somebody else has ends the start with status 3 and the key to change."""
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    ports = {"http_port": port} if key == "http.port" else {"mqtt_port": port}
    async with (
        server,
        DaemonProcess("run", "-c", write_config(tmp_path), ready_within=None, **ports) as daemon,
    ):
        assert await daemon.ended(within=20) == 3
        assert f"{key}: 127.0.0.1:{port} is taken" in daemon.log


async def test_demo_takes_the_next_free_ports(tmp_path: Path) -> None:
    """With both its ports taken, the demo runs on others and prints them."""
    del tmp_path
    taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    async with (
        taken,
        DaemonProcess("demo", http_port=port, mqtt_port=port, ready_within=None) as daemon,
    ):
        await daemon.wait_for_log("vigil demo", within=60)

        async def printed() -> bool:
            return any(f"127.0.0.1:{port + more}/" in daemon.log for more in (1, 2))

        await daemon.until(printed, 10, "print where it listens")
        assert await daemon.stop() == 0


async def test_wrong_configuration_ends_with_every_problem(tmp_path: Path) -> None:
    """A wrong file ends with status 2 and a line per problem, each with its place."""
    path = tmp_path / "vigil.yaml"
    path.write_text("model: {confidence: 7}\ncameras:\n  door: {ulr: rtsp://h/s}\n")
    async with DaemonProcess("run", "-c", str(path), ready_within=None) as daemon:
        assert await daemon.ended(within=20) == 2
    lines = [line for line in daemon.log.splitlines() if line.startswith(f"{path}:")]
    assert [line.removeprefix(f"{path}:").split(":")[0] for line in lines] == ["1", "3", "3"]


async def test_unknown_class_cannot_start(tmp_path: Path) -> None:
    """A class that the model does not know ends the start with status 3 and the classes that it knows."""
    path = tmp_path / "vigil.yaml"
    path.write_text("cameras: {door: {url: 'rtsp://127.0.0.1/x', detect: {classes: [unicorn]}}}\n")
    async with DaemonProcess("run", "-c", str(path), ready_within=None) as daemon:
        assert await daemon.ended(within=20) == 3
        assert "cameras.door.detect.classes" in daemon.log
        assert "person" in daemon.log


async def test_metrics_pass_promtool(tmp_path: Path) -> None:
    """Prometheus' own linter accepts `/metrics`, and the declared series are there from the start."""
    async with DaemonProcess("run", "-c", write_config(tmp_path)) as daemon:
        text = await daemon.get("/metrics")
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr.decode() + checked.stdout.decode()
    assert b'vigil_frames_dropped_total{camera="cam0",reason="overwritten"} 0.0' in text
    assert b'vigil_camera_reconnects_total{camera="cam0",reason="refused"} 0.0' in text
