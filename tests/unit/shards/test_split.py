"""How many processes there are and which camera goes where: pure decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.household import config_of
from vigil.shards.split import (
    PER_FRAME,
    PER_INFERENCE,
    SHARE,
    assign,
    gpus,
    load,
    number_of,
    part_of_workers,
    subset,
    visible_device,
    with_models_of,
)

if TYPE_CHECKING:
    from pathlib import Path


def many(count: int, fps: float = 5) -> dict[str, dict[str, object]]:
    """Return so many cameras."""
    return {f"c{number}": {"detect": {"fps": fps}} for number in range(count)}


def test_one_process_is_the_default() -> None:
    """Nobody gets a front and shards without asking for them."""
    assert number_of(config_of(many(500)), cores=64) == 1


def test_number_is_as_configured_but_none_without_a_camera() -> None:
    """A process that watches nothing is of no use."""
    assert number_of(config_of(many(8), shards=4), cores=2) == 4
    assert number_of(config_of(many(3), shards=4), cores=2) == 3


@pytest.mark.parametrize("cameras", [1, 20, 90, 210, 990])
def test_auto_keeps_python_under_half_a_core_each(cameras: int) -> None:
    """The number is the least with which no process is asked for more than its share."""
    config = config_of(many(cameras), shards="auto")
    number = number_of(config, cores=1000)
    asked = cameras * (5 * PER_INFERENCE + 25 * PER_FRAME)
    assert asked / number <= SHARE
    assert number == 1 or asked / (number - 1) > SHARE


def test_auto_has_two_cores_for_each_process() -> None:
    """More processes than the machine has room for would only stand in each other's way."""
    config = config_of(many(1000), shards="auto")
    assert [number_of(config, cores) for cores in (1, 2, 4, 16)] == [1, 1, 2, 8]


@given(st.lists(st.floats(0.5, 60), min_size=1, max_size=40), st.integers(1, 8))
def test_loads_are_even(rates: list[float], shards: int) -> None:
    """No shard is asked for more than another by more than one camera's load."""
    cameras = config_of({f"c{n}": {"detect": {"fps": rate}} for n, rate in enumerate(rates)}).cameras
    homes = assign(cameras, shards, {})
    loads = [sum(load(cameras[name]) for name in cameras if homes[name] == each) for each in range(shards)]
    assert homes.keys() == cameras.keys()
    assert max(loads) - min(loads) <= max(map(load, cameras.values())) + 1e-9


def test_cameras_stay_where_they_are() -> None:
    """Cameras that are watched are not moved by others that come or go."""
    homes = assign(config_of(many(4)).cameras, 2, {})
    fewer = {name: shard for name, shard in homes.items() if name != "c0"}
    again = assign(config_of(many(7)).cameras, 2, fewer)
    assert again | fewer == again
    assert sorted(again.values()) in ([0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1])


def test_shard_knows_its_cameras_and_no_secret_of_brokers() -> None:
    """What a shard does not need it is not told."""
    config = config_of(
        many(3),
        mqtt={"host": "broker", "username": "vigil", "password": "secret"},
        model={"size": 320},
        profiles={"night": {}},
    )
    part = subset(config, ["c2", "c0"])
    assert list(part.cameras) == ["c2", "c0"]
    assert part.cameras["c0"] == config.cameras["c0"]
    assert part.model == config.model
    assert (part.mqtt.host, part.mqtt.password, part.profiles) == (None, None, {})


def test_models_are_those_that_are_loaded() -> None:
    """Of a model only the confidence changes while vigil runs, in a shard that is started again too."""
    started = config_of(many(1), model={"size": 320}, models={"small": {"size": 320}})
    now = config_of(
        many(2),
        model={"size": 640, "confidence": 0.8},
        models={"small": {"confidence": 0.9}, "new": {"size": 320}},
    )
    config = with_models_of(started, now)
    assert list(config.cameras) == ["c0", "c1"]
    assert (config.model.size, config.model.confidence) == (320, 0.8)
    assert {name: (each.size, each.confidence) for name, each in config.models.items()} == {
        "small": (320, 0.9)
    }


@pytest.mark.parametrize(("workers", "shards", "parts"), [(8, 2, [4, 4]), (8, 3, [3, 3, 2]), (1, 2, [1, 1])])
def test_workers_are_shared(workers: int, shards: int, parts: list[int]) -> None:
    """The engine's workers of all shards together are those of one process, but each has one."""
    assert [part_of_workers(workers, shard, shards) for shard in range(shards)] == parts


def test_each_shard_has_its_gpu() -> None:
    """GPUs are taken in turn; a device that the configuration names is everybody's."""
    two = ("0", "GPU-abc")
    assert [visible_device(["auto"], shard, two) for shard in range(3)] == ["0", "GPU-abc", "0"]
    assert visible_device(["auto", "cuda:1"], 1, two) is None
    assert visible_device(["cpu"], 1, two) is None
    assert visible_device(["auto"], 1, ("0",)) is None


def test_gpus_are_those_that_the_process_may_use(tmp_path: Path) -> None:
    """The environment's choice comes before the driver's list; no driver is no GPU."""
    for bus in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / bus).mkdir()
    assert gpus({}, tmp_path) == ("0", "1")
    assert gpus({"CUDA_VISIBLE_DEVICES": "3, 1"}, tmp_path) == ("3", "1")
    assert gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == ()
    assert gpus({}, tmp_path / "nothing") == ()
