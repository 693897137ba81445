"""What decoding costs: the `ffmpeg` command against vigil's capture, and the capture's quiet modes.

CPU time both: of the child as the kernel counts it, of the thread that captures. Clips are made here. Rounds
are taken in turn, medians compared.
"""

from __future__ import annotations

import itertools
import math
import os
import shutil
import statistics
import subprocess
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np

from vigil.bench.clips import make_clip, texture, yuv420
from vigil.bench.footage import FPS, GOP, encode_as_camera
from vigil.config.model import CameraConfig
from vigil.errors import CannotStartError
from vigil.video.governor import Mode
from vigil.video.measure import measure_decode
from vigil.video.stream import StreamSource

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from vigil.bench.clips import Codec, Picture
    from vigil.core.types import UInt8

SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080)}
CODECS: tuple[Codec, ...] = ("h264", "hevc", "mjpeg")
GOPS = (25, 50, 250)
ROUNDS = 5
_SECONDS = 10
"""Length of a clip: one keyframe interval of the longest."""
_ENOUGH = 1.0
"""CPU seconds of decoding in one run of ffmpeg, at least."""
_NOISE = 1.0
"""Standard deviation; flat areas keep more of it than real footage does."""
_QUIET = "720p"
_QUIET_SECONDS = 30


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of stream."""

    codec: Codec
    size: str
    gop: int
    moving: bool


@dataclass(frozen=True, slots=True)
class Row:
    """Median CPU milliseconds per frame of both sides, and vigil's over ffmpeg's of the same round."""

    case: Case
    ffmpeg_ms: float
    vigil_ms: float
    ratio: float


@dataclass(frozen=True, slots=True)
class Modes:
    """CPU of the capture of a quiet stream: milliseconds per frame, and the two modes over that."""

    full_ms: float
    keyframe_ratio: float
    packet_ratio: float


@dataclass(frozen=True, slots=True)
class Decoding:
    """All that was measured."""

    rows: tuple[Row, ...]
    modes: Modes
    ffmpeg: str

    def to_json(self) -> dict[str, object]:
        """Return it as one object."""
        rows = [
            {**asdict(row.case), "ffmpeg_ms": row.ffmpeg_ms, "vigil_ms": row.vigil_ms, "ratio": row.ratio}
            for row in self.rows
        ]
        return {
            **asdict(self.modes),
            "quiet_stream": f"h264 {_QUIET} GOP {GOP}",
            "ffmpeg": self.ffmpeg,
            "rows": rows,
        }


def cases(codecs: Sequence[Codec], sizes: Sequence[str], gops: Sequence[int]) -> list[Case]:
    """Return every combination; MJPEG has no intervals of keyframes."""
    found = [Case(*each) for each in itertools.product(codecs, sizes, gops, (True, False))]
    return [case for case in found if case.codec != "mjpeg" or case.gop == gops[0]]


def measure(
    wanted: Sequence[Case],
    folder: Path,
    tick: Callable[[str], None],
    rounds: int = ROUNDS,
    seconds: float = _SECONDS,
) -> Decoding:
    """Measure all cases and the modes; raises `CannotStartError` where there is no `ffmpeg`."""
    program = shutil.which("ffmpeg")
    if program is None:
        raise CannotStartError("the command ffmpeg, which vigil is compared with, is not installed")
    rows = []
    for number, case in enumerate(wanted, 1):
        name = f"{case.codec} {case.size} GOP {case.gop} {'moving' if case.moving else 'still'}"
        tick(f"{number} of {len(wanted)}: {name}")
        rows.append(_row(case, _clip(case, folder, seconds), program, rounds))
    tick("modes of a quiet camera")
    quiet = quiet_clip(folder / "quiet.mp4", SIZES[_QUIET], min(_QUIET_SECONDS, 3 * seconds))
    return Decoding(tuple(rows), modes(quiet, rounds), _version(program))


def modes(clip: Path, rounds: int) -> Modes:
    """Measure the capture's modes on a quiet stream, in turn."""
    costs: dict[Mode, list[float]] = {mode: [] for mode in Mode}
    for _ in range(rounds):
        for mode, spent in costs.items():
            cost = measure_decode(clip, mode)
            spent.append(cost.cpu_seconds / cost.packets)
    return Modes(
        1000 * statistics.median(costs[Mode.FULL]),
        _paired(costs[Mode.KEYFRAMES], costs[Mode.FULL]),
        _paired(costs[Mode.PACKETS], costs[Mode.FULL]),
    )


def capture_seconds(clip: Path) -> float:
    """Return the CPU seconds per frame that vigil's capture takes to decode a clip."""
    source = StreamSource(CameraConfig(url=str(clip)), lambda _seconds: False, paced=False, looped=False)
    source.open()
    before = time.thread_time()
    frames = sum(1 for _ in source.pictures())
    spent = time.thread_time() - before
    source.close()
    return spent / frames


def ffmpeg_seconds(program: str, clip: Path, frames: int, rounds: int) -> float:
    """Return the CPU seconds per frame of the `ffmpeg` command, what it takes to start left out.

    The clip of so many frames is played `rounds` times over.
    """
    start = _child_seconds(program, clip, output=("-frames:v", "1"))
    whole = _child_seconds(program, clip, before=("-stream_loop", str(rounds - 1)))
    return (whole - start) / (frames * rounds - 1)


def quiet_clip(path: Path, size: tuple[int, int], seconds: float) -> Path:
    """Encode a still scene with some sensor noise, about 2 kB a frame at 720p."""
    width, height = size
    luma = texture(np.random.default_rng(0), width, height)
    whole = yuv420(luma, "yuv420p").to_ndarray().astype(np.uint8)

    def shown() -> Iterator[UInt8]:
        for _ in range(round(seconds * FPS)):
            yield whole

    return encode_as_camera(path, shown(), _NOISE)


def _row(case: Case, clip: Path, program: str, rounds: int) -> Row:
    frames = _frames(clip)
    # Starting ffmpeg costs tens of milliseconds, give or take ten: there must be much more to decode.
    times = math.ceil(_ENOUGH / frames / capture_seconds(clip))
    theirs, ours = [], []
    for _ in range(rounds):
        theirs.append(ffmpeg_seconds(program, clip, frames, times))
        ours.append(capture_seconds(clip))
    return Row(case, 1000 * statistics.median(theirs), 1000 * statistics.median(ours), _paired(ours, theirs))


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))


def _clip(case: Case, folder: Path, seconds: float) -> Path:
    width, height = SIZES[case.size]
    picture: Picture = "pattern" if case.moving else "still"
    name = f"{case.codec}-{case.size}-{case.gop}-{picture}.mkv"
    return make_clip(
        folder / name,
        codec=case.codec,
        width=width,
        height=height,
        seconds=seconds,
        gop=case.gop,
        picture=picture,
    )


def _frames(clip: Path) -> int:
    source = StreamSource(CameraConfig(url=str(clip)), lambda _seconds: False, paced=False, looped=False)
    source.open()
    frames = sum(1 for _ in source.pictures())
    source.close()
    return frames


def _child_seconds(
    program: str, clip: Path, *, before: Sequence[str] = (), output: Sequence[str] = ()
) -> float:
    source = ["-v", "error", "-nostdin", "-threads", "1", *before, "-i", str(clip)]
    child = subprocess.Popen([program, *source, *output, "-f", "null", "-"])  # noqa: S603 -- our own words
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise CannotStartError(f"ffmpeg cannot decode {clip.name}")
    return usage.ru_utime + usage.ru_stime


def _version(program: str) -> str:
    said = subprocess.run([program, "-version"], capture_output=True, text=True, check=True)  # noqa: S603 -- as above
    return said.stdout.split()[2]
