"""Recordings through a camera's pipeline: which frames are looked at, and the same events on every run."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from rich.console import Console

from tests.support.fakes import MODEL, FakeEngine, FakeImage
from tests.support.household import config_of
from tests.support.serving import service
from tests.support.white import white
from vigil.bench.clips import make_clip
from vigil.console import recording_bar
from vigil.core.events import EventType
from vigil.errors import CannotStartError, NotFoundError
from vigil.replay import Replay, seconds_of, subject
from vigil.video.photo import ArrayImage
from vigil.video.source import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vigil.core.types import Float32, UInt8
    from vigil.replay import Moment

NOISE = np.random.default_rng(3).integers(-2, 3, (720, 1280))


class Still(FakeImage):
    """A grey picture in which nothing moves; its value tells the engine whether somebody is in it."""

    def __init__(self, *, somebody: bool) -> None:
        super().__init__(value=0.9 if somebody else 0.1)

    def luma(self, stride: int) -> UInt8:
        """Return the coarse picture."""
        return (100 + NOISE).astype(np.uint8)[::stride, ::stride]


def answer(batch: Float32) -> Float32:
    """See a person in the middle of bright pictures."""
    output = np.zeros((len(batch), 4 + len(MODEL.names), 3), np.float32)
    height, width = batch.shape[2:]
    bright = batch[:, 0, height // 2, width // 2] > 0.5
    output[bright, :5, 0] = width / 2, height / 2, 64, 64, 0.9
    return output


def clip(seconds: float, fps: float = 10, *, somebody: tuple[float, float] = (0, 1e9)) -> list[Picture]:
    """Return a recording with a person in it for a while."""
    times = [number / fps for number in range(round(seconds * fps))]
    return [Picture(0.0, at, Still(somebody=somebody[0] <= at < somebody[1])) for at in times]


def walk(seconds: float, fps: float = 10) -> list[Picture]:
    """Return a recording in which somebody white walks to the right, once it has begun."""
    return [Picture(0.0, n / fps, ArrayImage(walker(n / fps))) for n in range(round(seconds * fps))]


def walker(at: float) -> UInt8:
    """Return the picture of somebody white who walks to the right."""
    picture = np.asarray((100 + NOISE)[..., None].repeat(3, axis=2), np.uint8)
    left, top, right, bottom = where(at)
    picture[top:bottom, left:right] = 255
    return picture


def where(at: float) -> tuple[int, int, int, int]:
    """Return where somebody is, in pixels."""
    left = 100 + round(60 * at)
    return left, 240, left + 80, 400


def replay(workers: int = 1, look: Callable[[Float32], Float32] = answer, **detect: object) -> Replay:
    """Return a replay for a camera that looks for people five times a second, gate and all."""
    config = config_of({"drive": {"detect": {"classes": ["person"], "fps": 5, **detect}}})
    served = service(FakeEngine(look, workers=workers))
    return Replay(subject(config, None), served, random.Random(0).getrandbits)  # noqa: S311 -- the same ids


def looked_at(moments: list[Moment]) -> list[float]:
    """Return the times of the frames that were inferred."""
    return [moment.frame.captured_at for moment in moments if moment.result is not None]


def test_frames_are_chosen_at_the_cameras_rate() -> None:
    """Of ten pictures a second every second one is looked at, by the recording's own time."""
    times = looked_at(list(replay(when="always").moments(clip(4))))
    assert len(times) == pytest.approx(20, abs=1)
    assert np.diff(times) == pytest.approx(0.2)


def test_every_event_ends_with_the_recording() -> None:
    """Somebody who is there to the last makes one event, which ends once."""
    player = replay(when="always")
    events = [event for moment in player.moments(clip(3)) for event in moment.events]
    events += player.close()
    assert [event.type.value for event in events if event.type is not EventType.UPDATE] == ["new", "end"]


@pytest.mark.parametrize("workers", [1, 4])
def test_replays_are_the_same_to_the_last_digit(workers: int) -> None:
    """Two runs, with however many workers, tell the same events with the same ids."""
    runs = []
    for number in (1, workers):
        moments = replay(number, when="always").moments(clip(6, somebody=(1, 4)))
        runs.append([repr(event) for moment in moments for event in moment.events])
    assert runs[0] == runs[1]
    assert runs[0]


def test_regions_are_looked_at_and_told_in_frame_pixels() -> None:
    """Of a camera of `regions: on` the second second is seen by parts, and boxes are where somebody is."""
    player = replay(look=white, when="always", regions="on")
    moments = list(player.moments(walk(5)))
    in_parts = [moment for moment in moments if moment.looked is not None and not moment.looked.whole]
    assert player.in_parts
    assert len(in_parts) > len(moments) / 2
    for moment in in_parts:
        assert moment.looked is not None
        assert moment.result is not None
        (given,) = moment.looked.inputs
        assert 0 < given.used < 0.3
        height, width, _ = given.bgr.shape
        assert given.share == height * width / (384 * 640)
        assert given.used <= given.share
        here = where(moment.frame.captured_at)
        (box,) = moment.result.detections.xyxy.tolist()
        assert box == pytest.approx(here, abs=3)
        assert any(_holds(part.box, here) for part in moment.looked.parts)


def test_what_lies_on_an_input_is_what_the_part_shows() -> None:
    """Somebody white is seen within the outlines of the input's parts, and nothing but grey beside them."""
    moments = list(replay(look=white, when="always", regions="on").moments(walk(3)))
    looked = moments[-1].looked
    assert looked is not None
    (given,) = looked.inputs
    outside = np.ones(given.bgr.shape[:2], np.bool_)
    for part in given.parts:
        left, top, right, bottom = (int(at) for at in part.box)
        outside[top:bottom, left:right] = False
    assert (given.bgr[outside] == 114).all()
    assert (given.bgr[~outside] > 250).any()


@pytest.mark.parametrize("workers", [1, 4])
def test_replays_in_parts_are_the_same_to_the_last_digit(workers: int) -> None:
    """What is looked at depends on the results before, and on nothing that workers change."""
    runs = []
    for number in (1, workers):
        moments = replay(number, white, regions="on").moments(walk(6))
        runs.append([repr((moment.looked and moment.looked.parts, moment.events)) for moment in moments])
    assert runs[0] == runs[1]
    assert "Part(" in "".join(runs[0])


@pytest.mark.parametrize("regions", ["off", "auto"])
def test_replays_never_run_out_of_engine(regions: str) -> None:
    """Whole frames are looked at unless parts are asked for in any case, and nothing is said of it."""
    player = replay(look=white, when="always", regions=regions)
    moments = list(player.moments(walk(3)))
    assert not player.in_parts
    assert all(moment.looked is None and moment.result is not None for moment in moments)


def test_quiet_stretches_are_spared_as_live() -> None:
    """Where nothing moves and nobody is, a picture is looked at every ten seconds after the first one."""
    moments = list(replay(when="motion").moments(clip(42, somebody=(1e9, 1e9))))
    late = [at for at in looked_at(moments) if at > 1]
    assert np.diff(late) == pytest.approx(10, abs=0.3)
    assert len(moments) == pytest.approx(42 * 5, abs=2)


def _holds(outer: Sequence[float], inner: Sequence[float]) -> bool:
    return outer[0] <= inner[0] and outer[1] <= inner[1] and outer[2] >= inner[2] and outer[3] >= inner[3]


def test_recording_of_nothing_tells_nothing() -> None:
    """A recording without a picture has no steps."""
    assert list(replay().moments([])) == []


def test_camera_is_named_or_the_only_one() -> None:
    """With several cameras one has to be named, and it has to be one of them."""
    two = config_of({"drive": {}, "door": {}})
    assert subject(config_of({"drive": {}}), None).name == "drive"
    assert subject(two, "door").name == "door"
    for name in (None, "attic"):
        with pytest.raises(CannotStartError, match="drive, door"):
            subject(two, name)


@pytest.mark.parametrize(("seconds", "shown"), [(61.2, "30 of 61 s"), (None, "30 s")])
def test_the_bar_shows_how_far_the_recording_is(
    monkeypatch: pytest.MonkeyPatch, seconds: float | None, shown: str
) -> None:
    """The recording's name, whatever is in it, its own time, and how long it is if that is known."""
    screen = io.StringIO()
    monkeypatch.setattr("vigil.console.err", Console(file=screen, force_terminal=True, width=120))
    with recording_bar("[red]{x}.mp4", seconds) as reached:
        reached(30.0)
    assert "[red]{x}.mp4" in screen.getvalue()
    assert shown in screen.getvalue()


def test_length_of_a_recording_is_what_it_says(tmp_path: Path) -> None:
    """A clip of two seconds is one, to a frame; what is no recording is an error."""
    assert seconds_of(make_clip(tmp_path / "clip.mp4", seconds=2)) == pytest.approx(2, abs=0.05)
    with pytest.raises(NotFoundError):
        seconds_of(tmp_path / "absent.mp4")
