"""`vigil bench mqtt` as a person runs it."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.daemon import ROOT, clean_environ

pytestmark = pytest.mark.alone


def test_bench_measures_every_way() -> None:
    """A short run against a mosquitto of its own tells rate, CPU time and size of each way."""
    run = subprocess.run(
        [sys.executable, "-m", "vigil", "bench", "mqtt", "--json", "--messages", "1000", "--rounds", "1"],
        cwd=ROOT,
        env=clean_environ(),
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )
    found = json.loads(run.stdout)
    assert found.pop("protocol") == "3.1.1"
    assert list(found) == ["qos0", "qos1", "outbox"]
    for figures in found.values():
        assert figures["messages_per_second"] > 0
        assert 0 < figures["cpu_us_per_message"] < 10_000
        assert 250 <= figures["payload_bytes"] <= 450
