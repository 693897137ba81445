"""Exports: what is made of which weights, where it is found again, and that only what agrees gets there."""

from __future__ import annotations

import fcntl
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.fakes import FakeEngine, FakeImage, one_person
from vigil.config.model import ModelConfig
from vigil.errors import CannotStartError
from vigil.inference import export
from vigil.inference.detector import Detector
from vigil.inference.export import Exporter, ExportRefusedError, find_export, plan_for
from vigil.inference.quantize import after_last_layer
from vigil.inference.store import quiet

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vigil.core.types import Float32

PICTURES = [FakeImage() for _ in range(10)]


def nobody(batch: Float32) -> Float32:
    """Return a raw head's output in which nobody is found."""
    return np.zeros_like(one_person(batch))


@dataclass
class Opener:
    """Opens fake detectors; what exports find is `found`."""

    found: Callable[[Float32], Float32] = one_person
    opened: list[tuple[str, str, str]] = field(default_factory=list)

    def __call__(self, weights: Path, settings: ModelConfig) -> Detector:
        """Note what is opened."""
        self.opened.append((weights.name, settings.engine, settings.precision))
        answer = one_person if settings.engine == "ultralytics" else self.found
        return Detector(FakeEngine(answer), size=settings.size, iou=settings.iou)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a checkpoint, which is exported by writing a few bytes."""
    monkeypatch.setattr(export, "to_onnx", lambda _weights, target, *_: target.write_bytes(b"onnx"))
    path = tmp_path / "home.pt"
    path.write_bytes(b"checkpoint")
    return path


def exporter(tmp_path: Path, opener: Opener) -> Exporter:
    """Return an exporter with a cache of its own."""
    return Exporter(tmp_path / "cache", opener, quiet)


def test_checkpoint_becomes_onnx_once(tmp_path: Path, checkpoint: Path) -> None:
    """At first it is made and compared, the second time it is found, and the engine finds it as well."""
    opener = Opener()
    made = exporter(tmp_path, opener).make(checkpoint, ModelConfig(), PICTURES)
    assert made.agreement is not None
    assert made.agreement.share == 1
    assert made.path.name == "home.onnx"
    assert opener.opened == [("home.pt", "ultralytics", "fp32"), ("home.onnx", "onnxruntime", "fp32")]
    again = exporter(tmp_path, opener).make(checkpoint, ModelConfig(), PICTURES)
    assert again.path == made.path
    assert again.agreement is None
    assert len(opener.opened) == 2
    assert find_export(checkpoint, ModelConfig(), tmp_path / "cache") == made.path


def test_what_differs_is_refused_and_leaves_nothing(tmp_path: Path, checkpoint: Path) -> None:
    """An export that finds other boxes never gets to where engines look."""
    with pytest.raises(ExportRefusedError, match=r"0\.0% of 10 boxes"):
        exporter(tmp_path, Opener(nobody)).make(checkpoint, ModelConfig(), PICTURES)
    assert find_export(checkpoint, ModelConfig(), tmp_path / "cache") is None
    assert [path for path in (tmp_path / "cache/exports").iterdir() if path.suffix != ".lock"] == []


def test_what_killed_exports_left_is_swept(tmp_path: Path, checkpoint: Path) -> None:
    """The folder of an export that was killed is gone after the next one."""
    plan = plan_for(checkpoint, ModelConfig())
    left = tmp_path / "cache" / plan.path.parent.with_name(f".{plan.path.parent.name}-abc")
    left.mkdir(parents=True)
    exporter(tmp_path, Opener()).make(checkpoint, ModelConfig(), PICTURES)
    assert not left.exists()


def test_second_process_waits_its_turn(tmp_path: Path, checkpoint: Path) -> None:
    """While another has the lock nothing is made; afterwards what it made is taken."""
    plan = plan_for(checkpoint, ModelConfig())
    final = tmp_path / "cache" / plan.path
    final.parent.mkdir(parents=True)
    waits, opener = threading.Event(), Opener()
    found: list[Path] = []

    def make() -> None:
        progress = Exporter(tmp_path / "cache", opener, lambda *_: waits.set())
        found.append(progress.make(checkpoint, ModelConfig(), PICTURES).path)

    with final.parent.with_name(f".{final.parent.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        other = threading.Thread(target=make)
        other.start()
        assert waits.wait(10)
        final.write_bytes(b"made by the first")
    other.join(10)
    assert found == [final]
    assert opener.opened == []


@pytest.mark.parametrize(
    ("name", "keys", "words"),
    [
        ("a.onnx", {}, "needs no export"),
        ("a.xml", {"engine": "openvino"}, "needs no export"),
        ("a.pt", {"engine": "ultralytics"}, "not exported for ultralytics"),
        ("a.pt", {"engine": "onnxruntime", "precision": "int8"}, "OpenVINO only"),
        ("a.tflite", {}, "not exported"),
    ],
)
def test_what_cannot_be_made_is_told(tmp_path: Path, name: str, keys: dict[str, Any], words: str) -> None:
    """Weights that run as they are, and forms that there are not, are refused in words."""
    (tmp_path / name).write_bytes(b"weights")
    with pytest.raises(CannotStartError, match=words):
        plan_for(tmp_path / name, ModelConfig.model_validate(keys))
    assert find_export(tmp_path / name, ModelConfig.model_validate(keys), tmp_path) is None


def test_each_export_has_a_place_of_its_own(tmp_path: Path) -> None:
    """Other bytes, another size, another engine or another precision are other exports."""
    one, other = tmp_path / "a.pt", tmp_path / "b.pt"
    one.write_bytes(b"one")
    other.write_bytes(b"other")
    places = {
        plan_for(weights, ModelConfig.model_validate(keys)).path.parent
        for weights in (one, other)
        for keys in ({}, {"size": 320}, {"engine": "openvino"}, {"precision": "int8"})
    }
    assert len(places) == 8


def test_few_pictures_are_too_few_for_8_bits(tmp_path: Path, checkpoint: Path) -> None:
    """Calibrating on a handful of pictures is refused before anything is rounded."""
    with pytest.raises(CannotStartError, match="9 pictures are too few"):
        exporter(tmp_path, Opener()).make(checkpoint, ModelConfig(precision="int8"), PICTURES[:9])


@dataclass(eq=False)
class Node:
    """A node of OpenVINO's graph, as far as it is asked."""

    name: str
    kind: str
    inputs: list[Node] = field(default_factory=list)
    followers: list[Node] = field(default_factory=list)

    def __post_init__(self) -> None:
        for each in self.inputs:
            each.followers.append(self)

    def get_friendly_name(self) -> str:
        """Return the name."""
        return self.name

    def get_type_name(self) -> str:
        """Return the kind of operation."""
        return self.kind

    def input_value(self, index: int) -> Port:
        """Return an input's other end."""
        return Port(self.inputs[index])

    def outputs(self) -> list[Node]:
        """Return the one output."""
        return [self]

    def get_target_inputs(self) -> list[Port]:
        """Return who reads it."""
        return [Port(each) for each in self.followers]


@dataclass
class Port:
    """An end of an edge."""

    node: Node

    def get_node(self) -> Node:
        """Return whose end it is."""
        return self.node


def test_only_what_no_layer_follows_stays_exact() -> None:
    """A YOLO's decoder stays exact with its sum over a softmax; layers and what is between do not."""
    image = Node("image", "Parameter")
    first = Node("first", "Convolution", [image])
    swish = Node("swish", "Swish", [first])
    last = Node("last", "Convolution", [swish])
    shaped = Node("shaped", "Reshape", [last])
    softmax = Node("softmax", "Softmax", [shaped])
    turned = Node("turned", "Transpose", [softmax])
    summed = Node("summed", "Convolution", [turned])
    concat = Node("concat", "Concat", [summed])
    result = Node("result", "Result", [concat])
    ordered = [image, first, swish, last, shaped, softmax, turned, summed, concat, result]
    assert set(after_last_layer(ordered)) == {"shaped", "softmax", "turned", "summed", "concat"}
