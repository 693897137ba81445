"""One file of weights into another: a checkpoint into ONNX, and ONNX into OpenVINO's own form.

Only importer of `onnx`. Whatever these libraries write is only let into service once `export` has held its
boxes against those of the source.
"""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from typing import TYPE_CHECKING

from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.inference.engine import Output

_CHOSEN = 6
"""Length of a row of the heads that choose for themselves: box, confidence, class."""


def to_onnx(weights: Path, target: Path, size: int, output: Output) -> None:
    """Write a `.pt` as `target` (.onnx), of any batch, height and width; `output` is what torch says of it.

    Raises `CannotStartError` where the extra is missing or the export fails.
    """
    try:
        # ultralytics would otherwise install packages by itself.
        os.environ.setdefault("YOLO_AUTOINSTALL", "false")
        import onnx  # noqa: PLC0415 -- heavy: only for those who export
        from ultralytics import YOLO  # noqa: PLC0415 -- as above
    except ImportError as error:
        raise CannotStartError(
            f"exporting {weights.name} needs the extra: pip install 'vigil[ultralytics]' ({error})"
        ) from error
    logging.getLogger("ultralytics").setLevel(logging.ERROR)
    # ultralytics writes beside the checkpoint, which may lie where nothing can be written.
    source = target.with_suffix(".pt")
    shutil.copyfile(weights, source)
    try:
        # Of two heads the one is exported that torch runs.
        head = {"nms": False} if output.shape[2] == _CHOSEN else {}
        with warnings.catch_warnings(action="ignore"):  # of torch, about how ultralytics calls it
            YOLO(str(source)).export(
                format="onnx", imgsz=size, dynamic=True, simplify=False, device="cpu", **head
            )
    except Exception as error:
        raise CannotStartError(f"{weights.name} cannot be exported: {error}") from error
    finally:
        source.unlink()
    model = onnx.load(str(target))
    _tell_shape(model.graph.output[0].type.tensor_type.shape.dim, output)
    onnx.save(model, str(target))


def to_openvino(source: Path, target: Path) -> None:
    """Write an ONNX file as `target` (.xml, with a .bin beside it), in fp32 and with its metadata."""
    import openvino  # noqa: PLC0415 -- heavy: only for those who export

    openvino.save_model(openvino.Core().read_model(source), target, compress_to_fp16=False)


def _tell_shape(dimensions: list[object], output: Output) -> None:
    """Write the sizes that do not change with the input, which tracing forgot, into an output's shape.

    The second axis never changes; the third does, unless it is a row of chosen boxes.
    """
    _, middle, last = output.shape
    known = {1: middle, 2: last} if last == _CHOSEN else {1: middle}
    for axis, value in known.items():
        dimensions[axis].dim_value = value  # type: ignore[attr-defined]  # protobuf's
