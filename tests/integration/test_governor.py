"""The decode governor on whole scenes: the events of full decoding, for a fraction of its cost.

Long form, every combination over the whole of the scenes: `VIGIL_ENDURANCE=1`.
"""

from __future__ import annotations

import os
import time
from statistics import median
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.broker import Recorder, mosquitto, recorder
from tests.support.daemon import DaemonProcess
from tests.support.quiet import DETECT_FPS, FPS, Rate, Run, Scene, night, person, run
from vigil.bench.rtsp import RtspLab
from vigil.video.governor import Mode
from vigil.video.measure import measure_decode

if TYPE_CHECKING:
    from pathlib import Path

LONG = os.environ.get("VIGIL_ENDURANCE") == "1"
CROSSINGS = (8.3, 24.1, 41.7, 58.9, 77.2, 96.6, 118.4, 131.9, 150.3, 171.5)
SECONDS = 185.0 if LONG else 92.0
TOLERANCE = 2 / DETECT_FPS
"""Seconds between two times that count as the same: two inferences."""
EVERY_STREAM = pytest.mark.parametrize(
    ("gop", "rate"), [(gop, rate) for rate in ("crf", "cbr") for gop in (25, 50, 250)]
)


def scene_of(name: str, path: Path, gop: int, rate: Rate) -> Scene:
    """Make a scene."""
    if name != "person":
        crossings = [at for at in CROSSINGS if at + 10 < SECONDS]
        return night(path, gop, rate, crossings, SECONDS, noise=2.0 if name == "night" else 0.8)
    made = person(path, gop, rate) if LONG else person(path, gop, rate, 44.5, 46)
    if made is None:
        pytest.skip("needs the clips of VIGIL_ASSETS")
    return made


def same_events(full: Run, governed: Run) -> None:
    """Check that both tell of the same objects, at the same times."""
    assert [label for label, *_ in governed.events] == [label for label, *_ in full.events]
    for (_, *told), (_, *expected) in zip(governed.events, full.events, strict=True):
        assert told == pytest.approx(expected, abs=TOLERANCE + 1e-6)
    assert governed.crossings == full.crossings


def apart(full: Run, governed: Run) -> float:
    """Return the largest difference between times of the same event."""
    pairs = zip(governed.events, full.events, strict=True)
    return max(max(abs(a[1] - b[1]), abs(a[2] - b[2])) for a, b in pairs)


@EVERY_STREAM
@pytest.mark.parametrize("name", ["night", "still night", "person"])
def test_no_event_is_lost(tmp_path: Path, name: str, gop: int, rate: Rate) -> None:
    """However a scene is encoded, the governor tells the events, times and crossings of full decoding."""
    scene = scene_of(name, tmp_path / "scene.mp4", gop, rate)
    full, governed = run(scene, governed=False), run(scene, governed=True)
    print(
        f"\n{name} {rate} {gop}: {len(full.events)} events; inferred {full.inferred}, {governed.inferred};",
        end="",
    )
    print(f" {governed.modes} {dict(governed.causes)}")
    assert len(full.events) >= 2
    same_events(full, governed)
    print(f"at most {apart(full, governed):.2f} s apart")
    if rate == "cbr" and gop == 250:
        assert governed.modes == [Mode.FULL]  # ten seconds between keyframes, and sizes tell nothing
    elif gop != 250:
        assert Mode.KEYFRAMES in governed.modes
    if name == "still night" and rate == "crf":
        assert Mode.PACKETS in governed.modes  # after three figures that sizes told of
        assert governed.causes["packet_size"] >= 1


@pytest.mark.parametrize("rate", ["crf", "cbr"])
@pytest.mark.parametrize("name", ["night", "person"])
def test_quiet_camera_costs_a_fraction(tmp_path: Path, name: str, rate: Rate) -> None:
    """At rest, 720p with 50 frames between keyframes takes a fifth of full decoding's CPU, or a twentieth."""
    path = tmp_path / "quiet.mp4"
    if name == "night":
        scene: Scene | None = night(path, 50, rate, [], 22, scale=2)
    else:
        scene = person(path, 50, rate, 46.9, 3, height=720, repeats=4)
    if scene is None:
        pytest.skip("needs the clips of VIGIL_ASSETS")
    costs: dict[Mode, list[float]] = {mode: [] for mode in Mode}
    for _ in range(5):
        for mode in Mode:
            cost = measure_decode(scene.path, mode)
            costs[mode].append(cost.cpu_seconds / cost.packets)
    full, keyframes, packets = (median(costs[mode]) for mode in Mode)
    ratios = f"keyframes {keyframes / full:.3f}, packets {packets / full:.3f}"
    print(f"\n{name} {rate}: full {full * 1e3:.3f} ms a frame; {ratios}")
    assert keyframes <= full / 5
    assert packets <= full / 20


async def test_resting_camera_wakes_in_time(tmp_path: Path) -> None:
    """Over RTSP the daemon rests, still counts every frame, wakes by itself, and tells who came."""
    scene = person(tmp_path / "scene.mp4", 50, "crf", 44.9, 14)
    if scene is None:
        pytest.skip("needs the clips of VIGIL_ASSETS")
    config = tmp_path / "vigil.yaml"
    async with RtspLab() as lab, mosquitto() as broker, recorder(broker) as heard:
        url = await lab.add("/cam", scene.path, fps=FPS)
        config.write_text(
            "mqtt: {host: 127.0.0.1}\n"
            "defaults: {detect: {classes: [person], when: motion}}\n"
            f"cameras: {{cam: {{url: {url}}}}}\n"
        )
        async with DaemonProcess("run", "-c", str(config), mqtt_port=broker) as daemon:

            async def rests() -> bool:
                camera = await daemon.get_json("/api/cameras/cam")
                return bool(camera["decoding"] == "keyframes")

            await daemon.until(rests, 40, "rest")
            resting_at = time.time()
            await heard.until(lambda: _begun(heard, resting_at), within=40)
            metrics = (await daemon.get("/metrics")).decode()
    event, message_at = _begun(heard, resting_at)[0], time.time()
    assert event["label"] == "person"
    assert event["start_time"] < message_at
    values = {
        sample.name: sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.labels in ({"camera": "cam"}, {"camera": "cam", "cause": "motion"})
    }
    assert values["vigil_camera_wakes_total"] >= 1
    assert values["vigil_frames_decoded_total"] < values["vigil_frames_captured_total"]
    assert values["vigil_camera_capture_fps"] >= 0.8 * FPS


def _begun(heard: Recorder, since: float) -> list[dict[str, Any]]:
    """Return the events that began after the camera was seen to rest."""
    events = heard.objects("vigil/cam/events")
    return [event for event in events if event["type"] == "new" and event["start_time"] > since - 2]
