"""What is taken out of a YOLO's graph, on a small network that is built as ultralytics exports its own."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from vigil.config.model import ModelConfig
from vigil.inference.backends import Installed
from vigil.inference.backends.onnx import OnnxEngine
from vigil.inference.backends.trim import agree, trimmed
from vigil.inference.detector import Detector
from vigil.inference.heads import DISTANCES, DistanceHead, RawHead

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.core.types import Float32

HEIGHT, WIDTH, CLASSES, CHANNELS = 64, 96, 3, 16
STRIDES = (8, 16, 32)


@dataclass
class Net:
    """A graph that grows node by node; its weights come from one seed."""

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    def node(self, operation: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        """Add a node and return the name of its first output; the others end in 1, 2, ..."""
        name = f"{operation}_{len(self.nodes)}_0"
        names = [f"{name[:-1]}{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operation, list(inputs), names, **attributes))
        return name

    def value(self, value: Any) -> str:
        """Add a constant and return its name."""
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def conv(self, source: str, inputs: int, outputs: int, size: int = 1, **attributes: Any) -> str:
        """Add a convolution with a bias."""
        shape = (outputs, inputs // attributes.get("group", 1), size, size)
        kernel = self.rng.normal(0, 1.5 / np.sqrt(inputs * size**2), shape).astype(np.float32)
        bias = self.rng.normal(0, 0.3, outputs).astype(np.float32)
        return self.node("Conv", source, self.value(kernel), self.value(bias), **attributes)

    def silu(self, source: str) -> str:
        """Add the activation."""
        return self.node("Mul", source, self.node("Sigmoid", source))

    def block(self, source: str) -> str:
        """Add what C2f does: split the channels, work on one half, and put everything together."""
        half = CHANNELS // 2
        sizes = self.value(np.array([half, half], np.int64))
        first = self.node("Split", self.silu(self.conv(source, CHANNELS, CHANNELS)), sizes, outputs=2, axis=1)
        second = f"{first[:-1]}1"
        third = self.silu(self.conv(second, half, half, 3, pads=[1, 1, 1, 1]))
        both = self.node("Concat", first, second, third, axis=1)
        return self.silu(self.conv(both, 3 * half, CHANNELS))

    def flat(self, levels: list[str]) -> str:
        """Add what puts the cells of all levels into one row."""
        shape = self.value(np.array([0, 0, -1], np.int64))
        return self.node("Concat", *(self.node("Reshape", level, shape) for level in levels), axis=2)

    def detect(self, levels: list[str], corner: float, *, apart: bool) -> str:
        """Add the head; anchors are `corner` cells from the corners of theirs, 0.5 in a YOLO.

        Newer exports keep distances and logits `apart`, older ones split them.
        """
        parts = [(self.conv(level, CHANNELS, 64), self.conv(level, CHANNELS, CLASSES)) for level in levels]
        if apart:
            distances, logits = (self.flat(list(each)) for each in zip(*parts, strict=True))
        else:
            sizes = self.value(np.array([64, CLASSES], np.int64))
            together = self.flat([self.node("Concat", *each, axis=1) for each in parts])
            distances = self.node("Split", together, sizes, outputs=2, axis=1)
            logits = f"{distances[:-1]}1"
        bins = self.node("Reshape", distances, self.value(np.array([0, 4, 16, -1], np.int64)))
        softmax = self.node("Softmax", self.node("Transpose", bins, perm=[0, 2, 1, 3]), axis=1)
        mean = self.node("Conv", softmax, self.value(np.arange(16, dtype=np.float32).reshape(1, 16, 1, 1)))
        sides = self.node("Reshape", mean, self.value(np.array([0, 4, -1], np.int64)))
        halves = self.value(np.array([2, 2], np.int64))
        near = self.node("Split", sides, halves, outputs=2, axis=1)
        anchors, strides = grid(corner)
        start = self.node("Sub", self.value(anchors), near)
        end = self.node("Add", self.value(anchors), f"{near[:-1]}1")
        centre = self.node("Div", self.node("Add", start, end), self.value(np.float32(2)))
        box = self.node("Concat", centre, self.node("Sub", end, start), axis=1)
        scores = self.node("Sigmoid", logits)
        return self.node("Concat", self.node("Mul", box, self.value(strides)), scores, axis=1)

    def save(self, path: Path, output: str, shape: list[int | None]) -> Path:
        """Write the model."""
        image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, HEIGHT, WIDTH])
        found = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, "net", [image], [found], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, {"names": "{0: 'a', 1: 'b', 2: 'c'}", "stride": "32"})
        onnx.checker.check_model(model)
        onnx.save(model, path)
        return path


def grid(corner: float) -> tuple[Float32, Float32]:
    """Return `(1, 2, anchors)` where anchors are, in cells, and `(1, 1, anchors)` their strides."""
    places, strides = [], []
    for stride in STRIDES:
        for y in range(HEIGHT // stride):
            for x in range(WIDTH // stride):
                places.append((x + corner, y + corner))
                strides.append(stride)
    return np.array(places, np.float32).T[None], np.array(strides, np.float32)[None, None]


def yolo(path: Path, *, corner: float = 0.5, apart: bool = False) -> Path:
    """Write a network of two blocks with a YOLO's head."""
    net = Net()
    level = net.silu(net.conv("images", 3, CHANNELS, 8, strides=[8, 8]))
    levels = [net.block(level)]
    for _ in STRIDES[1:]:
        levels.append(net.silu(net.conv(levels[-1], CHANNELS, CHANNELS, 2, strides=[2, 2])))
    return net.save(path, net.detect(levels, corner, apart=apart), [None, 4 + CLASSES, None])


def pictures(count: int = 2) -> Float32:
    """Return noise of the networks' size."""
    return np.random.default_rng(7).random((count, 3, HEIGHT, WIDTH), np.float32)


def operations(model: bytes) -> list[str]:
    """Return the operations of a model's graph."""
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


def answer(model: Path | bytes, batch: Float32) -> Float32:
    """Return what the runtime makes of a batch."""
    session = onnxruntime.InferenceSession(str(model) if not isinstance(model, bytes) else model)
    found: Float32 = session.run(None, {"images": batch})[0]
    return found


@pytest.mark.parametrize("apart", [False, True])
def test_a_yolo_ends_before_its_boxes_and_splits_nothing(tmp_path: Path, *, apart: bool) -> None:
    """Neither the softmax over distances nor a split is left, nor anything that only those needed."""
    path = yolo(tmp_path / "net.onnx", apart=apart)
    model = trimmed(path)
    assert model is not None
    assert {"Split", "Softmax", "Div"}.isdisjoint(operations(model))
    left = onnx.load_from_string(model).graph
    used = {name for node in left.node for name in node.input}
    assert {each.name for each in left.initializer} <= used
    assert [output.name for output in left.output] == [DISTANCES]
    onnx.checker.check_model(model)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("apart", [False, True])
@pytest.mark.parametrize("floor", [0.0, 0.3, 0.6])
def test_an_engine_finds_the_same_boxes_with_less(
    tmp_path: Path, floor: float, *, apart: bool, runtime: str
) -> None:
    """Boxes, scores and classes are those of the whole graph, for every image of a batch."""
    path = yolo(tmp_path / "net.onnx", apart=apart)
    engine = Installed().open(runtime, path, ModelConfig(), "cpu", None)
    assert [output.name for output in engine.outputs] == [DISTANCES]
    found = Detector(engine, size=WIDTH, iou=0.5).detect_inputs(pictures(), [floor, floor])
    floors = np.full(2, floor, np.float32)
    expected = RawHead(0.5).decode([answer(path, pictures())], floors, (HEIGHT, WIDTH))
    assert [len(each) for each in found] == [len(each) for each in expected]
    assert min(len(each) for each in found) > 3
    for ours, whole in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours.xyxy, whole.xyxy, atol=1e-3)
        np.testing.assert_allclose(ours.confidence, whole.confidence, atol=1e-5)
        np.testing.assert_array_equal(ours.class_id, whole.class_id)


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_boxes_that_mean_something_else_stay_in_the_graph(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, runtime: str
) -> None:
    """A head that looks the same and has other anchors is noticed; only its splits go."""
    caplog.set_level("INFO")
    path = yolo(tmp_path / "net.onnx", corner=0.0)
    engine = Installed().open(runtime, path, ModelConfig(), "cpu", tmp_path)
    assert engine.outputs[0].name != DISTANCES
    assert "not those of a YOLO as vigil knows them" in caplog.text
    np.testing.assert_allclose(engine.run(pictures())[0], answer(path, pictures()), atol=1e-3)
    model = trimmed(path, before_boxes=False)
    assert model is not None
    assert operations(model).count("Split") == 2  # those of the head


def given(output: Float32, _batch: Float32) -> list[Float32]:
    """Return an output, whatever comes in."""
    return [output]


def test_other_anchors_do_not_agree() -> None:
    """Four levels instead of three have more anchors than a head of three can place."""
    more, usual = 126 + 1, 126
    for anchors in (more, usual):
        whole = np.zeros((1, 4 + CLASSES, anchors), np.float32)
        ended = np.zeros((1, 64 + CLASSES, anchors), np.float32)
        assert not agree(partial(given, whole), partial(given, ended), pictures(1))


def test_that_boxes_agree_is_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenVINO compiles two networks to find out, which later starts need not."""
    path = yolo(tmp_path / "net.onnx")
    for _ in range(2):
        engine = Installed().open("openvino", path, ModelConfig(), "cpu", tmp_path / "cache")
        assert engine.outputs[0].name == DISTANCES
        monkeypatch.setattr("vigil.inference.backends.openvino.agree", lambda *_: pytest.fail("asked again"))


def test_signals_come_when_an_engine_is_gone(tmp_path: Path) -> None:
    """OpenVINO's stack for signals outlives an engine that another thread lets go of."""
    program = """
import gc, os, signal, sys, threading
from pathlib import Path
from vigil.config.model import ModelConfig
from vigil.inference.backends import Installed

engines = [Installed().open("openvino", Path(sys.argv[1]), ModelConfig(), "cpu", None)]

def let_go():
    engines.pop().close()
    gc.collect()

thread = threading.Thread(target=let_go)
thread.start()
thread.join()
signal.signal(signal.SIGTERM, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGTERM)
"""
    path = yolo(tmp_path / "net.onnx")
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "heard"), done.stderr


def test_one_image_that_is_the_only_one_keeps_its_size(tmp_path: Path) -> None:
    """The batch may have any size, as before."""
    engine = OnnxEngine(yolo(tmp_path / "net.onnx"), ModelConfig(), "cpu")
    assert [len(engine.run(pictures(count))[0]) for count in (1, 3)] == [1, 3]


def split_after(path: Path, *, group: int = 1, other: bool = False, gate: str = "Sigmoid") -> Path:
    """Write a network whose split follows a convolution, but not quite as in a YOLO's block."""
    net = Net()
    plain = net.conv("images", 3, 6, group=group)
    product = net.node("Mul", plain, net.node(gate, plain))
    sizes = net.value(np.array([4, 2], np.int64))
    first = net.node("Split", product, sizes, outputs=2, axis=1)
    parts = [f"{first[:-1]}1", first]
    output = net.node("Concat", *parts, *([product] if other else []), axis=1)
    return net.save(path, output, [None, None, HEIGHT, WIDTH])


def test_unequal_parts_are_made_apart(tmp_path: Path) -> None:
    """Parts of any size get the weights that are theirs."""
    path = split_after(tmp_path / "net.onnx")
    model = trimmed(path)
    assert model is not None
    assert operations(model).count("Conv") == 2
    np.testing.assert_allclose(answer(model, pictures()), answer(path, pictures()), atol=1e-5)


@pytest.mark.parametrize("change", [{"group": 3}, {"other": True}, {"gate": "HardSigmoid"}])
def test_what_is_not_quite_the_same_is_left_alone(tmp_path: Path, change: dict[str, Any]) -> None:
    """A grouped convolution, a product that somebody else needs whole, and another activation stay."""
    assert trimmed(split_after(tmp_path / "net.onnx", **change)) is None


def test_distances_that_are_no_numbers_make_no_box() -> None:
    """Infinite and missing logits are left out, and warn nobody."""
    output = np.zeros((1, 64 + CLASSES, 126), np.float32)
    output[0, 64:] = -5
    output[0, 64, [3, 5, 7, 9]] = 4
    output[0, 3, 3], output[0, 20, 5], output[0, 65, 7] = np.nan, np.inf, np.nan
    with np.errstate(all="raise"):
        (found,) = DistanceHead(0.5).decode([output], np.array([0.5], np.float32), (HEIGHT, WIDTH))
    # 16 equal logits mean 7.5 strides to each side; the ninth anchor is at (9.5, 0.5) cells of 8 pixels.
    assert found.xyxy.tolist() == [[16, -56, 136, 64]]
    assert found.class_id.tolist() == [0]


def test_floors_at_both_ends() -> None:
    """Everything is over a floor of 0, and nothing over one of 1."""
    output = np.zeros((2, 64 + CLASSES, 126), np.float32)
    output[:, 64:] = np.array([-9, 30, 0])[:, None]
    floors = np.array([0, 1], np.float32)
    all_of_them, none = DistanceHead(0.999).decode([output], floors, (HEIGHT, WIDTH))
    assert (len(all_of_them), len(none)) == (126, 0)
