"""Where each camera belongs: which of a model's services infers it, and so on which device it is decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vigil.core.types import MAIN_MODEL
from vigil.gpu.affinity import share
from vigil.inference.replicas import by_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.config.model import CameraConfig
    from vigil.inference.service import Service


class Placement:
    """Shares the cameras of each model between the devices that the model is loaded on."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        """`services` are all that are loaded, replicas among them."""
        self._services = services
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

    def service(self, camera: str, model: str) -> str:
        """Return the name of the service that infers a camera with a model."""
        device = self.device(camera, model)
        return model if device is None else self._of(model)[device]

    def device(self, camera: str, model: str) -> str | None:
        """Return the device that a camera belongs to; `None` if it was never settled."""
        return self._places.get(model, {}).get(camera)

    def _of(self, model: str) -> dict[str, str]:
        if model not in self._devices:
            self._devices[model] = by_device(self._services, model)
        return self._devices[model]
