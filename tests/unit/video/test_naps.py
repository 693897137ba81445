"""When a capture thread sleeps, over invented streams in virtual time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from vigil.video.naps import Naps

FPS = 25
TRANSIT = 0.03


@dataclass
class Reader:
    """A thread that reads a camera's packets, each `cost` seconds of work, and naps when it may."""

    naps: Naps = field(default_factory=Naps)
    now: float = 1000.0
    began: float = 1000.0
    number: int = 0
    size: int = 3000
    fps: float = FPS
    clock: float = 1.0
    """How fast the camera's clock runs."""
    cost: float = 0.0
    resting: bool = True
    shift: float = 0.0
    slept: list[float] = field(default_factory=list)
    wrong: list[float] = field(default_factory=list)
    """By how much each told arrival differs from the true one."""
    behind: list[float] = field(default_factory=list)

    def read(self, seconds: float) -> None:
        """Read what comes in so many seconds."""
        end = self.now + seconds
        while self.now < end:
            came = self.began + self.number / self.fps + TRANSIT
            waited = max(came - self.now, 0.0) + self.cost
            self.now += waited
            dts = self.number / self.fps * self.clock + self.shift
            told = self.naps.arrival(self.now, waited, dts, self.size)
            self.wrong.append(told - came)
            self.behind.append(self.now - came)
            self.number += 1
            nap = self.naps.due(resting=self.resting)
            if nap:
                self.slept.append(nap)
                self.now += nap


def test_a_resting_camera_is_read_a_few_times_a_second() -> None:
    """Naps of 0.2 s, after each of which all that gathered is read, with the arrivals that it had."""
    reader = Reader()
    reader.read(60)
    assert set(reader.slept) == {0.2}
    assert 60 * 4 <= len(reader.slept) <= 60 * 5
    assert reader.number == pytest.approx(60 * FPS, abs=6)
    assert max(map(abs, reader.wrong)) < 0.002
    assert max(reader.behind) <= 0.2


def test_nobody_sleeps_while_a_camera_is_awake() -> None:
    """Every packet is read when it comes, and its arrival is when it was read."""
    reader = Reader(resting=False, cost=0.001)
    reader.read(20)
    assert not reader.slept
    assert reader.wrong == reader.behind


@pytest.mark.parametrize("clock", [1.0003, 0.9997])
def test_clocks_that_drift_are_followed(clock: float) -> None:
    """Over half an hour, a second a day times twenty-five, arrivals stay right and naps go on."""
    reader = Reader(clock=clock)
    reader.read(1800)
    assert max(map(abs, reader.wrong)) < 0.01
    assert len(reader.slept) > 1800 * 4


def test_a_machine_that_is_behind_reads_on() -> None:
    """What has gathered for a second is read without a nap between, however long each packet takes."""
    reader = Reader()
    reader.read(10)
    reader.now += 1.0
    naps = len(reader.slept)
    reader.cost = 0.02
    while reader.behind[-1] < 0.5:
        reader.read(0.001)
    assert len(reader.slept) == naps
    reader.read(4)
    assert reader.behind[-1] < 0.3
    assert max(map(abs, reader.wrong)) < 0.06


def test_a_clock_that_is_set_is_no_delay() -> None:
    """A stream whose time jumps, either way, is told by when it is read, and soon naps again."""
    for shift in (-3600.0, 3600.0):
        reader = Reader()
        reader.read(10)
        reader.shift = shift
        reader.read(10)
        assert max(map(abs, reader.wrong)) < 0.25
        assert max(map(abs, reader.wrong[-100:])) < 0.002
        assert len(reader.slept) > 70


def test_no_more_gathers_than_a_socket_takes() -> None:
    """The more a camera sends the shorter are the naps, down to none."""
    reader = Reader(size=10_000)
    reader.read(10)
    assert max(reader.slept[10:]) == pytest.approx(0.2)
    reader = Reader(size=20_000)
    reader.read(60)
    assert reader.slept[-1] == pytest.approx(64_000 / 20_000 / FPS, rel=0.05)
    reader = Reader(size=40_000)
    reader.read(60)
    reader.slept.clear()
    reader.read(10)
    assert not reader.slept


def test_few_pictures_a_second_are_read_as_they_come() -> None:
    """A nap that not two packets fit into spares nothing."""
    reader = Reader(fps=5)
    reader.read(60)
    reader.slept.clear()
    reader.read(20)
    assert not reader.slept


def test_without_a_clock_nobody_sleeps() -> None:
    """Packets that carry no time are read as they come."""
    naps = Naps()
    for number in range(100):
        now = 1000 + number / FPS
        assert naps.arrival(now, 0.03, None, 1000) == now
        assert naps.due(resting=True) == 0
