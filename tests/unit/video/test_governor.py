"""The governor's decisions over streams of invented packets, in virtual time."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import pytest

from vigil.video.governor import Cause, Governor, Mode, Step
from vigil.video.sizes import PacketSizes

QUIET, LOUD = 60, 1200
FPS = 25


@dataclass
class Camera:
    """A stream of `gop` frames between keyframes, and what the governor did with it."""

    governor: Governor
    gop: int = 50
    now: float = 1000.0
    number: int = 0
    resting: bool = True
    crowded: bool = False
    slowness: float = 1.0
    """Times as long as the camera makes them that packets take to be read."""
    clock: float | None = None
    """How fast the stream's own clock runs, if it has one."""
    mending: int = 0
    """Packets after a keyframe that are three times as large."""

    def mode(self) -> Mode:
        """Return how the stream is decoded now."""
        return self.governor.mode

    def play(
        self,
        seconds: float,
        *,
        size: int = QUIET,
        stirs: bool = False,
        stirring: bool = False,
        following: bool = False,
    ) -> Counter[Step]:
        """Send so many seconds of packets; returns how often each step was taken."""
        steps: Counter[Step] = Counter()
        for _ in range(round(seconds * FPS)):
            key = self.number % self.gop == 0
            weight = 3 if 0 < self.number % self.gop <= self.mending else 1
            self.number += 1
            self.now += self.slowness / FPS
            step = self.governor.packet(
                key=key,
                size=20_000 if key else size * weight + self.number % 7,
                now=self.now,
                resting=self.resting,
                crowded=self.crowded,
                dts=None if self.clock is None else self.clock * self.number / FPS,
            )
            if step is Step.LOOK and not self.governor.looked(stirs=stirs, now=self.now):
                step = Step.WAKE
            if step is Step.DECODE:
                self.governor.seen(self.now, stirring=stirring, following=following)
            steps[step] += 1
        return steps

    def wander(self, seconds: float = 4.0, *, size: int = LOUD, following: bool = True) -> None:
        """Let somebody move through the picture while all is decoded, and have it rest again."""
        self.resting = False
        self.play(0.2, size=size)
        self.play(seconds, size=size, stirring=True, following=following)
        self.play(4)
        self.resting = True

    def proven(self) -> Camera:
        """Show three movements that packets tell of, and enough of the still picture."""
        for _ in range(4):
            self.play(12)
            self.wander()
        self.play(12)
        return self


def test_nothing_is_spared_while_somebody_needs_it() -> None:
    """A camera that does not rest is decoded packet by packet."""
    camera = Camera(Governor(), resting=False)
    assert camera.play(20) == {Step.DECODE: 500}
    assert camera.governor.mode is Mode.FULL


def test_rest_begins_with_the_second_keyframe() -> None:
    """As soon as it is known how far apart keyframes are, each of them is looked at and the rest is kept."""
    camera = Camera(Governor())
    assert camera.play(2) == {Step.DECODE: 50}
    assert camera.play(20) == {Step.LOOK: 10, Step.KEEP: 490}
    assert camera.governor.mode is Mode.KEYFRAMES


def test_short_gops_are_not_looked_at_one_by_one() -> None:
    """Of keyframes that come every tenth of a second, or of nothing but keyframes, two a second are seen."""
    for gop in (1, 3):
        camera = Camera(Governor(), gop=gop)
        camera.play(2)
        assert camera.play(20)[Step.LOOK] == pytest.approx(40, abs=4)


@pytest.mark.parametrize("gop", [60, 250, 10**6])
def test_keyframes_far_apart_are_not_relied_on(gop: int) -> None:
    """Where too much can come and go between two keyframes, everything is decoded."""
    assert Camera(Governor(), gop=gop).play(40) == {Step.DECODE: 1000}


@pytest.mark.parametrize(("clock", "rests"), [(1.0, True), (None, False), (0.1, False)])
def test_a_machine_that_is_behind_lets_its_cameras_rest(clock: float | None, *, rests: bool) -> None:
    """Keyframes that are read every three seconds were made every two: so says a stream that has a clock."""
    camera = Camera(Governor(), slowness=1.5, clock=clock)
    camera.play(20)
    assert (camera.governor.mode is Mode.KEYFRAMES) is rests


def test_pixels_wake_and_go_back_to_the_look_before() -> None:
    """What moves at a keyframe is caught up with from the keyframe before it on."""
    camera = Camera(Governor())
    camera.play(10)
    looked = camera.now - (camera.number - 1) % 50 / FPS
    assert camera.play(2, stirs=True)[Step.WAKE] == 1
    assert camera.governor.cause is Cause.MOTION
    assert camera.governor.wake_from == pytest.approx(looked)
    assert camera.governor.mode is Mode.FULL


def test_demand_wakes_at_the_next_packet() -> None:
    """An inference that found something ends the rest at once."""
    camera = Camera(Governor())
    camera.play(10.2)
    camera.resting = False
    assert camera.play(1 / FPS) == {Step.WAKE: 1}
    assert camera.governor.cause is Cause.DEMAND


def test_crowded_ring_wakes_and_is_left_alone_for_a_while() -> None:
    """A ring that overflows is decoded, and the stream is decoded in full for the next minutes."""
    camera = Camera(Governor())
    camera.play(10.2)
    camera.crowded = True
    assert camera.play(1 / FPS) == {Step.WAKE: 1}
    assert camera.governor.cause is Cause.OVERFLOW
    camera.crowded = False
    assert camera.play(300) == {Step.DECODE: 7500}
    assert camera.play(600)[Step.LOOK] > 0


def test_keyframe_that_stays_away_wakes() -> None:
    """A camera that stops sending keyframes while it rests is decoded after twelve seconds."""
    camera = Camera(Governor())
    camera.play(10)
    camera.gop = 10**9
    steps = camera.play(20)
    assert steps[Step.WAKE] == 1
    assert steps[Step.KEEP] == pytest.approx(12 * FPS, abs=2 * FPS)


def test_stream_whose_keyframes_are_none_is_decoded_for_good() -> None:
    """Once a keyframe proved not to stand for itself, none is relied on again."""
    camera = Camera(Governor(forced=Mode.KEYFRAMES))
    camera.play(10)
    camera.governor.unfit(camera.now)
    assert camera.play(3600) == {Step.DECODE: 90_000}


def test_what_is_brief_ends_the_reliance_on_keyframes() -> None:
    """Somebody who was there for less than a keyframe interval can be missed: an hour of decoding follows."""
    camera = Camera(Governor())
    camera.play(10)
    camera.wander(1.0)
    assert camera.play(600) == {Step.DECODE: 15_000}
    assert camera.play(3600)[Step.LOOK] > 0


def test_brief_motion_of_nobody_means_nothing() -> None:
    """A flicker in which no object is found does not cost the camera its rest."""
    camera = Camera(Governor())
    camera.play(10)
    camera.wander(1.0, following=False)
    assert camera.play(20)[Step.LOOK] > 0


@pytest.mark.parametrize("gop", [25, 50, 250])
def test_packets_that_told_of_every_movement_are_trusted(gop: int) -> None:
    """After three announced movements a keyframe every ten seconds will do, however far apart they are."""
    camera = Camera(Governor(), gop=gop).proven()
    assert camera.mode() == Mode.PACKETS
    assert camera.play(200)[Step.LOOK] == pytest.approx(20, abs=1)


def test_packets_wake_and_go_back_some_seconds() -> None:
    """Packets that grow wake within a third of a second; what made them grow may be seconds older."""
    camera = Camera(Governor()).proven()
    grew = camera.now
    while camera.mode() == Mode.PACKETS:
        camera.play(1 / FPS, size=LOUD)
    assert camera.now - grew < 0.35
    assert camera.governor.cause is Cause.PACKET_SIZE
    assert camera.governor.wake_from == pytest.approx(camera.now - 2.5)


def test_movement_that_packets_kept_to_themselves_ends_the_trust() -> None:
    """Pixels that moved unannounced send the camera back to its keyframes for an hour."""
    camera = Camera(Governor()).proven()
    while camera.mode() == Mode.PACKETS:
        camera.play(1 / FPS, stirs=True)
    assert camera.governor.cause is Cause.MOTION
    for _ in range(40):
        camera.play(60)
        camera.wander()
        assert camera.mode() != Mode.PACKETS
    for _ in range(30):
        camera.play(60)
        camera.wander()
    camera.play(10)
    assert camera.mode() == Mode.PACKETS


def test_packets_that_grow_wake_before_the_next_keyframe() -> None:
    """Without any proof they are worth a look, once twenty seconds of the still picture were seen."""
    camera = Camera(Governor(), gop=50)
    camera.play(30)
    assert camera.mode() is Mode.KEYFRAMES
    camera.play(0.4)
    grew = camera.now
    while camera.mode() is Mode.KEYFRAMES:
        camera.play(1 / FPS, size=3 * QUIET)
    assert camera.now - grew < 0.7
    assert camera.governor.cause is Cause.PACKET_SIZE


def test_packets_that_mend_a_keyframe_are_no_movement() -> None:
    """Noise that a keyframe left out makes the packets after it large; others of their size wake."""
    camera = Camera(Governor(), gop=50)
    camera.mending = 4
    camera.play(60)
    assert camera.mode() is Mode.KEYFRAMES
    camera.play(0.3)
    camera.play(0.6, size=2 * QUIET)
    assert camera.mode() is Mode.FULL


def test_constant_bit_rate_proves_nothing() -> None:
    """Where still and moving pictures weigh the same, keyframes stay what is looked at."""
    camera = Camera(Governor())
    for _ in range(10):
        camera.play(12, size=LOUD)
        camera.wander()
    assert camera.play(12, size=LOUD)[Step.LOOK] == 6
    assert camera.governor.mode is Mode.KEYFRAMES


def test_rain_raises_the_threshold() -> None:
    """Packets that grow again and again, while nothing moves, are soon those of a still picture."""
    camera = Camera(Governor()).proven()
    wakes = 0
    for _ in range(20):
        before = camera.governor.mode
        camera.play(1, size=600)
        if before is Mode.PACKETS and camera.governor.mode is Mode.FULL:
            wakes += 1
        camera.play(12)
    assert wakes == 1
    assert camera.governor.sizes.threshold == pytest.approx(606 * 1.15, rel=0.02)


def test_threshold_forgets() -> None:
    """After half an hour a storm is forgotten."""
    camera = Camera(Governor())
    camera.play(60, size=5000)
    assert camera.governor.sizes.threshold > 5000
    camera.play(3600)
    assert camera.governor.sizes.threshold < 200


def test_sizes_of_half_a_minute_ago_are_forgotten() -> None:
    """What was large when nobody looked is not taken for the still picture a minute later."""
    sizes = PacketSizes()
    for number in range(300):
        sizes.add(9000 if number < 50 else 100, number / 5)
    sizes.still(60.0)
    assert sizes.threshold == pytest.approx(132)


def test_nothing_known_is_never_loud() -> None:
    """Before anything was seen of the still picture, no packet is large."""
    governor = Governor()
    for number in range(20):
        governor.sizes.add(100_000, float(number))
    assert governor.sizes.threshold == math.inf
    assert not governor.sizes.loud


@pytest.mark.parametrize("mode", [Mode.KEYFRAMES, Mode.PACKETS])
def test_measurements_choose_their_mode(mode: Mode) -> None:
    """A forced mode is entered at every rest, whatever the stream is like."""
    camera = Camera(Governor(forced=mode), gop=250)
    camera.play(30)
    assert camera.governor.mode is mode
