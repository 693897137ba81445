"""Who is inferred next: a pure decision over what waits, with time passed in.

Work-conserving and most overdue first: the moment an engine is free it takes what is due, oldest
attention first, and never waits to fill a batch. A frame is wanted when it arrives around its camera's
due time; unwanted frames are not kept, so that at light load a result is as fresh as its frame and the
long-run rate is exactly the target, whatever the source's own rate.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from vigil.aio.slot import Slot

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.core.types import Detections, Frame

Shape = tuple[int, int]
"""Model input `(height, width)` in pixels."""

_SMOOTHING = 0.1
"""Share of the newest gap in a source's smoothed frame interval."""


class Offer(Enum):
    """What became of a frame that a capture thread offered."""

    KEPT = "kept"
    OVERWROTE = "overwritten"
    """Kept, and an older frame that nobody had taken is lost: there is more work than engine."""
    NOT_DUE = "not_due"
    UNKNOWN = "unknown"
    """No such camera (any more)."""


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """A picture that somebody sent; it takes its turn like a camera's frame."""

    frame: Frame
    floor: float
    submitted: float
    deliver: Callable[[Detections | Exception], None]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What an engine takes at once: frames of one input shape, and a confidence floor for each.

    The last `len(uploads)` frames are those of `uploads`; the others belong to cameras.
    """

    shape: Shape
    frames: tuple[Frame, ...]
    floors: tuple[float, ...]
    uploads: tuple[Upload, ...]

    @property
    def camera_frames(self) -> tuple[Frame, ...]:
        """The frames that came from cameras."""
        return self.frames[: len(self.frames) - len(self.uploads)]


@dataclass(slots=True)
class _Entry:
    period: float
    weight: float
    floor: float
    due_at: float
    last_taken: float
    slot: Slot[Frame] = field(default_factory=Slot)
    credit: float = 0.0
    """By how much its last turn came too late, in weighted seconds: its next one comes sooner."""
    interval: float | None = None
    last_arrival: float | None = None

    def wants(self, now: float) -> bool:
        """Whether a frame arriving now is the nearest one to the due time (half a gap either side)."""
        gap = self.period if self.interval is None else min(self.interval, self.period)
        return now >= self.due_at - gap / 2

    def arrived(self, now: float) -> None:
        """Learn the source's own frame interval."""
        if self.last_arrival is not None:
            gap = now - self.last_arrival
            old = gap if self.interval is None else self.interval
            self.interval = old + _SMOOTHING * (gap - old)
        self.last_arrival = now

    def rank(self, now: float) -> float:
        """How overdue the camera is: weighted seconds since it was last taken."""
        return (now - self.last_taken) * self.weight + self.credit

    def taken(self, now: float) -> None:
        """Move the due time on by one period; at most one missed turn is made up for."""
        self.due_at = max(self.due_at + self.period, now)
        self.last_taken = now


class Schedule:
    """Cameras with their due times and slots, and uploads in order of arrival. Not locked."""

    def __init__(self, shape_of: Callable[[int, int], Shape]) -> None:
        """`shape_of(width, height)` gives the input shape of a frame of that size."""
        self._shape_of = shape_of
        self._entries: dict[str, _Entry] = {}
        self._waiting: dict[str, _Entry] = {}  # filled slots of cameras that are not in flight
        self._in_flight: set[str] = set()  # by name: a camera can be removed and added again meanwhile
        self._uploads: deque[Upload] = deque()
        self._usual = 0.0  # smoothed rank at which cameras are taken

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def waiting(self) -> bool:
        """Whether `take` would return something."""
        return bool(self._waiting or self._uploads)

    @property
    def uploads(self) -> int:
        """How many uploads wait."""
        return len(self._uploads)

    def add(self, camera: str, *, fps: float, weight: float, floor: float, now: float) -> None:
        """Schedule a camera at `fps` inferences per second; it is due at once.

        A camera that is scheduled already changes its rate, weight and floor from its next frame on.
        """
        entry = self._entries.get(camera)
        if entry is not None:
            entry.due_at += 1.0 / fps - entry.period
            entry.period, entry.weight, entry.floor = 1.0 / fps, weight, floor
            return
        self._entries[camera] = _Entry(1.0 / fps, weight, floor, due_at=now, last_taken=now)

    def remove(self, camera: str) -> None:
        """Forget a camera and the frame that waits."""
        self._entries.pop(camera, None)
        self._waiting.pop(camera, None)

    def offer(self, frame: Frame, now: float) -> Offer:
        """Put a camera's newest frame where the next free engine finds it, if it is wanted."""
        entry = self._entries.get(frame.camera)
        if entry is None:
            return Offer.UNKNOWN
        entry.arrived(now)
        if not entry.slot.filled and not entry.wants(now):
            return Offer.NOT_DUE
        overwrote = entry.slot.put(frame)
        if frame.camera not in self._in_flight:
            self._waiting[frame.camera] = entry
        return Offer.OVERWROTE if overwrote else Offer.KEPT

    def submit(self, upload: Upload) -> None:
        """Queue an upload."""
        self._uploads.append(upload)

    def take(self, now: float, limit: int) -> Batch | None:
        """Return up to `limit` frames of one shape, most overdue first, or nothing if nothing waits."""
        ranked = self._ranked(now)
        if not ranked:
            return None
        shape: Shape | None = None
        frames: list[Frame] = []
        floors: list[float] = []
        uploads: list[Upload] = []
        for _, name, upload in ranked:
            frame = upload.frame if upload else self._peek(name)
            this = self._shape_of(frame.image.width, frame.image.height)
            if shape is None:
                shape = this
            elif this != shape:
                continue
            if upload:
                self._uploads.remove(upload)
                uploads.append(upload)
            else:
                floors.append(self._take_camera(name, now))
                frames.append(frame)
            if len(frames) + len(uploads) == limit:
                break
        assert shape is not None  # noqa: S101 -- the first of a non-empty ranking set it
        frames += [upload.frame for upload in uploads]
        floors += [upload.floor for upload in uploads]
        return Batch(shape, tuple(frames), tuple(floors), tuple(uploads))

    def done(self, batch: Batch) -> None:
        """Note that a batch's cameras may be taken again."""
        for frame in batch.camera_frames:
            self._in_flight.discard(frame.camera)
            entry = self._entries.get(frame.camera)
            if entry is not None and entry.slot.filled:
                self._waiting[frame.camera] = entry

    def drain_uploads(self) -> list[Upload]:
        """Remove and return all uploads: the engine is going away."""
        uploads = list(self._uploads)
        self._uploads.clear()
        return uploads

    def _ranked(self, now: float) -> list[tuple[float, str, Upload | None]]:
        ranked: list[tuple[float, str, Upload | None]] = [
            (entry.rank(now), name, None) for name, entry in self._waiting.items()
        ]
        ranked += [(now - upload.submitted, "", upload) for upload in self._uploads]
        ranked.sort(key=lambda item: -item[0])
        return ranked

    def _peek(self, name: str) -> Frame:
        frame = self._waiting[name].slot.peek()
        assert frame is not None  # noqa: S101 -- `_waiting` holds filled slots only
        return frame

    def _take_camera(self, name: str, now: float) -> float:
        entry = self._waiting.pop(name)
        entry.slot.take()
        rank = entry.rank(now)
        self._usual += _SMOOTHING * (rank - self._usual)
        # Engines take whole frames: what a heavy camera waits past its turn it gets back.
        entry.credit = min(max(rank - self._usual, 0.0), self._usual)
        entry.taken(now)
        self._in_flight.add(name)
        return entry.floor
