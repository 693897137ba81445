"""What every runtime needs to know of a file of weights: its metadata as `Weights`, and its inputs' names."""

from __future__ import annotations

import ast
import logging
from typing import TYPE_CHECKING, Any

from vigil.errors import CannotStartError
from vigil.inference.engine import Weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vigil.inference.engine import Dimension
    from vigil.inference.schedule import Shape

log = logging.getLogger(__name__)

SIZES_INPUT = "orig_target_sizes"
"""Second input of RT-DETR's and D-FINE's official exports: `(b, 2)` int64, width and height of pictures."""

_STRIDE, _SIZE = 32, 640


def describe(path: Path, metadata: Mapping[str, str], fixed: Shape | None = None) -> Weights:
    """Return what `metadata`, as ultralytics writes it, says; raises `CannotStartError` for no detector.

    Values are Python literals: `{0: 'person', ...}` and `[640, 640]`. `fixed` is a static export's input.
    """
    if metadata.get("task", "detect") != "detect":
        raise CannotStartError(
            f"model.name: {path} is made for {metadata['task']!r}; vigil needs a detection model"
        )
    size = _literal(metadata, "imgsz", fixed or _SIZE)
    stride = _literal(metadata, "stride", _STRIDE)
    return Weights(
        name=path.stem,
        names=_names(_literal(metadata, "names", ())),
        stride=stride if isinstance(stride, int) else max(stride),
        size=size if isinstance(size, int) else max(size),
        metadata=dict(metadata),
    )


def image_input(path: Path, inputs: Mapping[str, Sequence[Dimension]]) -> str:
    """Return the name of the input that takes pictures; raises `CannotStartError` for unknown others."""
    images = [name for name, shape in inputs.items() if len(shape) == len("bchw")]
    if len(images) != 1 or set(inputs) - {SIZES_INPUT, *images}:
        listed = ", ".join(f"{name} {tuple(shape)}" for name, shape in inputs.items())
        raise CannotStartError(
            f"model.name: {path} has the inputs {listed}; vigil feeds one of (batch, 3, height, width), "
            f"and beside it only {SIZES_INPUT}"
        )
    return images[0]


def fixed_shape(shape: Sequence[Dimension]) -> Shape | None:
    """Return the `(height, width)` of a static input, `None` of a dynamic one."""
    _, _, height, width = shape
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None


def _names(found: Any) -> tuple[str, ...]:
    """Return class names in the order of their ids."""
    if isinstance(found, dict):
        return tuple(str(found[key]) for key in sorted(found, key=int))
    return tuple(str(name) for name in found)


def _literal(metadata: Mapping[str, str], key: str, default: Any) -> Any:
    try:
        return ast.literal_eval(metadata[key])
    except KeyError:
        return default
    except (ValueError, SyntaxError):
        log.warning("the weights' metadata %r cannot be read and is left out", key)
        return default
