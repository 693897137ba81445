"""Percentiles, fairness and trends; what the kernel says of processes; what vigil says of itself."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import sys
import time
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.bench import usage
from vigil.bench.daemon import parse
from vigil.bench.figures import jain, percentile, trend
from vigil.bench.subscriber import read
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from pathlib import Path

BUSY = """
import sys, time
held = bytearray(50_000_000)
while time.process_time() < 0.3:
    pass
print()
sys.stdin.read()
"""
VALUES = st.lists(st.floats(0, 1000), min_size=1)


def test_percentile_is_the_value_that_so_many_do_not_exceed() -> None:
    """Of 1 to 100 the 95th percentile is 95; a single value is every percentile; none is no number."""
    assert [percentile(range(1, 101), share) for share in (0, 50, 95, 99, 100)] == [1, 50, 95, 99, 100]
    assert percentile([7.0], 50) == percentile([7.0], 99) == 7.0
    assert math.isnan(percentile([], 95))


@given(VALUES, st.floats(0, 100))
def test_percentile_is_one_of_the_values(values: list[float], share: float) -> None:
    """At least that share of the values is not larger, and it is one of them."""
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= len(values) * share / 100 - 1e-9


def test_jain_tells_equal_from_unequal() -> None:
    """Equal shares have 1, one of four who has all has a quarter, half as much for one of two has 0.9."""
    assert jain([3.0, 3.0, 3.0]) == 1
    assert jain([8.0, 0.0, 0.0, 0.0]) == 0.25
    assert jain([2.0, 1.0]) == 0.9
    assert jain([]) == jain([0.0, 0.0]) == 1


def test_trend_is_the_slope_of_a_line_with_its_error() -> None:
    """A line has its slope per hour and no error; noise has an error that covers the slope."""
    seconds = [float(second) for second in range(0, 3600, 10)]
    line = trend(seconds, [100 + second / 360 for second in seconds])
    assert line.per_hour == pytest.approx(10)
    assert line.error == pytest.approx(0, abs=1e-9)
    noise = trend(seconds, [100 + (-1) ** number for number in range(len(seconds))])
    assert abs(noise.per_hour) < 3 * noise.error
    assert 0.01 < noise.error < 1


@pytest.mark.parametrize("carried_over", [0.0, 0.5, 0.9])
def test_error_of_a_trend_holds_for_values_that_stay_where_they_were(carried_over: float) -> None:
    """Nine of ten series without a trend keep within two errors, however much a value keeps of the last."""
    random, within = Random(0), 0  # noqa: S311 -- the same noise in each run
    seconds = [float(second) for second in range(0, 1440, 5)]
    for _ in range(100):
        value, values = 0.0, []
        for _ in seconds:
            value = carried_over * value + random.gauss(0, 1)
            values.append(value)
        line = trend(seconds, values)
        within += abs(line.per_hour) < 2 * line.error
    assert within >= 88


def test_one_step_is_no_trend() -> None:
    """What grows once, in the middle of an hour, has a slope that is not told from none."""
    seconds = [float(second) for second in range(0, 3600, 5)]
    step = trend(seconds, [float(second >= 1800) for second in seconds])
    assert 1 < step.per_hour < 2
    assert step.error > step.per_hour / 2


def test_two_samples_tell_no_error() -> None:
    """Two points lie on every line through them."""
    assert trend([0.0, 1800.0], [1.0, 2.0]).error == math.inf
    assert trend([0.0, 1800.0], [1.0, 2.0]).per_hour == 2


def test_usage_of_a_process_counts_its_children() -> None:
    """CPU time and memory of a child are part of this process's, and it stands in the family."""
    child = subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdout.readline()
    try:
        assert child.pid in usage.family(os.getpid())
        assert usage.cpu_seconds(child.pid) >= 0.25
        assert usage.cpu_seconds(os.getpid()) >= usage.cpu_seconds(child.pid) + time.process_time() - 0.05
        assert usage.resident_mb(os.getpid()) >= usage.resident_mb(child.pid) > 40
    finally:
        child.stdin.close()
        child.stdout.close()
        child.wait()
    assert usage.family(child.pid) == []
    assert usage.cpu_seconds(child.pid) == usage.resident_mb(child.pid) == 0


def test_time_that_a_host_did_not_give_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what the kernel calls steal, of all cores together, in seconds."""
    (tmp_path / "stat").write_text("cpu  60 30 6 1426 10 0 2 1124 0 0\ncpu0 30 15 3 713 5 0 1 562 0 0\n")
    monkeypatch.setattr(usage, "_PROC", tmp_path)
    assert usage.stolen_seconds() == 1124 / os.sysconf("SC_CLK_TCK")


def test_scrape_reads_what_vigil_writes() -> None:
    """Values without labels, by camera, and sums over the rest of the labels come out of the real text."""
    metrics = Metrics()
    for camera, frames in (("drive", 3), ("gate", 4)):
        series = metrics.add_camera(camera)
        for _ in range(frames):
            series.dropped("quiet")
        series.dropped("not_due")
    metrics.inferred(2, 0.25)
    scrape = parse(metrics.render().decode())
    assert scrape.by_camera("vigil_frames_dropped_total", reason="quiet") == {"drive": 3, "gate": 4}
    assert scrape.total("vigil_frames_dropped_total", camera="gate") == 5
    assert scrape.total("vigil_inference_seconds_sum") == 0.25
    assert scrape.total("vigil_inference_seconds_bucket", le="+Inf") == 1
    assert scrape.total("no_such_series") == 0


def test_a_message_is_read_with_its_times_and_boxes() -> None:
    """Camera, both times and each box come out of a payload, with the time at which it was heard."""
    payload = (
        b'{"camera": "drive", "captured_at": 5.0, "published_at": 5.5, '
        b'"detections": [{"bbox": {"x1": 1, "y1": 2, "x2": 3, "y2": 4}}]}'
    )
    heard = read(payload, 6.0)
    assert (heard.camera, heard.captured_at, heard.published_at, heard.heard_at) == ("drive", 5.0, 5.5, 6.0)
    assert heard.boxes == ((1, 2, 3, 4),)


@given(VALUES)
def test_the_middle_percentile_is_the_low_median(values: list[float]) -> None:
    """The 50th percentile is what the standard library calls the low median."""
    assert percentile(values, 50) == statistics.median_low(values)
