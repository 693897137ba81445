"""What packets say of a camera: pure arithmetic, with times and sizes made up; then a small clip's probe."""

from __future__ import annotations

import socket
import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.bench.clips import make_clip
from vigil.config.model import CameraConfig
from vigil.errors import NotFoundError, RefusedError
from vigil.video.probe import Packets, Report, probe, report

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NAN = float("nan")


def packets(
    count: int,
    *,
    fps: float = 25.0,
    gop: int = 25,
    sizes: Sequence[int] = (1000,),
    clock: float = 1.0,
) -> Packets:
    """Return packets of a live camera whose clock runs at `clock` times ours; sizes come round and round."""
    numbers = range(count)
    return Packets(
        arrivals=[500.0 + number / fps for number in numbers],
        times=[90.0 + number / fps * clock for number in numbers],
        sizes=[sizes[number % len(sizes)] for number in numbers],
        keys=[number % gop == 0 for number in numbers],
    )


def reported(found: Packets, *, live: bool = True) -> Report:
    """Return the report of these packets."""
    return report("h264", (1920, 1080), found, opened_after=0.25, first_frame_after=0.5, live=live)


def test_what_was_measured_elsewhere_is_passed_on() -> None:
    """Codec, size and the times of opening stand in the report as they were given."""
    told = reported(packets(100))
    assert (told.codec, told.width, told.height) == ("h264", 1920, 1080)
    assert (told.opened_after, told.first_frame_after) == (0.25, 0.5)


@pytest.mark.parametrize("fps", [0.5, 10.0, 29.97])
def test_frame_rate_is_that_of_the_streams_own_time(fps: float) -> None:
    """Frames per second come from the timestamps, not from when packets happened to arrive."""
    found = packets(50, fps=fps)
    found.arrivals = [500.0 + number // 10 for number in range(50)]
    assert reported(found, live=False).frame_rate == pytest.approx(fps)


@pytest.mark.parametrize(
    ("gop", "count", "told"), [(25, 100, 25), (50, 51, 50), (1, 10, 1), (250, 100, None)]
)
def test_gop_is_counted_in_frames(gop: int, count: int, told: int | None) -> None:
    """Frames from keyframe to keyframe; with fewer than two keyframes nothing is claimed."""
    assert reported(packets(count, gop=gop)).gop == told


def test_longest_gop_is_told() -> None:
    """With scene cuts in between, the longest distance counts: it is what one waits for at worst."""
    found = packets(60)
    found.keys = [number in {3, 8, 48, 52} for number in range(60)]
    assert reported(found).gop == 40


def test_bit_rate_is_bits_per_second_of_stream() -> None:
    """1000 bytes 25 times a second are 200 kbit/s, in a long measurement."""
    assert reported(packets(2500)).bit_rate == pytest.approx(200_000, rel=0.001)


@pytest.mark.parametrize(
    ("sizes", "constant"),
    [
        ([1000], True),
        ([20_000, *[200] * 24], True),  # heavy keyframes once a second are still constant
        ([1000] * 25 + [3000] * 25, False),
    ],
)
def test_constant_bit_rate_is_judged_by_whole_seconds(sizes: list[int], constant: bool) -> None:  # noqa: FBT001 -- parametrized
    """Seconds that weigh about the same are constant, whatever single frames weigh."""
    assert reported(packets(251, sizes=sizes)).constant is constant


def test_last_second_is_not_held_against_a_constant_rate() -> None:
    """The measurement ends somewhere within a second, which weighs less for it."""
    assert reported(packets(25 * 5 + 3)).constant is True


@pytest.mark.parametrize("clock", [1.0, 1.001, 0.999])
def test_drift_is_seconds_per_hour(clock: float) -> None:
    """A camera whose clock runs a thousandth fast gains 3.6 seconds an hour."""
    drift = reported(packets(250, clock=clock)).drift
    assert drift == pytest.approx((clock - 1) * 3600, abs=0.01)


def test_jitter_is_no_drift() -> None:
    """Packets that arrive up to 20 ms late do not make a right clock wrong."""
    found = packets(1500)
    late = np.random.default_rng(1).uniform(0, 0.02, 1500)
    found.arrivals = [at + float(delay) for at, delay in zip(found.arrivals, late, strict=True)]
    assert reported(found).drift == pytest.approx(0, abs=1.0)


def test_drift_is_told_only_where_it_can_be() -> None:
    """Neither a recording nor less than five seconds say anything of a clock."""
    assert reported(packets(250, clock=1.5), live=False).drift is None
    assert reported(packets(100)).drift is None


def test_short_stream_claims_nothing() -> None:
    """A single packet has no rate, GOP, drift or steadiness; two seconds have no steadiness."""
    told = reported(packets(1))
    assert (told.frame_rate, told.gop, told.bit_rate, told.constant, told.drift) == (0, None, 0, None, None)
    assert reported(packets(60)).constant is None


def test_packets_without_a_time_are_left_out() -> None:
    """What carries no timestamp counts for nothing but its keyframe; none at all is no crash."""
    found = packets(250)
    plain = reported(found)
    for series, value in (
        (found.arrivals, 510.0),
        (found.times, NAN),
        (found.sizes, 10**9),
        (found.keys, False),
    ):
        series.append(value)  # type: ignore[arg-type]  # each list gets its own kind
    assert reported(found) == plain
    found.times = [NAN] * 251
    told = reported(found)
    assert (told.frame_rate, told.bit_rate, told.constant, told.drift) == (0, 0, None, None)


@given(
    st.lists(
        st.tuples(st.one_of(st.just(NAN), st.floats(-1e4, 1e4)), st.integers(0, 10**6), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    st.booleans(),
)
def test_no_timestamps_break_the_report(rows: list[tuple[float, int, bool]], live: bool) -> None:  # noqa: FBT001 -- hypothesis passes it
    """Whatever times a camera writes, jumping back and forth or missing, a report comes out."""
    times, sizes, keys = (list(column) for column in zip(*rows, strict=True))
    found = Packets([500.0 + number / 25 for number in range(len(rows))], times, sizes, keys)
    with warnings.catch_warnings(action="ignore"):
        told = reported(found, live=live)
    assert told.frame_rate >= 0
    assert told.bit_rate >= 0


def test_clip_is_probed(tmp_path: Path) -> None:
    """A recording is measured by its own time: size, rate, GOP, without waiting for it to play."""
    path = make_clip(tmp_path / "a.mp4", width=160, height=120, fps=10, seconds=6, gop=20)
    told = probe(CameraConfig(url=str(path)), 60.0)
    assert (told.codec, told.width, told.height) == ("h264", 160, 120)
    assert told.frame_rate == pytest.approx(10)
    assert told.gop == 20
    assert told.drift is None
    assert 0 <= told.opened_after <= told.first_frame_after


def test_probe_ends_when_it_has_seen_enough(tmp_path: Path) -> None:
    """`seconds` of a longer recording are enough: the second keyframe is not reached."""
    path = make_clip(tmp_path / "a.mp4", width=160, height=120, fps=10, seconds=6, gop=40)
    assert probe(CameraConfig(url=str(path)), 2.0).gop is None


def test_probe_says_why_it_cannot(tmp_path: Path) -> None:
    """A missing file and a closed port are told as the capture would tell them, without the password."""
    with pytest.raises(NotFoundError):
        probe(CameraConfig(url=str(tmp_path / "none.mp4")), 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(RefusedError) as caught:
        probe(CameraConfig(url=f"rtsp://viewer:sesame@127.0.0.1:{port}/a"), 1.0)
    assert "sesame" not in str(caught.value)
