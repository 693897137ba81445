"""How many processes there are, and which of them each camera goes to: pure decisions.

A camera's load is what its Python costs: CPU seconds per second, from what `vigil bench shards` measured.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vigil.config.model import CameraConfig, Config

PER_INFERENCE = 0.7e-3
"""CPU seconds of Python for an inferred frame with ten objects, publishing included."""
PER_FRAME = 0.1e-3
"""CPU seconds of Python for a frame that arrives."""
_USUAL_FPS = 25.0
"""Frames per second that a camera is taken to send."""
SHARE = 0.5
"""Cores of Python that a process is asked for at most, where the number is for vigil to choose."""
_CORES_EACH = 2
"""Cores without which a process more has nothing to run on."""


def load(camera: CameraConfig) -> float:
    """Return the cores of Python that a camera asks for."""
    return camera.detect.fps * PER_INFERENCE + _USUAL_FPS * PER_FRAME


def number_of(config: Config, cores: int) -> int:
    """Return how many processes watch the cameras: what is configured, but none without a camera."""
    most = len(config.cameras)
    if config.shards != "auto":
        return min(config.shards, most)
    wanted = math.ceil(sum(map(load, config.cameras.values())) / SHARE)
    return max(1, min(wanted, most, cores // _CORES_EACH))


def assign(cameras: Mapping[str, CameraConfig], shards: int, homes: Mapping[str, int]) -> dict[str, int]:
    """Return the shard of each camera: those with a home stay, others go where least is asked for."""
    found = {name: homes[name] for name in cameras if name in homes}
    loads = [0.0] * shards
    for name, shard in found.items():
        loads[shard] += load(cameras[name])
    new = [name for name in cameras if name not in homes]
    # The largest first: then the last ones even out what is left.
    for name in sorted(new, key=lambda each: -load(cameras[each])):
        found[name] = loads.index(min(loads))
        loads[found[name]] += load(cameras[name])
    return found


def subset(config: Config, names: Iterable[str]) -> Config:
    """Return what a shard is to know: some cameras, and of brokers, users and profiles nothing."""
    cameras = {name: config.cameras[name] for name in names}
    plain = {
        key: type(config).model_fields[key].get_default(call_default_factory=True) for key in _NOT_THEIRS
    }
    return config.model_copy(update={**plain, "cameras": cameras})


_NOT_THEIRS = ("mqtt", "homeassistant", "compat", "http", "profiles", "location")


def with_models_of(started: Config, config: Config) -> Config:
    """Return a configuration with the models of another, which are loaded; only confidences can change.

    So a shard that is started again loads what the others have.
    """
    models = {
        name: model.model_copy(update={"confidence": config.models.get(name, model).confidence})
        for name, model in started.models.items()
    }
    model = started.model.model_copy(update={"confidence": config.model.confidence})
    return config.model_copy(update={"model": model, "models": models})


def part_of_workers(workers: int, shard: int, shards: int) -> int:
    """Return how many of the engine workers that the machine has room for are a shard's, 1 at least."""
    return max(1, workers // shards + (shard < workers % shards))


def visible_device(devices: Iterable[str], shard: int, gpus: tuple[str, ...]) -> str | None:
    """Return the GPU that a shard is to see, `None` for all: where there is one, or one is asked for.

    `devices` are the configuration's `device` of every model, `gpus` the names of those that are there.
    """
    chosen = any(":" in device or device == "cpu" for device in devices)
    return None if chosen or len(gpus) <= 1 else gpus[shard % len(gpus)]


def gpus(environ: Mapping[str, str], drivers: Path = Path("/proc/driver/nvidia/gpus")) -> tuple[str, ...]:
    """Return the NVIDIA devices that this process may use, by their names in `CUDA_VISIBLE_DEVICES`."""
    if (given := environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return tuple(name.strip() for name in given.split(",") if name.strip())
    try:
        return tuple(str(number) for number, _ in enumerate(drivers.iterdir()))
    except OSError:
        return ()
