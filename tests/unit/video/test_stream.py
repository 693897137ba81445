"""Files through FFmpeg's libraries, with tiny clips; and what each library error is told as."""

from __future__ import annotations

import socket
import wave
from itertools import chain, islice, pairwise
from typing import TYPE_CHECKING, cast

import av
import av.error
import numpy as np
import pytest

from tests.support.fakes import Clock
from vigil.bench.clips import make_clip, read_counter
from vigil.config.model import CameraConfig
from vigil.errors import (
    DecodeError,
    EndedError,
    NotFoundError,
    RefusedError,
    SourceError,
    SourceTimeoutError,
    UnauthorizedError,
    UnsupportedError,
)
from vigil.video.decode import Scalers, YuvImage
from vigil.video.decoder import PacketDecoder
from vigil.video.open import open_source
from vigil.video.photo import PhotoSource
from vigil.video.stream import StreamSource, classify, open_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from av.video.stream import VideoStream

    from vigil.video.decoder import VideoPacket
    from vigil.video.source import Pause, Picture


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return ten numbered frames at 10 fps."""
    path = tmp_path_factory.mktemp("clips") / "ten.mp4"
    return make_clip(path, width=128, height=128, fps=10, seconds=1, gop=5, counter=True)


def source(path: object, pause: Pause = lambda _seconds: False, *, as_camera: bool = False) -> StreamSource:
    """Return a source that is not opened yet: played once as fast as it can be read, or as a camera."""
    return StreamSource(CameraConfig(url=str(path)), pause, paced=as_camera, looped=as_camera)


def played(stream: StreamSource, count: int | None = None) -> list[Picture]:
    """Open, read and close."""
    try:
        stream.open()
        return list(islice(stream.pictures(), count))
    finally:
        stream.close()


@pytest.mark.parametrize("b_frames", [0, 2])
def test_every_frame_comes_once_and_in_order(tmp_path: Path, b_frames: int) -> None:
    """A recording gives each frame in the order of its time, even if they are coded in another."""
    path = make_clip(
        tmp_path / "a.mp4", width=128, height=128, fps=10, seconds=2, b_frames=b_frames, counter=True
    )
    frames = played(source(path))
    assert [read_counter(each.image.to_bgr()) for each in frames] == list(range(20))
    assert [each.pts for each in frames] == [pytest.approx(number / 10) for number in range(20)]


class Ticking(Clock):
    """A clock that has gone on by a second whenever it is read."""

    def time(self) -> float:
        """Return the time and let some pass."""
        self.now += 1
        return self.now


def test_each_frame_has_its_own_packets_arrival(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that the decoder held back counts from when its own packet came, not from when it came out."""
    monkeypatch.setattr("vigil.video.stream.time", Ticking(0))
    path = make_clip(tmp_path / "a.mp4", width=128, height=128, fps=10, seconds=2, gop=20, b_frames=2)
    assert {each.captured_at for each in played(source(path))} == set(range(1, 21))


def test_file_as_camera_keeps_its_own_time(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that stands for a camera is paced by its timestamps, and starts over at its end."""
    clock = Clock()
    monkeypatch.setattr("vigil.video.stream.time", clock)

    def pause(seconds: float) -> bool:
        clock.now += seconds
        return False

    frames = played(source(clip, pause, as_camera=True), 25)
    assert [read_counter(each.image.to_bgr()) for each in frames] == [*range(10), *range(10), *range(5)]
    gaps = [later.captured_at - sooner.captured_at for sooner, later in pairwise(frames[:10])]
    assert gaps == [pytest.approx(0.1, abs=0.001)] * 9


class StillPlayingError(AssertionError):
    """The source went on after it was told to stop."""


def test_told_to_stop_a_paced_file_ends(clip: Path) -> None:
    """When the pause is cut short because the capture ends, the pictures end, and nothing starts over."""
    calls = 0

    def pause(_seconds: float) -> bool:
        nonlocal calls
        calls += 1
        if calls > 50:
            raise StillPlayingError
        return calls > 3

    assert len(played(source(clip, pause, as_camera=True))) <= 4


def test_file_url_is_a_path(clip: Path) -> None:
    """`file:` before a path is understood."""
    assert len(played(source(f"file:{clip}"))) == 10


def test_missing_file_is_not_found(tmp_path: Path) -> None:
    """A path that does not exist is told as such, without the path, and closing is safe."""
    with pytest.raises(NotFoundError, match="there is no such file"):
        played(source(tmp_path / "nothing.mp4"))


def test_file_that_is_no_video_is_unsupported(tmp_path: Path) -> None:
    """Text is not video."""
    path = tmp_path / "notes.mp4"
    path.write_text("not a video " * 100)
    with pytest.raises(UnsupportedError):
        played(source(path))


def test_sound_alone_is_unsupported(tmp_path: Path) -> None:
    """A file with nothing but sound carries no video."""
    path = tmp_path / "sound.wav"
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))
    with pytest.raises(UnsupportedError, match="it carries no video"):
        played(source(path))


def test_nobody_listens_is_refused_without_the_password() -> None:
    """A refused connection is told in a sentence that holds no part of the address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    camera = CameraConfig(url=f"rtsp://viewer:sesame@127.0.0.1:{port}/drive")
    with pytest.raises(RefusedError) as error:
        played(StreamSource(camera, lambda _seconds: False))
    assert str(error.value) == "nobody listens at this address"
    assert error.value.__suppress_context__


def test_damaged_packets_are_survived(clip: Path, tmp_path: Path) -> None:
    """Some broken bytes in the middle cost some frames, not the stream."""
    data = bytearray(clip.read_bytes())
    middle = data.index(b"mdat") + 2000
    data[middle : middle + 300] = bytes(300)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    assert 3 <= len(played(source(damaged))) <= 10


class Context:
    """A codec context that can be given a number of threads."""

    thread_count = 0


class Broken:
    """A video stream none of whose packets can be decoded."""

    codec_context = Context()

    def decode(self, _packet: object) -> list[object]:
        """Fail as FFmpeg does."""
        raise av.error.InvalidDataError(1, "broken")


class Packet:
    """A packet with its number for a time."""

    def __init__(self, pts: int) -> None:
        self.pts = pts


def test_nothing_but_damage_ends_the_stream() -> None:
    """After a hundred packets in a row that cannot be decoded the source gives up."""
    given: list[int] = []

    def packets() -> Iterator[Packet]:
        for number in range(1000):
            given.append(number)
            yield Packet(number)

    decoder: PacketDecoder[float] = PacketDecoder(cast("VideoStream", Broken()))
    frames = (decoder.decode(cast("VideoPacket", packet), 0.0) for packet in packets())
    with pytest.raises(DecodeError, match="100 packets in a row"):
        list(chain.from_iterable(frames))
    assert len(given) == 100


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (av.error.HTTPUnauthorizedError(1, "rtsp://u:sesame@h/"), UnauthorizedError),
        (av.error.HTTPForbiddenError(1, "rtsp://u:sesame@h/"), UnauthorizedError),
        (av.error.HTTPNotFoundError(1, "rtsp://u:sesame@h/"), NotFoundError),
        (av.error.FileNotFoundError(2, "sesame"), NotFoundError),
        (av.error.ConnectionRefusedError(111, "sesame"), RefusedError),
        (av.error.ConnectionResetError(104, "sesame"), RefusedError),
        (av.error.TimeoutError(110, "sesame"), SourceTimeoutError),
        (av.error.ExitError(1, "sesame"), SourceTimeoutError),
        (av.error.InvalidDataError(1, "sesame"), UnsupportedError),
        (av.error.ProtocolNotFoundError(1, "sesame"), UnsupportedError),
        (av.error.EOFError(1, "sesame"), EndedError),
        (OSError(113, "No route to host", "sesame"), RefusedError),
        (av.error.UnknownError(1, "sesame", "sesame"), SourceError),
    ],
)
def test_library_errors_are_told_apart_and_keep_secrets(error: Exception, kind: type[SourceError]) -> None:
    """Each cause has its own class, and its message never quotes what could hold a password."""
    told = classify(error)
    assert type(told) is kind
    assert str(told)
    if kind is not SourceError:
        assert "sesame" not in str(told)


def test_options_are_for_rtsp_alone() -> None:
    """RTSP is opened without probing and over the wished transport; a file needs no options."""
    options = open_options(CameraConfig(url="rtsp://10.0.0.5/a", transport="udp"))
    assert options["rtsp_transport"] == "udp"
    assert (options["analyzeduration"], options["fpsprobesize"]) == ("0", "0")
    assert open_options(CameraConfig(url="/tmp/a.mp4")) == {}


def test_picture_is_scaled_like_any_other_picture(clip: Path) -> None:
    """RGB planes from the decoder's own format agree with the whole picture's colours, in 0..1."""
    image = played(source(clip), 1)[0].image
    out = np.full((3, 64, 64), -1, np.float32)
    image.write_rgb(out)
    whole = image.to_bgr()
    assert whole.shape == (image.height, image.width, 3) == (128, 128, 3)
    shrunk = whole[:, :, ::-1].reshape(64, 2, 64, 2, 3).mean(axis=(1, 3)).transpose(2, 0, 1) / 255
    assert 0 <= out.min() <= out.max() <= 1.001
    assert np.abs(out - shrunk).mean() < 0.02


def test_colours_lie_in_their_planes() -> None:
    """Red, green and blue of a decoded frame come out in this order."""
    bgr = np.full((64, 64, 3), (30, 90, 200), np.uint8)
    frame = av.VideoFrame.from_ndarray(bgr, format="bgr24").reformat(format="yuv420p")
    out = np.empty((3, 32, 32), np.float32)
    YuvImage(frame, Scalers()).write_rgb(out)
    assert (out * 255).mean(axis=(1, 2)).tolist() == [pytest.approx(level, abs=4) for level in (200, 90, 30)]


def test_picture_is_written_into_a_view(clip: Path) -> None:
    """A part of a larger tensor, with rows that are not side by side, is filled and nothing around it."""
    image = played(source(clip), 1)[0].image
    canvas, alone = np.full((3, 96, 96), -1, np.float32), np.empty((3, 50, 70), np.float32)
    image.write_rgb(canvas[:, 10:60, 20:90])
    image.write_rgb(alone)
    assert (canvas[:, 10:60, 20:90] == alone).all()
    canvas[:, 10:60, 20:90] = -1
    assert (canvas == -1).all()


def test_address_chooses_the_source() -> None:
    """`photo:` is a photograph, everything else a stream."""

    def pause(_seconds: float) -> bool:
        return False

    assert isinstance(open_source(CameraConfig(url="photo:/tmp/a.jpg"), pause), PhotoSource)
    assert isinstance(open_source(CameraConfig(url="rtsp://10.0.0.5/a"), pause), StreamSource)
