"""Who leaves a full decoder and who comes back, in virtual time, against a decoder that really fills up."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from vigil.gpu.spill import Limits, Spill

HD, UHD = 25.0, 100.0
"""What a camera of 1080p and one of 2160p cost."""


@dataclass
class Nvdec:
    """A decoder of so much capacity, its cameras, and who looks at it every second."""

    capacity: float
    costs: dict[str, float]
    spill: Spill = field(default_factory=Spill)
    now: float = 0.0
    moves: int = 0

    @property
    def busy(self) -> float:
        """How busy it is: a real one reads 100 % however far past that it is."""
        load = sum(cost for name, cost in self.costs.items() if name not in self.spill.on_cpu)
        return min(1.0, load / self.capacity)

    def run(self, seconds: int) -> None:
        """Look once a second."""
        for _ in range(seconds):
            before = self.spill.on_cpu
            self.spill.look(self.busy, self.costs, self.now)
            self.moves += len(before ^ self.spill.on_cpu)
            self.now += 1


def cameras(number: int, cost: float = HD) -> dict[str, float]:
    """Return so many alike."""
    return {f"camera-{index:02}": cost for index in range(number)}


def test_a_decoder_that_is_not_full_keeps_all() -> None:
    """At 88 % nobody leaves."""
    nvdec = Nvdec(25 * HD, cameras(22))
    nvdec.run(600)
    assert nvdec.spill.on_cpu == frozenset()


def test_a_moment_is_not_enough() -> None:
    """One reading of 100 % between others moves nobody."""
    spill = Spill()
    for now, busy in enumerate([0.8, 1.0, 1.0, 0.8, 1.0, 1.0, 0.8]):
        spill.look(busy, cameras(4), now)
    assert spill.on_cpu == frozenset()


def test_a_full_decoder_is_relieved_and_stays_so() -> None:
    """Twice as many cameras as fit: those who stay soon keep it under 90 %, and then nobody moves."""
    nvdec = Nvdec(20 * HD, cameras(40))
    nvdec.run(60)
    assert nvdec.busy < 0.9
    assert 40 - len(nvdec.spill.on_cpu) >= 13
    moves = nvdec.moves
    nvdec.run(3600)
    assert nvdec.moves == moves


def test_the_cheapest_leave() -> None:
    """The CPU gets the small pictures, the GPU keeps the large ones."""
    nvdec = Nvdec(4 * UHD, {"yard": UHD, "road": UHD, "gate": UHD, **cameras(8)})
    nvdec.run(30)
    assert nvdec.spill.on_cpu
    assert nvdec.spill.on_cpu <= cameras(8).keys()


def test_they_come_back_one_by_one_when_there_is_room() -> None:
    """When half the cameras are gone all others are decoded on the GPU again, a camera every calm while."""
    nvdec = Nvdec(20 * HD, cameras(30))
    nvdec.run(60)
    away = len(nvdec.spill.on_cpu)
    assert away > 5
    kept = list(nvdec.spill.on_cpu)
    for name in list(cameras(30).keys() - set(kept))[:12]:
        del nvdec.costs[name]
    nvdec.run(29)
    assert len(nvdec.spill.on_cpu) == away
    nvdec.run(2)
    assert len(nvdec.spill.on_cpu) == away - 1
    nvdec.run(30 * away)
    assert nvdec.busy <= 0.9
    assert len(nvdec.spill.on_cpu) < away


def test_one_that_would_fill_it_again_stays_away() -> None:
    """A dear camera does not come back to a decoder that is half empty if it would not fit."""
    nvdec = Nvdec(100.0, {"a": 30.0, "b": 29.0, "yard": 45.0})
    nvdec.spill.look(0.95, {"yard": 45.0}, -10)
    nvdec.spill.look(0.95, {"yard": 45.0}, -5)
    assert nvdec.spill.on_cpu == {"yard"}
    nvdec.run(600)
    assert nvdec.spill.on_cpu == {"yard"}


def test_who_goes_to_and_fro_waits_longer_each_time() -> None:
    """A camera whose cost is misjudged returns ever more rarely: two dozen moves an hour, not two hundred."""
    costs = {"a": HD, "b": HD}
    spill, moves = Spill(), 0
    for now in range(3600):
        before = spill.on_cpu
        spill.look(1.0 if len(before) == 0 else 0.3, costs, now)
        moves += len(before ^ spill.on_cpu)
    assert 4 <= moves <= 24


def test_a_camera_that_opens_while_it_is_full_goes_to_the_cpu() -> None:
    """What is opened now does not wait for the patience that those have who are there."""
    spill = Spill()
    assert spill.opens("first")
    spill.look(0.95, {"first": HD}, 0)
    assert not spill.opens("late")
    assert spill.on_cpu == {"late"}
    spill.look(0.5, {"first": HD, "late": HD}, 1)
    assert not spill.opens("late"), "it comes back by the rules, not by opening again"
    assert spill.opens("later")


def test_who_is_gone_is_forgotten() -> None:
    """A camera that was removed is no longer among those on the CPU."""
    spill = Spill()
    spill.look(1.0, {"a": HD}, 0)
    spill.opens("b")
    spill.look(1.0, {"a": HD}, 1)
    assert spill.on_cpu == frozenset()


def test_nobody_moves_without_a_reading() -> None:
    """Where the load cannot be read all stays as it is, and old readings do not count."""
    spill = Spill(Limits(patience=2.0))
    for now, busy in enumerate([1.0, 1.0, None, 1.0, 1.0]):
        spill.look(busy, cameras(4), now)
    assert spill.on_cpu == frozenset()
    spill.look(1.0, cameras(4), 5)
    assert spill.on_cpu


@pytest.mark.parametrize("capacity", [1.0, HD, 3 * HD])
def test_all_may_leave(capacity: float) -> None:
    """A decoder that is tiny is left by as many as it takes."""
    nvdec = Nvdec(capacity, cameras(6))
    nvdec.run(60)
    assert nvdec.busy < 0.9
