"""Takes out of an exported YOLO what costs CPU time and tells nothing.

Two things, recognised by the shape of the graph, whatever its nodes are called:

- **Boxes of anchors that show nothing.** YOLOv8 to 11 end in a softmax over 16 distances for each side of
  each box, thousands of boxes of which a handful is looked at. The graph ends before that, and `DistanceHead`
  makes the boxes that are wanted.
- **Splits of channels.** C2f and C3k2 blocks split what a convolution gives. ONNX Runtime keeps channels in
  blocks and has no split for those, so it reorders everything before and after. Two convolutions, each with
  its part of the weights, compute the same where it is wanted.

What does not look exactly like this stays as it is.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from vigil.inference.heads import BINS, BOX, DISTANCES, all_boxes, cell_count

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from vigil.core.types import Float32
    from vigil.inference.schedule import Shape

    Run = Callable[[Float32], Sequence[Float32]]

log = logging.getLogger(__name__)

_CHANNELS = 1
"""The axis of channels."""
_PIXELS, _SCORE = 0.05, 1e-3
"""By how much a box and a score may differ: rounding, which grows along the network."""


def trimmed(weights: Path, *, before_boxes: bool = True) -> bytes | None:
    """Return a smaller model that tells the same, or `None` where there is nothing to take out.

    One that ends `before_boxes` has a single output `DISTANCES`; whether `DistanceHead` makes the same boxes
    of it is for `agree` to tell.
    """
    model = onnx.load(weights)
    graph = model.graph
    ended = before_boxes and _end_before_boxes(graph)
    if not _split_weights(graph) and not ended:
        return None
    _leave_out_unused(graph)
    return bytes(model.SerializeToString())


def noise(stride: int, shape: Shape | None, images: int) -> Float32:
    """Return inputs to try networks on, small ones where no `(height, width)` and number is fixed."""
    height, width = shape or (2 * stride, 3 * stride)
    return np.random.default_rng(0).random((images or 1, 3, height, width), np.float32)


def agree(whole: Run, ended: Run, batch: Float32) -> bool:
    """Tell whether `DistanceHead` makes the boxes and scores of `whole` from the output of `ended`."""
    try:
        [expected], [instead] = whole(batch), ended(batch)
    except Exception:  # noqa: BLE001 -- a runtime's own; whoever runs the whole model meets it again
        return False
    same = _same(expected, instead, batch.shape[2:])
    if not same:
        log.info("the model's boxes are not those of a YOLO as vigil knows them, and stay in it")
    return same


def _same(whole: Float32, ended: Float32, shape: Shape) -> bool:
    images, rows, anchors = ended.shape
    if anchors != cell_count(shape) or whole.shape != (images, rows - BOX * BINS + BOX, anchors):
        return False
    boxes, scores = all_boxes(ended, shape)
    expected = whole.transpose(0, 2, 1)
    centre, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    off = np.abs(np.concatenate([centre, size], axis=2) - expected[..., :BOX]).max()
    return bool(off < _PIXELS and np.abs(scores - expected[..., BOX:]).max() < _SCORE)


def _end_before_boxes(graph: Any) -> bool:
    """End the graph where distances and logits of all anchors are together; returns whether it can."""
    makers = _makers(graph)
    if len(graph.output) != 1:
        return False
    output = graph.output[0]
    kind, dimensions = output.type.tensor_type.elem_type, output.type.tensor_type.shape.dim
    joined = _made(makers, output.name, "Concat")
    scores = _input(makers, joined, 1, "Sigmoid")
    if scores is None or kind != onnx.TensorProto.FLOAT or dimensions[1].dim_value <= BOX:
        return False
    softmax = _before(makers, joined.input[0], "Softmax")
    bins = _input(makers, _input(makers, softmax, 0, "Transpose"), 0, "Reshape")
    if bins is None:
        return False
    parts = [bins.input[0], scores.input[0]]
    split = makers.get(parts[0])
    if split is not None and list(split.output) == parts:
        last = helper.make_node("Identity", [split.input[0]], [DISTANCES])
    else:
        last = helper.make_node("Concat", parts, [DISTANCES], axis=_CHANNELS)
    batch = dimensions[0].dim_value or dimensions[0].dim_param or None
    rows = dimensions[1].dim_value - BOX + BOX * BINS
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(DISTANCES, kind, [batch, rows, None]))
    graph.node.append(last)
    return True


def _split_weights(graph: Any) -> bool:
    """Have convolutions make apart what was split after them; returns whether there was any."""
    makers, users = _makers(graph), _users(graph)
    weights = {each.name: each for each in graph.initializer}
    instead: dict[str, list[Any]] = {}
    for split in graph.node:
        if split.op_type != "Split" or _attribute(split, "axis") != _CHANNELS:
            continue
        product, sizes = _input(makers, split, 0, "Mul"), _sizes(graph, split)
        if product is None or sizes is None or users[split.input[0]] != [split]:
            continue
        convolution = _silu(makers, users, product)
        if convolution is None or not weights.keys() >= set(convolution.input[1:]):
            continue
        if _attribute(convolution, "group") in {None, 1}:
            instead[split.output[0]] = list(_parts(graph, convolution, split.output, sizes, weights))
    nodes = [new for node in graph.node for new in instead.get(node.output[0], [node])]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    return bool(instead)


def _silu(makers: dict[str, Any], users: dict[str, list[Any]], product: Any) -> Any:
    """Return the convolution whose output `x`, used by nobody else, is in the product `x * sigmoid(x)`."""
    for index in range(len(product.input)):
        convolution = _input(makers, product, index, "Conv")
        sigmoid = _input(makers, product, 1 - index, "Sigmoid")
        if convolution is None or sigmoid is None:
            continue
        (value,) = convolution.output
        if sigmoid.input[0] == value and all(user in (sigmoid, product) for user in users[value]):
            return convolution
    return None


def _parts(
    graph: Any, convolution: Any, outputs: Sequence[str], sizes: Sequence[int], weights: dict[str, Any]
) -> Iterator[Any]:
    """Yield the nodes that make each part of a convolution's output by itself, through its activation."""
    ends = np.cumsum(sizes)
    for output, size, end in zip(outputs, sizes, ends, strict=True):
        inputs = [convolution.input[0]]
        for name in convolution.input[1:]:
            part = numpy_helper.to_array(weights[name])[end - size : end]
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(part), f"{name}/{output}"))
            inputs.append(f"{name}/{output}")
        plain, gate = f"{output}/plain", f"{output}/gate"
        node = helper.make_node("Conv", inputs, [plain])
        node.attribute.extend(convolution.attribute)
        yield node
        yield helper.make_node("Sigmoid", [plain], [gate])
        yield helper.make_node("Mul", [plain, gate], [output])


def _leave_out_unused(graph: Any) -> None:
    """Forget nodes and weights that no output needs."""
    makers = _makers(graph)
    needed: set[str] = set()
    wanted = [output.name for output in graph.output]
    while wanted:
        name = wanted.pop()
        if name not in needed:
            needed.add(name)
            wanted.extend(makers[name].input if name in makers else ())
    for kept, names in (
        (graph.node, lambda node: node.output),
        (graph.initializer, lambda each: [each.name]),
        (graph.value_info, lambda each: [each.name]),
    ):
        for index in reversed(range(len(kept))):
            if needed.isdisjoint(names(kept[index])):
                del kept[index]


def _made(makers: dict[str, Any], name: str, operation: str) -> Any:
    """Return the node of that operation which makes a value; `None` if it is another's."""
    node = makers.get(name)
    return node if node is not None and node.op_type == operation else None


def _input(makers: dict[str, Any], node: Any, index: int, operation: str) -> Any:
    """Return the node of that operation which makes an input of a node; `None` if there is none."""
    return None if node is None or index >= len(node.input) else _made(makers, node.input[index], operation)


def _before(makers: dict[str, Any], name: str, operation: str) -> Any:
    """Return the nearest node of that operation on whose output a value depends; `None` if there is none."""
    waiting, seen = deque([name]), {name}
    while waiting:
        node = makers.get(waiting.popleft())
        if node is None:
            continue
        if node.op_type == operation:
            return node
        new = [each for each in node.input if each not in seen]
        seen.update(new)
        waiting.extend(new)
    return None


def _makers(graph: Any) -> dict[str, Any]:
    return {name: node for node in graph.node for name in node.output}


def _users(graph: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            found.setdefault(name, []).append(node)
    return found


def _sizes(graph: Any, split: Any) -> list[int] | None:
    """Return how many channels each part of a split has; `None` if that is computed."""
    _, *given = split.input
    if not given:  # before version 13 of the operators
        found = _attribute(split, "split")
    else:
        maker = _made(_makers(graph), given[0], "Constant")
        tensors = [each for each in graph.initializer if each.name == given[0]]
        tensors += [] if maker is None else [_attribute(maker, "value")]
        found = numpy_helper.to_array(tensors[0]) if tensors else None
    return None if found is None else [int(size) for size in found]


def _attribute(node: Any, name: str) -> Any:
    """Return an attribute's value; `None` if the node lacks it."""
    return next((helper.get_attribute_value(each) for each in node.attribute if each.name == name), None)
