"""INT8 weights for OpenVINO, calibrated on frames of the user's own cameras. Only importer of `nncf`.

NNCF's post-training quantisation, as OpenVINO recommends it: it runs frames through the network, sees in
which range each tensor lies, and rounds to 256 steps of that range. What follows the last learned layer
stays exact: there box coordinates of several hundred meet scores of 0 to 1, which share no scale.
(yolo11n on coco128 loses 0.4 points of precision so, and 4.2 when all is rounded.)
"""

from __future__ import annotations

import io
import logging
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any

from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from vigil.core.types import Float32, Image

_RESHAPES = {"Transpose", "Reshape", "Squeeze", "Unsqueeze"}


def quantize(
    source: Path, target: Path, images: Sequence[Image], prepare: Callable[[Image], Float32]
) -> None:
    """Write `source` (.onnx or .xml) as an 8-bit `target` (.xml), calibrated on `images`.

    `prepare` makes an input `(1, 3, h, w)` of an image, each time that it is looked at. Raises
    `CannotStartError` without the extra.
    """
    try:
        import nncf  # noqa: PLC0415 -- heavy: only for those who quantise
        import openvino  # noqa: PLC0415 -- as above
    except ImportError as error:
        raise CannotStartError(f"8 bits need the extra: pip install 'vigil[quantize]' ({error})") from error
    nncf.set_log_level(logging.ERROR)
    network = openvino.Core().read_model(source)
    with redirect_stdout(io.StringIO()):  # its own progress bars
        rounded = nncf.quantize(
            network,
            nncf.Dataset(images, prepare),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(images),
            ignored_scope=nncf.IgnoredScope(names=after_last_layer(network.get_ordered_ops())),
        )
    openvino.save_model(rounded, target, compress_to_fp16=False)


def after_last_layer(nodes: Iterable[Any]) -> list[str]:
    """Return the names of OpenVINO's nodes, given in order of computation, that no learned layer follows."""
    ordered = list(nodes)
    before: set[str] = set()
    names = []
    for node in reversed(ordered):
        followers = [port.get_node() for output in node.outputs() for port in output.get_target_inputs()]
        if any(_learned(each) or each.get_friendly_name() in before for each in followers):
            before.add(node.get_friendly_name())
        elif not _learned(node) and node.get_type_name() not in {"Constant", "Parameter", "Result"}:
            names.append(node.get_friendly_name())
    return names


def _learned(node: Any) -> bool:
    """Tell whether a node is a layer with weights; the sum over a softmax in YOLO's box decoder is none."""
    if node.get_type_name() not in {"Convolution", "GroupConvolution", "MatMul"}:
        return False
    origin = node.input_value(0).get_node()
    while origin.get_type_name() in _RESHAPES:
        origin = origin.input_value(0).get_node()
    return bool(origin.get_type_name() != "Softmax")
