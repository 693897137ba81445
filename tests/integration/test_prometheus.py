"""A real Prometheus scrapes a running vigil: every board and alert is about something, and alerts are right.

Times are short so that `make test` stays short; `VIGIL_ENDURANCE=1` scrapes for two minutes.
"""

from __future__ import annotations

import asyncio
import math
import os
import shutil
import subprocess
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.support.assets import photograph
from tests.support.broker import mosquitto
from tests.support.daemon import DaemonProcess, free_port
from tests.support.monitoring import ALERTS, DEPLOY, alerts, hastened, queries, selectors
from tests.support.ports import listening
from tests.support.prometheus import prometheus
from vigil.bench.clips import make_clip
from vigil.bench.rtsp import Fault, FaultKind, RtspLabProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from tests.support.monitoring import Query
    from tests.support.prometheus import Prometheus

pytestmark = pytest.mark.alone

SCRAPED = 120 if os.environ.get("VIGIL_ENDURANCE") else 12
"""Seconds of series that the boards are evaluated over."""
EVERYWHERE = {"from": [0.5, 0.0], "to": [0.5, 1.0]}


def promtool(*arguments: str, text: bytes | None = None, folder: Path = ALERTS.parent) -> None:
    """Run promtool and assert that it has nothing to say."""
    ran = subprocess.run(
        ["promtool", *arguments], input=text, cwd=folder, capture_output=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stdout.decode() + ran.stderr.decode()


def test_promtool_takes_the_rules() -> None:
    """Prometheus' own tool finds the configuration and the rules well formed, also those for tests."""
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "alerts.yml")


def test_hastened_rules_are_rules(tmp_path: Path) -> None:
    """The copy with shortened times is a rule file."""
    (tmp_path / "alerts.yml").write_text(hastened(ALERTS.read_text("utf-8")), "utf-8")
    promtool("check", "rules", "alerts.yml", folder=tmp_path)


def test_promtool_tests_the_rules() -> None:
    """Each alert fires when it should and is silent when it should, in Prometheus' own arithmetic."""
    promtool("test", "rules", *sorted(path.name for path in ALERTS.parent.glob("*_test.yml")))


def configuration(folder: Path, cameras: dict[str, dict[str, Any]], fps: float) -> Path:
    """Write a configuration of cameras that are looked at without pause."""
    whole = {
        "model": {"workers": 1},
        "mqtt": {"host": "127.0.0.1"},
        "defaults": {
            "open_timeout": "2s",
            "read_timeout": "3s",
            "detect": {"fps": fps, "classes": ["person", "tie"], "when": "always"},
        },
        "cameras": cameras,
    }
    path = folder / "vigil.yaml"
    path.write_text(yaml.safe_dump(whole), "utf-8")
    return path


def photo(fps: int = 10, **keys: Any) -> dict[str, Any]:
    """Return a virtual camera with two people in it."""
    return {"url": f"photo:{photograph('zidane')}?size=640x360&fps={fps}", **keys}


async def test_every_expression_has_an_answer(tmp_path: Path) -> None:
    """All boards show something, no alert fires or fails, and all that alerts ask for is there."""
    zone = {"polygon": [[0, 0], [1, 0], [1, 1], [0, 1]]}
    cameras = {
        "bench": photo(zones={"all": zone}, lines={"middle": EVERYWHERE}),
        "door": photo(),
    }
    async with (
        mosquitto() as broker,
        DaemonProcess("run", "-c", str(configuration(tmp_path, cameras, 1)), mqtt_port=broker) as daemon,
        prometheus(daemon.http_port, ALERTS.read_text("utf-8")) as server,
    ):
        await daemon.wait_for_log("bench: live")
        await daemon.wait_for_log("door: live")
        await asyncio.sleep(SCRAPED)
        promtool("check", "metrics", text=await daemon.get("/metrics"))
        unanswered = [str(query) for query in queries() if not await answers(server, query)]
        assert not unanswered
        rules = await server.calm(within=30)
        assert {rule["health"] for rule in rules.values()} == {"ok"}
        assert await server.fired(SCRAPED) == set()
        asked = {selector.name for rule in alerts() for selector in selectors(rule["expr"])}
        assert {name for name in asked if not await server.query(name)} == set()
        [people] = await server.query('sum(vigil_detections_total{label="person"})')
        assert float(people["value"][1]) > SCRAPED


async def answers(server: Prometheus, query: Query) -> bool:
    """Tell whether an expression has a number, and its series the labels that its legend shows."""
    found = await server.query(query.expr)
    named = all(query.legend <= series["metric"].keys() for series in found)
    return named and any(math.isfinite(float(series["value"][1])) for series in found)


LAZY, BUSY = 0.2, 30
"""Inferences per second of each camera: far below what one worker can do, and far above."""


async def test_the_right_alert_fires_and_no_other(tmp_path: Path) -> None:
    """Camera off, camera stalled, no broker, bad reload, overload, no vigil: one alert each, which ends."""
    clip = make_clip(tmp_path / "clip.mp4", seconds=2, fps=10, gop=10)
    port = free_port()
    async with RtspLabProcess() as lab, AsyncExitStack() as broker:
        door = {"url": await lab.add("/door", clip, own_port=True)}
        cameras = {"door": door, **{f"bench{number}": photo(BUSY) for number in range(4)}}
        config = configuration(tmp_path, cameras, LAZY)
        await broker.enter_async_context(mosquitto(port))
        async with (
            DaemonProcess("run", "-c", str(config), mqtt_port=port) as daemon,
            prometheus(daemon.http_port, hastened(ALERTS.read_text("utf-8"), patience=3)) as server,
        ):
            for name in cameras:
                await daemon.wait_for_log(f"{name}: live")
            await asyncio.sleep(3)
            assert await server.firing() == set()
            async with alone(server, "VigilCameraDown") as fires:
                await lab.fault("/door", Fault(FaultKind.REFUSE))
                await fires()
                await lab.clear("/door")
            async with alone(server, "VigilCameraStalled") as fires:
                await lab.fault("/door", Fault(FaultKind.STALL))
                await fires()
                await lab.clear("/door")
            async with alone(server, "VigilBrokerAway") as fires:
                await broker.aclose()
                await fires()
                await broker.enter_async_context(mosquitto(port))
            async with alone(server, "VigilReloadFailed") as fires:
                config.write_text("cameras: {door: {ulr: nowhere}}\n", "utf-8")
                await fires()
                configuration(tmp_path, cameras, LAZY)
            async with alone(server, "VigilSaturated") as fires:
                configuration(tmp_path, cameras, BUSY)
                await fires()
                configuration(tmp_path, cameras, LAZY)
            began = time.monotonic()
            await daemon.stop()
            assert await server.until(bool, within=20) == {"VigilDown"}
            await asyncio.sleep(3)
            assert await server.fired(time.monotonic() - began) == {"VigilDown"}


@asynccontextmanager
async def alone(server: Prometheus, alert: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Watch that an alert fires during a block, ends after it, and that no other ever does.

    Gives what waits for the alert.
    """
    began = time.monotonic()

    async def fires() -> None:
        assert await server.until(bool, within=40) == {alert}
        print(f"{alert}: fires after {time.monotonic() - began:.1f} s", end="")

    yield fires
    await server.until(lambda firing: not firing, within=75)
    assert await server.fired(time.monotonic() - began) == {alert}
    print(f", over after {time.monotonic() - began:.1f} s")


async def test_the_broker_of_the_compose_file_keeps_what_it_was_told(tmp_path: Path) -> None:
    """With the shipped mosquitto.conf strangers are refused, and a retained message survives a restart."""
    port = free_port()
    passwords = tmp_path / "passwords"
    passwords.write_text("vigil:secret\n", "utf-8")
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
    shipped = (DEPLOY / "mosquitto/mosquitto.conf").read_text("utf-8")
    (tmp_path / "mosquitto.conf").write_text(
        shipped.replace("listener 1883", f"listener {port} 127.0.0.1\nuser root")
        .replace("/tmp/passwords", str(passwords))
        .replace("/mosquitto/data/", f"{tmp_path}/"),
        "utf-8",
    )
    async with shipped_broker(tmp_path, port):
        assert mosquitto_pub(port, "nobody", "guess") != 0
        assert mosquitto_pub(port, "vigil", "secret") == 0
    async with shipped_broker(tmp_path, port):
        heard = mosquitto_client("mosquitto_sub", port, "vigil", "secret", "-C", "1", "-W", "5")
        assert heard.stdout == b"online\n"


@asynccontextmanager
async def shipped_broker(folder: Path, port: int) -> AsyncIterator[None]:
    """Run a mosquitto with the configuration in a folder."""
    program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
    null = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(folder / "mosquitto.conf"), stdout=null, stderr=null
    )
    try:
        await listening(port)
        yield
    finally:
        process.terminate()
        await process.wait()


def mosquitto_client(
    program: str, port: int, user: str, password: str, *more: str
) -> subprocess.CompletedProcess[bytes]:
    """Run one of mosquitto's clients on a topic."""
    login = ["-h", "127.0.0.1", "-p", str(port), "-u", user, "-P", password, "-t", "vigil/status"]
    return subprocess.run([program, *login, *more], capture_output=True, check=False, timeout=20)


def mosquitto_pub(port: int, user: str, password: str) -> int:
    """Publish a retained message, and return the exit status."""
    return mosquitto_client("mosquitto_pub", port, user, password, "-r", "-q", "1", "-m", "online").returncode
