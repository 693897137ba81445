"""The data that flows from cameras to sinks.

Arrays in the hot path, objects at the edges: a frame's detections are one struct of arrays, never a list
of per-box objects.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vigil.core.events import Event, Totals

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Float32: TypeAlias = NDArray[np.float32]
Int32: TypeAlias = NDArray[np.int32]
UInt8: TypeAlias = NDArray[np.uint8]

MAIN_MODEL = ""
"""The name of `model`, the detector of every camera that asks for none of `models`."""

UNTRACKED = -1
"""`tracker_id` of a detection that no track owns."""


class Image(Protocol):
    """Pixels of one frame in whatever form the source had them; converted only when somebody needs it."""

    @property
    def width(self) -> int:
        """Pixels per row."""

    @property
    def height(self) -> int:
        """Rows."""

    def write_rgb(self, out: Float32) -> None:
        """Scale (bilinear) into `out`, a `(3, h, w)` float32 view, as RGB planes in 0..1.

        Raises `PixelsError` where the pixels are of no use.
        """

    def luma(self, stride: int) -> UInt8:
        """Return every `stride`-th pixel of every `stride`-th row of the luma plane, `(h, w)`."""

    def to_bgr(self) -> UInt8:
        """Return the whole picture as `(height, width, 3)` uint8 BGR; raises `PixelsError` as above."""


@dataclass(frozen=True, slots=True)
class Colour:
    """How YUV becomes RGB: the shares of red and blue in luma, and whether values fill all of a byte."""

    red: float = 0.299
    blue: float = 0.114
    full: bool = False


@runtime_checkable
class PlanarImage(Image, Protocol):
    """An image whose planes others can take where they are, by DLPack: in a GPU's memory, without a copy."""

    @property
    def device(self) -> str:
        """Whose memory they are in: `cuda:0`, or `cpu`."""

    @property
    def colour(self) -> Colour:
        """What they mean."""

    def planes(self) -> tuple[Any, Any]:
        """Return DLPack capsules of luma `(h, w)` and chroma `(h / 2, w / 2, 2)`, uint8: NV12."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded picture of one camera.

    `captured_at` is wall-clock seconds when the frame's packet arrived; every latency is measured from it.
    `seq` counts the camera's decoded frames without gaps, so that lost ones can be counted.
    `pts` is the stream's own time in seconds, where it has one. `late` is for how many seconds its packet was
    kept before it was decoded.
    """

    camera: str
    seq: int
    captured_at: float
    pts: float | None
    image: Image
    late: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The boxes of one frame: `xyxy (n, 4) float32` in frame pixels, and one value per box in the rest."""

    xyxy: Float32
    confidence: Float32
    class_id: Int32
    tracker_id: Int32

    @classmethod
    def empty(cls) -> Self:
        """Return no boxes at all."""
        return cls.untracked(np.empty((0, 4), np.float32), np.empty(0, np.float32), np.empty(0, np.int32))

    @classmethod
    def untracked(cls, xyxy: Float32, confidence: Float32, class_id: Int32) -> Self:
        """Return detections that belong to no track yet."""
        return cls(xyxy, confidence, class_id, np.full(len(xyxy), UNTRACKED, np.int32))

    def __len__(self) -> int:
        return len(self.xyxy)

    def select(self, keep: NDArray[Any]) -> Detections:
        """Return the boxes that a boolean mask or an index array picks."""
        return Detections(self.xyxy[keep], self.confidence[keep], self.class_id[keep], self.tracker_id[keep])


@dataclass(frozen=True, slots=True)
class Model:
    """What a detector knows of its weights: class names by id, stride, and the size it was made for."""

    name: str
    names: tuple[str, ...]
    stride: int
    size: int

    def ids_of(self, labels: Sequence[str]) -> Int32:
        """Return the class ids of `labels`; raises `KeyError` with the first unknown one."""
        index = {name: number for number, name in enumerate(self.names)}
        return np.array([index[label] for label in labels], np.int32)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in service: its weights' name, the engine that runs them, and why it is that one."""

    model: str
    engine: str
    why: str


class CameraState(StrEnum):
    """Where a camera is in its life."""

    CONNECTING = "connecting"
    LIVE = "live"
    STALLED = "stalled"
    """The connection stands and no frame comes."""
    OFFLINE = "offline"
    UNAUTHORIZED = "unauthorized"
    DISABLED = "disabled"


class Condition(StrEnum):
    """What a live camera's picture is like."""

    OK = "ok"
    FROZEN = "frozen"
    """Frames come and show the same pixels, all of them: a camera's encoder hangs."""
    BLACK = "black"
    BLINDED = "blinded"
    """One even surface: covered, sprayed or dazzled."""


class CameraStatus(StrEnum):
    """What `vigil/<camera>/status` says."""

    ONLINE = "online"
    OFFLINE = "offline"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """How a camera is; `reason` is a short word such as `refused` while it is neither live nor disabled."""

    camera: str
    state: CameraState
    reason: str = ""
    condition: Condition = Condition.OK

    @property
    def status(self) -> CameraStatus:
        """What `vigil/<camera>/status` says of this."""
        match self.state:
            case CameraState.LIVE:
                return CameraStatus.ONLINE
            case CameraState.DISABLED:
                return CameraStatus.DISABLED
            case _:
                return CameraStatus.OFFLINE


@dataclass(frozen=True, slots=True)
class MotionChanged:
    """Something began to move in a camera's picture, or nothing has for a while."""

    camera: str
    on: bool


class Setting(StrEnum):
    """What can be changed of a camera while vigil runs; the word in `<camera>/<setting>/set`."""

    DETECT = "detect"
    MOTION = "motion"
    CONFIDENCE = "confidence"
    FPS = "fps"


@dataclass(frozen=True, slots=True)
class Tuning:
    """A camera's settings as they are now; what `<camera>/<setting>/state` says."""

    detect: bool = True
    motion: bool = True
    confidence: float = 0.5
    """The least that counts, of classes that have no confidence of their own."""
    fps: float = 5.0
    """Frames looked at per second, as asked for."""


@dataclass(frozen=True, slots=True)
class CameraIntroduced:
    """A camera of the configuration, and all that it reports from now on, as it stands."""

    camera: str
    counts: Mapping[str, int]
    zones: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    totals: Totals = field(default_factory=Totals)
    tuning: Tuning = field(default_factory=Tuning)
    snapshots: bool = True
    """Whether there will be pictures of its events."""
    live: bool = False
    """Whether there will be pictures of what it sees."""

    def emptied(self) -> CameraIntroduced:
        """Return the same with nobody in view; totals stay."""
        zones = {zone: dict.fromkeys(labels, 0) for zone, labels in self.zones.items()}
        return replace(self, counts=dict.fromkeys(self.counts, 0), zones=zones)

    def with_counts_of(self, result: Result) -> CameraIntroduced:
        """Return the same as a result has it."""
        return replace(self, counts=result.counts, zones=result.zones, totals=result.totals)

    def says(self, result: Result) -> bool:
        """Tell whether a result changes nothing: then its counts are the very same objects."""
        return result.counts is self.counts and result.zones is self.zones and result.totals is self.totals

    def fits(self, result: Result) -> bool:
        """Tell whether a result reports just this, and is none of before the camera was retuned."""
        return (
            result.counts.keys() == self.counts.keys()
            and _keys(result.zones) == _keys(self.zones)
            and _keys(result.totals.lines) == _keys(self.totals.lines)
        )


def _keys(table: Mapping[str, Mapping[str, object]]) -> set[tuple[str, str]]:
    return {(name, label) for name, labels in table.items() for label in labels}


@dataclass(frozen=True, slots=True)
class CameraGone:
    """A camera left the configuration: nothing of it may stay behind."""

    camera: str


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One inferred frame, ready for sinks: what was seen, when, and the confirmed counts per label.

    `counts` holds every label that the camera reports, `0` included, so that subscribers never guess.
    """

    camera: str
    seq: int
    captured_at: float
    width: int
    height: int
    model: Model
    detections: Detections
    counts: Mapping[str, int]
    detection_zones: Sequence[tuple[str, ...]] = ()
    """For each detection the zones that its object is in; empty where the camera has no zones."""
    zones: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Confirmed counts in each zone by label, `0` included."""
    totals: Totals = field(default_factory=Totals)
    """Crossings of each line by label."""


@dataclass(frozen=True, slots=True)
class CameraView:
    """What people and programs are shown of a camera; `retry_at` is Unix time."""

    name: str
    address: str
    status: CameraStatus
    state: CameraState
    reason: str
    condition: Condition
    retry_at: float | None
    capture_fps: float
    inference_fps: float
    target_fps: float
    motion: bool
    quiet: bool
    """Whether its frames are spared just now, because nothing moves."""
    decoding: str
    """How much of its stream is decoded: `full`, `keyframes` or `packets`."""
    counts: Mapping[str, int]
    settings: Mapping[str, bool | float]
    """What can be set, as it is now: `enabled` and every `Setting`."""


class Action(StrEnum):
    """What a person can ask of a camera."""

    ENABLE = "enable"
    DISABLE = "disable"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class CameraCommand:
    """A wish, from MQTT or HTTP, on its way to the supervisor."""

    camera: str
    action: Action


@dataclass(frozen=True, slots=True)
class SettingCommand:
    """The wish for a camera's setting: a `bool` for what is switched, a number for what is measured."""

    camera: str
    setting: Setting
    value: bool | float


@dataclass(frozen=True, slots=True)
class ProfileCommand:
    """The wish for a profile: its name, `auto` or `none`."""

    wanted: str


@dataclass(frozen=True, slots=True)
class ProfileChanged:
    """A profile is in force from now on; `None` is none of them."""

    active: str | None
    profiles: tuple[str, ...] = ()
    """All that the configuration has."""


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """The best view so far of an event's object, as a JPEG."""

    camera: str
    label: str
    event_id: str
    taken_at: float
    """When its frame was captured, in Unix seconds."""
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class LiveView:
    """What a camera sees now, as a JPEG, for those who asked for pictures on MQTT."""

    camera: str
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class CameraStats:
    """How a camera did lately; latencies in seconds from capture to publishing, `None` without results."""

    capture_fps: float
    inference_fps: float
    target_fps: float
    latency_p50: float | None
    latency_p95: float | None
    codec: str
    """Such as `h264`; empty while nothing is known."""
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class StatsReport:
    """How all of vigil did lately: what `<prefix>/stats` says."""

    saturation: float
    """Engine time that cameras ask for over what there is."""
    inferences_per_second: float
    uptime: float
    """Seconds since the cameras were started."""
    cameras: Mapping[str, CameraStats]


@dataclass(frozen=True, slots=True)
class ProfileView:
    """What people and programs are shown of profiles; `next_change` is Unix time."""

    active: str | None
    chosen: str
    """What was asked for last: a name, `auto` or `none`."""
    profiles: tuple[str, ...]
    next_change: float | None
    """When the schedules change it next; `None` while it is held by hand, or for at least a week."""


Command: TypeAlias = CameraCommand | SettingCommand | ProfileCommand
BusMessage: TypeAlias = (
    Result
    | Event
    | MotionChanged
    | CameraHealth
    | CameraIntroduced
    | CameraGone
    | ProfileChanged
    | SnapshotTaken
    | LiveView
    | StatsReport
)


def topic_label(name: str) -> str:
    """Return a class name as it stands in topics and metric labels: `cell phone` -> `cell_phone`."""
    return name.replace(" ", "_").replace("/", "_")
