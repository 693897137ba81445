"""Carries out what the governor decides: decodes, looks at keyframes, keeps packets, catches up.

Each decision comes before anything is decoded, so what is kept can be decoded later as if nothing had been
left out: keyframes are looked at one by one, by a decoder that is emptied before and after, and the packets
that are kept begin with one.
"""

from __future__ import annotations

import math
import time
from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

from vigil.errors import DecodeError
from vigil.video.decoder import PacketDecoder
from vigil.video.governor import Governor, Mode, Step
from vigil.video.naps import Naps
from vigil.video.ring import Arrival, PacketRing
from vigil.video.source import Picture, Skipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vigil.video.decoder import VideoPacket
    from vigil.video.lane import Accelerator
    from vigil.video.source import Attention, Pause
    from vigil.video.stream import StreamSource

    VideoArrival: TypeAlias = Arrival[VideoPacket]

GOVERNED = frozenset({"h264", "hevc", "mjpeg"})
"""Codecs whose keyframes are known to stand for themselves."""

_POLL = 0.005
"""Seconds between two looks at whether the picture before was taken for an inference."""
_UNTIL_NEXT = 0.7
"""Share of the time to the next packet in which the decoder may wait for an engine."""
_LEAST_LATE = 1e-6
"""Seconds: a picture whose packet was put aside is late by something, wherever clocks stand."""
_PATIENCE, _TIMES = 5.0, 3.0
"""A catch-up may take so many seconds, or times the span that was kept; then the newest wins again."""


class DecodeLog(Protocol):
    """Wants to know how a camera is decoded."""

    def decoding(self, mode: str) -> None:
        """Note the mode from now on."""

    def woke(self, cause: str) -> None:
        """Count the end of a rest."""


class GovernedDecoder:
    """Turns a connection's packets into pictures, as few as do; for one capture thread."""

    def __init__(
        self,
        stream: VideoStream,
        attention: Attention,
        log: DecodeLog,
        pause: Pause,
        governor: Governor,
        *,
        tail: bool = True,
        gpu: Accelerator | None = None,
    ) -> None:
        """With a `tail`, what is still kept when a recording ends is decoded; `gpu` is `PacketDecoder`'s."""
        self._decoder: PacketDecoder[VideoArrival] = PacketDecoder(stream, gpu)
        self._attention = attention
        self._log = log
        self._pause = pause
        self._governor = governor
        self._tail = tail
        self._ring: PacketRing[VideoPacket] = PacketRing()
        self._behind: deque[VideoArrival] = deque()
        self._hurry_from = 0.0
        self._aside_until = -math.inf
        self._gap, self._last = 0.0, 0.0
        self._first_pts: int | None = None
        self._looked_pts: int | None = None
        log.decoding(governor.mode)

    def pictures(self, arrivals: Iterator[VideoArrival]) -> Iterator[Picture | Skipped]:
        """Yield pictures in order, and a word for each packet that is put aside."""
        for arrival in arrivals:
            if not arrival.size:
                yield from self._end(arrival)
            else:
                yield from self._take(arrival)

    def _take(self, arrival: VideoArrival) -> Iterator[Picture | Skipped]:
        self._gap, self._last = arrival.now - self._last, arrival.now
        behind = bool(self._behind)
        step = self._governor.packet(
            key=arrival.key,
            size=arrival.size,
            now=arrival.now,
            resting=not behind and self._attention.resting,
            crowded=self._ring.full,
            dts=arrival.dts,
        )
        if behind:
            yield self._aside(arrival)
            self._behind.append(arrival)
            yield from self._catch_up(arrival.now)
            return
        match step:
            case Step.DECODE:
                yield from self._decoded(arrival)
            case Step.LOOK:
                yield from self._look(arrival)
            case Step.KEEP:
                self._ring.add(arrival)
                yield self._aside(arrival)
            case Step.WAKE:
                self._ring.add(arrival)
                yield self._aside(arrival)
                yield from self._wake(arrival)

    def _look(self, arrival: VideoArrival) -> Iterator[Picture | Skipped]:
        """Look at a keyframe by itself; what stirs in it wakes."""
        if not len(self._ring):  # it was decoded in full up to here
            yield from (self._picture(frame, came) for frame, came in self._decoder.drained(arrival))
            self._log.decoding(self._governor.mode)
        alone = self._rest(arrival)
        if alone is None:
            self._ring.add(arrival)
            yield self._aside(arrival)
            yield from self._wake(arrival)
        else:
            self._ring.begin(replace(arrival, looked_at=True))
            yield self._picture(alone, arrival)

    def _rest(self, arrival: VideoArrival) -> VideoFrame | None:
        """Return the picture of a keyframe if the rest goes on with it."""
        try:
            alone = self._decoder.alone(arrival.packet)
        except DecodeError:
            self._governor.demanded(arrival.now)
            return None
        if alone is None:
            self._governor.unfit(arrival.now)
            return None
        stirs = self._attention.stirs(self._decoder.image(alone))
        return alone if self._governor.looked(stirs=stirs, now=arrival.now) else None

    def _wake(self, arrival: VideoArrival) -> Iterator[Picture]:
        """Decode what is kept, and go on decoding."""
        governor = self._governor
        self._log.woke(governor.cause)
        self._log.decoding(governor.mode)
        self._behind.extend(self._ring.since(governor.wake_from))
        self._ring.clear()
        head = self._behind[0]
        self._first_pts = head.packet.pts
        self._looked_pts = self._first_pts if head.looked_at else None
        self._hurry_from = arrival.now + max(_PATIENCE, _TIMES * (arrival.now - head.now))
        yield from self._catch_up(arrival.now)

    def _catch_up(self, now: float) -> Iterator[Picture]:
        """Decode what is kept, one picture after another being taken: one waits while one is inferred.

        What is behind by less than a turn is decoded at once: of its pictures, the newest of which will be
        taken, one is due at most.
        """
        until = time.monotonic() + _UNTIL_NEXT * min(self._gap, 1.0)
        while self._behind:
            if now < self._hurry_from:
                if not self._waited(until):
                    return
                if now - self._behind[0].now < self._attention.turn:
                    self._hurry_from = now
            yield from self._decoded(self._behind.popleft())

    def _waited(self, until: float) -> bool:
        """Wait until no picture waits; tells whether none does."""
        while not self._attention.has_room():
            if time.monotonic() >= until or self._pause(_POLL):
                return False
        return True

    def _decoded(self, arrival: VideoArrival) -> Iterator[Picture]:
        attention = self._attention
        for frame, came in self._decoder.decode(arrival.packet, arrival):
            if self._unseen(frame):
                yield self._picture(frame, came)
                self._governor.seen(came.now, stirring=attention.stirring, following=attention.following)

    def _unseen(self, frame: VideoFrame) -> bool:
        """Tell whether a frame is whole, and was not looked at before."""
        if self._first_pts is None or frame.pts is None:
            return True
        if frame.pts <= self._first_pts:
            # Before it come frames that lean on what was not kept.
            return frame.pts == self._first_pts and self._looked_pts is None
        self._first_pts = None
        return True

    def _end(self, arrival: VideoArrival) -> Iterator[Picture]:
        """Leave nothing undecoded: the recording is over, or starts over."""
        if self._governor.mode is not Mode.FULL and len(self._ring) and self._tail:
            self._governor.demanded(arrival.now)
            yield from self._wake(arrival)
        self._hurry_from = arrival.now
        yield from self._catch_up(arrival.now)
        yield from self._decoded(arrival)

    def _aside(self, arrival: VideoArrival) -> Skipped:
        """Return the word for a packet that is put aside."""
        self._aside_until = arrival.now
        return Skipped(arrival.at)

    def _picture(self, frame: VideoFrame, came: VideoArrival) -> Picture:
        late = max(time.time() - came.at, _LEAST_LATE) if came.now <= self._aside_until else 0.0
        return Picture(came.at, frame.time, self._decoder.image(frame), late)


class GovernedSource:
    """A stream of which no more is decoded than its camera needs."""

    def __init__(
        self,
        stream: StreamSource,
        attention: Attention,
        log: DecodeLog,
        pause: Pause,
        *,
        forced: Mode | None = None,
        recorded: bool = False,
        tail: bool = True,
    ) -> None:
        """Go by the time of the stream, if it is `recorded`, else by the clock.

        `forced` is as for `Governor`, `tail` as for `GovernedDecoder`.
        """
        self._source = stream
        self._attention = attention
        self._log = log
        self._pause = pause
        self._forced = forced
        self._recorded = recorded
        self._tail = tail

    @property
    def codec(self) -> str:
        """What the stream is compressed with."""
        return self._source.codec

    def open(self) -> None:
        """Connect and find the video stream; raises a `SourceError`."""
        self._source.open()

    def pictures(self) -> Iterator[Picture | Skipped]:
        """Yield pictures in order, and a word for each packet that is put aside."""
        stream = self._source.stream
        if stream.codec_context.name not in GOVERNED:
            self._log.decoding(Mode.FULL)
            return self._source.pictures()
        governor = Governor(self._forced)
        decoder = GovernedDecoder(
            stream, self._attention, self._log, self._pause, governor, tail=self._tail, gpu=self._source.gpu
        )
        return decoder.pictures(self._arrivals(governor))

    def close(self) -> None:
        """Close the connection."""
        self._source.close()

    def _arrivals(self, governor: Governor) -> Iterator[VideoArrival]:
        tick, at = float(self._source.stream.time_base or 0), 0.0
        naps, asked = Naps(), time.monotonic()
        for packet, read_at in self._source.packets():
            dts = None if packet.dts is None else packet.dts * tick
            if dts is not None:
                at = dts
            if self._recorded:
                now, came_at = at, read_at
            else:
                read = time.monotonic()
                now = naps.arrival(read, read - asked, dts, packet.size)
                came_at = read_at - (read - now)
            yield Arrival(packet, packet.is_keyframe, packet.size, came_at, now, dts)
            if self._source.buffered and (nap := naps.due(resting=governor.mode is not Mode.FULL)):
                self._pause(nap)
            asked = time.monotonic()
