"""`vigil detect` without a model: files to pictures, pictures in order through many workers, results told."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.fakes import MODEL, PATIENCE, FakeEngine, FakeImage, boxes, one_person
from tests.support.serving import service
from vigil.bench.clips import make_clip, read_counter
from vigil.core.types import Detections, Float32
from vigil.errors import VigilError
from vigil.offline import Annotator, Found, detect_all, is_video, pictures, to_json, to_text
from vigil.video.source import Picture


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Return a small grey picture."""
    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), np.full((360, 640, 3), 99, np.uint8))
    return path


def found(*, pts: float | None = None, seen: Detections | None = None) -> Found:
    """Return a picture with a person and a phone."""
    detections = boxes((1.4, 2.6, 30, 40, 0.87654, 0), (5, 6, 7, 8, 0.5, 2)) if seen is None else seen
    return Found(7, Picture(0.0, pts, FakeImage(640, 360)), detections)


@pytest.mark.parametrize(
    ("name", "video"), [("a.JPG", False), ("a.tiff", False), ("a.mp4", True), ("a", True)]
)
def test_ending_tells_pictures_from_recordings(name: str, video: bool) -> None:  # noqa: FBT001 -- parametrized
    """Known picture endings, in any case, are pictures; everything else is a recording."""
    assert is_video(Path(name)) == video


def test_picture_is_one_without_time(photo: Path) -> None:
    """A picture file gives one picture that has no time."""
    (picture,) = pictures(photo)
    assert (picture.pts, picture.image.width, picture.image.height) == (None, 640, 360)


def test_recording_is_all_its_frames_at_once(tmp_path: Path) -> None:
    """A recording gives every frame, with its time, without being paced."""
    clip = make_clip(tmp_path / "clip.mp4", width=128, height=128, fps=10, seconds=2, counter=True)
    frames = list(pictures(clip))
    assert [read_counter(each.image.to_bgr()) for each in frames] == list(range(20))
    assert frames[-1].pts == pytest.approx(1.9)


@pytest.mark.parametrize("name", ["none.jpg", "none.mp4", "bad.jpg", "bad.mp4"])
def test_unreadable_file_is_told(tmp_path: Path, name: str) -> None:
    """A file that is missing, or is not what its ending says, is an error for people."""
    (tmp_path / "bad.jpg").write_text("words")
    (tmp_path / "bad.mp4").write_text("words")
    with pytest.raises(VigilError):
        list(pictures(tmp_path / name))


def test_results_come_in_order_from_many_workers() -> None:
    """Four workers at once change no order, and each picture has its own boxes."""
    together = threading.Barrier(4)

    def answer(batch: Float32) -> Float32:
        together.wait(PATIENCE)
        output = one_person(batch)
        output[:, 2:4, 0] = batch[0, 0, 192, 320] * 1000
        return output

    served = service(FakeEngine(answer, workers=4))
    stream = [Picture(0.0, float(n), FakeImage(640, 360, (n + 1) / 100)) for n in range(20)]
    results = list(detect_all(served, stream, 0.5))
    assert [each.number for each in results] == list(range(20))
    assert [each.picture.pts for each in results] == list(range(20))
    widths = [each.detections.xyxy[0, 2] - each.detections.xyxy[0, 0] for each in results]
    assert widths == [pytest.approx(10 * (n + 1), abs=0.01) for n in range(20)]


def test_long_recording_is_not_read_ahead() -> None:
    """Only about two pictures per worker wait in memory, however long the recording."""
    read: list[int] = []
    stream = (read.append(n) or Picture(0.0, None, FakeImage(640, 360)) for n in range(200))  # type: ignore[func-returns-value]  # on purpose
    results = detect_all(service(FakeEngine(workers=2)), stream, 0.5)
    next(results)
    assert len(read) <= 5
    assert len(list(results)) == 199


def test_error_in_the_middle_is_raised_in_its_place() -> None:
    """The pictures before a failing one are still told, then its error is raised."""

    def answer(batch: Float32) -> Float32:
        if batch[0, 0, 192, 320] > 0.5:
            raise MemoryError("device")
        return one_person(batch)

    stream = [Picture(0.0, float(n), FakeImage(value=0.9 if n == 3 else 0.1)) for n in range(9)]
    results = detect_all(service(FakeEngine(answer, workers=2)), stream, 0.5)
    assert [next(results).number for _ in range(3)] == [0, 1, 2]
    with pytest.raises(MemoryError):
        next(results)


def test_json_has_whole_pixels_and_survives_a_round_trip() -> None:
    """File, frame, time, count, and each box with its label, in integers."""
    told = json.loads(json.dumps(to_json(Path("clip.mp4"), found(pts=0.28), MODEL.names)))
    assert told == {
        "file": "clip.mp4",
        "frame": 7,
        "time": 0.28,
        "count": 2,
        "detections": [
            {"label": "person", "confidence": 0.8765, "bbox": {"x1": 1, "y1": 3, "x2": 30, "y2": 40}},
            {"label": "cell phone", "confidence": 0.5, "bbox": {"x1": 5, "y1": 6, "x2": 7, "y2": 8}},
        ],
    }
    assert to_json(Path("a.jpg"), found(), MODEL.names)["time"] is None


def test_line_for_people() -> None:
    """Counts by label, most frequent first; the time for recordings; nothing is said to be nothing."""
    three = boxes((0, 0, 1, 1, 0.5, 1), (0, 0, 1, 1, 0.5, 0), (0, 0, 1, 1, 0.5, 0))
    assert (
        to_text(Path("clip.mp4"), found(pts=3.2, seen=three), MODEL.names)
        == "clip.mp4 3.20 s: 2 person, 1 car"
    )
    assert to_text(Path("a.jpg"), found(seen=Detections.empty()), MODEL.names) == "a.jpg: nothing"


def test_annotated_picture_is_written(photo: Path, tmp_path: Path) -> None:
    """A copy with boxes goes into a folder that is made for it; the original stays as it was."""
    before = photo.read_bytes()
    with Annotator(photo, tmp_path / "out" / "deep", MODEL.names) as annotator:
        annotator.write(found())
    copy = cv2.imread(str(tmp_path / "out" / "deep" / "photo.jpg"))
    assert copy is not None
    assert copy.shape == (360, 640, 3)
    assert photo.read_bytes() == before


def test_annotated_recording_has_all_its_frames(tmp_path: Path) -> None:
    """A recording's copy is an MP4 with every frame at its time."""
    with Annotator(Path("clip.avi"), tmp_path, MODEL.names) as annotator:
        for number in range(5):
            annotator.write(found(pts=number / 10))
    assert [each.pts for each in pictures(tmp_path / "clip.mp4")] == [
        pytest.approx(number / 10, abs=0.001) for number in range(5)
    ]


def test_without_a_folder_nothing_is_written(tmp_path: Path) -> None:
    """No folder, no file."""
    with Annotator(tmp_path / "a.jpg", None, MODEL.names) as annotator:
        annotator.write(found())
    assert list(tmp_path.iterdir()) == []
