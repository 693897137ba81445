"""What a runtime must offer to be vigil's engine; `backends/` holds them, `Detector` uses them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from vigil.errors import RetryableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.core.types import Detections, Float32
    from vigil.inference.heads import Head
    from vigil.inference.nv12 import Canvas, Planes
    from vigil.inference.schedule import Shape

MOST_CORES: Final = 4
"""Cores that share a call at most: the layers of a small network have no work for more."""

Dimension = int | str | None
"""An axis of an output: a size, or a name or nothing where it is dynamic."""


class EngineError(RetryableError):
    """An engine failed at its work; a new one may not."""

    reason = "engine"


class EngineMemoryError(EngineError):
    """The device has no memory for a batch of this size; a smaller one may fit."""

    reason = "engine_memory"


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a network: its name in the file (empty where it has none) and its shape."""

    name: str
    shape: tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class Weights:
    """What a file of weights says of itself, before anybody has made sense of it.

    `names` is empty where the file carries none. `metadata` holds whatever else stands in it, as text.
    """

    name: str
    names: tuple[str, ...]
    stride: int
    size: int
    metadata: Mapping[str, str]


class Engine(Protocol):
    """A runtime with weights loaded in it, ready for calls from several threads at once."""

    @property
    def name(self) -> str:
        """Runtime, its version, device and precision, for people: `onnxruntime 1.23 cpu fp32`."""

    @property
    def device(self) -> str:
        """What it computes on: `cpu`, `cuda:0`, `intel-gpu`; engines of one device share its workers."""

    @property
    def weights(self) -> Weights:
        """What the weights say of themselves."""

    @property
    def outputs(self) -> Sequence[Output]:
        """The network's outputs, in the order in which `run` returns them."""

    @property
    def fixed_shape(self) -> Shape | None:
        """The only input `(height, width)` it takes, or `None` if any multiple of the stride will do."""

    @property
    def max_batch(self) -> int:
        """Most images at once that it can take (1 for a static export) or that could ever pay off."""

    @property
    def workers(self) -> int:
        """Most threads calling `run` that could pay off: one per core, or two on a device, one preparing."""

    def run(self, batch: Float32) -> list[Float32]:
        """Return the raw outputs for `(b, 3, h, w)` float32, prepared as the head asks.

        Blocks without the GIL. Raises `EngineMemoryError` where the batch is too large for the device,
        `EngineError` otherwise.
        """

    def close(self) -> None:
        """Give the device's memory back; nobody calls `run` any more."""


@runtime_checkable
class PlanesEngine(Engine, Protocol):
    """An engine that takes frames where a decoder left them, in its own device's memory."""

    @property
    def takes_planes(self) -> bool:
        """Whether that was tried when it was opened, and does what it should."""

    def detect_planes(
        self, frames: Sequence[Planes], canvas: Canvas, head: Head, floors: Float32
    ) -> list[Detections]:
        """Return what `head` makes of frames in `Engine.device`'s memory, letterboxed there; blocks as `run`.

        Boxes are in pixels of the input. Raises as `run` does.
        """


@runtime_checkable
class SpreadingEngine(Engine, Protocol):
    """An engine that can have several cores compute one call."""

    def spread(self, *, on: bool) -> int:
        """Have calls take up to `MOST_CORES` of the workers' cores, one after the other, or each its own.

        Returns how many a call takes. Called by one worker at a time while others call `run`, for a while.
        """
