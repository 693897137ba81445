"""Folders, pictures at an address and OpenCV's sources: what is opened, at which pace, and when it ends."""

from __future__ import annotations

import time
from contextlib import suppress
from itertools import islice, pairwise
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.support.fakes import Clock
from vigil.bench.clips import make_clip, read_counter
from vigil.config.model import CameraConfig
from vigil.errors import NotFoundError, RefusedError, SourceError, UnsupportedError
from vigil.video.decoder import PacketDecoder
from vigil.video.folder import FolderSource
from vigil.video.open import open_source
from vigil.video.opencv import OpenCvSource
from vigil.video.photo import PhotoSource
from vigil.video.snapshot import SnapshotSource
from vigil.video.source import Picture
from vigil.video.stream import StreamSource

if TYPE_CHECKING:
    from pathlib import Path

    from av.video.frame import VideoFrame

    from vigil.video.decode import YuvImage
    from vigil.video.source import Source


class Pausing(Clock):
    """A clock that goes on only while somebody pauses; tells to stop after so many pauses, if at all."""

    def __init__(self, stop_after: int | None = None) -> None:
        super().__init__()
        self.left = stop_after

    def __call__(self, seconds: float, /) -> bool:
        """Pause."""
        self.now += seconds
        if self.left is not None:
            self.left -= 1
        return self.left is not None and self.left < 0


@pytest.fixture
def pause(monkeypatch: pytest.MonkeyPatch) -> Pausing:
    """Give every source a clock that goes on only while it pauses."""
    pause = Pausing()
    for module in ("stream", "snapshot", "opencv"):
        monkeypatch.setattr(f"vigil.video.{module}.time", pause)
    return pause


def played(source: Source, count: int | None = None) -> list[Picture]:
    """Open, read and close."""
    try:
        source.open()
        return [each for each in islice(source.pictures(), count) if isinstance(each, Picture)]
    finally:
        source.close()


def camera(url: object, **keys: object) -> CameraConfig:
    """Return a camera's configuration."""
    return CameraConfig.model_validate({"url": str(url), **keys})


def clip(path: Path, seconds: float = 0.5) -> Path:
    """Make a numbered clip at 10 fps."""
    return make_clip(path, width=128, height=128, fps=10, seconds=seconds, counter=True)


def jpeg(path: Path, level: int = 128) -> Path:
    """Write a grey JPEG."""
    assert cv2.imwrite(str(path), np.full((64, 64, 3), level, np.uint8))
    return path


def numbers(pictures: list[Picture]) -> list[int]:
    """Return the numbers that the pictures carry."""
    return [read_counter(each.image.to_bgr()) for each in pictures]


def test_address_and_keys_choose_the_source(tmp_path: Path, pause: Pausing) -> None:
    """A folder, a snapshot interval and OpenCV have sources of their own; everything else is a stream."""
    for config, kind in (
        (camera(tmp_path), FolderSource),
        (camera(f"file:{tmp_path}"), FolderSource),
        (camera("http://10.0.0.5/a.jpg", snapshot_interval="5s"), SnapshotSource),
        (camera("0", backend="opencv"), OpenCvSource),
        (camera("photo:/tmp/a.jpg"), PhotoSource),
        (camera(tmp_path / "a.mp4"), StreamSource),
        (camera("rtsp://10.0.0.5/a"), StreamSource),
    ):
        assert type(open_source(config, pause)) is kind


def test_folder_plays_file_after_file_for_ever(tmp_path: Path, pause: Pausing) -> None:
    """Files come by name, each at its own pace, and after the last one the first again."""
    clip(tmp_path / "b.mp4", 0.3)
    clip(tmp_path / "a.mp4", 0.5)
    (tmp_path / "sub").mkdir()
    frames = played(FolderSource(tmp_path, camera(tmp_path), pause), 18)
    assert numbers(frames) == [*range(5), *range(3), *range(5), *range(3), 0, 1]
    gaps = [later.captured_at - sooner.captured_at for sooner, later in pairwise(frames[:5])]
    assert gaps == [pytest.approx(0.1, abs=0.001)] * 4


def test_codec_is_known_once_pictures_come(tmp_path: Path, pause: Pausing) -> None:
    """Streams, files of a folder and snapshots say how they are coded; a photograph and OpenCV do not."""
    path = clip(tmp_path / "a.mp4")
    for source, codec in (
        (StreamSource(camera(path), pause, paced=False), "h264"),
        (FolderSource(tmp_path, camera(tmp_path), pause), "h264"),
        (SnapshotSource(camera(jpeg(tmp_path / "b.jpg")), pause, 1.0), "mjpeg"),
        (OpenCvSource(camera(path, backend="opencv"), pause), ""),
        (PhotoSource(f"photo:{tmp_path / 'b.jpg'}", pause), ""),
    ):
        assert source.codec == ""
        played(source, 1)
        assert source.codec == codec


def test_folder_sees_files_that_come_later(tmp_path: Path, pause: Pausing) -> None:
    """What is put into the folder is played from the next round on."""
    clip(tmp_path / "b.mp4", 0.3)
    source = FolderSource(tmp_path, camera(tmp_path), pause)
    source.open()
    pictures = source.pictures()
    first = list(islice(pictures, 2))
    clip(tmp_path / "a.mp4", 0.2)
    assert numbers([*first, *islice(pictures, 4)]) == [0, 1, 2, 0, 1, 0]


def test_folder_passes_over_what_is_no_video(
    tmp_path: Path, pause: Pausing, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that cannot be played is one line in the log, however often its turn comes."""
    (tmp_path / "a.bin").write_text("notes " * 100)
    clip(tmp_path / "b.mp4", 0.2)
    assert numbers(played(FolderSource(tmp_path, camera(tmp_path), pause), 6)) == [0, 1] * 3
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path / 'a.bin'} is passed over: ")


def test_folder_without_anything_to_play_is_an_error(tmp_path: Path, pause: Pausing) -> None:
    """No folder and no file are `not found`; a round without a picture is not played again and again."""
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(NotFoundError):
            played(FolderSource(folder, camera(tmp_path), pause), 1)
    (tmp_path / "a.bin").write_text("notes " * 100)
    with pytest.raises(UnsupportedError, match="no file in"):
        played(FolderSource(tmp_path, camera(tmp_path), pause), 1)


def test_folder_told_to_stop_opens_no_more_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a capture does not wait until every file of a large folder has been opened once more."""
    for number in range(50):
        clip(tmp_path / f"{number:02}.mp4", 0.2)
    opened: list[str] = []
    real = StreamSource.open

    def noting(self: StreamSource) -> None:
        opened.append(self._camera.url)
        real(self)

    monkeypatch.setattr(StreamSource, "open", noting)
    source = FolderSource(tmp_path, camera(tmp_path), Pausing(stop_after=3))
    with suppress(SourceError):  # how it ends is of no interest to anybody any more
        played(source)
    assert len(opened) <= 4


def test_folder_of_pictures_is_no_busy_loop(tmp_path: Path, pause: Pausing) -> None:
    """Single pictures are shown for a moment each instead of being read as fast as the disk allows."""
    for name in "ab":
        jpeg(tmp_path / f"{name}.jpg")
    before = pause.now
    played(FolderSource(tmp_path, camera(tmp_path), pause), 51)
    assert pause.now - before >= 1.0


def test_snapshot_is_fetched_at_its_interval(tmp_path: Path, pause: Pausing) -> None:
    """One picture at once, then one per interval, each as it is then."""
    path = jpeg(tmp_path / "a.jpg", 10)
    source = SnapshotSource(camera(path), pause, 5.0)
    source.open()
    pictures = source.pictures()
    shown = []
    for level in (50, 100, 150):
        picture = next(pictures)
        shown.append((picture.captured_at - 1000, round(float(picture.image.to_bgr().mean()), -1)))
        jpeg(path, level)
    assert shown == [(0, 10), (5, 50), (10, 100)]


def test_slow_snapshot_skips_turns(tmp_path: Path, pause: Pausing, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fetch that takes two intervals is not followed by a burst to catch up."""
    path = jpeg(tmp_path / "a.jpg")
    real = StreamSource.open

    def slow(self: StreamSource) -> None:
        pause.now += 12
        real(self)

    monkeypatch.setattr(StreamSource, "open", slow)
    at = [each.captured_at for each in played(SnapshotSource(camera(path), pause, 5.0), 5)]
    assert [later - sooner for sooner, later in pairwise(at)][1:] == [pytest.approx(12, abs=5)] * 3
    assert at[-1] - at[0] >= 12 * 4


def test_snapshot_that_cannot_be_had_is_an_error(tmp_path: Path, pause: Pausing) -> None:
    """At the start and later, a picture that is away is told as such."""
    path = tmp_path / "a.jpg"
    with pytest.raises(NotFoundError):
        played(SnapshotSource(camera(path), pause, 5.0))
    jpeg(path)
    source = SnapshotSource(camera(path), pause, 5.0)
    source.open()
    pictures = source.pictures()
    next(pictures)
    path.unlink()
    with pytest.raises(NotFoundError):
        next(pictures)


def test_snapshot_told_to_stop_ends(tmp_path: Path) -> None:
    """The wait for the next picture is cut short."""
    assert len(played(SnapshotSource(camera(jpeg(tmp_path / "a.jpg")), Pausing(stop_after=2), 0.001))) == 3


def test_snapshot_of_a_stream_takes_one_picture(
    tmp_path: Path, pause: Pausing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An address that never stops sending is left after its first picture, not read until memory is full."""
    path, decoded = clip(tmp_path / "a.mp4", 3), 0
    real = PacketDecoder.image

    def counting(self: PacketDecoder[float], frame: VideoFrame) -> YuvImage:
        nonlocal decoded
        decoded += 1
        return real(self, frame)

    monkeypatch.setattr(PacketDecoder, "image", counting)
    played(SnapshotSource(camera(path), pause, 5.0), 1)
    assert decoded <= 2


def test_opencv_plays_a_file_at_its_pace_and_again(tmp_path: Path, pause: Pausing) -> None:
    """A file that OpenCV opens is paced by its frame rate and starts over."""
    path = clip(tmp_path / "a.mp4", 0.5)
    frames = played(OpenCvSource(camera(path, backend="opencv"), pause), 12)
    assert numbers(frames) == [*range(5), *range(5), 0, 1]
    gaps = [later.captured_at - sooner.captured_at for sooner, later in pairwise(frames[:5])]
    assert gaps == [pytest.approx(0.1)] * 4


def test_opencv_that_cannot_open_is_refused(tmp_path: Path, pause: Pausing) -> None:
    """All that OpenCV lets one know is told, and closing is safe."""
    with pytest.raises(RefusedError, match="OpenCV cannot open it"):
        played(OpenCvSource(camera(tmp_path / "none.mp4", backend="opencv"), pause))


def test_opencv_told_to_stop_ends(tmp_path: Path) -> None:
    """The wait for the next frame is cut short."""
    path = clip(tmp_path / "a.mp4", 0.5)
    started = time.monotonic()
    assert len(played(OpenCvSource(camera(path, backend="opencv"), Pausing(stop_after=2)))) == 2
    assert time.monotonic() - started < 5
