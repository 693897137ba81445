"""From packets to pictures, each with the arrival of the packet that carried it."""

from __future__ import annotations

from collections import OrderedDict
from fractions import Fraction
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar, cast

import av.error
from av import Packet
from av.video.frame import PictureType

from vigil.errors import DecodeError
from vigil.video.decode import Scalers, image_of
from vigil.video.lane import Lane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vigil.video.decode import YuvImage
    from vigil.video.lane import Accelerator, Maker

    VideoPacket: TypeAlias = Packet[VideoStream]

T = TypeVar("T")

_MAX_BROKEN = 100
"""Packets in a row that cannot be decoded before the stream is given up."""

_REORDER = 64
"""Arrivals kept for frames that the decoder still holds back."""
_MICROSECOND = Fraction(1, 1_000_000)


class PacketDecoder(Generic[T]):
    """A stream's decoder; frames come out in the order in which they are shown."""

    def __init__(
        self, stream: VideoStream, gpu: Accelerator | None = None, maker: Maker | None = None
    ) -> None:
        """`gpu` says where the stream is decoded, and `maker` makes decoders there; without, on the CPU."""
        # One thread: frame threads would hold frames back, and many cameras share few cores anyway.
        stream.codec_context.thread_count = 1
        self._lane = Lane(stream, gpu, maker)
        self._stream = stream
        self._scalers = Scalers()
        self._arrivals: OrderedDict[int | None, T] = OrderedDict()
        self._broken = 0

    def decode(self, packet: VideoPacket, arrived: T) -> Iterator[tuple[VideoFrame, T]]:
        """Yield the frames that a packet completes; a damaged one completes none. Raises `DecodeError`."""
        if self._lane.turns_at(packet):
            if self._lane.fed:
                yield from self.drained(arrived)
            self._lane.turn()
        self._arrivals[packet.pts] = arrived
        if len(self._arrivals) > _REORDER:
            self._arrivals.popitem(last=False)
        try:
            frames = self._lane.decode(packet)
            self._broken = 0
        except av.error.InvalidDataError as error:
            # A damaged packet is a camera's everyday life; a stream of nothing else is not.
            self._broken += 1
            if self._broken >= _MAX_BROKEN:
                if self._lane.leave("nothing that it is given can be decoded"):
                    self._broken = 0
                    return
                raise DecodeError(f"{self._broken} packets in a row could not be decoded") from error
            return
        for frame in frames:
            yield frame, self._arrivals.pop(frame.pts, arrived)

    def drained(self, arrived: T) -> Iterator[tuple[VideoFrame, T]]:
        """Yield what is still held back, and be ready for a keyframe."""
        yield from self.decode(self._end(), arrived)
        self._lane.flush()
        self._arrivals.clear()

    def alone(self, packet: VideoPacket) -> VideoFrame | None:
        """Return the picture of a keyframe, and be ready for the next one.

        Nothing if it does not stand for itself; raises `DecodeError` if it is damaged.
        """
        if self._lane.turns_at(packet):  # nothing is held back: it is always emptied before
            self._lane.turn()
        try:
            frames = [*self._lane.decode(packet), *self._lane.decode(self._end())]
        except av.error.InvalidDataError as error:
            raise DecodeError("a keyframe is damaged") from error
        finally:
            self._lane.flush()
        if len(frames) != 1 or frames[0].pict_type != PictureType.I:
            return None
        return frames[0]

    def image(self, frame: VideoFrame) -> YuvImage:
        """Return a frame's pixels for everybody else."""
        return image_of(frame, self._scalers)

    def _end(self) -> VideoPacket:
        """Return the packet that makes a decoder give what it holds; frames take their time base from it."""
        packet = Packet()
        packet.time_base = self._stream.time_base or _MICROSECOND
        return cast("VideoPacket", packet)
