"""Batches as runtimes take them: how many images and threads pay off, buckets of sizes, and the padding.

Batching gains nothing on a CPU (measured), so its workers take single frames, one thread each: two
single-threaded calls on two cores beat one call with two threads, and do not fight with the decoders.
Only where there is little to do, cores share calls (`engine.SpreadingEngine`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from vigil.core.cores import cores

if TYPE_CHECKING:
    from vigil.config.model import ModelConfig
    from vigil.core.types import Float32
    from vigil.inference.engine import Dimension

BUCKETS = (1, 2, 4, 8, 16, 32, 64)
"""Batch sizes for which a device keeps kernels or graphs ready; others are padded up to the next."""

_DEVICE_WORKERS = 2


def bucket_for(images: int) -> int:
    """Return the size to which a batch is padded: the next bucket, or itself past the last one."""
    return next((bucket for bucket in BUCKETS if bucket >= images), images)


def padded(batch: Float32, images: int) -> Float32:
    """Return the batch filled up to so many images with copies of its first."""
    missing = images - len(batch)
    return np.concatenate([batch, np.repeat(batch[:1], missing, axis=0)]) if missing > 0 else batch


def most_images(batch: Dimension, settings: ModelConfig, *, on_cpu: bool) -> int:
    """Return `Engine.max_batch` for an input whose first axis is `batch`."""
    most = 1 if on_cpu else BUCKETS[-1]
    wished = most if settings.max_batch == "auto" else settings.max_batch
    return min(wished, batch) if isinstance(batch, int) else wished


def most_workers(settings: ModelConfig, *, on_cpu: bool) -> int:
    """Return `Engine.workers`."""
    if settings.workers != "auto":
        return settings.workers
    return cores() if on_cpu else _DEVICE_WORKERS
