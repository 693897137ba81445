"""Real codecs under the governor: what is left out is caught up with, whole, in order, and nothing twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, cast

import av
import numpy as np
import pytest

from vigil.bench.clips import Codec, make_clip, read_counter
from vigil.config.model import CameraConfig
from vigil.errors import DecodeError
from vigil.video.decoder import PacketDecoder
from vigil.video.governed import GovernedSource
from vigil.video.governor import Mode
from vigil.video.ring import Arrival, PacketRing
from vigil.video.source import Picture
from vigil.video.stream import StreamSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vigil.core.types import Image
    from vigil.video.decoder import VideoPacket
    from vigil.video.source import Skipped

GOP, FPS = 10, 10


@dataclass
class Guard:
    """An attention and a log in one: rests from the start, and is woken by one picture."""

    wakes_at: int | None = None
    """Number of the first picture in which something stirs."""
    busy: int = 0
    """How often there is no room when it is asked."""
    turn: float = 0.0
    resting: bool = True
    stirring: bool = False
    following: bool = False
    modes: list[str] = field(default_factory=list)
    causes: list[str] = field(default_factory=list)

    def stirs(self, image: Image) -> bool:
        """Tell whether the picture is one of those; from then on the camera does not rest."""
        if self.wakes_at is not None and read_counter(image.to_bgr()) >= self.wakes_at:
            self.resting = False
        return not self.resting

    def has_room(self) -> bool:
        """Be busy for a while."""
        self.busy -= 1
        return self.busy < 0

    def decoding(self, mode: str) -> None:
        """Note it."""
        self.modes.append(mode)

    def woke(self, cause: str) -> None:
        """Note it."""
        self.causes.append(cause)


def played(path: Path, guard: Guard, *, tail: bool = False) -> list[Picture | Skipped]:
    """Play a recording once under the governor, by its own time."""
    stream = StreamSource(CameraConfig(url=str(path)), no_pause, paced=False, looped=False)
    source = GovernedSource(stream, guard, guard, no_pause, recorded=True, tail=tail)
    try:
        source.open()
        return list(source.pictures())
    finally:
        source.close()


def no_pause(_seconds: float) -> bool:
    """Wait for nothing."""
    return False


def numbers(items: list[Picture | Skipped]) -> list[int]:
    """Return the numbers of the pictures."""
    return [read_counter(item.image.to_bgr()) for item in items if isinstance(item, Picture)]


def clip(path: Path, codec: Codec = "h264", *, seconds: float = 5, gop: int = GOP, b_frames: int = 0) -> Path:
    """Make a clip of numbered pictures."""
    return make_clip(
        path,
        codec=codec,
        width=128,
        height=128,
        fps=FPS,
        seconds=seconds,
        gop=gop,
        b_frames=b_frames,
        counter=True,
    )


def coded(path: Path, encoder: str, parameters: str, seconds: float = 5) -> Path:
    """Make the same clip with an encoder's own parameters, which may be none."""
    key = f"{encoder.removeprefix('lib')}-params"
    options = {"preset": "ultrafast", key: parameters} if parameters else {}
    plain = clip(path.with_name("plain.mp4"), seconds=seconds)
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = cast("VideoStream", target.add_stream(encoder, rate=FPS, options=options))
        stream.width = stream.height = 128
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = Fraction(1, FPS)
        for number, frame in enumerate(source.decode(video=0)):
            picture = av.VideoFrame.from_ndarray(frame.to_ndarray(format="yuv420p"), format="yuv420p")
            picture.pts, picture.time_base = number, Fraction(1, FPS)
            target.mux(stream.encode(picture))
        target.mux(stream.encode(None))
    return path


OPEN_GOPS = f"keyint={GOP}:min-keyint={GOP}:scenecut=0:bframes=2:b-adapt=0:open-gop=1:log-level=none"
MAKERS: dict[str, Callable[[Path], Path]] = {
    "h264": lambda folder: clip(folder / "a.mp4"),
    "h264 with B-frames": lambda folder: clip(folder / "a.mp4", b_frames=2),
    "h264 with open GOPs": lambda folder: coded(folder / "a.mp4", "libx264", OPEN_GOPS),
    "hevc": lambda folder: clip(folder / "a.mp4", "hevc"),
    "hevc with B-frames": lambda folder: clip(folder / "a.mp4", "hevc", b_frames=2),
    "hevc with open GOPs": lambda folder: coded(folder / "a.mp4", "libx265", OPEN_GOPS),
}


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_rest_decodes_keyframes_alone(tmp_path: Path, maker: Callable[[Path], Path]) -> None:
    """From the second keyframe on every keyframe is seen, whatever the order of coding, and nothing else."""
    guard = Guard()
    items = played(maker(tmp_path), guard)
    seen = numbers(items)
    assert seen[:GOP] == list(range(GOP))
    keys = [number for number in seen if number > GOP]
    assert keys == [20, 30, 40]
    assert guard.modes == [Mode.FULL, Mode.KEYFRAMES]
    assert len(items) == 50


@pytest.mark.parametrize("maker", MAKERS.values(), ids=MAKERS)
def test_what_was_left_out_is_caught_up_with(tmp_path: Path, maker: Callable[[Path], Path]) -> None:
    """When picture 30 stirs, all from picture 20 on come in order, each once, and so does the rest."""
    guard = Guard(wakes_at=30)
    items = played(maker(tmp_path), guard)
    seen = numbers(items)
    assert seen[seen.index(20) :] == list(range(20, 50))
    assert guard.causes == ["motion"]
    assert guard.modes == [Mode.FULL, Mode.KEYFRAMES, Mode.FULL]


def test_times_are_those_of_the_packets(tmp_path: Path) -> None:
    """Pictures that come late carry the arrival of their own packets, and say that they are late."""
    items = played(clip(tmp_path / "a.mp4", b_frames=2), Guard(wakes_at=30))
    told = {item.captured_at for item in items if not isinstance(item, Picture)}
    late = [item for item in items if isinstance(item, Picture) and item.late]
    assert [read_counter(item.image.to_bgr()) for item in late][:10] == list(range(21, 31))
    assert {item.captured_at for item in late[:10]} <= told
    assert all(item.pts == pytest.approx(read_counter(item.image.to_bgr()) / FPS) for item in late)


def test_every_packet_is_told_once(tmp_path: Path) -> None:
    """Pictures in time and words for packets that were put aside add up to what came."""
    for guard in (Guard(), Guard(wakes_at=30)):
        items = played(clip(tmp_path / "a.mp4", b_frames=2), guard)
        assert sum(not (isinstance(item, Picture) and item.late) for item in items) == 50


def test_a_busy_engine_holds_the_catch_up_back(tmp_path: Path) -> None:
    """While a picture waits for an engine none is decoded; packets are taken, and none is lost."""
    guard = Guard(wakes_at=30, busy=10**9)
    path = clip(tmp_path / "a.mp4", seconds=8)
    items = played(path, guard)
    seen = numbers(items)
    assert seen[seen.index(20) :] == list(range(20, 80))
    shown = [number for number, item in enumerate(items) if isinstance(item, Picture) and item.late]
    # Nothing for five seconds of stream; then the newest is what counts again.
    assert shown[0] > 75
    assert shown[0] - 5 * FPS >= 25


def test_what_is_behind_by_less_than_a_turn_waits_for_nobody(tmp_path: Path) -> None:
    """Half a second before the present, with a turn of half a second, all the rest is decoded at once."""
    guard = Guard(wakes_at=30, turn=0.5)
    seen = numbers(played(clip(tmp_path / "a.mp4"), guard))
    assert seen[seen.index(20) :] == list(range(20, 50))
    assert -guard.busy == len(range(20, 27))  # asked before each of these, and never again


def test_mjpeg_is_looked_at_twice_a_second(tmp_path: Path) -> None:
    """Of a stream of nothing but keyframes every fifth of ten a second is decoded, and woken is whole."""
    path = clip(tmp_path / "a.avi", "mjpeg")
    assert np.diff(numbers(played(path, Guard()))[3:]).tolist() == [5] * 7
    seen = numbers(played(path, Guard(wakes_at=30)))
    assert seen[seen.index(30) :] == list(range(30, 50))


def test_end_of_a_recording_is_not_slept_through(tmp_path: Path) -> None:
    """What is kept when a recording ends is decoded, unless it is not wanted."""
    path = clip(tmp_path / "a.mp4")
    assert numbers(played(path, Guard(), tail=True))[-10:] == list(range(40, 50))
    assert numbers(played(path, Guard(), tail=False))[-1] == 40


def test_other_codecs_are_decoded_in_full(tmp_path: Path) -> None:
    """A codec that was never tried under the governor is left alone."""
    guard = Guard()
    items = played(coded(tmp_path / "a.avi", "mpeg4", ""), guard)
    assert numbers(items) == list(range(50))
    assert guard.modes == [Mode.FULL]


def test_refreshed_line_by_line_is_decoded_in_full(tmp_path: Path) -> None:
    """A stream that is refreshed bit by bit, without a whole keyframe, is never left to its keyframes."""
    guard = Guard()
    path = coded(tmp_path / "a.ts", "libx264", "keyint=10:intra-refresh=1:bframes=0", seconds=8)
    items = played(path, guard)
    assert guard.modes[-1] == Mode.FULL
    assert len(guard.modes) <= 3
    assert numbers(items)[-10:] == list(range(70, 80))


def test_damaged_keyframe_is_no_reason_to_sleep(tmp_path: Path) -> None:
    """A keyframe that cannot be decoded ends the rest, which begins again with the next one."""
    guard = Guard()
    path = clip(tmp_path / "a.mp4", seconds=8)
    decode = PacketDecoder.alone

    def damaged(self: PacketDecoder[object], packet: VideoPacket) -> VideoFrame | None:
        if packet.pts is not None and packet.pts * packet.time_base == 3:
            raise DecodeError("a keyframe is damaged")
        return decode(self, packet)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PacketDecoder, "alone", damaged)
        seen = numbers(played(path, guard))
    assert guard.causes == ["demand"]
    assert seen[seen.index(20) : seen.index(40) + 1] == list(range(20, 41))
    assert seen[seen.index(40) :] == [40, 50, 60, 70]


def arrival(now: float, *, key: bool = False, size: int = 10) -> Arrival[float]:
    """Return a packet that is its own time."""
    return Arrival(now, key, size, now, now)


def test_ring_is_bounded() -> None:
    """The ring says when it holds too many bytes or too many packets."""
    ring: PacketRing[float] = PacketRing(most_bytes=100, most_packets=5)
    ring.begin(arrival(0, key=True))
    for now in range(4):
        ring.add(arrival(now))
    states = [ring.full]
    ring.add(arrival(9))
    states.append(ring.full)
    ring.begin(arrival(10, key=True, size=101))
    states.append(ring.full)
    ring.clear()
    assert [*states, ring.full] == [False, True, True, False]


def test_ring_gives_from_the_keyframe_before() -> None:
    """What is asked for begins with the last keyframe up to that time, or is all there is."""
    ring: PacketRing[float] = PacketRing()
    for now in range(10):
        ring.add(arrival(now, key=now % 4 == 0))
    assert [each.packet for each in ring.since(7.5)] == [4, 5, 6, 7, 8, 9]
    assert [each.packet for each in ring.since(8)] == [8, 9]
    assert len(ring.since(-1)) == 10
