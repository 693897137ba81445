"""Cameras shared between devices: stable by name, even by cost."""

from __future__ import annotations

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.gpu.affinity import ranking, share

TWO, FOUR = ("cuda:0", "cuda:1"), ("cuda:0", "cuda:1", "cuda:2", "cuda:3")
PLACES_OF_DRIVE = ["cuda:0", "cuda:2", "cuda:3", "cuda:1"]
COSTS = st.dictionaries(
    st.text("abcdefgh-_0123456789", min_size=1, max_size=8), st.floats(0.1, 60), max_size=40
)


def loads(cameras: dict[str, float], shared: dict[str, str]) -> dict[str, float]:
    """Return what each device that has a camera was given."""
    found: dict[str, float] = defaultdict(float)
    for name, device in shared.items():
        found[device] += cameras[name]
    return found


def many(number: int) -> dict[str, float]:
    """Return so many cameras of the same cost."""
    return {f"camera-{index}": 5.0 for index in range(number)}


def test_a_few_cameras_are_split_evenly() -> None:
    """Two cameras on two devices get one each, and eight on four two each."""
    assert sorted(share(many(2), TWO).values()) == ["cuda:0", "cuda:1"]
    assert set(Counter(share(many(8), FOUR).values()).values()) == {2}


def test_the_same_at_every_start() -> None:
    """The order in which cameras or devices are named changes nothing."""
    cameras = many(30)
    turned = dict(reversed(cameras.items()))
    assert share(cameras, FOUR) == share(turned, FOUR) == share(cameras, FOUR[::-1])


def test_known_places() -> None:
    """The hash is the same on every machine and in every version: cameras do not move at an update."""
    assert ranking("drive", FOUR) == PLACES_OF_DRIVE
    assert ranking("drive", TWO) == [device for device in PLACES_OF_DRIVE if device in TWO]


@given(COSTS, st.integers(1, 5))
def test_no_device_is_much_over_its_share(cameras: dict[str, float], devices: int) -> None:
    """A device takes a quarter over the even share at most, or one camera more than that share."""
    names = FOUR[:devices]
    shared = share(cameras, names)
    assert shared.keys() == cameras.keys()
    even = sum(cameras.values()) / len(names)
    most = max(1.25 * even, even + max(cameras.values(), default=0.0)) + 1e-6
    assert all(load <= most for load in loads(cameras, shared).values())


def test_a_camera_that_comes_moves_few() -> None:
    """One more camera among a hundred moves at most a few of the others at the next start."""
    before = share(many(100), FOUR)
    after = share(many(101), FOUR)
    assert sum(before[name] != after[name] for name in before) <= 3


def test_a_device_that_goes_moves_its_own() -> None:
    """Of a hundred cameras those of the other devices mostly stay when one device is gone."""
    before = share(many(100), FOUR)
    after = share(many(100), FOUR[:3])
    moved = [name for name in before if before[name] != after[name]]
    assert sum(before[name] != "cuda:3" for name in moved) <= 25


def test_the_settled_stay() -> None:
    """What runs keeps its device, and who comes goes where there is room."""
    cameras = many(5)
    settled = dict.fromkeys(list(cameras)[:2], "cuda:1")
    shared = share(cameras, TWO, settled)
    assert {name: shared[name] for name in settled} == settled
    assert sum(device == "cuda:0" for device in shared.values()) >= 2


def test_a_device_that_is_gone_settles_nobody() -> None:
    """A camera of a device that is no longer there gets another."""
    assert share({"drive": 5.0}, TWO, {"drive": "cuda:7"})["drive"] in TWO


def test_a_dear_camera_leaves_the_cheap_to_others() -> None:
    """The device of a camera that costs more than all others gets none of these."""
    cameras = {"yard": 60.0, **{f"door-{index}": 5.0 for index in range(4)}}
    shared = share(cameras, TWO)
    assert Counter(shared.values())[shared["yard"]] == 1


def test_no_device() -> None:
    """Nobody can be put anywhere without a device."""
    with pytest.raises(ValueError, match="no device"):
        share({"drive": 1.0}, ())
