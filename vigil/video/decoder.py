"""From packets to pictures, each with the arrival of the packet that carried it."""

from __future__ import annotations

from collections import OrderedDict
from fractions import Fraction
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, cast

import av.error
from av import Packet
from av.video.frame import PictureType

from vigil.errors import DecodeError
from vigil.video.decode import Scalers, YuvImage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    VideoPacket: TypeAlias = Packet[VideoStream]

T = TypeVar("T")

_MAX_BROKEN = 100
"""Packets in a row that cannot be decoded before the stream is given up."""

_REORDER = 64
"""Arrivals kept for frames that the decoder still holds back."""
_MICROSECOND = Fraction(1, 1_000_000)


class PacketDecoder(Generic[T]):
    """A stream's codec context; frames come out in the order in which they are shown."""

    def __init__(self, stream: VideoStream) -> None:
        # One thread: frame threads would hold frames back, and many cameras share few cores anyway.
        stream.codec_context.thread_count = 1
        self._stream = stream
        self._scalers = Scalers()
        self._arrivals: OrderedDict[int | None, T] = OrderedDict()
        self._broken = 0

    def decode(self, packet: VideoPacket, arrived: T) -> Iterator[tuple[VideoFrame, T]]:
        """Yield the frames that a packet completes; a damaged one completes none. Raises `DecodeError`."""
        self._arrivals[packet.pts] = arrived
        if len(self._arrivals) > _REORDER:
            self._arrivals.popitem(last=False)
        try:
            frames = self._stream.decode(packet)
            self._broken = 0
        except av.error.InvalidDataError as error:
            # A damaged packet is a camera's everyday life; a stream of nothing else is not.
            self._broken += 1
            if self._broken >= _MAX_BROKEN:
                raise DecodeError(f"{self._broken} packets in a row could not be decoded") from error
            return
        for frame in frames:
            yield frame, self._arrivals.pop(frame.pts, arrived)

    def drained(self, arrived: T) -> Iterator[tuple[VideoFrame, T]]:
        """Yield what is still held back, and be ready for a keyframe."""
        yield from self.decode(self._end(), arrived)
        self._stream.codec_context.flush_buffers()
        self._arrivals.clear()

    def alone(self, packet: VideoPacket) -> VideoFrame | None:
        """Return the picture of a keyframe, and be ready for the next one.

        Nothing if it does not stand for itself; raises `DecodeError` if it is damaged.
        """
        try:
            frames = [*self._stream.decode(packet), *self._stream.decode(self._end())]
        except av.error.InvalidDataError as error:
            raise DecodeError("a keyframe is damaged") from error
        finally:
            self._stream.codec_context.flush_buffers()
        if len(frames) != 1 or frames[0].pict_type != PictureType.I:
            return None
        return frames[0]

    def image(self, frame: VideoFrame) -> YuvImage:
        """Return a frame's pixels for everybody else."""
        return YuvImage(frame, self._scalers)

    def _end(self) -> VideoPacket:
        """Return the packet that makes a decoder give what it holds; frames take their time base from it."""
        packet = Packet()
        packet.time_base = self._stream.time_base or _MICROSECOND
        return cast("VideoPacket", packet)
