"""The pure parts of the other benches: what is measured, the painted clock, and what is printed."""

from __future__ import annotations

import io
import json
import math
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pytest
from rich.console import Console

from tests.support.fakes import FakeImage
from vigil.bench import decode, efficiency, latency, memory, null, shards, tables
from vigil.bench.alone import on_every_core
from vigil.bench.peers.install import PACKAGES
from vigil.bench.subscriber import Heard
from vigil.bench.systems import PEERS
from vigil.bench.timecode import Clock, paint
from vigil.bench.walkers import SHAPE
from vigil.config.model import Config
from vigil.core.cores import cores
from vigil.video.governor import Mode
from vigil.video.measure import DecodeCost

if TYPE_CHECKING:
    from rich.console import RenderableType

CLOCK = Clock(Path("clock.mp4"), 64, offset=100.0)


def shown(*tables: RenderableType) -> str:
    """Return what a person sees."""
    console = Console(width=200, file=io.StringIO(), record=True)
    console.print(*tables)
    return console.export_text()


class TestDecode:
    """Kinds of streams, and the modes that a capture has."""

    def test_all_kinds_are_measured_once(self) -> None:
        """Three codecs, sizes and intervals, moving and still; MJPEG has no intervals."""
        found = decode.cases(decode.CODECS, tuple(decode.SIZES), decode.GOPS)
        assert len(found) == len(set(found)) == 2 * 3 * (3 + 3 + 1)

    def test_json_has_the_keys_of_the_contract(self) -> None:
        """What a quiet camera costs stands at the top, each kind of stream in a row."""
        row = decode.Row(decode.Case("h264", "720p", 50, moving=True), 2.0, 2.2, 1.1)
        found = decode.Decoding((row,), decode.Modes(2.0, 0.15, 0.03), "5.1")
        said = json.loads(json.dumps(found.to_json()))
        assert (said["full_ms"], said["keyframe_ratio"], said["packet_ratio"]) == (2.0, 0.15, 0.03)
        assert said["rows"][0]["vigil_ms"] == 2.2
        assert "0.150 of it by keyframes" in shown(tables.decode(found), tables.decode_modes(found))
        assert "h264 720p GOP 50, moving" in shown(tables.decode(found))

    def test_modes_are_compared_round_by_round(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A machine that is slow for one round changes no ratio."""
        monkeypatch.setattr(decode, "measure_decode", Uneven())
        found = decode.modes(Path("quiet.mp4"), 3)
        assert (found.full_ms, found.keyframe_ratio, found.packet_ratio) == (2.0, 0.25, 0.05)


class Uneven:
    """Measures modes on a machine that is ten times as slow in the second round."""

    COSTS: ClassVar = {Mode.FULL: 2.0, Mode.KEYFRAMES: 0.5, Mode.PACKETS: 0.1}

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, _path: Path, mode: Mode) -> DecodeCost:
        """Return what a mode costs."""
        self.calls += 1
        slow = self.calls in {4, 5, 6}
        return DecodeCost(100, 1, self.COSTS[mode] / 10 * (10 if slow else 1))


class TestClock:
    """A frame's number, read off the place of a person."""

    def test_number_is_read_from_a_box_that_is_off_by_less_than_half_a_step(self) -> None:
        """Seven pixels to either side change nothing; none or two boxes tell nothing."""
        for off in (-7, 0, 7):
            left = Clock.place(12) + off
            assert CLOCK.number([(left, 0, left + 200, 500)]) == 12
        assert CLOCK.number([]) is None
        assert CLOCK.number([(0, 0, 200, 500), (300, 0, 500, 500)]) is None
        assert CLOCK.number([(-400, 0, -200, 500)]) is None

    def test_age_is_the_time_since_the_frame_was_sent_last(self) -> None:
        """A frame of the third round is as old as it is, whatever came before."""
        sent = 1000.0 + 2 * CLOCK.seconds + 12 / 25
        assert CLOCK.age(12, sent + 0.3, origin=1000.0) == pytest.approx(0.3)

    def test_person_moves_one_step_per_frame(self) -> None:
        """Each frame is the one before, shifted; the first shows the person at the left edge."""
        photograph = np.random.default_rng(0).integers(0, 255, (1080, 810, 3), np.uint8)
        frames = list(paint(photograph))
        assert len(frames) > 40
        np.testing.assert_array_equal(frames[3][:, Clock.place(3) :], frames[0][:, : -Clock.place(3)])
        assert (frames[3][:, : Clock.place(3)] == 114).all()

    def test_glass_is_counted_for_readable_frames_only(self) -> None:
        """Of two messages the one without a box is left out."""
        left = Clock.place(5)
        seen = Heard("c0", 10.25, 10.3, 10.5, ((left, 0, left + 200, 500),))
        blind = Heard("c0", 10.25, 10.3, 10.5, ())
        assert latency.glass_ms([seen, blind], CLOCK, {"c0": 10.0}) == [pytest.approx(300.0)]


class TestReports:
    """What latency, efficiency and memory print."""

    def test_latency_has_the_keys_of_the_contract(self) -> None:
        """Each load stands under its number as text, with percentiles and the engine's time."""
        load = latency.Latency(50, 60, 70, 40, 90, 100, 110, math.nan, 100, 5.0, 5.0, 0.5)
        found = latency.Latencies({25: load}, 20.0, 4)
        said = json.loads(json.dumps(found.to_json(), allow_nan=False))
        wanted = {"p50_ms": 50, "p95_ms": 60, "p99_ms": 70, "engine_ms": 40, "glass_p95_ms": 100}
        assert wanted.items() <= said["loads"]["25"].items()
        assert said["loads"]["25"]["batch_ms"] is None
        assert "25 %" in shown(tables.latency(found))

    def test_efficiency_is_the_ideal_over_what_was_used(self) -> None:
        """200 frames of 5 ms and 10 images of 50 ms are 1.5 s: three quarters of 2 s; sums over sizes."""
        part = efficiency.Part(8, 10.0, 200, 10, 5.0, 50.0, 2.0, 1.5)
        other = efficiency.Part(8, 10.0, 200, 10, 10.0, 50.0, 2.5, 1.5)
        found = efficiency.Efficiency({720: part, 1080: other})
        assert part.efficiency == 0.75
        said = json.loads(json.dumps(found.to_json()))
        assert said["ideal_cpu_seconds"] == 4.0
        assert said["used_cpu_seconds"] == 4.5
        assert said["efficiency"] == round(4.0 / 4.5, 4)
        assert said["sizes"]["720p"]["efficiency"] == 0.75
        assert "8 x 1080p" in shown(tables.efficiency(found))

    def test_memory_is_shared_by_the_cameras_over_the_first(self) -> None:
        """Five cameras with 120 MB more are 30 MB each; the warm-up is no part of the slope."""
        seconds = tuple(float(second) for second in range(0, 3600, 36))
        grown = tuple(420.0 if second >= 720 else 300.0 + second / 6 for second in seconds)
        single = memory.Samples((0.0, 1.0), (300.0, 300.0), 50.0)
        order = memory.Order(Path("weights"), cameras=5, seconds=3600.0)
        found = memory.summary(order, single, memory.Samples(seconds, grown, 50.0))
        assert found.mb_per_camera == 30
        assert found.slope_mb_per_hour == pytest.approx(0)
        assert "each camera over the first" in shown(tables.memory(found))

    def test_every_peer_has_a_script_and_its_packages(self) -> None:
        """Each named peer has a file in the package, and one of the environments that can be installed."""
        folder = Path(decode.__file__).parent / "peers"
        assert all((folder / script).is_file() for script in PEERS.values())
        assert set(PACKAGES) == {"ultralytics", "roboflow"}


def test_work_is_shared_by_all_cores() -> None:
    """As many threads as cores do the work, and the time is that of one unit."""
    done: list[int] = []

    def work() -> int:
        done.append(1)
        return 10

    assert on_every_core(work) >= 0
    assert len(done) == cores()


class TestShards:
    """From where several processes do more than one."""

    def test_it_pays_where_a_twentieth_more_is_done(self) -> None:
        """The least number of cameras counts; equal results and noise are no gain."""
        found = scale((8, 1, 200.0), (8, 2, 202.0), (48, 1, 1000.0), (48, 2, 1150.0), (64, 1, 400.0))
        assert found.pays_from == 48
        assert scale((8, 1, 200.0), (8, 2, 200.0)).pays_from is None
        assert scale((8, 2, 200.0)).pays_from is None

    def test_json_and_table_say_what_each_process_used(self) -> None:
        """CPU per result is that of all processes."""
        found = scale((8, 2, 200.0))
        said = json.loads(json.dumps(found.to_json()))
        assert said["rows"][0]["shard_cores"] == [0.1, 0.2]
        assert said["rows"][0]["cpu_ms_per_result"] == pytest.approx(2.0)
        assert "front and 2" in shown(tables.shards(found))

    def test_shards_know_the_null_engine_by_its_name(self) -> None:
        """What opens it travels to another process, and its answers are people that a head can read."""
        named = pickle.loads(pickle.dumps(null.open_services))  # noqa: S301 -- our own
        config = Config.model_validate({"cameras": {"a": {"url": "rtsp://10.0.0.5/a"}}})
        [service] = named(config, {}, {null.OBJECTS: "3"}).values()
        detector = service.detector
        found = detector.detect(detector.letterbox(), [FakeImage(160, 96)], [0.3], SHAPE)
        assert [len(each) for each in found] == [3]
        assert found[0].xyxy.max() <= 160


def scale(*rows: tuple[int, int, float]) -> shards.Scale:
    """Return runs of so many cameras and processes with so many results a second."""
    return shards.Scale(
        2,
        25.0,
        25.0,
        10,
        tuple(
            shards.Row(cameras, number, 25.0 * cameras, results, 10.0, 0.1, (0.1, 0.2))
            for cameras, number, results in rows
        ),
    )
