"""Who is inferred next: a pure decision over what waits, with time passed in.

Work-conserving and most overdue first: the moment an engine is free it takes what is due, oldest
attention first, and never waits to fill a batch. A frame is wanted when it arrives around its camera's
due time; unwanted frames are not kept, so that at light load a result is as fresh as its frame and the
long-run rate is exactly the target, whatever the source's own rate.

Cameras of several models share engines by time, not by turns: a turn of a model that takes four times as
long comes a quarter as often. So a camera with a large model costs the others no more than one of theirs.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING

from vigil.inference.cost import Cost
from vigil.inference.entry import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Mapping, Sequence

    from vigil.core.types import Detections, Frame

Shape = tuple[int, int]
"""Model input `(height, width)` in pixels."""

_SMOOTHING = 0.1
"""Share of the newest value in the smoothed rank."""

_MOST_PACKED = 16
"""Frames that may share an input."""


class Offer(Enum):
    """What became of a frame that a capture thread offered."""

    KEPT = "kept"
    OVERWROTE = "overwritten"
    """Kept, and an older frame that nobody had taken is lost: there is more work than engine."""
    KEPT_EARLY = "kept_early"
    """Kept in case that an input has room left."""
    NOT_DUE = "not_due"
    """It, or an older one that was kept early, is lost."""
    KEPT_INSTEAD = "kept_instead"
    """Kept, and an older one that was kept early is lost."""
    UNKNOWN = "unknown"
    """No such camera (any more)."""

    @property
    def lost(self) -> str:
        """Why a frame is lost; empty if none is."""
        instead = Offer.NOT_DUE if self is Offer.KEPT_INSTEAD else self
        return instead.value if instead in {Offer.OVERWROTE, Offer.NOT_DUE} else ""


@dataclass(frozen=True, slots=True, eq=False)
class Upload:
    """A picture that somebody sent; it takes its turn like a camera's frame."""

    frame: Frame
    floor: float
    submitted: float
    model: str
    deliver: Callable[[Detections | Exception], None]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """What an engine takes at once: frames of one model and input shape, and a confidence floor for each.

    The last `len(uploads)` frames are those of `uploads`; the others belong to cameras, most overdue first.
    """

    model: str
    shape: Shape
    frames: tuple[Frame, ...]
    floors: tuple[float, ...]
    uploads: tuple[Upload, ...]
    packed: bool = False
    """Whether some of its frames may be looked at in parts, which share inputs."""

    @property
    def camera_frames(self) -> tuple[Frame, ...]:
        """The frames that came from cameras."""
        return self.frames[: len(self.frames) - len(self.uploads)]

    def singles(self) -> Iterator[Batch]:
        """Yield each frame as a batch of its own."""
        from_uploads = {id(upload.frame): upload for upload in self.uploads}
        for frame, floor in zip(self.frames, self.floors, strict=True):
            upload = from_uploads.get(id(frame))
            yield Batch(self.model, self.shape, (frame,), (floor,), (upload,) if upload else ())


@dataclass(frozen=True, slots=True)
class Demand:
    """What a camera asks of the engines: turns per second, and seconds of engine for each."""

    camera: str
    fps: float
    weight: float
    cost: float


@dataclass(frozen=True, slots=True, eq=False)
class _Ready:
    """A frame that could be taken now."""

    rank: float
    camera: str
    model: str
    frame: Frame
    upload: Upload | None


class Schedule:
    """Cameras with their due times and slots, and uploads in order of arrival. Not locked."""

    def __init__(self, shape_of: Callable[[str, int, int], Shape]) -> None:
        """`shape_of(model, width, height)` gives a model's input shape for a frame of that size."""
        self._shape_of = shape_of
        self._costs: dict[str, Cost] = {}  # by model
        self._entries: dict[str, Entry] = {}
        self._waiting: dict[str, Entry] = {}  # filled slots of cameras that are not in flight
        self._in_flight: set[str] = set()  # by name: a camera can be removed and added again meanwhile
        self._uploads: deque[Upload] = deque()
        self._usual = 0.0  # smoothed rank at which cameras are taken

    def __len__(self) -> int:
        return len(self._entries)

    def waiting(self, models: Container[str]) -> bool:
        """Whether `take` would return something for an engine of these models."""
        return any(entry.model in models for entry in self._waiting.values()) or any(
            upload.model in models for upload in self._uploads
        )

    @property
    def uploads(self) -> int:
        """How many uploads wait."""
        return len(self._uploads)

    def add(self, camera: str, *, model: str, fps: float, weight: float, floor: float, now: float) -> None:
        """Schedule a camera at `fps` turns per second of `model`; it is due at once.

        A camera that is scheduled already changes all this from its next frame on.
        """
        entry = self._entries.get(camera)
        if entry is None:
            self._entries[camera] = Entry(model, fps, weight, floor, due_at=now, last_taken=now)
            return
        before = entry.period
        entry.model, entry.target, entry.weight, entry.floor = model, fps, weight, floor
        entry.due_at += entry.period - before

    def remove(self, camera: str) -> None:
        """Forget a camera and the frame that waits."""
        self._entries.pop(camera, None)
        self._waiting.pop(camera, None)

    def offer(self, frame: Frame, now: float, *, may_share: bool = False, may_wait: bool = False) -> Offer:
        """Put a camera's newest frame where the next free engine finds it, if it is wanted.

        One that `may_share` an input is kept a little before that, for room that others leave. Where a turn
        `may_wait` for an engine that is busy, the next frame takes it if that comes soon: it is as early
        through, and fresher.
        """
        entry = self._entries.get(frame.camera)
        if entry is None:
            return Offer.UNKNOWN
        entry.arrived(now)
        wanted = entry.waits or (entry.wants(now) and not (may_wait and entry.can_wait(now)))
        if not wanted and not (may_share and entry.nears(now)):
            return Offer.NOT_DUE
        was_early, entry.early = entry.early, not wanted
        overwrote = entry.slot.put(frame)
        if not wanted:
            return Offer.NOT_DUE if overwrote else Offer.KEPT_EARLY
        if frame.camera not in self._in_flight:
            self._waiting[frame.camera] = entry
        if not overwrote:
            return Offer.KEPT
        return Offer.KEPT_INSTEAD if was_early else Offer.OVERWROTE

    def has_room(self, camera: str) -> bool:
        """Whether no frame of a camera waits, so that the next one takes nobody's place."""
        entry = self._entries.get(camera)
        return entry is None or not entry.waits

    def model(self, camera: str) -> str | None:
        """Return the name of a camera's model; nothing for a camera that is not scheduled."""
        entry = self._entries.get(camera)
        return None if entry is None else entry.model

    def submit(self, upload: Upload) -> None:
        """Queue an upload."""
        self._uploads.append(upload)

    def take(
        self,
        now: float,
        limits: Mapping[str, int],
        share: Callable[[Frame], float | None] = lambda _frame: None,
    ) -> Batch | None:
        """Return frames of one model and shape, most overdue first, or nothing if nothing waits.

        `limits` names the models that the asking engine has, with the most inputs of each at once. `share`
        is how much of an input a camera's frame will take, `None` for one that takes all of it.
        """
        ranked = self._ranked(now, limits)
        if not ranked:
            return None
        first = ranked[0]
        model, shape = first.model, self._shape(first)
        alike = [ready for ready in ranked if ready.model == model and self._shape(ready) == shape]
        chosen, packed = _together(alike, partial(self._early, now, model, shape), limits[model], share)
        cameras: list[tuple[Frame, float]] = []
        uploads: list[Upload] = []
        for ready in chosen:
            if ready.upload:
                self._uploads.remove(ready.upload)
                uploads.append(ready.upload)
            else:
                cameras.append((ready.frame, self._take_camera(ready, now)))
        frames = [frame for frame, _ in cameras] + [upload.frame for upload in uploads]
        floors = [floor for _, floor in cameras] + [upload.floor for upload in uploads]
        return Batch(model, shape, tuple(frames), tuple(floors), tuple(uploads), packed)

    def done(self, batch: Batch, seconds: float | None = None, inputs: float | None = None) -> None:
        """Note that a batch's cameras may be taken again; the engine was busy for so long with its inputs."""
        inputs = len(batch.frames) if inputs is None else inputs
        if seconds is not None and inputs:
            self._costs.setdefault(batch.model, Cost.of(inputs, seconds)).learn(inputs, seconds)
        for frame in batch.camera_frames:
            self._in_flight.discard(frame.camera)
            entry = self._entries.get(frame.camera)
            if entry is not None and entry.waits:
                self._waiting[frame.camera] = entry

    def usual_seconds(self, model: str, inputs: float) -> float | None:
        """Return for how long a model is usually at so many inputs; nothing before one was measured."""
        cost = self._costs.get(model)
        return None if cost is None else inputs * cost.per_frame(inputs)

    def put_back(self, frame: Frame) -> bool:
        """Have a frame that was taken wait again; false where a newer one does, so that it is lost."""
        entry = self._entries.get(frame.camera)
        if entry is None:
            return False
        entry.not_taken()
        entry.early = False
        if entry.slot.filled:
            return False
        entry.slot.put(frame)
        return True

    def demands(self, limits: Mapping[str, int], now: float) -> list[Demand]:
        """Return what the cameras of these models ask for; nothing for a model no turn of which was measured.

        `limits` is what `take` gets: a turn costs what it takes in a batch as large as it can become.
        """
        wanting = [(name, entry) for name, entry in self._entries.items() if entry.model in limits]
        cameras = Counter(entry.model for _, entry in wanting)
        costs = {
            model: self._costs[model].per_frame(min(limits[model], number))
            for model, number in cameras.items()
            if model in self._costs
        }
        return [
            Demand(name, entry.asks(now), entry.weight, costs[entry.model])
            for name, entry in wanting
            if entry.model in costs
        ]

    def allow(self, rates: Mapping[str, float]) -> None:
        """Give cameras no more than so many turns per second; their targets stay what they are."""
        for name, rate in rates.items():
            entry = self._entries.get(name)
            if entry is not None:
                before = entry.period
                entry.allowed = rate
                entry.due_at += entry.period - before

    def drain_uploads(self) -> list[Upload]:
        """Remove and return all uploads: the engine is going away."""
        uploads = list(self._uploads)
        self._uploads.clear()
        return uploads

    def _ranked(self, now: float, models: Container[str]) -> list[_Ready]:
        costs = {model: cost.per_frame(1) for model, cost in self._costs.items()}
        cheapest = min(costs.values(), default=1.0)
        relative = {model: cost / cheapest for model, cost in costs.items()}
        ready: list[_Ready] = []
        for name, entry in self._waiting.items():
            frame = entry.slot.peek()
            if entry.model in models and frame is not None:
                rank = entry.rank(now, relative.get(entry.model, 1.0))
                ready.append(_Ready(rank, name, entry.model, frame, None))
        for upload in self._uploads:
            if upload.model in models:
                rank = (now - upload.submitted) / relative.get(upload.model, 1.0)
                ready.append(_Ready(rank, "", upload.model, upload.frame, upload))
        ready.sort(key=lambda each: -each.rank)
        return ready

    def _early(self, now: float, model: str, shape: Shape) -> list[_Ready]:
        """Return what came before its time, the soonest due first."""
        early = [
            (entry.due_at, _Ready(entry.rank(now, 1.0), name, model, frame, None))
            for name, entry in self._entries.items()
            if entry.early and entry.model == model and name not in self._in_flight
            if (frame := entry.slot.peek()) is not None
        ]
        return [ready for _, ready in sorted(early, key=itemgetter(0)) if self._shape(ready) == shape]

    def _shape(self, ready: _Ready) -> Shape:
        return self._shape_of(ready.model, ready.frame.image.width, ready.frame.image.height)

    def _take_camera(self, ready: _Ready, now: float) -> float:
        entry = self._entries[ready.camera]
        self._waiting.pop(ready.camera, None)
        entry.slot.take()
        entry.before = entry.due_at, entry.last_taken, entry.credit
        if not entry.early:
            self._usual += _SMOOTHING * (ready.rank - self._usual)
        # Engines take whole frames: what a heavy camera waits past its turn it gets back.
        entry.credit = min(max(ready.rank - self._usual, 0.0), self._usual)
        entry.early = False
        entry.taken(now, ready.frame.late)
        self._in_flight.add(ready.camera)
        return entry.floor


def _together(
    alike: Sequence[_Ready],
    early: Callable[[], Sequence[_Ready]],
    limit: int,
    share: Callable[[Frame], float | None],
) -> tuple[Sequence[_Ready], bool]:
    """Return which of these frames fit into `limit` inputs, the first in any case, and whether any shares.

    Those that are `early` take what room is left in inputs that run anyway.
    """
    shares = [None if ready.upload else share(ready.frame) for ready in alike]
    if all(each is None for each in shares):
        return alike[:limit], False
    chosen: list[_Ready] = []
    used, packed = 0.0, False
    for ready, part in zip(alike, shares, strict=True):
        takes = 1.0 if part is None else part
        if len(chosen) < limit * _MOST_PACKED and (not chosen or used + takes <= limit):
            chosen.append(ready)
            used += takes
            packed |= part is not None
    inputs = math.ceil(used)
    for ready in early() if packed else ():
        part = share(ready.frame)
        if part is not None and len(chosen) < inputs * _MOST_PACKED and used + part <= inputs:
            chosen.append(ready)
            used += part
    return chosen, packed
