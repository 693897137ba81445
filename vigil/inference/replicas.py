"""One model on several GPUs: a service for each, with an engine of its own, among which cameras are shared.

A replica is a service like any other to loop, schedule and pool; only its name tells: `@cuda:1` after that of
the model. What a turn costs is therefore measured for each, and GPUs of different speed do not mislead.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from vigil.errors import CannotStartError
from vigil.inference.service import open_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.inference.service import Service

log = logging.getLogger(__name__)

ALL: Final = "all"
"""The number that stands for every GPU: `cuda:all`."""
_MARK = "@"
"""Stands in no name of a model."""
_SPREAD = frozenset({"cuda", "tensorrt"})


def devices_of(device: str, gpus: int) -> tuple[str, ...]:
    """Return the devices that `model.device` means on a machine with so many GPUs, never none."""
    kind, _, number = device.partition(":")
    if number != ALL or kind not in _SPREAD:
        return (device,)
    return tuple(f"{kind}:{index}" for index in range(max(1, gpus)))


def open_replicas(
    name: str,
    weights: Path,
    settings: ModelConfig,
    cache: Path | None,
    gpus: int,
    opened: Callable[[Path, ModelConfig, Path | None], Service] = open_service,
) -> dict[str, Service]:
    """Load a model on each of its devices, by the services' names; blocks.

    A device that does not start is passed over; raises the first one's `CannotStartError` if none does.
    """
    services: dict[str, Service] = {}
    failures: list[CannotStartError] = []
    for device in devices_of(settings.device, gpus):
        try:
            service = opened(weights, settings.model_copy(update={"device": device}), cache)
        except CannotStartError as error:
            failures.append(error)
        else:
            services[f"{name}{_MARK}{device}" if services else name] = service
    if not services:
        raise failures[0]
    for failure in failures:
        log.warning("a GPU is passed over: %s", failure)
    return services


def open_first(weights: Path, settings: ModelConfig, cache: Path | None) -> Service:
    """Load a model on the first of its devices, for whoever needs one only; as `open_service` otherwise."""
    first, *_ = devices_of(settings.device, 1)
    return open_service(weights, settings.model_copy(update={"device": first}), cache)


def is_replica(name: str) -> bool:
    """Tell a further service of a model from the one that has its name."""
    return _MARK in name


def by_device(services: Mapping[str, Service], model: str) -> dict[str, str]:
    """Return the names of a model's services by the device that each runs on."""
    return {services[name].detector.engine.device: name for name in _of(services, model)}


def _of(names: Iterable[str], model: str) -> list[str]:
    return [name for name in names if name == model or name.startswith(f"{model}{_MARK}")]
