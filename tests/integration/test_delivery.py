"""Nothing is lost and nothing is wrong, whoever is killed: the broker, vigil, or both.

`VIGIL_ENDURANCE=1` takes the full times.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from typing import TYPE_CHECKING, Any

from tests.support.assets import photograph
from tests.support.broker import begun_and_ended, mosquitto, recorder
from tests.support.daemon import DaemonProcess, free_port
from tests.support.talking import talking

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.support.broker import Recorder
    from tests.support.talking import Talking

OUTAGE = 20.0 if os.environ.get("VIGIL_ENDURANCE") else 5.0
"""Seconds that the broker is away."""
RATE = 50
"""Events a second."""
EVENTS = "vigil/cam0/events"
PEOPLE = "vigil/cam0/objects/person"


def persisting(folder: Path) -> Sequence[str]:
    """Return the settings of a broker that keeps sessions of subscribers over its death."""
    folder.mkdir(exist_ok=True)
    return (
        "user root",
        "persistence true",
        f"persistence_location {folder}/",
        "autosave_interval 1",
        "autosave_on_changes true",
    )


def unique(told: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what a subscriber that goes by `message_id` keeps: the first of each."""
    return list({message["message_id"]: message for message in reversed(told)}.values())[::-1]


async def stream(vigil: Talking, seconds: float, first: int = 0) -> int:
    """Have events happen at a steady rate; returns the number of the next one."""
    number, until = first, time.monotonic() + seconds
    while time.monotonic() < until:
        vigil.happen(number)
        number += 1
        await asyncio.sleep(1 / RATE)
    return number


async def test_killed_broker_costs_no_event(tmp_path: Path) -> None:
    """The broker is killed under a stream of events: each arrives once after de-duplication, in order."""
    port, settings = free_port(), persisting(tmp_path / "broker")
    async with talking("cam0", state=tmp_path / "o.db", port=port, connected=False) as vigil:
        async with mosquitto(port, *settings, killed=True), recorder(port, "vigil/#", name="ear") as heard:
            await vigil.connected()
            await asyncio.sleep(2)  # the subscription is on the broker's disk
            first = await stream(vigil, 2)
        before = heard.objects(EVENTS)
        async with asyncio.timeout(OUTAGE + 5):
            away = await stream(vigil, OUTAGE, first)
        # What happened since waits, and of what went before only that of which the broker said nothing.
        assert away - first <= (vigil.value("outbox_pending") or 0) <= away
        async with mosquitto(port, *settings), recorder(port, "vigil/#", name="ear") as again:
            await vigil.connected(within=60)
            last = await stream(vigil, 1, away)
            await again.until(lambda: vigil.value("outbox_pending") == 0)

            def ids() -> list[str]:
                return [each["id"] for each in unique([*before, *again.objects(EVENTS)])]

            await again.until(lambda: len(ids()) >= last)
            assert ids() == [f"{number:026}" for number in range(last)]
    print(f"\n{last} events, {away - first} while the broker was away for {OUTAGE:g} s")


async def test_flood_after_an_outage_keeps_its_order(tmp_path: Path) -> None:
    """Thousands of events that waited leave in their order, and none twice while the broker answers."""
    port, count = free_port(), 3000
    async with talking("cam0", state=tmp_path / "o.db", port=port, connected=False) as vigil:
        for number in range(count):
            vigil.happen(number)
            if number % 100 == 0:
                await asyncio.sleep(0)
    # Who hears all must be there before vigil connects, so what waited goes by way of the file.
    async with (
        mosquitto(port),
        recorder(port, "vigil/#") as heard,
        talking("cam0", state=tmp_path / "o.db", port=port),
    ):
        await heard.until(lambda: len(heard.heard[EVENTS]) >= count, within=60)
        ids = [each["message_id"] for each in heard.objects(EVENTS)]
        assert ids == [f"{number:026}-1" for number in range(count)]


async def test_broker_without_memory_knows_all_within_two_seconds(tmp_path: Path) -> None:
    """A broker that comes back empty has all of 64 cameras two seconds after vigil is connected."""
    cameras, port = [f"cam{number}" for number in range(64)], free_port()
    state = tmp_path / "o.db"
    async with talking(*cameras, state=state, port=port, connected=False, labels=4, zones=4) as vigil:
        async with mosquitto(port, killed=True), recorder(port) as heard:
            await vigil.connected()
            await heard.until(lambda: heard.last("vigil/cam63/status") == b"online")
            await asyncio.sleep(0.5)
            before = {topic: payloads[-1] for topic, payloads in heard.heard.items()}
        async with mosquitto(port), recorder(port) as heard:
            await vigil.connected(within=60)
            started = time.monotonic()
            await heard.until(lambda: all(heard.last(topic) == before[topic] for topic in before), within=2)
    print(f"\n{len(before)} topics in {time.monotonic() - started:.2f} s")
    assert len(before) >= 64 * (16 + 5 + 4)


def one_camera(folder: Path, port: int, *cameras: str, zones: str = "") -> str:
    """Write a configuration of cameras that see people who stay; returns its path."""
    url = f"photo:{photograph('zidane')}?size=640x360&fps=10"
    lines = "".join(f"  {camera}: {{url: '{url}'{zones}}}\n" for camera in cameras)
    path = folder / "vigil.yaml"
    path.write_text(
        f"model: {{size: 320}}\nmqtt: {{host: 127.0.0.1, port: {port}}}\n"
        f"defaults: {{detect: {{fps: 2, classes: [person]}}}}\ncameras:\n{lines}"
    )
    return str(path)


def stories(told: Sequence[dict[str, Any]]) -> dict[str, list[str]]:
    """Return the types of each event's messages, in order, each message once."""
    found: dict[str, list[str]] = {}
    for message in unique(told):
        found.setdefault(message["id"], []).append(message["type"])
    return found


def check_told_well(told: Sequence[dict[str, Any]]) -> None:
    """Fail unless a message id always says the same, and numbers an event's messages without a gap."""
    texts: dict[str, set[str]] = {}
    for message in told:
        texts.setdefault(message["message_id"], set()).add(json.dumps(message, sort_keys=True))
    assert all(len(each) == 1 for each in texts.values()), texts
    for event in {message["id"] for message in told}:
        numbers = [int(each["message_id"].rpartition("-")[2]) for each in unique(told) if each["id"] == event]
        assert numbers == [*range(1, len(numbers) + 1)]


async def in_mid_event(heard: Recorder) -> None:
    """Wait until somebody is seen and an event has begun."""
    await heard.until(lambda: heard.heard[EVENTS], within=60)
    await heard.until(lambda: heard.last(PEOPLE) not in {None, b"0"})


async def test_killed_vigil_ends_its_events_when_it_is_back(tmp_path: Path) -> None:
    """Killed in mid-event, vigil ends each at its next start, in every form, and counts begin anew."""
    environ = {"VIGIL_STATE": str(tmp_path / "state"), "VIGIL_COMPAT__FRIGATE": "true"}
    async with (
        mosquitto() as port,
        recorder(port, "vigil/#") as heard,
        recorder(port, "frigate/#") as frigate,
    ):
        config = one_camera(tmp_path, port, "cam0")
        async with DaemonProcess("run", "-c", config, environ=environ, mqtt_port=port) as daemon:
            await in_mid_event(heard)
            await daemon.kill()
        await heard.until(lambda: heard.last("vigil/status") == b"offline")
        cut = stories(heard.objects(EVENTS))
        assert all(types[-1] != "end" for types in cut.values())
        counted = len(heard.heard[PEOPLE])
        async with DaemonProcess("run", "-c", config, environ=environ, mqtt_port=port):
            await heard.until(
                lambda: all(stories(heard.objects(EVENTS))[event][-1] == "end" for event in cut)
            )
            await heard.until(lambda: len(heard.heard[PEOPLE]) > counted + 1)
            assert heard.heard[PEOPLE][counted] == b"0", "nobody is seen before anybody has looked"
        await check(heard, cut)
        for topic in ("frigate/events", "frigate/reviews"):
            # This subscriber hears of the ends in its own time.
            await frigate.until(lambda topic=topic: begun_and_ended(frigate, topic))  # type: ignore[misc]  # mypy cannot infer a lambda with a default


async def check(heard: Recorder, cut: dict[str, list[str]]) -> None:
    """Fail unless every event, those that were `cut` among them, has one beginning and one end."""
    await heard.until(lambda: heard.last("vigil/status") == b"offline")  # the last word
    told = heard.objects(EVENTS)
    check_told_well(told)
    assert set(cut) <= set(stories(told))
    for types in stories(told).values():
        assert (types[0], types[-1]) == ("new", "end")
        assert types.count("end") == 1
    for message in told:
        if message["type"] == "end":
            assert message["end_time"] >= message["start_time"] > 1e9
    assert heard.last(PEOPLE) == b"0"
    assert heard.last("vigil/cam0/status") == b"offline"


async def test_killed_vigil_without_a_broker_tells_the_next_one(tmp_path: Path) -> None:
    """Killed in mid-event while the broker is away: what happened is told, whole, once both are back."""
    environ, port = {"VIGIL_STATE": str(tmp_path / "state")}, free_port()
    config = one_camera(tmp_path, port, "cam0")
    async with DaemonProcess("run", "-c", config, environ=environ, mqtt_port=port) as daemon:

        async def has_begun() -> bool:
            lines = (await daemon.get("/metrics")).decode().splitlines()
            return any(
                line.startswith("vigil_outbox_pending ") and float(line.split()[1]) > 0 for line in lines
            )

        await daemon.until(has_begun, 60, "see somebody")
        await daemon.kill()
    async with mosquitto(port) as port, recorder(port, "vigil/#") as heard:
        async with DaemonProcess("run", "-c", config, environ=environ, mqtt_port=port):
            await heard.until(
                lambda: any(types[-1] == "end" for types in stories(heard.objects(EVENTS)).values())
            )
            cut = {event: types for event, types in stories(heard.objects(EVENTS)).items() if "end" in types}
            assert cut
        await check(heard, cut)


async def test_what_left_the_file_leaves_the_broker(tmp_path: Path) -> None:
    """Cameras and zones that go from the file, and another prefix, while vigil is killed are taken back."""
    environ = {"VIGIL_STATE": str(tmp_path / "state"), "VIGIL_HOMEASSISTANT__DISCOVERY": "false"}
    zone = ", zones: {gate: {polygon: [[0, 0], [1, 0], [1, 1]]}}"
    async with mosquitto() as port:
        config = one_camera(tmp_path, port, "cam0", "gone", zones=zone)
        async with (
            recorder(port) as heard,
            DaemonProcess("run", "-c", config, environ=environ, mqtt_port=port) as daemon,
        ):
            await heard.until(lambda: heard.last("vigil/gone/zones/gate/person") is not None)
            await heard.until(lambda: heard.last("vigil/gone/status") == b"online")
            await daemon.kill()
        one_camera(tmp_path, port, "cam0")
        other = {**environ, "VIGIL_MQTT__TOPIC_PREFIX": "house/vigil"}
        for wanted, prefix in ((environ, "vigil"), (other, "house/vigil")):
            async with (
                DaemonProcess("run", "-c", config, environ=wanted, mqtt_port=port),
                recorder(port) as heard,
            ):
                await heard.until(lambda heard=heard, prefix=prefix: only_cam0(heard, prefix))  # type: ignore[misc]  # mypy cannot infer a lambda with a default


def only_cam0(heard: Recorder, prefix: str) -> bool:
    """Tell whether the broker has what is retained of `cam0`, and of nobody else, under this prefix."""
    topics = {topic for topic in list(heard.heard) if heard.last(topic)}
    told = {f"{prefix}/status", f"{prefix}/cam0/status", f"{prefix}/cam0/objects/person"} <= topics
    return told and all(
        topic.startswith(f"{prefix}/") and "gone" not in topic and "gate" not in topic for topic in topics
    )
