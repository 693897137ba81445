"""A timeline: it walks a clip's access units at their pace and hands each to every client that joined.

All clients of a live path share one feed, and with it the very same bytes. A path whose clients start at a
keyframe has a feed per client. A feed has one timer, whatever the number of its clients.
"""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from vigil.bench.rtsp.damage import damage
from vigil.bench.rtsp.delivery import Meter, Receiver
from vigil.bench.rtsp.faults import FaultKind, Faults
from vigil.bench.rtsp.media import AccessUnit, Media
from vigil.bench.rtsp.rtp import CLOCK_RATE, HEADER, Packets, sender_report, stamp

_WRAP: Final = 1 << 32


@dataclass(frozen=True, slots=True)
class FeedOptions:
    """How a feed announces and repeats itself; see `StreamOptions`."""

    parameter_sets: bool
    gop_cache: bool
    report_interval: float


class Feed:
    """Plays a clip in an endless loop with continuous RTP timestamps to the receivers that joined."""

    def __init__(self, media: Media, options: FeedOptions, faults: Faults, meter: Meter) -> None:
        self.ssrc: Final = random.getrandbits(32)
        self._media = media
        self._options = options
        self._faults = faults
        self._meter = meter
        self._receivers: list[Receiver] = []
        self._held: list[Packets] = []
        self._gop: list[Packets] = []
        self._index = 0
        self._clock = 0
        self._base = random.getrandbits(31)
        self._sequence = random.getrandbits(15)
        self._sent_packets = self._sent_octets = 0
        self._due = self._flush_due = self._report_due = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ahead = 0
        self.origin = 0.0
        """Unix time at which the clip's first picture was sent, or would have been."""

    def begin(self, seconds: float) -> None:
        """Move to the picture at or before that time of the clip; called before `start`."""
        wanted = seconds * CLOCK_RATE
        passed = 0
        for number, unit in enumerate(self._media.units):
            if passed > wanted:
                break
            self._index, self._ahead = number, passed
            passed += unit.duration

    def start(self, delay: float = 0.0) -> None:
        """Start the clock, or start it again; the next access unit is due after `delay` seconds."""
        loop = asyncio.get_running_loop()
        self._due = self._report_due = loop.time() + delay
        self.origin = time.time() + delay - self._ahead / CLOCK_RATE
        self._timer = loop.call_at(self._due, self._tick)

    def stop(self) -> None:
        """Stop the clock."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    @property
    def next_packet(self) -> tuple[int, int]:
        """The sequence number and RTP timestamp that the next packet will carry."""
        cached = next((packets for packets in self._gop if packets.offsets), None)
        if cached is not None and FaultKind.STALL not in self._faults:
            return cached.first_stamp()
        return self._sequence & 0xFFFF, self._timestamp(self._media.units[self._index])

    def join(self, receiver: Receiver) -> None:
        """Add a client: it gets a sender report, the cached GOP if there is one, and what comes next."""
        self._receivers.append(receiver)
        if FaultKind.STALL in self._faults:
            return
        receiver.report(self._report())
        for packets in self._gop:
            receiver.send(packets)

    def leave(self, receiver: Receiver) -> None:
        """Remove a client."""
        if receiver in self._receivers:
            self._receivers.remove(receiver)

    def hang_up(self) -> None:
        """Close every client's connection."""
        self._each(lambda receiver: receiver.hang_up())

    def play(self, media: Media) -> None:
        """Go on with another clip, from its first keyframe."""
        if media is not self._media:
            self._media, self._index = media, 0

    def wrap_in(self, seconds: float) -> None:
        """Shift the RTP timestamps so that they wrap after `seconds`."""
        self._base = _WRAP - round(seconds * CLOCK_RATE) - self._clock

    def _tick(self) -> None:
        """Deliver the access unit that is due and wait for the next; a late feed catches up."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._meter.lateness.append(now - self._due)
        if now >= self._report_due:
            self._report_due = now + self._options.report_interval
            self._send_report()
        self._deliver(now, self._step())
        self._timer = loop.call_at(self._due, self._tick)

    def _step(self) -> Packets | None:
        """Move on by one access unit; return its packets if there is anybody to take them."""
        if FaultKind.FREEZE in self._faults:
            self._index = self._media.keyframe_before(self._index)
        unit = self._media.units[self._index]
        packets = self._packets(unit) if self._receivers or self._options.gop_cache else None
        if FaultKind.FREEZE not in self._faults:
            self._index = (self._index + 1) % len(self._media.units)
        slow = self._faults.get(FaultKind.SLOW)
        self._clock += unit.duration
        self._due += unit.duration / CLOCK_RATE / (slow.strength if slow else 1.0)
        return packets

    def _packets(self, unit: AccessUnit) -> Packets | None:
        """Stamp the unit's packets and damage them as the faults say."""
        if FaultKind.STALL in self._faults:
            return None
        announced = self._options.parameter_sets and FaultKind.NO_PARAMETER_SETS not in self._faults
        template = unit.announced if announced else unit.bare
        packets = stamp(template, self._sequence, self._timestamp(unit), self.ssrc, keyframe=unit.keyframe)
        self._sequence += len(template.offsets)
        self._sent_packets += len(template.offsets)
        self._sent_octets += len(template.data) - HEADER * len(template.offsets)
        if self._faults:
            packets = damage(packets, self._media.codec, self._faults)
        if self._options.gop_cache:
            self._gop = [packets] if packets.keyframe else [*self._gop, packets]
        return packets

    def _deliver(self, now: float, packets: Packets | None) -> None:
        """Hand the packets out, or hold them back until the burst is due."""
        if packets is not None:
            self._held.append(packets)
        burst = self._faults.get(FaultKind.BURST)
        if burst and now < self._flush_due:
            return
        self._flush_due = now + burst.span if burst else 0.0
        held, self._held = self._held, []
        for each in held:
            self._send(each)

    def _send(self, packets: Packets) -> None:
        """Send one access unit to every client, or break their connections."""
        if FaultKind.CUT in self._faults:
            self._each(lambda receiver: receiver.cut(packets))
        elif FaultKind.HANG_UP in self._faults:
            self.hang_up()
        else:
            for receiver in self._receivers:
                receiver.send(packets)

    def _each(self, act: Callable[[Receiver], None]) -> None:
        for receiver in list(self._receivers):
            act(receiver)

    def _send_report(self) -> None:
        """Send a sender report to every client, unless the camera has stalled."""
        if self._receivers and FaultKind.STALL not in self._faults:
            report = self._report()
            self._each(lambda receiver: receiver.report(report))

    def _report(self) -> bytes:
        """Say which wall-clock time the RTP clock shows now."""
        return sender_report(
            self.ssrc,
            time.time(),
            self._base + self._clock + self._shift(),
            self._sent_packets,
            self._sent_octets,
        )

    def _timestamp(self, unit: AccessUnit) -> int:
        return (self._base + self._clock + self._shift() + unit.composition) % _WRAP

    def _shift(self) -> int:
        """Return the ticks that a jump fault adds."""
        jump = self._faults.get(FaultKind.TIMESTAMP_JUMP)
        return round(jump.span * CLOCK_RATE) if jump else 0
