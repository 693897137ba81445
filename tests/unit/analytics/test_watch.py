"""Between capture and inference: which frames are worth a look, and when motion is told."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.fakes import MODEL, Clock, FakeImage, boxes, frame
from vigil.analytics.filters import class_filter
from vigil.analytics.pipeline import CameraPipeline, Pipelines
from vigil.analytics.scene import Rules
from vigil.analytics.watch import Watch
from vigil.config.analytics import MotionConfig, TrackingConfig
from vigil.config.model import DetectConfig
from vigil.core.events import Event, EventType
from vigil.core.types import Frame
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from vigil.core.types import BusMessage, UInt8

FPS = 5.0
SOMEBODY = (600, 200, 660, 400, 0.9, 0)
NOISE = np.random.default_rng(1).integers(-2, 3, (720, 1280))


class Scene(FakeImage):
    """A grey picture with a little noise, and a square that stands somewhere or is not there."""

    def __init__(self, square: int | None, seed: int) -> None:
        super().__init__()
        picture = np.full((720, 1280), 100) + np.roll(NOISE, 37 * seed, axis=1)
        if square is not None:
            picture[300:500, square : square + 200] += 100
        self._luma = picture.astype(np.uint8)

    def luma(self, stride: int) -> UInt8:
        """Return the coarse picture."""
        return self._luma[::stride, ::stride]


class Stage:
    """A watch over a camera of 10 frames/s, and what came of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, gate: bool = True, hold: str = "2s") -> None:
        self.clock = Clock()
        monkeypatch.setattr("vigil.analytics.watch.time", self.clock)
        self.metrics = Metrics()
        self.taken: list[Frame] = []
        self.told: list[bool] = []
        self.watch = Watch(self, self.metrics.add_camera("a"), self.told.append)
        self.watch.settle(MotionConfig.model_validate({"hold": hold}), gate=gate, fps=FPS)
        self._seq = 0

    def offer(self, frame: Frame) -> None:
        """Be the inference loop, which infers at once; nothing is found."""
        self.taken.append(frame)
        self.watch.inferred(frame, active=False)

    def play(self, seconds: float, *, square: int | None = None, step: int = 0) -> int:
        """Show so many seconds; a square moves on by `step` pixels a frame. Returns frames passed on."""
        before = len(self.taken)
        for _ in range(round(seconds * 10)):
            self.clock.now += 0.1
            self._seq += 1
            self.watch.offer(frame("a", self._seq, self.clock.now + 5e8, Scene(square, self._seq)))
            square = None if square is None else square + step
        return len(self.taken) - before

    def quiet(self) -> float | None:
        """Return how many frames were spared."""
        labels = {"camera": "a", "reason": "quiet"}
        return self.metrics.registry.get_sample_value("vigil_frames_dropped_total", labels)


class Overloaded:
    """A camera of 10 frames/s with somebody who stands still, and an engine that comes by seldom."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        monkeypatch.setattr("vigil.analytics.watch.time", self.clock)
        self.told: list[BusMessage] = []
        self.times: list[float] = []
        self._waiting: Frame | None = None
        series = Metrics().add_camera("a")
        self._watch = Watch(self, series, lambda _on: None)
        self._watch.settle(MotionConfig(), gate=True, fps=FPS)
        self._watch.live()
        wanted = class_filter("a", DetectConfig(classes=["person"]), 0.5, MODEL)
        bits = random.Random(1).getrandbits  # noqa: S311 -- the same ids in each run
        self._pipelines = Pipelines(self.told.extend)
        shifting = TrackingConfig.model_validate({"stationary_after": "1h"})  # from foot to foot
        pipeline = CameraPipeline("a", MODEL, wanted, Rules(shifting), series, bits)
        self._pipelines.add("a", pipeline, self._watch)

    def offer(self, frame: Frame) -> None:
        """Keep the newest frame, as a slot does."""
        self._waiting = frame

    def show(self, seconds: float, *, every: float, there: bool = True) -> list[BusMessage]:
        """Let time pass, with the newest frame inferred `every` so many seconds; returns what was told."""
        before = len(self.told)
        for _ in range(round(seconds * 10)):
            self.clock.now += 0.1
            seen = frame("a", round(self.clock.now * 10), self.clock.now + 5e8, Scene(None, 1))
            self._watch.offer(seen)
            if self._waiting is not None and self.clock.now - (self.times or [0.0])[-1] >= every - 0.05:
                self._pipelines.handle([self._waiting], [boxes(SOMEBODY) if there else boxes()])
                self.times.append(self.clock.now)
                self._waiting = None
        return self.told[before:]


def test_quiet_picture_is_spared(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first second a still picture is looked at every ten seconds; the rest counts as quiet."""
    stage = Stage(monkeypatch)
    assert stage.play(1) in {9, 10}
    assert stage.play(60) in {5, 6}
    assert stage.quiet() == 610 - len(stage.taken)
    assert stage.told == []


def test_motion_wakes_at_once_and_is_told_with_its_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    """What moves is passed on from its second frame; ON is told then, and OFF two seconds after the last."""
    stage = Stage(monkeypatch)
    stage.play(5)
    assert stage.play(1, square=100, step=30) >= 9
    assert stage.told == [True]
    assert stage.watch.moving
    stage.play(6, square=400)
    assert stage.told == [True, False]


def test_what_was_seen_keeps_the_camera_awake(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who stands still is looked at for half a second after each look that shows them."""
    stage = Stage(monkeypatch)
    stage.play(5)
    last = stage.taken[-1]
    stage.clock.now += 0.1
    shown = frame("a", 0, stage.clock.now + 5e8, Scene(None, 1))
    stage.watch.inferred(shown, active=True)
    assert last is not shown
    assert stage.play(2) in {4, 5}


def test_slow_camera_is_kept_awake_for_its_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """At one inference in two seconds, what was seen counts for one and a half turns."""
    stage = Stage(monkeypatch)
    stage.watch.settle(MotionConfig(), gate=True, fps=0.5)
    stage.play(5)
    stage.watch.inferred(frame("a", 0, stage.clock.now + 5e8), active=True)
    assert stage.play(5) in {29, 30}


@pytest.mark.parametrize("looks", [5.0, 1.0, 0.3, 0.1])
def test_who_stands_still_is_followed_however_rare_the_looks(
    monkeypatch: pytest.MonkeyPatch, looks: float
) -> None:
    """An overload that leaves a camera one look in ten seconds loses nobody between two of them."""
    stage = Overloaded(monkeypatch)
    stage.show(5.0, every=0.2)
    told = stage.show(100.0, every=1 / looks)
    assert stage.times[-1] - stage.times[0] > 100
    assert np.diff(stage.times).max() <= 1 / looks + 0.3
    assert [message for message in told if isinstance(message, Event) and message.type is EventType.END] == []


def test_somebody_who_was_missed_once_at_overload_is_looked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After a look that shows nobody the next one still comes at the rate that the camera gets."""
    stage = Overloaded(monkeypatch)
    stage.show(5.0, every=0.2)
    stage.show(20.0, every=3.0)
    before = len(stage.times)
    stage.show(4.0, every=3.0, there=False)
    stage.show(4.0, every=3.0)
    assert np.diff(stage.times[before - 1 :]).max() <= 3.3


def test_without_a_gate_every_frame_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU, or with `when: always`, motion is told and nothing is spared."""
    stage = Stage(monkeypatch, gate=False)
    assert stage.play(20) == 200
    stage.play(1, square=100, step=30)
    assert stage.told == [True]


def test_without_motion_nothing_is_gated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A camera for which no motion is looked for has every frame passed on, and none is told."""
    stage = Stage(monkeypatch)
    stage.watch.settle(MotionConfig(enabled=False), gate=True, fps=FPS)
    assert stage.play(20) == 200
    stage.play(1, square=100, step=30)
    assert stage.told == []


def test_camera_that_goes_away_moves_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Motion ends with the connection, told once; after it came back the first second is looked at."""
    stage = Stage(monkeypatch)
    stage.play(5)
    stage.play(1, square=100, step=30)
    stage.watch.away()
    stage.watch.away()
    assert stage.told == [True, False]
    stage.play(20)
    stage.watch.live()
    assert stage.play(0.8) == 8


def test_clock_that_is_set_puts_nobody_to_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wall clock that is an hour ahead for one frame does not keep the camera from being looked at."""
    stage = Stage(monkeypatch)
    stage.play(5)
    stage.watch.inferred(frame("a", 0, stage.clock.now + 5e8 + 3600), active=False)
    assert stage.play(20) >= 1


def test_new_settings_do_not_end_motion(monkeypatch: pytest.MonkeyPatch) -> None:
    """What moves when a camera is retuned is held on for the new time, though the picture is learnt anew."""
    stage = Stage(monkeypatch)
    stage.play(5)
    stage.play(1, square=100, step=30)
    stage.watch.settle(MotionConfig.model_validate({"hold": "4s"}), gate=True, fps=FPS)
    stage.play(3)
    assert stage.told == [True]
    stage.play(2)
    assert stage.told == [True, False]


def test_motion_that_is_looked_for_no_more_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing would ever end a motion of before."""
    stage = Stage(monkeypatch)
    stage.play(5)
    stage.play(1, square=100, step=30)
    stage.watch.settle(MotionConfig(enabled=False), gate=True, fps=FPS)
    assert not stage.watch.moving


def test_camera_rests_when_nothing_moves_or_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seconds after the last motion, and after the last object that may move on, a look will do."""
    stage = Stage(monkeypatch)
    states = [stage.watch.resting]
    stage.play(5)
    states.append(stage.watch.resting)
    stage.play(1, square=100, step=30)
    states.append(stage.watch.resting)
    stage.play(1.5)
    states.append(stage.watch.resting)
    stage.play(1)
    states.append(stage.watch.resting)
    stage.watch.inferred(frame("a", 0, stage.clock.now + 5e8), active=True)
    states += [stage.watch.resting, stage.watch.following]
    stage.play(3)
    states += [stage.watch.resting, stage.watch.following]
    assert states == [False, True, False, False, True, False, True, True, False]


def test_new_settings_and_cameras_without_a_gate_do_not_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that is to be learnt anew, and a camera that is always looked at, need every frame."""
    stage = Stage(monkeypatch)
    stage.play(5)
    stage.watch.settle(MotionConfig(), gate=True, fps=FPS)
    states = [stage.watch.resting]
    stage.play(5)
    states.append(stage.watch.resting)
    stage.watch.settle(MotionConfig(), gate=False, fps=FPS)
    stage.play(5)
    states.append(stage.watch.resting)
    stage.watch.settle(MotionConfig(enabled=False), gate=True, fps=FPS)
    stage.play(5)
    assert [*states, stage.watch.resting] == [False, True, False, False]


def test_a_look_learns_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A square is seen however often it is looked at, and stirs nothing where it belongs to the picture."""
    stage = Stage(monkeypatch)
    assert stage.watch.stirs(Scene(None, 1))  # nothing to compare with yet
    stage.play(5)
    assert not stage.watch.stirs(Scene(None, 9))
    assert all(stage.watch.stirs(Scene(400, number)) for number in range(50))
    assert not stage.watch.moving


def test_frames_that_come_late_count_from_their_own_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What moves in frames that were kept is told, and looked at ten times a second of their own time."""
    stage = Stage(monkeypatch)
    stage.play(5)
    before = len(stage.taken)
    started = stage.clock.now
    stage.clock.now += 3
    for number in range(1, 21):
        at = started + number / 10
        image = Scene(100 + 30 * number, number)
        stage.watch.offer(Frame("a", number, at + 5e8, None, image, stage.clock.now - at))
    assert len(stage.taken) - before >= 18
    assert stage.told == [True]


def test_rare_frames_are_taken_for_the_check_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a frame every three seconds the one nearest to the tenth second is inferred, not the one after."""
    stage = Stage(monkeypatch)
    stage.play(5)
    before, at = len(stage.taken), []
    for number in range(20):
        stage.clock.now += 3
        stage.watch.offer(frame("a", number, stage.clock.now + 5e8, Scene(None, number)))
        if len(stage.taken) > before:
            before = len(stage.taken)
            at.append(number)
    assert {later - sooner for sooner, later in pairwise(at)} == {3}
