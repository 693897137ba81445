"""Every bench that stands on a running vigil, for seconds: real broker, real RTSP server, real weights.

The figures of so short a run mean little; what is tested is that each bench measures what it says it does.
"""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from tests.support.assets import asset, photograph, weights
from vigil.bench import compare, decode, efficiency, latency, memory, shards
from vigil.bench.footage import FPS, find
from vigil.bench.scenes import make_scene
from vigil.bench.systems import Settings
from vigil.errors import CannotStartError
from vigil.video.upload import decode_picture

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.bench.scenes import Name

pytestmark = pytest.mark.alone

ENGINE = "onnxruntime"
needs_footage = pytest.mark.skipif(
    asset("clips/vtest.avi") is None or asset("clips/one-by-one-person-detection.mp4") is None,
    reason="needs the clips of VIGIL_ASSETS",
)


def said(what: str) -> None:
    """Show where a bench is."""
    print(what)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="the ffmpeg command is not installed")
def test_decode_compares_both_sides(tmp_path: Path) -> None:
    """Each side costs CPU time of the same order, and rest costs less than full decoding."""
    wanted = decode.cases(("h264",), ("360p",), (25,))
    found = decode.measure(wanted, tmp_path, said, rounds=2, seconds=4)
    costs = {row.case.moving: row for row in found.rows}
    assert set(costs) == {True, False}
    for row in found.rows:
        assert 0.01 < row.vigil_ms < 100
        assert 0.1 < row.ratio < 10
    assert found.modes.full_ms > 0
    assert 0 < found.modes.packet_ratio < found.modes.keyframe_ratio < 1


async def test_latency_reads_the_painted_clock(tmp_path: Path) -> None:
    """The clock is read, the glass is older than the arrival by less than a second, the rate is as asked."""
    picture = decode_picture(photograph("bus").read_bytes(), 10**8).to_bgr()
    order = latency.Order(weights("yolo11n"), picture, ENGINE, loads=(25,), seconds=3, settle=1)
    found = await latency.measure(order, tmp_path, said)
    load = found.loads[25]
    print(found)
    assert found.capacity > load.results_per_second > 0
    assert 0 < load.p50_ms <= load.p95_ms <= load.p99_ms
    assert load.p50_ms < load.glass_p50_ms < load.p50_ms + 1000
    assert load.engine_ms > 1


@needs_footage
async def test_efficiency_is_a_share(tmp_path: Path) -> None:
    """A saturated vigil decodes and infers, and what these take alone is a part of what it uses."""
    order = efficiency.Order(
        weights("yolo11n"), None, ENGINE, (360,), cameras=3, seconds=3, settle=1, clip_seconds=4, rounds=1
    )
    found = await efficiency.measure(order, tmp_path, said)
    part = found.parts[360]
    print(part)
    assert part.decoded > 0
    assert part.inferred > 0
    assert 0.2 < part.efficiency < 1.2


async def test_memory_of_cameras_is_measured(tmp_path: Path) -> None:
    """Two cameras take more memory than one, and a slope has an error."""
    order = memory.Order(weights("yolo11n"), ENGINE, cameras=2, seconds=2, every=0.2)
    found = await memory.measure(order, tmp_path, said)
    print(found)
    assert 50 < found.first_camera_mb < 2000
    assert -20 < found.mb_per_camera < 200
    assert math.isfinite(found.slope_error_mb_per_hour)


@needs_footage
async def test_density_finds_a_number(tmp_path: Path) -> None:
    """One camera at one result a second fits beside a dead and a stuttering one, with the people in it."""
    order = compare.Order(
        ("busy",),
        weights("yolo11n"),
        None,
        {},
        Settings(ENGINE),
        fps=1.0,
        seconds=6,
        settle=1,
        most=1,
        guess=1,
        scene_seconds=6,
    )
    [found] = await compare.compare(order, said)
    print(found)
    assert found.vigil.cameras == 1
    assert found.vigil.best is not None
    assert found.vigil.best.objects > 1
    assert found.vigil.best.cpu_ms_per_result > 5
    assert 0 < found.vigil.best.server_cores < 1
    assert tmp_path.exists()


@needs_footage
@pytest.mark.parametrize("name", ["busy", "typical"])
def test_scenes_are_what_a_camera_sends(tmp_path: Path, name: Name) -> None:
    """25 frames/s, a keyframe every 50, H.264, as long as promised, and no two frames alike for noise."""
    scene = make_scene(name, tmp_path, None, height=144, seconds=6, rest=0.5)
    with av.open(str(scene.clip)) as container:
        stream = container.streams.video[0]
        lumas = [frame.to_ndarray()[:144].astype(int) for frame in container.decode(stream)]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 256, 144)
    with av.open(str(scene.clip)) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert [number for number, key in enumerate(keys) if key] == list(range(0, len(keys), 50))
    assert len(keys) == len(lumas) == round(scene.seconds * FPS)
    changes = [float(np.abs(b - a).mean()) for a, b in zip(lumas[::7], lumas[1::7], strict=False)]
    assert min(changes) > 0
    assert sum(end - start for start, end in scene.active) == pytest.approx(
        scene.seconds / (1.5 if name == "typical" else 1), abs=0.1
    )


def test_missing_footage_is_told(tmp_path: Path) -> None:
    """The error names the clip, where it was looked for, and what to do."""
    with pytest.raises(CannotStartError, match=rf"vtest\.avi.*{tmp_path.name}.*--footage"):
        find("vtest.avi", tmp_path)


async def test_shards_are_compared_with_one_process(tmp_path: Path) -> None:
    """Both follow what four cameras ask for; each process' CPU time is told, the front's by itself."""
    order = shards.Order(cameras=(4,), fps=10, looks=5, objects=2, seconds=3, settle=1)
    found = await shards.measure(order, tmp_path, said)
    print(found)
    assert [(row.cameras, row.shards, len(row.shard_cores)) for row in found.rows] == [(4, 1, 0), (4, 2, 2)]
    for row in found.rows:
        assert 10 < row.results_per_second < 30
        assert row.front_cores > 0
        assert row.p95_ms > 0
