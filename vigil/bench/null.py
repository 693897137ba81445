"""vigil with an engine that costs nothing: `python -m vigil.bench.null run -c <file>`.

Every camera sees the same people walk, wherever they are by the clock, so tracks hold whoever is asked when.
All the rest is real: capture, schedule, head, tracker, scene, publishing, shards.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vigil import log
from vigil.bench.walkers import CLASSES, SHAPE, Answers
from vigil.bench.walkers import Output as Memory
from vigil.config.load import load
from vigil.core.cores import cores
from vigil.core.types import MAIN_MODEL
from vigil.inference.detector import Detector
from vigil.inference.engine import Output, Weights
from vigil.inference.letterbox import place, to_frame
from vigil.inference.service import Service
from vigil.launch import Setup
from vigil.process import serve

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.config.model import Config
    from vigil.core.types import Detections, Float32, Image
    from vigil.inference.letterbox import Letterbox
    from vigil.inference.schedule import Shape

OBJECTS = "VIGIL_BENCH_OBJECTS"
"""The variable that says how many people there are."""
_NAMES = tuple(f"class {number}" for number in range(CLASSES))


class NullEngine:
    """Answers at once, from each thread's own memory."""

    name, device, fixed_shape, max_batch = "null", "cpu", SHAPE, 1
    weights = Weights("null", _NAMES, stride=32, size=640, metadata={})
    outputs = (Output("output0", ("batch", 4 + CLASSES, "anchors")),)

    def __init__(self, objects: int) -> None:
        self.workers = cores()
        self._objects = objects
        self._mine = threading.local()

    def run(self, batch: Float32) -> list[Float32]:
        """Return where the people are now."""
        del batch
        if not hasattr(self._mine, "answers"):
            self._mine.answers = Answers(self._objects, 0, Memory())
        answers: Answers = self._mine.answers
        return [answers.at(time.time())]

    def close(self) -> None:
        """Give back nothing."""


class NullDetector(Detector):
    """Does all but write pixels, which nobody would look at."""

    def detect(
        self, letterbox: Letterbox, images: Sequence[Image], floors: Sequence[float], shape: Shape
    ) -> list[Detections]:
        """Return the people, in each image's own pixels."""
        del letterbox
        found = self.detect_inputs(np.broadcast_to(np.float32(0), (len(images), 3, *shape)), floors)
        for image, detections in zip(images, found, strict=True):
            placement = place(image.width, image.height, shape)
            detections.xyxy[:] = to_frame(detections.xyxy, placement, image.width, image.height)
        return found


def open_services(
    config: Config, weights: Mapping[str, Path], environ: Mapping[str, str]
) -> dict[str, Service]:
    """Return the one model, as `vigil.placement.open_services` does."""
    del weights

    def detector() -> NullDetector:
        engine = NullEngine(int(environ.get(OBJECTS, "10")))
        return NullDetector(engine, size=config.model.size, iou=config.model.iou)

    first = detector()
    return {MAIN_MODEL: Service(first, first.engine.workers, 1, config.model.timeout, detector, "a bench")}


def main() -> None:
    """Do as `vigil run` does."""
    # By its name, which a shard's process knows too: here it is `__main__`'s.
    from vigil.bench.null import open_services as named  # noqa: PLC0415 -- as said above

    path = Path(sys.argv[-1])
    config = load(path, os.environ)
    log.set_up(config.log)
    sys.exit(
        serve(
            Setup(
                config,
                path,
                None,
                lambda: load(path, os.environ),
                {MAIN_MODEL: Path("null")},
                os.environ,
                open_services=named,
            )
        )
    )


if __name__ == "__main__":
    main()
