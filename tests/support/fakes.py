"""Stand-ins that implement vigil's own Protocols: engines, sources and clocks, without devices or network."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import numpy as np

from vigil.core.events import Event, EventType
from vigil.core.types import MAIN_MODEL, Detections, Frame, Loaded, Model
from vigil.inference.engine import Output, Weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vigil.core.types import Float32, UInt8
    from vigil.inference.schedule import Shape
    from vigil.sinks.dialect import Message
    from vigil.video.source import Picture, Skipped

MODEL: Final = Model("fake", ("person", "car", "cell phone"), stride=32, size=640)
LOADED: Final = {MAIN_MODEL: Loaded("fake", "fake cpu", "there is no other")}
PATIENCE: Final = 10.0
"""Seconds after which a test that waits for another thread gives up."""


class FakeImage:
    """A picture of one grey value; counts how often its pixels were asked for."""

    def __init__(self, width: int = 1280, height: int = 720, value: float = 0.5) -> None:
        self.width = width
        self.height = height
        self.value = value
        self.writes = 0

    def write_rgb(self, out: Float32) -> None:
        """Fill `out`."""
        self.writes += 1
        out[:] = self.value

    def luma(self, stride: int) -> UInt8:
        """Return the coarse grey picture."""
        return np.full(
            (-(-self.height // stride), -(-self.width // stride)), round(self.value * 255), np.uint8
        )

    def to_bgr(self) -> UInt8:
        """Return the grey picture."""
        return np.full((self.height, self.width, 3), round(self.value * 255), np.uint8)


def frame(camera: str = "a", seq: int = 1, at: float = 0.0, image: FakeImage | None = None) -> Frame:
    """Return a frame of a fake picture."""
    return Frame(camera, seq, at, None, image or FakeImage())


def boxes(*rows: tuple[float, float, float, float, float, int]) -> Detections:
    """Return detections from rows of `x1, y1, x2, y2, confidence, class id`."""
    table = np.asarray(rows, np.float32).reshape(-1, 6)
    return Detections.untracked(table[:, :4].copy(), table[:, 4].copy(), table[:, 5].astype(np.int32))


class FakeEngine:
    """An engine whose answer is a function of its input; by default one person in the middle, at 0.9."""

    name = "fake cpu"
    device = "cpu"
    weights = Weights(MODEL.name, MODEL.names, MODEL.stride, MODEL.size, {})
    outputs: Sequence[Output] = (Output("output0", ("batch", 4 + len(MODEL.names), "anchors")),)

    def __init__(
        self,
        answer: Callable[[Float32], Float32] | None = None,
        *,
        workers: int = 1,
        max_batch: int = 4,
        fixed_shape: Shape | None = None,
    ) -> None:
        self.workers = workers
        self.max_batch = max_batch
        self.fixed_shape = fixed_shape
        self.batches: list[tuple[int, ...]] = []
        self.closed = False
        self._answer = answer or one_person

    def run(self, batch: Float32) -> list[Float32]:
        """Note the batch's shape and answer."""
        self.batches.append(batch.shape)
        return [self._answer(batch)]

    def close(self) -> None:
        """Note it."""
        self.closed = True


def one_person(batch: Float32) -> Float32:
    """Return the raw head's output for one person, 64 input pixels wide and high, in the middle."""
    output = np.zeros((len(batch), 4 + len(MODEL.names), 3), np.float32)
    output[:, :5, 0] = batch.shape[3] / 2, batch.shape[2] / 2, 64, 64, 0.9
    return output


class Gate:
    """Holds threads up until the test lets them through; every wait is bounded."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self._open = threading.Event()

    def open(self) -> None:
        """Let everybody through, from now on."""
        self._open.set()

    def close(self) -> None:
        """Hold up who comes from now on."""
        self.reached.clear()
        self._open.clear()

    def pass_through(self) -> None:
        """Wait until the gate is open. Called by the thread that is held up."""
        self.reached.set()
        if not self._open.wait(PATIENCE):
            raise TimeoutError("nobody opened the gate")


class FakeSource:
    """A source that plays given pictures, then raises `end` or just ends."""

    codec = "h264"

    def __init__(
        self,
        pictures: Iterable[Picture | Skipped] = (),
        *,
        end: Exception | None = None,
        refuses: Exception | None = None,
    ) -> None:
        self._pictures = pictures
        self._end = end
        self._refuses = refuses
        self.closed = threading.Event()

    def open(self) -> None:
        """Connect, or refuse."""
        if self._refuses is not None:
            raise self._refuses

    def pictures(self) -> Iterator[Picture | Skipped]:
        """Play."""
        yield from self._pictures
        if self._end is not None:
            raise self._end

    def close(self) -> None:
        """Note it."""
        self.closed.set()


class Clock:
    """A clock that a test sets: stands in for the module `time`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def monotonic(self) -> float:
        """Return the time that the test set."""
        return self.now

    def time(self) -> float:
        """Return the time that the test set."""
        return self.now

    def thread_time(self) -> float:
        """Return no CPU time at all."""
        return 0.0


def topics(messages: Iterable[Message]) -> dict[str, bytes]:
    """Return the last payload per topic."""
    return {message.topic: message.payload for message in messages}


def event(kind: EventType = EventType.NEW, camera: str = "drive", label: str = "person") -> Event:
    """Return an event of an object that is in no zone."""
    return Event(
        id="01J",
        type=kind,
        camera=camera,
        label=label,
        score=0.9,
        top_score=0.9,
        start_time=0.0,
        end_time=None,
        box=(1, 2, 3, 4),
        zones=(),
        entered_zones=(),
        stationary=False,
        path=(),
        track_id=7,
    )
