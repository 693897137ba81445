"""NV12 frames in the CPU's memory, handed on by DLPack as a GPU's would be, and numpy, which takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np

from vigil.inference.letterbox import place
from vigil.inference.nv12 import NumpyArrays, Planes
from vigil.video.decode import NvImage, Scalers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.inference.letterbox import Preparation
    from vigil.inference.schedule import Shape


class Exporter:
    """A capsule as numpy asks for it."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_wishes: object) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


class CapsuleArrays(NumpyArrays):
    """Numpy that takes capsules."""

    def stack(self, planes: Sequence[Any]) -> Any:
        """Return planes of one size as one array of float32."""
        return super().stack([np.from_dlpack(Exporter(capsule)) for capsule in planes])


def picture(width: int, height: int, seed: int = 0, *, colorspace: int = 2, color_range: int = 0) -> NvImage:
    """Return a colourful picture with edges and fine texture, as a stream of such colours would have it."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (9, 16, 3), np.uint8)
    pixels = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    for _ in range(12):
        corner = rng.integers(0, (width, height))
        colour = [int(value) for value in rng.integers(0, 256, 3)]
        cv2.circle(pixels, [int(value) for value in corner], int(rng.integers(5, height // 4)), colour, -1)
    pixels = cv2.add(pixels, rng.integers(0, 12, pixels.shape, np.uint8))
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(format="nv12")
    frame.colorspace, frame.color_range = colorspace, color_range
    return NvImage(frame, Scalers())


def planes_of(image: NvImage, shape: Shape, preparation: Preparation) -> Planes:
    """Return what an engine is given of an image."""
    luma, chroma = image.planes()
    placement = place(image.width, image.height, shape, preparation.fit)
    return Planes(luma, chroma, image.width, image.height, image.colour, placement)
