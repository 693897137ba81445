"""How much of a camera's stream is decoded: a pure decision, packet by packet, with time passed in.

A quiet camera needs no more than a look now and then. Packets that are not decoded are kept, compressed, from
the last look on; when something stirs they are decoded after all, so that what happened meanwhile is seen,
at its own time. Three modes: every packet (`full`); keyframes only, each of which is looked at (`keyframes`);
and, where the sizes of packets were proven to tell of movements, a keyframe every ten seconds (`packets`).
In both the camera wakes as soon as packets grow, so that what moves need not wait for the next look.
"""

from __future__ import annotations

import math
from enum import Enum, StrEnum

from vigil.video.sizes import PacketSizes

_LOOK_EVERY = {"keyframes": 0.5, "packets": 10.0}
"""Seconds between two keyframes that are looked at, by mode; the nearest keyframe is taken."""
_LONGEST_BLIND = 2.2
"""Seconds between keyframes over which pixels alone are not relied on: too much can come and go."""
_LONGEST_KEPT = 12.0
"""Seconds between keyframes, and for which packets are kept, at most."""
_SMOOTHING = 0.3
"""Share of the newest keyframe interval in the smoothed one."""
_SLOWEST = 4.0
"""Times by which packets may come more slowly than the stream says; beyond, its clock is not believed."""
_BEFORE_SIZES, _BEFORE_LOOK = 2.5, 0.0
"""Seconds before packets grew that may show what made them grow; a look goes back to the look before it."""
_HINTS = 16, 4
"""Packets over which sizes wake without a proof, which costs no more than a look, and those after a keyframe
that are left out. With a noisy sensor they show in 0.7 s what a mean of eight never does."""
_BRIEF = 3600.0
"""Seconds for which a camera is not left to its keyframes after something came and went between two."""
_BEGINNING = 3.0
"""Seconds of a stream in which nothing is known of what was before."""
_UNFIT = 600.0
"""Seconds for which a stream is decoded in full after its keyframes proved too far apart to keep packets."""


class Mode(StrEnum):
    """How a stream is decoded."""

    FULL = "full"
    KEYFRAMES = "keyframes"
    PACKETS = "packets"


class Cause(StrEnum):
    """What ended a camera's rest."""

    MOTION = "motion"
    """Pixels of a keyframe."""
    PACKET_SIZE = "packet_size"
    DEMAND = "demand"
    """An inference that found something, new settings, a command."""
    OVERFLOW = "overflow"
    """The next keyframe stayed away for too long."""


class Step(Enum):
    """What to do with a packet."""

    DECODE = "decode"
    """In its turn, as any decoder does."""
    LOOK = "look"
    """A keyframe: decode it by itself, and report whether something stirs in it."""
    KEEP = "keep"
    WAKE = "wake"
    """Keep it, and decode all that is kept since `Governor.wake_from`."""


class Governor:
    """Decides for one connection of one camera; every `now` is the packet's arrival in seconds."""

    def __init__(self, forced: Mode | None = None) -> None:
        """Take `forced` for the mode of every rest, however the stream is made; for measurements."""
        self.mode = Mode.FULL
        self.sizes = PacketSizes()
        self._hints = PacketSizes(*_HINTS)
        self.cause = Cause.DEMAND
        """What ended the last rest."""
        self.wake_from = 0.0
        """Arrival from which on packets are to be decoded after a wake."""
        self._forced = forced
        self._interval: float | None = None  # smoothed, between keyframes
        self._key_at = self._looked_at = -math.inf
        self._key_dts: float | None = None  # of the latest keyframe, in the stream's own time
        self._full_until = self._never_blind_until = -math.inf
        self._since: float | None = None  # arrival of the first packet
        self._episode: tuple[float, float] | None = None  # first and last sign of life
        self._followed = False

    def packet(
        self,
        *,
        key: bool,
        size: int,
        now: float,
        resting: bool,
        crowded: bool = False,
        dts: float | None = None,
    ) -> Step:
        """Return what to do with a packet; `resting`: nobody needs more than a look now and then.

        `crowded` says that no more packets can be kept; `dts` is the packet's time in the stream, in seconds.
        """
        if self._since is None:
            self._since = now
        if key:
            self._keyframe(now, dts)
            self._hints.keyframe()
        else:
            self.sizes.add(size, now)
            self._hints.add(size, now)
        if self.mode is Mode.FULL:
            return self._awake(key=key, now=now, resting=resting)
        return self._asleep(key=key, now=now, resting=resting, crowded=crowded)

    def looked(self, *, stirs: bool, now: float) -> bool:
        """Take what a look at a keyframe brought; returns whether the rest goes on."""
        before, self._looked_at = self._looked_at, now
        if not stirs:
            self._still(now)
            return True
        if self.mode is Mode.PACKETS:
            self.sizes.distrust(now)
        self._wake(Cause.MOTION, before)
        return False

    def seen(self, at: float, *, stirring: bool, following: bool) -> None:
        """Take what a decoded frame showed: something that moves, or an object that is followed.

        `at` is the arrival of the frame's packet.
        """
        if stirring:
            if self._episode is None:
                self.sizes.began(at)
            self.sizes.moved(at)
            self._hints.moved(at)
        if stirring or (following and self._episode is not None):
            first = at if self._episode is None else self._episode[0]
            self._episode = (first, at)
        self._followed |= following

    def unfit(self, now: float) -> None:
        """Note that this stream's keyframes do not stand for themselves: decode it in full, for good."""
        self._full_until = math.inf
        self._wake(Cause.OVERFLOW, now)

    def demanded(self, now: float) -> None:
        """Note that everything is to be decoded after all, whatever the packets say."""
        self._wake(Cause.DEMAND, now - _LONGEST_KEPT)

    def _awake(self, *, key: bool, now: float, resting: bool) -> Step:
        if not resting:
            return Step.DECODE
        self._close_episode(now)
        self._still(now)
        if not key:
            return Step.DECODE
        mode = self._best(now)
        if mode is Mode.FULL:
            return Step.DECODE
        self.mode = mode
        return Step.LOOK

    def _asleep(self, *, key: bool, now: float, resting: bool, crowded: bool) -> Step:
        if not resting:
            return self._wake(Cause.DEMAND, now)
        if crowded or now - self._key_at > _LONGEST_KEPT:
            self._full_until = now + _UNFIT
            return self._wake(Cause.OVERFLOW, now)
        if not key and self._forced is None and self._grew:
            return self._wake(Cause.PACKET_SIZE, now - _BEFORE_SIZES)
        if key and now - self._looked_at >= _LOOK_EVERY[self.mode] - (self._interval or 0.0) / 2:
            return Step.LOOK
        return Step.KEEP

    @property
    def _grew(self) -> bool:
        """Whether packets are larger than those of the still picture, by a proof or as far as is known."""
        return self._hints.telling or (self.mode is Mode.PACKETS and self.sizes.loud)

    def _still(self, until: float) -> None:
        self.sizes.still(until)
        self._hints.still(until)

    def _wake(self, cause: Cause, since: float) -> Step:
        self.mode, self.cause, self.wake_from = Mode.FULL, cause, since
        return Step.WAKE

    def _best(self, now: float) -> Mode:
        """Return the cheapest mode in which nothing is missed, as far as this stream has shown."""
        interval = self._interval
        if interval is None or interval > _LONGEST_KEPT or now < self._full_until:
            return Mode.FULL
        if self._forced is not None:
            return self._forced
        if self.sizes.proven(now):
            return Mode.PACKETS
        if interval > _LONGEST_BLIND or now < self._never_blind_until:
            return Mode.FULL
        return Mode.KEYFRAMES

    def _keyframe(self, now: float, dts: float | None) -> None:
        """Learn how far apart keyframes are, by the stream: a machine with too much to do reads them late."""
        gap = now - self._key_at
        if dts is not None and self._key_dts is not None and gap / _SLOWEST <= dts - self._key_dts < gap:
            gap = dts - self._key_dts
        self._key_at, self._key_dts = now, dts
        if math.isfinite(gap):
            old = gap if self._interval is None else self._interval
            self._interval = max(gap, old + _SMOOTHING * (gap - old))

    def _close_episode(self, now: float) -> None:
        """Learn how long things stay: what is shorter than a keyframe interval can be missed."""
        if self._episode is None:
            return
        first, last = self._episode
        # What was there when the stream began may have been there for hours.
        from_start = self._since is not None and first - self._since < _BEGINNING
        blind = max(self._interval or 0.0, _LOOK_EVERY[Mode.KEYFRAMES])
        if self._followed and not from_start and last - first < blind:
            self._never_blind_until = now + _BRIEF
        self._episode, self._followed = None, False
