"""A model on several GPUs: which are tried, what they are called, and one that does not start."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import FakeEngine
from tests.support.serving import service
from vigil.config.model import ModelConfig
from vigil.core.types import MAIN_MODEL
from vigil.errors import CannotStartError
from vigil.inference.replicas import by_device, devices_of, is_replica, open_replicas

if TYPE_CHECKING:
    from vigil.inference.service import Service

WEIGHTS = Path("fake.onnx")


class Gpus:
    """Opens a fake engine on each device but those that are broken."""

    def __init__(self, *broken: str) -> None:
        self.broken = broken
        self.asked: list[str] = []

    def __call__(self, _weights: Path, settings: ModelConfig, _cache: Path | None) -> Service:
        """Open."""
        self.asked.append(settings.device)
        if settings.device in self.broken:
            raise CannotStartError(f"model.device: {settings.device} does not start")
        engine = FakeEngine()
        engine.device = settings.device
        return service(engine)


def opened(gpus: Gpus, device: str, number: int, name: str = MAIN_MODEL) -> dict[str, Service]:
    """Load a model."""
    return open_replicas(name, WEIGHTS, ModelConfig(device=device), None, number, gpus)


@pytest.mark.parametrize(
    ("device", "gpus", "devices"),
    [
        ("auto", 4, ("auto",)),
        ("cuda", 4, ("cuda",)),
        ("cuda:1", 4, ("cuda:1",)),
        ("cuda:all", 3, ("cuda:0", "cuda:1", "cuda:2")),
        ("tensorrt:all", 2, ("tensorrt:0", "tensorrt:1")),
        ("cuda:all", 0, ("cuda:0",)),
        ("cpu:all", 2, ("cpu:all",)),
    ],
)
def test_devices_that_a_word_means(device: str, gpus: int, devices: tuple[str, ...]) -> None:
    """Only `all` of a kind that can be spread means several; without a GPU the first says what is missing."""
    assert devices_of(device, gpus) == devices


def test_a_service_for_each_gpu() -> None:
    """The first has the model's name, further ones the device's behind it, and each runs on its own."""
    services = opened(Gpus(), "cuda:all", 3)
    assert list(services) == ["", "@cuda:1", "@cuda:2"]
    assert [is_replica(name) for name in services] == [False, True, True]
    assert by_device(services, MAIN_MODEL) == {"cuda:0": "", "cuda:1": "@cuda:1", "cuda:2": "@cuda:2"}


def test_models_keep_apart() -> None:
    """A model's services are not those of another whose name begins alike."""
    gpus = Gpus()
    services = {
        **opened(gpus, "cuda:all", 2),
        **opened(gpus, "cuda:all", 2, "small"),
        **opened(gpus, "cuda:1", 2, "smaller"),
    }
    assert by_device(services, "small") == {"cuda:0": "small", "cuda:1": "small@cuda:1"}
    assert by_device(services, "smaller") == {"cuda:1": "smaller"}
    assert by_device(services, MAIN_MODEL) == {"cuda:0": "", "cuda:1": "@cuda:1"}


def test_a_gpu_that_does_not_start_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """The others serve, the first of them under the model's name, and a line says which is missing."""
    with caplog.at_level(logging.WARNING):
        services = opened(Gpus("cuda:0"), "cuda:all", 3)
    assert by_device(services, MAIN_MODEL) == {"cuda:1": "", "cuda:2": "@cuda:2"}
    assert caplog.messages == ["a GPU is passed over: model.device: cuda:0 does not start"]


def test_no_gpu_at_all() -> None:
    """When none starts, what was wrong with the first one is said."""
    with pytest.raises(CannotStartError, match="cuda:0 does not start"):
        opened(Gpus("cuda:0", "cuda:1"), "cuda:all", 2)


def test_one_device_is_opened_once() -> None:
    """Without `all` a model is loaded once, as ever, and what is wrong with it is raised."""
    gpus = Gpus()
    assert list(opened(gpus, "auto", 4)) == [MAIN_MODEL]
    assert gpus.asked == ["auto"]
