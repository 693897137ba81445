"""Where models and cameras belong: which service infers a camera, which GPU decodes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vigil.core.types import MAIN_MODEL
from vigil.gpu.affinity import share
from vigil.gpu.count import visible
from vigil.inference.engine import PlanesEngine
from vigil.inference.replicas import by_device, open_replicas
from vigil.inference.store import cache_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vigil.config.model import CameraConfig, Config
    from vigil.gpu.decoders import CameraDecoder, Decoders
    from vigil.inference.service import Service


_NVIDIA = frozenset({"cuda", "tensorrt"})
"""Kinds of device that are an NVIDIA GPU."""


class Placement:
    """Shares the cameras of each model between the devices that the model is loaded on."""

    def __init__(self, services: Mapping[str, Service], decoders: Decoders | None = None) -> None:
        """`services` are all that are loaded, replicas among them; without `decoders` the CPU decodes."""
        self._services = services
        self._decoders = decoders
        self._devices: dict[str, dict[str, str]] = {}  # a model's services, by device
        self._places: dict[str, dict[str, str]] = {}  # a model's cameras, each with its device

    def settle(self, cameras: Mapping[str, CameraConfig]) -> None:
        """Give every camera a device; those that have one of their model already keep it."""
        costs: dict[str, dict[str, float]] = {}
        for name, camera in cameras.items():
            costs.setdefault(camera.detect.model or MAIN_MODEL, {})[name] = camera.detect.fps
        self._places = {
            model: share(of_model, sorted(self._of(model)), self._places.get(model))
            for model, of_model in costs.items()
            if self._of(model)
        }
        if self._decoders is not None:
            homes = {name: self._decoding(name, camera) for name, camera in cameras.items()}
            self._decoders.settle({name: gpu for name, gpu in homes.items() if gpu is not None})

    def decoder(self, camera: str) -> CameraDecoder | None:
        """Return what says where a camera is decoded; `None` where that is always the CPU."""
        return None if self._decoders is None else self._decoders.of(camera)

    def service(self, camera: str, model: str) -> str:
        """Return the name of the service that infers a camera with a model."""
        device = self.device(camera, model)
        return model if device is None else self._of(model)[device]

    def device(self, camera: str, model: str) -> str | None:
        """Return the device that a camera belongs to; `None` if it was never settled."""
        return self._places.get(model, {}).get(camera)

    def _decoding(self, name: str, camera: CameraConfig) -> str | None:
        """Return the GPU that decodes a camera as long as it can, `cuda:<n>`, or `None`."""
        model = camera.detect.model or MAIN_MODEL
        kind, _, number = (self.device(name, model) or "").partition(":")
        match camera.decode_on:
            case "cpu":
                return None
            case "cuda":
                return f"cuda:{number}" if kind in _NVIDIA and number else "cuda:0"
            case "auto":
                engine = self._services[self.service(name, model)].detector.engine
                takes = isinstance(engine, PlanesEngine) and engine.takes_planes
                return f"cuda:{number}" if kind == "cuda" and takes else None

    def _of(self, model: str) -> dict[str, str]:
        if model not in self._devices:
            self._devices[model] = by_device(self._services, model)
        return self._devices[model]


def open_services(
    config: Config, weights: Mapping[str, Path], environ: Mapping[str, str]
) -> dict[str, Service]:
    """Load every model of a configuration, once per device; blocks. Raises `CannotStartError`."""
    models, cache, gpus = {MAIN_MODEL: config.model, **config.models}, cache_folder(environ), visible(environ)
    services: dict[str, Service] = {}
    for name, settings in models.items():
        services |= open_replicas(name, weights[name], settings, cache, gpus)
    return services
