"""Cameras on several devices: who infers them, through reloads too."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import FakeEngine
from tests.support.household import House, config_of
from tests.support.serving import service
from vigil.config.diff import diff
from vigil.core.types import MAIN_MODEL
from vigil.gpu.decoders import Decoders
from vigil.gpu.nvml import Nvml
from vigil.placement import Placement
from vigil.video.source import Format

if TYPE_CHECKING:
    from vigil.config.model import Config
    from vigil.core.types import Detections
    from vigil.inference.service import Service


def on(device: str) -> Service:
    """Return a fake engine in service on a device."""
    engine = FakeEngine()
    engine.device = device
    return service(engine)


def two_gpus() -> dict[str, Service]:
    """Return a model on two devices, and another on one of them."""
    return {MAIN_MODEL: on("cuda:0"), "@cuda:1": on("cuda:1"), "large": on("cuda:1")}


def cameras(number: int) -> Config:
    """Return a configuration of so many cameras."""
    return config_of({f"camera-{index}": {} for index in range(number)})


def places(placement: Placement, config: Config) -> dict[str, str]:
    """Return the service of each camera of the main model."""
    return {name: placement.service(name, MAIN_MODEL) for name in config.cameras}


def test_cameras_are_shared_between_a_models_devices() -> None:
    """Six cameras are three for each service, and a camera of another model is that model's."""
    config = config_of(
        {**{f"c{n}": {} for n in range(6)}, "yard": {"detect": {"model": "large"}}}, models={"large": {}}
    )
    placement = Placement(two_gpus())
    placement.settle(config.cameras)
    shared = Counter(placement.service(f"c{n}", MAIN_MODEL) for n in range(6))
    assert shared == {MAIN_MODEL: 3, "@cuda:1": 3}
    assert placement.service("yard", "large") == "large"
    assert placement.device("yard", "large") == "cuda:1"


def test_a_reload_moves_nobody() -> None:
    """Who is there already keeps the device when cameras come and go."""
    placement = Placement(two_gpus())
    placement.settle(cameras(4).cameras)
    before = places(placement, cameras(4))
    placement.settle(cameras(9).cameras)
    after = places(placement, cameras(9))
    assert {name: after[name] for name in before} == before
    assert sorted(Counter(after.values()).values()) == [4, 5]


def test_one_device_is_the_model_itself() -> None:
    """With one service there is nothing to share: every camera is the model's."""
    placement = Placement({MAIN_MODEL: on("cpu")})
    placement.settle(cameras(3).cameras)
    assert set(places(placement, cameras(3)).values()) == {MAIN_MODEL}
    assert placement.service("nobody-knows", MAIN_MODEL) == MAIN_MODEL


async def test_supervisor_schedules_cameras_where_they_belong(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each camera is scheduled with its device's service, and so is one that a reload brings."""
    monkeypatch.setattr("tests.support.household.service", lambda: on("cuda:0"))
    monkeypatch.setattr(
        "vigil.supervisor.Placement",
        lambda _services: Placement({MAIN_MODEL: on("cuda:0"), "@cuda:1": on("cuda:1")}),
    )
    old, new = cameras(4), cameras(6)
    house = House(monkeypatch, old)
    async with house.running():
        await house.supervisor.apply(new, diff(old, new))
        entries = dict(house.loop._schedule._entries)
    assert entries.keys() == new.cameras.keys()
    assert Counter(entry.model for entry in entries.values()) == {MAIN_MODEL: 3, "@cuda:1": 3}


class PlanesFake(FakeEngine):
    """A fake engine that takes planes."""

    takes_planes = True

    def detect_planes(self, *_request: object) -> list[Detections]:
        """Find nothing."""
        return []


def planes_on(device: str) -> Service:
    """Return an engine that takes planes, in service on a device."""
    engine = PlanesFake()
    engine.device = device
    return service(engine)


@pytest.mark.parametrize(
    ("decode_on", "served", "device"),
    [
        ("auto", on("cpu"), None),
        ("auto", on("cuda:1"), None),
        ("auto", planes_on("cuda:1"), "cuda:1"),
        ("auto", planes_on("cpu"), None),
        ("cpu", planes_on("cuda:1"), None),
        ("cuda", on("cpu"), "cuda:0"),
        ("cuda", on("intel-gpu"), "cuda:0"),
        ("cuda", on("tensorrt:1"), "cuda:1"),
        ("cuda", planes_on("cuda:1"), "cuda:1"),
    ],
)
def test_who_decodes(decode_on: str, served: Service, device: str | None) -> None:
    """`auto` is the GPU only where the engine takes pictures from there; `cuda` is one whatever infers."""
    decoders = Decoders(Nvml({}))
    placement = Placement({MAIN_MODEL: served}, decoders)
    placement.settle(config_of({"drive": {"decode_on": decode_on}}).cameras)
    view = placement.decoder("drive")
    assert view is not None
    assert view.opens() == device


def test_a_reload_changes_who_decodes() -> None:
    """A camera whose `decode_on` changes is decoded elsewhere from its next keyframe on."""
    placement = Placement({MAIN_MODEL: planes_on("cuda:0")}, Decoders(Nvml({})))
    placement.settle(config_of({"drive": {}}).cameras)
    view = placement.decoder("drive")
    assert view is not None
    assert view.device() == "cuda:0"
    placement.settle(config_of({"drive": {"decode_on": "cpu"}}).cameras)
    assert view.device() is None


def test_without_decoders_nobody_is_asked() -> None:
    """Where GPUs decode nothing, as in a replay, a camera has nothing that says where."""
    placement = Placement({MAIN_MODEL: planes_on("cuda:0")})
    placement.settle(cameras(1).cameras)
    assert placement.decoder("camera-0") is None


async def test_pixel_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cameras cost to decode is what they send, and a usual camera's until that is known."""
    house = House(monkeypatch, cameras(1))
    assert house.supervisor.pixel_rates() == {"camera-0": 1920 * 1080 * 25}
    unit = house.supervisor._units["camera-0"]
    unit.camera.format = Format("h264", 1280, 720)
    for at in range(26):
        monkeypatch.setattr(unit.metrics._captures, "_clock", lambda at=at: at / 25)
        unit.metrics._captures.add()
    assert house.supervisor.pixel_rates() == {"camera-0": pytest.approx(1280 * 720 * 25)}
