"""Frames that a GPU decoded, detected where they are; after a failure the usual way, from then on.

The usual way works for every image, whose pixels are then fetched from the GPU: slower, and surely right.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from vigil.core.types import PlanarImage
from vigil.inference.engine import EngineError, EngineMemoryError, PlanesEngine
from vigil.inference.letterbox import place, to_frame
from vigil.inference.nv12 import Canvas, Planes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Detections, Image
    from vigil.inference.engine import Engine
    from vigil.inference.heads import Head
    from vigil.inference.letterbox import Preparation
    from vigil.inference.schedule import Shape

log = logging.getLogger(__name__)


class OnDevice:
    """The way from planes in an engine's memory to boxes in frame pixels; for many threads."""

    def __init__(self, engine: Engine, preparation: Preparation, head: Head) -> None:
        """For an engine that takes no planes there is no such way."""
        able = isinstance(engine, PlanesEngine) and engine.takes_planes
        self._engine = engine if able and isinstance(engine, PlanesEngine) else None
        self._preparation = preparation
        self._head = head

    def which(self, images: Sequence[Image]) -> list[int]:
        """Return the indices of the images that are in the engine's memory and can be detected there."""
        engine = self._engine
        if engine is None:
            return []
        return [
            index
            for index, image in enumerate(images)
            if isinstance(image, PlanarImage) and image.device == engine.device
        ]

    def detect(
        self, images: Sequence[Image], floors: Sequence[float], shape: Shape
    ) -> list[Detections] | None:
        """Return per image the boxes over its floor, in its own pixels; `None` when that way is no longer.

        Raises `EngineMemoryError`: a smaller batch may do.
        """
        engine = self._engine
        if engine is None:
            return None
        frames = [self._planes(image, shape) for image in images if isinstance(image, PlanarImage)]
        try:
            found = engine.detect_planes(
                frames, Canvas(shape, self._preparation), self._head, np.asarray(floors, np.float32)
            )
        except EngineMemoryError:
            raise
        except EngineError as error:
            self._engine = None
            log.warning("frames are fetched from %s from now on: %s", engine.device, error)
            return None
        for frame, boxes in zip(frames, found, strict=True):
            boxes.xyxy[:] = to_frame(boxes.xyxy, frame.placement, frame.width, frame.height)
        return found

    def _planes(self, image: PlanarImage, shape: Shape) -> Planes:
        luma, chroma = image.planes()
        placement = place(image.width, image.height, shape, self._preparation.fit)
        return Planes(luma, chroma, image.width, image.height, image.colour, placement)
