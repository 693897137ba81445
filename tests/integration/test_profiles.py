"""Profiles in a running vigil: by its clock, over MQTT and over HTTP, while the camera goes on."""

from __future__ import annotations

import itertools
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.support.assets import photograph
from tests.support.broker import mosquitto, recorder
from tests.support.daemon import DaemonProcess
from tests.support.wire import client, publish

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.broker import Recorder

STATE = "vigil/profile/state"
LINES = {f"at{x}": x / 1000 for x in (670, 695, 720, 760, 780, 800)}
"""Where a man stands, one after another, while the view pans to its right and back."""
AHEAD = 20
"""Seconds from the start of vigil to the time of the profile `night`."""
RATES = {"none": 2.0, "away": 4.0, "night": 5.0}


def write_config(folder: Path) -> str:
    """Write a camera that pans over two people, so that they cross lines."""
    path = folder / "vigil.yaml"
    lines = ", ".join(f"{name}: {{from: [{x}, 0], to: [{x}, 1]}}" for name, x in LINES.items())
    path.write_text(f"""
model: {{size: 320}}
mqtt: {{host: 127.0.0.1}}
cameras:
  cam:
    url: photo:{photograph("zidane")}?size=640x360&fps=10
    detect: {{fps: {RATES["none"]}, classes: [person], when: always}}
    lines: {{{lines}}}
profiles:
  away: {{defaults: {{detect: {{fps: {RATES["away"]}}}}}}}
  night: {{when: "12:00-13:00", defaults: {{detect: {{fps: {RATES["night"]}, confidence: 0.4}}}}}}
""")
    return str(path)


def zone_in_which_it_is_noon_in(seconds: int) -> str:
    """Return a `TZ` in which the clock shows 12:00:00 that many seconds from now."""
    now = datetime.fromtimestamp(time.time() + seconds, UTC)
    west = (now.hour - 12) * 3600 + now.minute * 60 + now.second
    return (
        f"{'TST+' if west >= 0 else 'TST-'}{abs(west) // 3600}:{abs(west) // 60 % 60:02}:{abs(west) % 60:02}"
    )


def topic_of(line: str) -> str:
    """Return the topic of a line's totals."""
    return f"vigil/cam/lines/{line}/person"


def crossed(heard: Recorder) -> int:
    """Return how often all lines together have been crossed."""
    return sum(sum(heard.objects(topic_of(name))[-1].values()) for name in LINES)


async def choose(daemon: DaemonProcess, profile: str) -> tuple[int, Any]:
    """Ask for a profile over HTTP; returns status and answer."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(daemon.url("/api/profile"), json={"profile": profile}) as answer,
    ):
        return answer.status, await answer.json(content_type=None)


async def in_force(daemon: DaemonProcess, heard: Recorder, profile: str, within: float = 5.0) -> None:
    """Wait until everybody is told that this profile is in force, and the camera is looked at accordingly."""
    await heard.until(lambda: heard.last(STATE) == profile.encode(), within=within)
    assert (await daemon.get_json("/api/profile"))["active"] == (None if profile == "none" else profile)
    assert (await daemon.get_json("/api/cameras/cam"))["target_fps"] == RATES[profile]
    # And it is looked at: some results more, counted on.
    seen = len(heard.heard["vigil/cam/detections"])
    await heard.until(lambda: len(heard.heard["vigil/cam/detections"]) >= seen + 5)


async def test_profiles_switch_while_the_camera_goes_on(tmp_path: Path) -> None:
    """Its time, MQTT and HTTP switch the profile; no frame is lost, totals go on, a wrong name is a line."""
    config = write_config(tmp_path)
    environ = {"VIGIL_STATE": str(tmp_path / "state"), "TZ": zone_in_which_it_is_noon_in(AHEAD)}
    async with (
        mosquitto() as port,
        recorder(port) as heard,
        DaemonProcess("run", "-c", config, environ=environ, mqtt_port=port) as daemon,
    ):
        await in_force(daemon, heard, "none")
        await in_force(daemon, heard, "night", within=AHEAD + 5)
        async with client(port, "hand") as hand:
            hand.say(publish("vigil/profile/set", b"away", qos=1))
            await in_force(daemon, heard, "away")
            status, view = await choose(daemon, "none")
            assert (status, view["active"], view["chosen"]) == (200, None, "none")
            await in_force(daemon, heard, "none")
            hand.say(publish("vigil/profile/set", b"attic", qos=1))
            await daemon.wait_for_log("there is no profile 'attic'")
            assert (await choose(daemon, "attic"))[0] == 422
            await in_force(daemon, heard, "none")
            hand.say(publish("vigil/profile/set", b"auto", qos=1))
            await in_force(daemon, heard, "night")
        async with recorder(port, STATE) as late:
            await late.until(lambda: late.last(STATE) == b"night")
            assert late.retained == {STATE}
        log, before = daemon.log, crossed(heard)
        # Totals of before the switches are there, and counted on.
        assert before
        await heard.until(lambda: crossed(heard) > before, within=30)

    assert log.count("attic") == 1
    assert log.count("cam: live") == 1
    assert [line.rsplit(maxsplit=1)[1] for line in log.splitlines() if " profile: " in line] == [
        *("night", "away", "none", "night")
    ]
    _went_on(heard)


def _went_on(heard: Recorder) -> None:
    """Check that frames were captured without a gap and that totals only grew, over all switches."""
    results = heard.objects("vigil/cam/detections")
    for one, next_one in itertools.pairwise(results):
        # Ten frames a second, numbered; looked at twice a second at least.
        assert one["seq"] < next_one["seq"]
        assert next_one["captured_at"] - one["captured_at"] < 1.5
    frames = results[-1]["seq"] - results[0]["seq"]
    assert frames >= 0.95 * 10 * (results[-1]["captured_at"] - results[0]["captured_at"])
    for name in LINES:
        totals = [counted["in"] + counted["out"] for counted in heard.objects(topic_of(name))]
        assert totals == sorted(totals)
