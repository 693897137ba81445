"""What libavcodec and the engine take by themselves, with every core busy as they are in a running vigil."""

from __future__ import annotations

import statistics
import threading
import time
from typing import TYPE_CHECKING

import av
import numpy as np

from vigil.core.cores import cores

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vigil.inference.detector import Detector
    from vigil.inference.schedule import Shape


def decoding(clip: Path, rounds: int = 1) -> float:
    """Return CPU seconds per frame of demuxing and decoding a clip, single-threaded, and nothing else."""

    def decode() -> int:
        frames = 0
        for _ in range(rounds):
            with av.open(str(clip)) as container:
                stream = container.streams.video[0]
                stream.codec_context.thread_count = 1
                frames += sum(1 for _ in container.decode(stream))
        return frames

    return on_every_core(decode)


def inferring(detector: Detector, shape: Shape, images: int = 30) -> float:
    """Return CPU seconds per image of the engine called with a ready tensor."""
    ready = np.full((1, 3, *shape), 0.5, np.float32)
    detector.engine.run(ready)

    def infer() -> int:
        for _ in range(images):
            detector.engine.run(ready)
        return images

    return on_every_core(infer)


def engine_ms(detector: Detector, shape: Shape, calls: int = 15) -> float:
    """Return the median wall-clock milliseconds of one call of the engine, alone, with a ready tensor."""
    ready = np.full((1, 3, *shape), 0.5, np.float32)
    spent = []
    for _ in range(calls):
        before = time.perf_counter()
        detector.engine.run(ready)
        spent.append(time.perf_counter() - before)
    return 1000 * statistics.median(spent)


def on_every_core(work: Callable[[], int]) -> float:
    """Return CPU seconds per unit of `work`, done by a thread per core at the same time.

    The process's time is taken, so that threads which a library starts for itself are counted.
    """
    done: list[int] = []
    threads = [threading.Thread(target=lambda: done.append(work())) for _ in range(cores())]
    before = time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (time.process_time() - before) / sum(done)
