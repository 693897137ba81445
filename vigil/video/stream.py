"""Streams and files through FFmpeg's libraries (PyAV): demuxing and decoding without the GIL."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import av
import av.error
import av.logging

from vigil.errors import (
    EndedError,
    NotFoundError,
    RefusedError,
    SourceError,
    SourceTimeoutError,
    StalledError,
    UnauthorizedError,
    UnsupportedError,
)
from vigil.video.decoder import PacketDecoder
from vigil.video.source import Pause, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

    from av.container import InputContainer
    from av.video.stream import VideoStream

    from vigil.config.model import CameraConfig
    from vigil.video.decoder import VideoPacket
    from vigil.video.lane import Accelerator

# Libraries' own lines could carry an address with its password, and one camera could flood the log.
av.logging.set_level(None)

_CAUSES: tuple[tuple[tuple[type[BaseException], ...], type[SourceError], str], ...] = (
    (
        (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError),
        UnauthorizedError,
        "the camera refuses the user name or password",
    ),
    ((av.error.HTTPNotFoundError,), NotFoundError, "the camera answers and has no such stream"),
    ((FileNotFoundError, IsADirectoryError), NotFoundError, "there is no such file"),
    ((ConnectionRefusedError,), RefusedError, "nobody listens at this address"),
    ((TimeoutError, av.error.ExitError), SourceTimeoutError, "no answer in time"),
    ((ConnectionError,), RefusedError, "the connection broke off"),
    (
        (av.error.InvalidDataError, av.error.DecoderNotFoundError, av.error.DemuxerNotFoundError),
        UnsupportedError,
        "what it sends is no video that FFmpeg can read",
    ),
    ((av.error.ProtocolNotFoundError,), UnsupportedError, "FFmpeg does not know this kind of address"),
    ((EOFError,), EndedError, "the stream ended"),
    ((OSError,), RefusedError, "the address cannot be reached"),
)


class StreamSource:
    """RTSP, HTTP, RTMP, UDP and files, every frame of them."""

    def __init__(
        self,
        camera: CameraConfig,
        pause: Pause,
        *,
        paced: bool = True,
        looped: bool = True,
        gpu: Accelerator | None = None,
    ) -> None:
        """`paced` holds a recording to its own timestamps, `looped` starts it over, as if it were live.

        `gpu` says when a GPU decodes it; without it the CPU does.
        """
        self.gpu = gpu
        self._camera = camera
        self._paced_by_time = paced
        self._looped = looped
        self._pause = pause
        self._container: InputContainer | None = None
        self.codec = ""

    def open(self) -> None:
        """Connect and find the video stream; raises a `SourceError`."""
        self._container = open_container(self._camera)
        self.codec = self.stream.codec_context.codec.canonical_name

    def pictures(self) -> Iterator[Picture]:
        """Yield each decoded frame with the arrival time of the packet that carried it."""
        decoder: PacketDecoder[float] = PacketDecoder(self.stream, self.gpu)
        for packet, arrived in self.packets():
            for frame, at in decoder.decode(packet, arrived):
                yield Picture(at, frame.time, decoder.image(frame))

    @property
    def stream(self) -> VideoStream:
        """The video stream; `open` first."""
        container = self._container
        assert container is not None, "open() first"  # noqa: S101 -- a caller's mistake, not a user's
        return container.streams.video[0]

    @property
    def buffered(self) -> bool:
        """Whether what is sent while nobody reads waits where it cannot be lost: RTSP over TCP."""
        camera = self._camera
        return camera.url.startswith(("rtsp:", "rtsps:")) and camera.transport == "tcp"

    def packets(self) -> Iterator[tuple[VideoPacket, float]]:
        """Yield each packet with its arrival; at a recording's end an empty one, which drains decoders."""
        stream, container = self.stream, self._container
        assert container is not None  # noqa: S101 -- `stream` has looked
        finite = container.duration is not None
        while True:
            packets = container.demux(stream)
            hold = finite and self._paced_by_time
            yield from _arriving(self._paced(packets) if hold else packets)
            if not self._looped or self._pause(0):
                return
            if not finite:
                raise EndedError("the stream ended")
            container.seek(0)

    def close(self) -> None:
        """Close the connection."""
        container, self._container = self._container, None
        if container is not None:
            container.close()

    def _paced(self, packets: Iterator[VideoPacket]) -> Iterator[VideoPacket]:
        """Hold each packet back until its time has come, as a live camera would."""
        origin: float | None = None
        for packet in packets:
            if packet.dts is not None:
                at = float(packet.dts * packet.time_base)
                if origin is None:
                    origin = time.monotonic() - at
                if self._pause(max(0.0, origin + at - time.monotonic())):
                    return
            yield packet


def open_container(camera: CameraConfig) -> InputContainer:
    """Connect and find the video stream, whose other streams are never read; raises a `SourceError`."""
    url = camera.source_url.removeprefix("file:")
    device = re.fullmatch(r"/dev/video\d+", url)
    # FFmpeg notices a silence only after twice its timeout (measured).
    timeout = (camera.open_timeout, camera.read_timeout / 2)
    try:
        container = av.open(
            url, options=open_options(camera), timeout=timeout, format="v4l2" if device else None
        )
    except (av.error.FFmpegError, OSError) as error:
        raise classify(error) from None  # its message holds the address, and so the password
    # FFmpeg would type any text file onto a screen and call that video.
    if not container.streams.video or container.format.name == "tty":
        container.close()
        raise UnsupportedError("it carries no video")
    return container


def open_options(camera: CameraConfig) -> dict[str, str]:
    """Return FFmpeg's options for a camera's kind of address."""
    scheme = camera.url.split(":", 1)[0]
    if scheme in {"rtmp", "http", "https", "udp"}:
        # Containers say less than an SDP does, but frame rates need not be probed for either.
        return {"analyzeduration": "500000", "fpsprobesize": "0"}
    if scheme not in {"rtsp", "rtsps"}:
        return {}
    return {
        "rtsp_transport": camera.transport,
        "allowed_media_types": "video",
        # What the SDP says is enough: probing for frame rates costs seconds (2.9 s at 10 fps, measured).
        "analyzeduration": "0",
        "fpsprobesize": "0",
    }


def classify(error: BaseException) -> SourceError:
    """Return the `SourceError` that a library's exception stands for, without the address it quotes."""
    for kinds, cause, message in _CAUSES:
        if isinstance(error, kinds):
            return cause(message)
    return SourceError(f"FFmpeg: {getattr(error, 'strerror', None) or type(error).__name__}")


def _arriving(packets: Iterator[VideoPacket]) -> Iterator[tuple[VideoPacket, float]]:
    try:
        for packet in packets:
            yield packet, time.time()
    except (av.error.FFmpegError, OSError) as error:
        cause = classify(error)
        if isinstance(cause, SourceTimeoutError):
            # The connection was there: this is a stream that has fallen silent.
            cause = StalledError("no more data comes")
        raise cause from None  # as in `open_container`
