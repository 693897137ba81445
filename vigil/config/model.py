"""The configuration after every check: frozen, typed, units resolved, secrets wrapped.

`load` makes a `Config` from a file; everything else only reads it. A key exists here when it has an effect.
Relative paths are taken from the configuration file's folder, which `load` hands over as the validation
context; without one they are taken from the working directory.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from vigil.config.address import (
    NETWORK_SCHEMES,
    SCHEMES,
    checked_address,
    has_credentials,
    local_address,
    redacted,
    scheme_of,
    split_address,
)
from vigil.config.analytics import Filters, Lines, Masks, MotionConfig, SnapshotConfig, TrackingConfig, Zones
from vigil.config.integrations import CompatConfig, HomeAssistantConfig
from vigil.config.mqtt import MqttConfig
from vigil.config.profiles import AUTO, NONE, LocationConfig, Schedule, part_of
from vigil.config.section import Section, WithPassword
from vigil.config.units import (
    NO_BOOLEAN,
    CameraName,
    Confidence,
    Count,
    Duration,
    Fraction,
    Port,
    Size,
    Text,
    Timeout,
    beside_file,
    wrong,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


class ModelConfig(Section):
    """The detector: its weights and how it runs them."""

    name: Text = Field(
        default="yolo11n",
        description="A name of the model store, or the path of an .onnx, .pt or OpenVINO .xml file.",
    )
    size: Annotated[int, Field(multiple_of=32, ge=32, le=2048), NO_BOOLEAN] = Field(
        default=640, description="Longest side of the model's input in pixels; smaller is faster."
    )
    confidence: Fraction = Field(default=0.5, description="Detections below this confidence are left out.")
    iou: Annotated[float, Field(ge=0, le=1), NO_BOOLEAN] = Field(
        default=0.7,
        description="Of two boxes of a class that overlap more than this, the weaker is left out.",
    )
    labels: Path | None = Field(
        default=None,
        description="File with a class name per line, for weights that carry none, or to rename classes.",
    )
    engine: Literal["auto", "onnxruntime", "openvino", "ultralytics"] = Field(
        default="auto",
        description="The runtime; `auto` takes the fastest that is installed and can run the weights.",
    )
    device: Text = Field(
        default="auto",
        description="Where the model runs: `auto`, `cpu`, `cuda`, `tensorrt`, `intel-gpu`, `intel-npu`, "
        "or one of several: `cuda:1`. `cuda:all` loads it on every NVIDIA GPU and shares the cameras between "
        "them.",
    )
    precision: Literal["auto", "fp32", "fp16", "int8"] = Field(
        default="auto",
        description="`auto` is what keeps the weights' accuracy: fp16 on GPUs, fp32 elsewhere. "
        "`int8` needs `vigil models export --int8` first.",
    )
    workers: Count = Field(
        default="auto", description="Engine workers; `auto` measures at the first start, a second or two."
    )
    max_batch: Count = Field(
        default="auto", description="Most cameras in one inference; `auto` measures at the first start."
    )
    timeout: Timeout = Field(
        default="30s",
        validate_default=True,
        description="Longest that one inference may take before the engine is started again.",
    )

    @field_validator("labels")
    @classmethod
    def _labels_beside_file(cls, labels: Path | None, info: ValidationInfo) -> Path | None:
        return None if labels is None else beside_file(labels, info)

    @field_validator("name")
    @classmethod
    def _weights_beside_file(cls, name: str, info: ValidationInfo) -> str:
        is_path = Path(name).suffix.lower() in {".onnx", ".pt", ".xml"}
        return str(beside_file(Path(name), info)) if is_path else name


class HttpConfig(Section):
    """The web page, the API and the metrics."""

    host: Text = Field(default="127.0.0.1", description="Address to listen on; 0.0.0.0 is every network.")
    port: Port = Field(default=8080, description="Port to listen on.")
    max_upload: Size = Field(
        default="20MB", validate_default=True, description="Largest image that `POST /detect` takes."
    )
    max_pixels: Annotated[int, Field(ge=1), NO_BOOLEAN] = Field(
        default=50_000_000, description="Most pixels (width x height) of an uploaded image."
    )


class CommandsConfig(Section):
    """What MQTT and HTTP may set of cameras, and choose of profiles, while vigil runs."""

    keep: bool = Field(
        default=False,
        description="Whether what was set lasts when vigil starts again; until then it does anyway.",
    )


class LogConfig(Section):
    """What vigil writes to its standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="The least important messages to write."
    )
    format: Literal["text", "json"] = Field(
        default="text", description="Lines for people, or one JSON object a line for machines."
    )


def _regions(value: object) -> object:
    """Return what YAML 1.1 makes a boolean of, as it was written."""
    return ("on" if value else "off") if isinstance(value, bool) else value


class DetectConfig(Section):
    """What is looked for on one camera, and how often."""

    enabled: bool = Field(default=True, description="Whether the camera's frames are looked at.")
    model: Text | None = Field(
        default=None, description="Which of `models` looks at this camera; null is `model`."
    )
    fps: Annotated[float, Field(gt=0, le=60), NO_BOOLEAN] = Field(
        default=5, description="Frames looked at per second; under overload every camera gets fewer."
    )
    confidence: Confidence | None = Field(
        default=None, description="Replaces the model's confidence: one number, or one per class label."
    )
    classes: Annotated[list[Text], Field(min_length=1)] | None = Field(
        default=None, description="Class labels to report; null reports every class of the model."
    )
    when: Literal["auto", "always", "motion"] = Field(
        default="auto",
        description="`motion` looks only while something moves or is tracked, and every ten seconds "
        "(thirty when engines are busy); `always` never rests; `auto` is `motion` on a CPU and `always` "
        "on a GPU.",
    )
    regions: Annotated[Literal["off", "auto", "on"], BeforeValidator(_regions)] = Field(
        default="off",
        description="Whether parts of frames, where something moves or is expected, are looked at instead of "
        "whole frames, several cameras' parts at once, for about a third of the engine's time: `auto` while "
        "the engine has no room for whole frames.",
    )
    weight: Annotated[float, Field(gt=0, le=1000), NO_BOOLEAN] = Field(
        default=1, description="Share under overload: a camera of weight 2 is looked at twice as often."
    )


class CameraDefaults(WithPassword):
    """Every camera key but the address: what `defaults` may give to all cameras."""

    enabled: bool = Field(default=True, description="Whether the camera is watched.")
    backend: Literal["auto", "opencv"] = Field(
        default="auto",
        description="What opens the camera: FFmpeg's libraries, or `opencv` for what only OpenCV opens, "
        "such as a GStreamer pipeline.",
    )
    transport: Literal["tcp", "udp"] = Field(default="tcp", description="How RTSP carries the video.")
    snapshot_interval: Timeout | None = Field(
        default=None,
        description="Fetch a single picture from the address this often, instead of reading a stream.",
    )
    open_timeout: Timeout = Field(
        default="10s", validate_default=True, description="Longest wait for the camera to answer."
    )
    read_timeout: Timeout = Field(
        default="10s", validate_default=True, description="Longest wait for the next frame."
    )
    decode: Literal["auto", "full"] = Field(
        default="auto",
        description="`auto` decodes of a quiet camera's stream what it takes to notice that something "
        "moves, and then decodes what it kept meanwhile; `full` decodes every frame.",
    )
    decode_on: Literal["auto", "cpu", "cuda"] = Field(
        default="auto",
        description="What decodes a stream: `cuda` is the NVIDIA GPU that the camera belongs to, and the CPU "
        "for what that cannot do or has no time for; `auto` is `cuda` where the model takes pictures there.",
    )
    frozen_after: Duration = Field(
        default="1m",
        validate_default=True,
        description="Time without a single changed pixel that makes a picture `frozen`; 0s never does.",
    )
    detect: DetectConfig = Field(
        default_factory=DetectConfig, description="What is looked for, and how often."
    )
    motion: MotionConfig = Field(
        default_factory=MotionConfig, description="What counts as motion in the picture."
    )
    tracking: TrackingConfig = Field(
        default_factory=TrackingConfig, description="What it takes to be an object, and to stay one unseen."
    )
    filters: Filters = Field(
        default_factory=dict,
        description="Sizes and shapes that boxes can have, by class label; `*` is every class.",
    )
    masks: Masks = Field(default=(), description="Polygons in which objects are ignored.")
    zones: Zones = Field(
        default_factory=dict, description="Parts of the picture, by name, in which objects are counted."
    )
    lines: Lines = Field(default_factory=dict, description="Lines, by name, at which crossings are counted.")
    snapshots: SnapshotConfig = Field(
        default_factory=SnapshotConfig, description="Pictures of events, and of what the camera sees."
    )


class CameraConfig(CameraDefaults):
    """One camera."""

    # Never holds credentials after validation: they are moved to their own fields.
    url: Text = Field(
        json_schema_extra={"x-expects": "an address such as rtsp://host/stream, or a file's path"},
        description="Address of the stream, without user name and password: "
        "rtsp, rtsps, rtmp, http, https, udp, file, photo:<image>, or the path of a file, a folder of files "
        "or of a device (/dev/video0).",
    )

    @model_validator(mode="before")
    @classmethod
    def _lift_credentials(cls, data: Any) -> Any:
        """Move credentials out of the address; beside keys of their own they stay, and `_checked` objects."""
        if not isinstance(data, dict) or not isinstance(data.get("url"), str):
            return data
        address = split_address(data["url"])
        if address is None or address.username is None or has_credentials(data):
            return data
        bare = address.with_credentials(None, None)
        return {**data, "url": bare, "username": address.username or None, "password": address.password}

    @field_validator("url")
    @classmethod
    def _checked(cls, url: str, info: ValidationInfo) -> str:
        scheme = scheme_of(url)
        if info.data.get("backend") == "opencv" and scheme is None:
            if has_credentials(info.data):
                raise wrong("takes no login; leave out `username` and `password`")
            beside = beside_file(Path(url), info)
            return str(beside) if beside.exists() else url
        if scheme in NETWORK_SCHEMES:
            return checked_address(url, info.data)
        if scheme is not None and scheme not in SCHEMES:
            raise wrong(f"has a scheme that vigil cannot open; use {', '.join(SCHEMES)}, or a file's path")
        if has_credentials(info.data):
            raise wrong("takes no login; leave out `username` and `password`")
        if scheme == "udp":
            return f"udp:{url[4:]}"
        return local_address(url, scheme, beside_file(Path(), info))

    @property
    def source_url(self) -> str:
        """The address to open, with percent-encoded credentials: a secret, never to be logged."""
        address = split_address(self.url)
        if address is None:
            return self.url
        secret = None if self.password is None else self.password.get_secret_value()
        return address.with_credentials(self.username, secret)

    @property
    def redacted_url(self) -> str:
        """The address for logs and people: `rtsp://viewer:***@host/stream`."""
        return redacted(self.url, self.username, has_password=self.password is not None)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, self.redacted_url if name == "url" else value


def _at_least_one(cameras: object) -> object:
    if not cameras:
        raise wrong("is empty; name at least one camera with its `url`")
    return cameras


def _partial(schema: dict[str, Any]) -> None:
    """Show a profile as a file has it: `defaults` beside the cameras, and only what it changes of them."""
    of_one = part_of(CameraConfig)
    properties = schema["properties"]
    properties["cameras"] = {
        **{key: value for key, value in properties["cameras"].items() if key != "patternProperties"},
        "patternProperties": dict.fromkeys(properties["cameras"]["patternProperties"], of_one),
    }
    properties["defaults"] = {
        **part_of(CameraDefaults),
        "description": "What changes of every camera; a camera's own changes win, key by key.",
    }


class ProfileConfig(Schedule):
    """A named set of changes: every camera as it is while the profile is in force.

    The file has only what changes, `defaults` and `cameras`; `load` puts the rest of each camera under it.
    """

    model_config = ConfigDict(json_schema_extra=_partial)

    cameras: dict[CameraName, CameraConfig] = Field(
        default_factory=dict, description="What changes of single cameras, by name."
    )


def _without_reserved(profiles: object) -> object:
    """Refuse the two names that mean something else where a profile is chosen."""
    if isinstance(profiles, dict) and (taken := {AUTO, NONE} & profiles.keys()):
        raise wrong(f"has a profile called `{min(taken)}`, which means something else; choose another name")
    return profiles


class Config(Section):
    """The whole configuration."""

    model: ModelConfig = Field(default_factory=ModelConfig, description="The detector.")
    models: dict[CameraName, ModelConfig] = Field(
        default_factory=dict,
        description="More detectors by name, for cameras that ask for one with `detect.model`.",
    )
    mqtt: MqttConfig = Field(default_factory=MqttConfig, description="Where results go.")
    homeassistant: HomeAssistantConfig = Field(
        default_factory=HomeAssistantConfig, description="Home Assistant, which finds cameras by itself."
    )
    compat: CompatConfig = Field(
        default_factory=CompatConfig, description="Topics in the form of other systems."
    )
    http: HttpConfig = Field(default_factory=HttpConfig, description="Web page, API and metrics.")
    commands: CommandsConfig = Field(
        default_factory=CommandsConfig, description="What is set while vigil runs."
    )
    log: LogConfig = Field(default_factory=LogConfig, description="What vigil writes about itself.")
    cameras: Annotated[dict[CameraName, CameraConfig], BeforeValidator(_at_least_one)] = Field(
        min_length=1,
        json_schema_extra={"x-expects": "at least one camera: its name, and under it its `url`"},
        description="The cameras by name; a name is made of a-z, 0-9, _ and -.",
    )
    location: LocationConfig | None = Field(
        default=None, description="Where the cameras are; only profiles that follow the sun ask for it."
    )
    shards: Count = Field(
        default=1,
        description="Processes that the cameras are split over; `auto` takes as many as keep the Python "
        "of each under half a core.",
    )
    profiles: Annotated[dict[CameraName, ProfileConfig], BeforeValidator(_without_reserved)] = Field(
        default_factory=dict,
        description="Changes of cameras, by name, in force at times or when somebody asks; the first whose "
        "time it is wins.",
    )

    @field_validator("compat")
    @classmethod
    def _apart(cls, compat: CompatConfig, info: ValidationInfo) -> CompatConfig:
        """Two dialects under one prefix would contradict each other."""
        mqtt = info.data.get("mqtt")
        if compat.frigate and mqtt is not None and compat.frigate_prefix == mqtt.topic_prefix:
            raise wrong("has the `frigate_prefix` that `mqtt.topic_prefix` is too; choose another")
        return compat

    def under(self, profile: str | None) -> Config:
        """Return the configuration while a profile is in force; raises `KeyError` for an unknown one."""
        return (
            self if profile is None else self.model_copy(update={"cameras": self.profiles[profile].cameras})
        )
