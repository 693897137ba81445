"""`vigil probe`: what a camera sends, measured by opening it as vigil would."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import av
import av.error
import numpy as np

from vigil.errors import UnsupportedError
from vigil.video.stream import classify, open_container

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.stream import VideoStream

    from vigil.config.model import CameraConfig

_ENOUGH_FOR_DRIFT = 5.0
"""Seconds of stream below which drift is only jitter."""
_ENOUGH_FOR_RATE = 3
"""Whole seconds below which nothing is said of the bit rate's steadiness."""
_STEADY = 0.25
"""Coefficient of variation of the bytes per second under which the bit rate is called constant."""


@dataclass(frozen=True, slots=True)
class Report:
    """What was measured; times in seconds, rates in frames or bits per second."""

    codec: str
    width: int
    height: int
    frame_rate: float
    gop: int | None
    """Frames from keyframe to keyframe, the longest seen; nothing when fewer than two came."""
    bit_rate: float
    constant: bool | None
    """Whether the bit rate is constant; nothing when the measurement was too short."""
    opened_after: float
    first_frame_after: float
    drift: float | None
    """Seconds per hour by which the camera's clock runs ahead of ours; nothing when it cannot be told."""


@dataclass(slots=True)
class Packets:
    """One entry per packet: arrival (monotonic s), decoding time (s), size (bytes), keyframe or not."""

    arrivals: list[float] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    keys: list[bool] = field(default_factory=list)

    def add(self, packet: Packet[VideoStream]) -> None:
        """Note a packet."""
        self.arrivals.append(time.monotonic())
        self.times.append(np.nan if packet.dts is None else float(packet.dts * packet.time_base))
        self.sizes.append(packet.size)
        self.keys.append(packet.is_keyframe)


def probe(camera: CameraConfig, seconds: float) -> Report:
    """Open a stream and watch it for `seconds`; blocks. Raises a `SourceError` that says what is wrong."""
    started = time.monotonic()
    container = open_container(camera)
    opened = time.monotonic()
    live = container.duration is None
    try:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        packets = Packets()
        first: float | None = None
        for packet in container.demux(stream):
            packets.add(packet)
            if first is None:
                first = _decoded(packet)
            elif _length(packets, live=live) >= seconds:
                break
        if first is None:
            raise UnsupportedError("it sends packets, and no frame could be decoded from them")
        context = stream.codec_context
        return report(
            context.name,
            (context.width, context.height),
            packets,
            opened_after=opened - started,
            first_frame_after=first - started,
            live=live,
        )
    except (av.error.FFmpegError, OSError) as error:
        raise classify(error) from None  # its message can hold the address, and so the password
    finally:
        container.close()


def report(
    codec: str,
    size: tuple[int, int],
    packets: Packets,
    *,
    opened_after: float,
    first_frame_after: float,
    live: bool,
) -> Report:
    """Return what the packets say; the clock of a recording is not compared with ours."""
    arrivals, times = np.array(packets.arrivals), np.array(packets.times)
    sizes = np.array(packets.sizes)
    known = np.isfinite(times)
    span = float(np.ptp(times[known])) if known.sum() > 1 else 0.0
    keys = np.flatnonzero(packets.keys)
    return Report(
        codec=codec,
        width=size[0],
        height=size[1],
        frame_rate=(int(known.sum()) - 1) / span if span else 0.0,
        gop=int(np.diff(keys).max()) if len(keys) > 1 else None,
        # As many packets as there are intervals between them: the last one's time is not over yet.
        bit_rate=float(sizes[known].mean()) * 8 * (int(known.sum()) - 1) / span if span else 0.0,
        constant=_constant(times[known], sizes[known]),
        opened_after=opened_after,
        first_frame_after=first_frame_after,
        drift=_drift(arrivals[known], times[known]) if live and span >= _ENOUGH_FOR_DRIFT else None,
    )


def _decoded(packet: Packet[VideoStream]) -> float | None:
    try:
        return time.monotonic() if packet.decode() else None
    except av.error.InvalidDataError:
        return None  # the rest of a picture whose beginning we did not see


def _length(packets: Packets, *, live: bool) -> float:
    """Return the seconds watched: by our clock for a live stream, by its own for a recording."""
    if live:
        return packets.arrivals[-1] - packets.arrivals[0]
    known = (at for at in packets.times if np.isfinite(at))
    latest = (at for at in reversed(packets.times) if np.isfinite(at))
    return next(latest, 0.0) - next(known, 0.0)


def _constant(times: np.ndarray, sizes: np.ndarray) -> bool | None:
    """Tell whether whole seconds of the stream weigh about the same."""
    if not len(times):
        return None
    second = (times - times.min()).astype(int)  # a stream's clock can jump back
    weights = np.bincount(second, weights=sizes)[:-1]  # the last second is not whole
    if len(weights) < _ENOUGH_FOR_RATE:
        return None
    return bool(weights.std() < _STEADY * weights.mean())


def _drift(arrivals: np.ndarray, times: np.ndarray) -> float:
    """Return seconds per hour: the slope of stream time over arrival time, by least squares."""
    slope = np.polyfit(arrivals - arrivals[0], times - times[0], 1)[0]
    return float((slope - 1) * 3600)
