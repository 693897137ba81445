"""`vigil replay`: a recording through everything that a camera's frames go through, as fast as it goes.

The parts are those of the running daemon; only the clock is another: the recording's own timestamps, from 0.
The schedule chooses the frames that a camera of `detect.fps` would be inferred at, motion decides which of
these are worth it, and filter, tracker and scene make events of what is found. Engine workers run ahead of
the frame that is decided on, so how many there are changes how long it takes and nothing else. Frames of a
camera of `detect.regions: on` are looked at in parts, one after another: what they are depends on the last.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from vigil.analytics.filters import class_filter
from vigil.analytics.gate import gates
from vigil.analytics.pipeline import CameraPipeline, Pipelines
from vigil.analytics.scene import Rules
from vigil.analytics.watch import Watch
from vigil.config.model import CameraConfig
from vigil.core.events import Event
from vigil.core.types import MAIN_MODEL, Frame, Result
from vigil.errors import CannotStartError, UnsupportedError
from vigil.inference.attentions import Regions
from vigil.inference.one_by_one import Parts, Wholes
from vigil.inference.schedule import Schedule
from vigil.metrics import Metrics
from vigil.video.governed import GovernedSource
from vigil.video.source import Picture
from vigil.video.stream import StreamSource, open_container

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from vigil.config.model import Config, ModelConfig
    from vigil.core.events import BestView
    from vigil.core.looked import Looked
    from vigil.core.types import BusMessage, Detections
    from vigil.inference.service import Service
    from vigil.video.governed import DecodeLog

_MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Subject:
    """The camera that a recording is taken for."""

    name: str
    config: CameraConfig
    model: ModelConfig


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A frame whose turn it was. Without a `result` it was not inferred, because nothing moved.

    `looked` is there for a camera that is looked at in parts.
    """

    frame: Frame
    result: Result | None
    events: Sequence[Event] = ()
    views: Sequence[BestView] = ()
    looked: Looked | None = None


def subject(config: Config, name: str | None) -> Subject:
    """Return the camera of that name, or the only one; raises `CannotStartError` that lists them."""
    cameras = config.cameras
    if name is None and len(cameras) > 1:
        raise CannotStartError(f"which camera is it? --camera is one of {', '.join(cameras)}")
    name = name or next(iter(cameras))
    if name not in cameras:
        raise CannotStartError(f"there is no camera {name!r}; there is {', '.join(cameras)}")
    camera = cameras[name]
    key = camera.detect.model
    return Subject(name, camera, config.models[key] if key else config.model)


def seconds_of(path: Path) -> float | None:
    """Return how long a recording says it is, if it does; raises a `SourceError`."""
    container = open_container(CameraConfig(url=str(path.absolute())))
    try:
        return None if container.duration is None else container.duration / _MICROSECONDS
    finally:
        container.close()


class Replay:
    """One recording, taken for what one camera saw."""

    def __init__(self, camera: Subject, service: Service, random_bits: Callable[[int], int]) -> None:
        """Raise `CannotStartError` for a class that the model does not know.

        `random_bits` is for event ids, seeded where they are to be the same in each run.
        """
        name, config, detect = camera.name, camera.config, camera.config.detect
        model, device = service.detector.model, service.detector.engine.device
        wanted = class_filter(name, detect, camera.model.confidence, model, config.filters, config.masks)
        rules = Rules(config.tracking, config.zones, config.lines)
        metrics = Metrics()
        series = metrics.add_camera(name)
        self.pipeline = CameraPipeline(name, model, wanted, rules, series, random_bits)
        self.now = 0.0
        """Seconds since the recording's first frame."""
        self._name = name
        floor = wanted.tracking_floor
        # One camera waits for nobody, whatever its shape and weight.
        self._schedule = Schedule(lambda _model, width, height: (height, width))
        self._schedule.add(name, model=MAIN_MODEL, fps=detect.fps, weight=1, floor=floor, now=0.0)
        self._awake = _Awake()
        self._watch = Watch(self._awake, series, lambda _on: None, lambda: self.now)
        self._watch.settle(config.motion, gate=gates(detect.when, gpu=device != "cpu"), fps=detect.fps)
        self._told: list[BusMessage] = []
        self._views: list[BestView] = []
        self._pipelines = Pipelines(self._told.extend, lambda _frame, views: self._views.extend(views))
        self._pipelines.add(name, self.pipeline, self._watch)
        self._workers = service.workers
        self._wholes = Wholes(service.detector, floor)
        self._parts: Parts | None = None
        if Regions(detect.regions) is Regions.ON and service.detector.packs:
            self._parts = Parts(service.detector, floor, name, self._pipelines, metrics)

    @property
    def in_parts(self) -> bool:
        """Whether parts of frames are looked at."""
        return self._parts is not None

    def moments(self, pictures: Iterable[Picture], *, lockstep: bool = False) -> Iterator[Moment]:
        """Yield the frames whose turn it is, in order, with what is told of them; raises `VigilError`.

        In `lockstep` nothing is read before all is decided on what was read before.
        """
        with self._ahead() as ahead:
            for frame in self._frames(pictures):
                ahead.add(_Turn(frame, due=self._due(frame)))
                while ahead.full or (lockstep and len(ahead)):
                    yield from self._settle(ahead)
            while len(ahead):
                yield from self._settle(ahead)

    def governed(self, path: Path, log: DecodeLog) -> Iterator[Moment]:
        """Yield the moments of a recording of which no more is decoded than of a camera's stream.

        `log` hears how much that is; raises `VigilError`.
        """
        camera = CameraConfig(url=str(path.absolute()))
        stream = StreamSource(camera, _no_pause, paced=False, looped=False)
        source = GovernedSource(stream, self._watch, log, _no_pause, recorded=True)
        try:
            source.open()
            pictures = (each for each in source.pictures() if isinstance(each, Picture))
            yield from self.moments(pictures, lockstep=True)
        finally:
            source.close()

    def close(self) -> Sequence[Event]:
        """End what is still going on: the recording is over."""
        return self.pipeline.forget(self.now)

    def _ahead(self) -> _Ahead:
        if self._parts is None:
            return _Ahead(self._wholes.find, self._workers)
        return _Ahead(self._parts.find, 0)

    def _frames(self, pictures: Iterable[Picture]) -> Iterator[Frame]:
        first: float | None = None
        for number, picture in enumerate(pictures, 1):
            if picture.pts is None:
                raise UnsupportedError("its frames carry no times; `ffmpeg -i IN -c copy OUT.mp4` adds them")
            first = picture.pts if first is None else first
            yield Frame(self._name, number, picture.pts - first, picture.pts, picture.image)

    def _due(self, frame: Frame) -> bool:
        """Tell whether the running daemon's schedule would take a frame, were an engine free."""
        now = frame.captured_at
        self._schedule.offer(frame, now)
        batch = self._schedule.take(now, {MAIN_MODEL: 1})
        if batch is None:
            return False
        self._schedule.done(batch)
        return True

    def _settle(self, ahead: _Ahead) -> Iterator[Moment]:
        """Decide on the oldest frame; only what came before it matters, so workers change nothing."""
        turn = ahead.pop()
        frame = turn.frame
        self.now = frame.captured_at
        self._watch.offer(frame)
        awake = self._awake.took(frame)
        if not turn.due:
            return
        if awake:
            yield self._inferred(frame, ahead.found(turn))
        else:
            ahead.rest(turn)
            yield Moment(frame, None)

    def _inferred(self, frame: Frame, found: Detections) -> Moment:
        self._told.clear()
        self._views.clear()
        self._pipelines.handle([frame], [found])
        results = [each for each in self._told if isinstance(each, Result)]
        events = [each for each in self._told if isinstance(each, Event)]
        looked = None if self._parts is None else self._parts.looked
        return Moment(frame, results[0] if results else None, events, list(self._views), looked)


def _no_pause(_seconds: float) -> bool:
    return False


class _Awake:
    """Takes the frames that the watch lets through."""

    def __init__(self) -> None:
        self._frame: Frame | None = None

    def offer(self, frame: Frame) -> None:
        """Remember the frame."""
        self._frame = frame

    def took(self, frame: Frame) -> bool:
        """Tell whether this is the latest frame that was let through."""
        return self._frame is frame


@dataclass(slots=True, eq=False)
class _Turn:
    """A frame, whether it is due, and its boxes once they are asked for."""

    frame: Frame
    due: bool
    boxes: Future[Detections] | None = None


class _Ahead:
    """Frames that are read and not yet decided on; while the camera is awake, workers look at them already.

    Which of them are inferred in vain is all that this changes. Without workers none is looked at before its
    turn.
    """

    def __init__(self, find: Callable[[Frame], Detections], workers: int) -> None:
        self._find = find
        self._workers = workers
        self._pool = ThreadPoolExecutor(max(1, workers), "replay")
        self._turns: deque[_Turn] = deque()
        self._due = 0
        self._busy = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def __len__(self) -> int:
        return len(self._turns)

    @property
    def full(self) -> bool:
        """Whether there is enough for every worker, and one more."""
        return self._due > self._workers + 1

    def add(self, turn: _Turn) -> None:
        """Append a frame."""
        self._turns.append(turn)
        self._due += turn.due
        if turn.due and self._busy and self._workers:
            self._ask(turn)

    def pop(self) -> _Turn:
        """Take the oldest frame."""
        turn = self._turns.popleft()
        self._due -= turn.due
        return turn

    def rest(self, turn: _Turn) -> None:
        """Note that a frame that was due needs no boxes: those after it are not asked for either."""
        self._busy = False
        if turn.boxes is not None:
            turn.boxes.cancel()

    def found(self, turn: _Turn) -> Detections:
        """Return the boxes of a frame, and have the workers run ahead from it; raises `PixelsError`."""
        self._busy = True
        for each in (turn, *(self._turns if self._workers else ())):
            if each.due and each.boxes is None:
                self._ask(each)
        assert turn.boxes is not None  # noqa: S101 -- a frame that is not due is not asked for
        return turn.boxes.result()

    def _ask(self, turn: _Turn) -> None:
        turn.boxes = self._pool.submit(self._find, turn.frame)
