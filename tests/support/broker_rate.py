"""What the embedded broker costs: `python -m tests.support.broker_rate`, one JSON object.

One paho client publishes, another subscribes to all of it; CPU time is that of the broker's process alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.daemon import free_port
from vigil.sinks.broker import EmbeddedBroker
from vigil.sinks.retained import Kept, RetainedStore

if TYPE_CHECKING:
    from collections.abc import Callable

MESSAGES = 10_000
PAYLOAD = bytes(300)
TOPICS = 2000
PATIENCE = 120.0


class Counter:
    """A subscriber to everything that counts."""

    def __init__(self, port: int, wanted: int, qos: int) -> None:
        self._left = wanted
        self._ready, self._done = threading.Event(), threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._client.on_message = self._count
        self._client.on_subscribe = lambda *_rest: self._ready.set()
        self._client.connect("127.0.0.1", port)
        self._client.subscribe("#", qos)
        self._client.loop_start()
        if not self._ready.wait(PATIENCE):
            raise TimeoutError("not subscribed")

    def wait(self) -> None:
        """Wait until all has come; raises `TimeoutError`."""
        if not self._done.wait(PATIENCE):
            raise TimeoutError(f"{self._left} messages did not come")
        self._client.disconnect()
        self._client.loop_stop()

    def _count(self, *_rest: object) -> None:
        self._left -= 1
        if self._left == 0:
            self._done.set()


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process up to now."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def passed_on(port: int, pid: int, qos: int) -> dict[str, float]:
    """Return rate and cost of messages of one quality of service, published as fast as they are taken."""
    heard = Counter(port, MESSAGES, qos)
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(1000)
    client.connect("127.0.0.1", port)
    client.loop_start()
    began, cpu = time.perf_counter(), cpu_seconds(pid)
    for number in range(MESSAGES):
        client.publish(f"vigil/camera{number % 8}/detections", PAYLOAD, qos)
    heard.wait()
    seconds, cpu = time.perf_counter() - began, cpu_seconds(pid) - cpu
    client.disconnect()
    client.loop_stop()
    return {"per_second": round(MESSAGES / seconds), "cpu_us_each": round(cpu / MESSAGES * 1e6, 1)}


async def with_broker(folder: Path, measure: Callable[[int, int], object]) -> tuple[float, object]:
    """Return how long the broker took to start, and what was measured of it."""
    broker = EmbeddedBroker("127.0.0.1", free_port(), retained=folder / "retained.sqlite")
    began = time.perf_counter()
    await broker.start()
    started = time.perf_counter() - began
    try:
        return round(started, 3), await asyncio.to_thread(measure, broker.port, broker.pid)
    finally:
        await broker.stop()


def restored(port: int, _pid: int) -> float:
    """Return the seconds until a new subscriber has all that is retained."""
    began = time.perf_counter()
    Counter(port, TOPICS, 1).wait()
    return round(time.perf_counter() - began, 3)


async def main() -> None:
    """Measure all of it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty, qos0 = await with_broker(folder, lambda port, pid: passed_on(port, pid, 0))
        _, qos1 = await with_broker(folder, lambda port, pid: passed_on(port, pid, 1))
        store = RetainedStore(folder / "retained.sqlite")
        store.write({f"home/room{number}/state": Kept(PAYLOAD, 1) for number in range(TOPICS)})
        store.close()
        full, heard = await with_broker(folder, restored)
    found = {"qos0": qos0, "qos1": qos1, "start_seconds": empty}
    json.dump({**found, "start_with_2000_seconds": full, "heard_2000_seconds": heard}, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    asyncio.run(main())
