"""What a shard and its front say to each other, and how results travel.

Results come most often, so of each only what is new is sent: counts, zones and totals that are the very same
object as in the camera's last result stay out, and are the very same object again at the other end, by which
subscribers see that nothing changed. Boxes travel as the bytes of their arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from vigil.core.types import CameraGone, CameraIntroduced, Detections, Result

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from vigil.config.model import Config
    from vigil.core.events import Totals
    from vigil.core.settings import Held
    from vigil.core.types import (
        BusMessage,
        CameraCommand,
        CameraStats,
        Image,
        Loaded,
        Model,
        SettingCommand,
    )
    from vigil.launch import Opener

    Counts: TypeAlias = Mapping[str, int]
    State: TypeAlias = tuple[Counts, Mapping[str, Counts], Totals]

_COLUMNS = 4


@dataclass(frozen=True, slots=True)
class Orders:
    """The first that a shard hears: what it is to watch."""

    config: Config
    weights: Mapping[str, Path]
    totals: Mapping[str, Totals]
    held: Mapping[str, Mapping[str, Held]]
    shard: int
    shards: int
    open_services: Opener | None


@dataclass(frozen=True, slots=True)
class Go:
    """Everybody is ready: start the cameras."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End in order."""


@dataclass(frozen=True, slots=True)
class Perform:
    """Do what somebody asked of a camera."""

    command: CameraCommand | SettingCommand


@dataclass(frozen=True, slots=True)
class Apply:
    """Go by another configuration, which has been checked."""

    config: Config


@dataclass(frozen=True, slots=True)
class Show:
    """Answer every camera's `CameraView`."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Answer a JPEG of what a camera saw last, `None` if there is none."""

    camera: str


@dataclass(frozen=True, slots=True)
class Expose:
    """Answer the Prometheus exposition."""


@dataclass(frozen=True, slots=True)
class Detect:
    """Answer the objects in an uploaded picture."""

    image: Image
    confidence: float


Question: TypeAlias = Perform | Apply | Show | Picture | Expose | Detect


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with the number that its answer carries."""

    number: int
    question: Question


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question."""

    number: int
    value: object = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Ready:
    """The shard's models are loaded and its cameras known; `told` introduces them."""

    loaded: Mapping[str, Loaded]
    models: Mapping[str, Model]
    told: Sequence[BusMessage]


@dataclass(frozen=True, slots=True)
class Failed:
    """The shard cannot start, and why."""

    why: str


@dataclass(frozen=True, slots=True)
class Told:
    """What happened, in order."""

    messages: Sequence[BusMessage | Seen]


@dataclass(frozen=True, slots=True)
class Pulse:
    """How the shard is; comes every second."""

    trouble: str
    saturation: float
    stats: Mapping[str, CameraStats]


class Seen(NamedTuple):
    """A `Result` on its way; a tuple, because pickle makes those fastest. `model` is its name."""

    camera: str
    seq: int
    captured_at: float
    width: int
    height: int
    model: str
    boxes: bytes
    confidence: bytes
    class_id: bytes
    tracker_id: bytes
    detection_zones: Sequence[tuple[str, ...]]
    counts: Counts | None
    zones: Mapping[str, Counts] | None
    totals: Totals | None


class Encoder:
    """Makes messages shorter, in the order in which they are sent."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        """`models` are those in service, by their names in the configuration."""
        self._models = models
        self._sent: dict[str, State] = {}

    def encode(self, messages: Iterable[BusMessage]) -> list[BusMessage | Seen]:
        """Return what is to be sent."""
        return [self._seen(each) if isinstance(each, Result) else self._noted(each) for each in messages]

    def _noted(self, message: BusMessage) -> BusMessage:
        _note(self._sent, message)
        return message

    def _seen(self, result: Result) -> Seen:
        found, before = result.detections, self._sent.get(result.camera, (None, None, None))
        self._sent[result.camera] = state = (result.counts, result.zones, result.totals)
        counts, zones, totals = (
            None if now is then else now for now, then in zip(state, before, strict=True)
        )
        return Seen(
            result.camera,
            result.seq,
            result.captured_at,
            result.width,
            result.height,
            self._name(result.model),
            found.xyxy.tobytes(),
            found.confidence.tobytes(),
            found.class_id.tobytes(),
            found.tracker_id.tobytes(),
            result.detection_zones,
            counts,  # type: ignore[arg-type]  # one of each, which `zip` cannot tell
            zones,  # type: ignore[arg-type]  # as above
            totals,  # type: ignore[arg-type]  # as above
        )

    def _name(self, model: Model) -> str:
        # The same object as a rule; another only after an engine was loaded anew.
        return next(name for name, each in self._models.items() if each is model or each == model)


class Decoder:
    """Turns what an `Encoder` of the same models made into what it was."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models
        self._heard: dict[str, State] = {}

    def decode(self, messages: Iterable[BusMessage | Seen]) -> list[BusMessage]:
        """Return the messages."""
        return [self._result(each) if isinstance(each, Seen) else self._noted(each) for each in messages]

    def _noted(self, message: BusMessage) -> BusMessage:
        _note(self._heard, message)
        return message

    def _result(self, seen: Seen) -> Result:
        counts, zones, totals = self._heard.get(seen.camera, ({}, {}, None))
        counts = counts if seen.counts is None else seen.counts
        zones = zones if seen.zones is None else seen.zones
        totals = totals if seen.totals is None else seen.totals
        assert totals is not None, "a camera is introduced first"  # noqa: S101 -- the encoder's promise
        self._heard[seen.camera] = (counts, zones, totals)
        found = Detections(
            np.frombuffer(seen.boxes, np.float32).reshape(-1, _COLUMNS),
            np.frombuffer(seen.confidence, np.float32),
            np.frombuffer(seen.class_id, np.int32),
            np.frombuffer(seen.tracker_id, np.int32),
        )
        return Result(
            seen.camera,
            seen.seq,
            seen.captured_at,
            seen.width,
            seen.height,
            self._models[seen.model],
            found,
            counts,
            seen.detection_zones,
            zones,
            totals,
        )


def _note(states: dict[str, State], message: BusMessage) -> None:
    """Remember what both ends know of a camera."""
    if isinstance(message, CameraIntroduced):
        states[message.camera] = (message.counts, message.zones, message.totals)
    elif isinstance(message, CameraGone):
        states.pop(message.camera, None)
