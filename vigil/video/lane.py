"""Where a stream's packets are decoded: on the CPU, or on a GPU while one takes them.

The stream keeps its own codec context for the CPU; one for a GPU is made beside it, so that the connection
outlives every change between the two. Streams change over at keyframes, which need nothing of what came
before. What a GPU cannot decode goes to the CPU at once if it is a keyframe, and else with the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import av.error
from av.codec import CodecContext
from av.codec.hwaccel import HWAccel

from vigil.errors import VigilError
from vigil.video.decode import CUDA

if TYPE_CHECKING:
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vigil.video.decoder import VideoPacket


class Accelerator(Protocol):
    """Says where one camera's packets are decoded; asked by its capture thread."""

    def opens(self) -> str | None:
        """Return the GPU that decodes the stream that is being opened, `None` for the CPU."""

    def device(self) -> str | None:
        """Return the GPU that is to decode from the next keyframe on, `None` for the CPU."""

    def failed(self, device: str, why: str, *, wholly: bool) -> None:
        """Note that a GPU does not decode this stream, or `wholly` none at all; it is then given no more."""


class Maker(Protocol):
    """Makes the codec contexts of GPUs; `Cuda` is the real one."""

    def open(self, stream: VideoStream, device: str) -> VideoCodecContext:
        """Return one for a stream, whose frames stay with the GPU; raises `NoDecoderError`."""

    def holds(self, frame: VideoFrame) -> bool:
        """Tell whether a frame is in a GPU's memory: one that came from the CPU's own decoder is not."""


class NoDecoderError(VigilError):
    """A GPU has no decoder for a stream, or `wholly` for none."""

    def __init__(self, why: str, *, wholly: bool) -> None:
        super().__init__(why)
        self.wholly = wholly


class Lane:
    """Decodes one stream's packets, for one capture thread."""

    def __init__(
        self, stream: VideoStream, gpu: Accelerator | None = None, maker: Maker | None = None
    ) -> None:
        """`gpu` says where the stream is decoded; without it that is on the CPU."""
        self._stream = stream
        self._gpu = gpu
        self._maker = maker or Cuda()
        self._asked = False
        self.fed = False
        """Whether a packet was decoded since the stream changed over."""
        self._device: str | None = None
        self._wanted: str | None = None
        self._context: VideoCodecContext | None = None  # of the GPU
        self._proven = False
        self._waits = False

    def turns_at(self, packet: VideoPacket) -> bool:
        """Tell whether the stream changes over at this packet; then `drain` before and `turn`."""
        gpu = self._gpu
        if gpu is None or not packet.is_keyframe:
            return False
        self._wanted = gpu.device() if self._asked else gpu.opens()
        self._asked = True
        return self._wanted != self._device

    def turn(self) -> None:
        """Change over to where `turns_at` found that packets are to be decoded."""
        gpu, device = self._gpu, self._wanted
        assert gpu is not None  # noqa: S101 -- `turns_at` has said so
        self._device, self._context = None, None
        self._proven = self._waits = self.fed = False
        if device is None:
            return
        try:
            self._context = self._maker.open(self._stream, device)
            self._device = device
        except NoDecoderError as error:
            gpu.failed(device, str(error), wholly=error.wholly)

    def decode(self, packet: VideoPacket) -> list[VideoFrame]:
        """Return the frames that a packet completes; raises `av.error.InvalidDataError` for a damaged one."""
        self.fed = True
        if self._context is None:
            if self._waits and packet.size:
                if not packet.is_keyframe:
                    return []
                self._waits = False
            return self._stream.decode(packet)
        try:
            frames = self._context.decode(packet)
            if not packet.size:  # it was emptied, and takes packets again only after this
                self._context.flush_buffers()
        except av.error.InvalidDataError:
            raise
        except av.error.FFmpegError as error:
            self.leave(error.strerror or type(error).__name__)
            return self.decode(packet)
        if frames and not self._proven:
            self._proven = True
            self._check(frames[0])
        return frames

    def leave(self, why: str) -> bool:
        """Decode on the CPU from the next keyframe on; `False` if it is there that packets are decoded."""
        gpu, device = self._gpu, self._device
        if gpu is None or device is None:
            return False
        gpu.failed(device, why, wholly=False)
        self._device, self._context, self._waits = None, None, True
        return True

    def flush(self) -> None:
        """Be ready for a keyframe."""
        (self._context or self._stream.codec_context).flush_buffers()

    def _check(self, frame: VideoFrame) -> None:
        """Note a codec context that says it is the GPU's and decodes on the CPU: it cannot do this stream."""
        if self._gpu is not None and self._device is not None and not self._maker.holds(frame):
            self._gpu.failed(self._device, f"it does not decode {frame.format.name}", wholly=False)


class Cuda:
    """NVDEC, through FFmpeg."""

    def open(self, stream: VideoStream, device: str) -> VideoCodecContext:
        """Open as `Maker.open` says."""
        own = stream.codec_context
        number = device.partition(":")[2] or "0"
        # Kept frames live in the CUDA context that torch uses, the primary one: PyAV asks FFmpeg for it.
        accelerator = HWAccel(CUDA, number, allow_software_fallback=True, is_hw_owned=True)
        try:
            context = CodecContext.create(own.codec, "r", hwaccel=accelerator)
        except av.error.FFmpegError as error:
            raise NoDecoderError(f"FFmpeg cannot open it ({error.strerror})", wholly=True) from error
        if not context.is_hwaccel:
            raise NoDecoderError(f"it has none for {own.codec.canonical_name}", wholly=False)
        context.extradata = own.extradata
        context.thread_count = 1
        return cast("VideoCodecContext", context)

    def holds(self, frame: VideoFrame) -> bool:
        """Tell as `Maker.holds` says."""
        return frame.format.name == CUDA
