"""Clips in memory: demuxed by PyAV, every access unit already cut into RTP packets."""

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
from av.bitstream import BitStreamFilterContext

from vigil.bench.rtsp.bitstream import (
    Codec,
    is_delimiter,
    is_parameter_set,
    is_sequence_parameter_set,
    split_nal_units,
)
from vigil.bench.rtsp.rtp import CLOCK_RATE, Template, make_template, payload_type, payloads

_FILTERS: Final = {Codec.H264: "h264_mp4toannexb", Codec.HEVC: "hevc_mp4toannexb"}
_USUAL_RATE: Final = 25


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One coded picture: what is sent, and when, in ticks of the 90 kHz RTP clock.

    `duration` is the time until the next unit is sent. `composition` is the picture's timestamp against
    the moment it is sent, never positive: a camera cannot send a picture before it was taken.
    `announced` carries the parameter sets in front, `bare` does not.
    """

    keyframe: bool
    composition: int
    duration: int
    bare: Template
    announced: Template


@dataclass(frozen=True, slots=True)
class Media:
    """A clip that can be served any number of times; starts with a keyframe."""

    codec: Codec
    width: int
    height: int
    fps: float
    parameter_sets: tuple[bytes, ...]
    units: tuple[AccessUnit, ...]

    def keyframe_before(self, index: int) -> int:
        """Return the index of the last keyframe at or before `index`."""
        return next(number for number in range(index, -1, -1) if self.units[number].keyframe)


@dataclass(frozen=True, slots=True)
class _Packet:
    """A demuxed packet; times in ticks of the RTP clock."""

    data: bytes
    keyframe: bool
    decode_at: int
    show_at: int


def load_media(path: Path, fps: float | None = None) -> Media:
    """Read the first video track of a clip; with `fps` its speed is changed to that mean rate.

    Raises `ValueError` for a codec that the lab cannot serve or a clip whose parameter sets change.
    """
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        codec = Codec(stream.codec_context.name)
        packets = _demux(container, stream, codec)
        width, height = stream.codec_context.width, stream.codec_context.height
    natural = _rate(packets, float(stream.average_rate or _USUAL_RATE))
    parameter_sets, bodies = _strip(codec, packets)
    units = _units(codec, _at_speed(packets, natural / fps) if fps else packets, bodies, parameter_sets)
    return Media(codec, width, height, fps or natural, parameter_sets, units)


def _demux(container: Any, stream: Any, codec: Codec) -> list[_Packet]:
    """Return the packets from the first keyframe on; times are made up where the clip has none."""
    to_annexb = BitStreamFilterContext(_FILTERS[codec], stream) if codec in _FILTERS else None
    interval = 1 / Fraction(stream.average_rate or _USUAL_RATE)
    packets: list[_Packet] = []
    for original in container.demux(stream):
        for packet in to_annexb.filter(original) if to_annexb else [original]:
            if not packet.size or not (packets or packet.is_keyframe):
                continue
            decode_at = interval * len(packets) if packet.dts is None else packet.dts * packet.time_base
            show_at = decode_at if packet.pts is None else packet.pts * packet.time_base
            ticks = [round(time * CLOCK_RATE) for time in (decode_at, show_at)]
            packets.append(_Packet(bytes(packet), packet.is_keyframe, *ticks))
    if not packets:
        raise ValueError(f"{container.name} has no keyframe")
    return packets


def _rate(packets: list[_Packet], declared: float) -> float:
    """Return the mean rate of the packets' own times; the container's word is often wrong."""
    ticks = packets[-1].decode_at - packets[0].decode_at
    return (len(packets) - 1) * CLOCK_RATE / ticks if ticks > 0 else declared


def _at_speed(packets: list[_Packet], factor: float) -> list[_Packet]:
    """Stretch all times by `factor`."""
    return [
        replace(packet, decode_at=round(packet.decode_at * factor), show_at=round(packet.show_at * factor))
        for packet in packets
    ]


def _strip(codec: Codec, packets: list[_Packet]) -> tuple[tuple[bytes, ...], list[list[bytes]]]:
    """Part the parameter sets from the NAL units of every access unit."""
    if codec is Codec.MJPEG:
        return (), [[packet.data] for packet in packets]
    found: list[bytes] = []
    bodies: list[list[bytes]] = []
    for packet in packets:
        units = split_nal_units(packet.data)
        found += [unit for unit in units if is_parameter_set(codec, unit) and unit not in found]
        bodies.append(
            [unit for unit in units if not is_parameter_set(codec, unit) and not is_delimiter(codec, unit)]
        )
    if sum(is_sequence_parameter_set(codec, unit) for unit in found) > 1:
        raise ValueError("the clip's parameter sets change in mid-stream")
    return tuple(found), bodies


def _units(
    codec: Codec, packets: list[_Packet], bodies: list[list[bytes]], parameter_sets: tuple[bytes, ...]
) -> tuple[AccessUnit, ...]:
    """Cut everything into packets; the last unit lasts as long as a mean one, so that loops have no seam."""
    kind = payload_type(codec)
    front = [part for unit in parameter_sets for part in payloads(codec, unit)]
    ahead = max(packet.show_at - packet.decode_at for packet in packets)
    interval = round(CLOCK_RATE / _rate(packets, _USUAL_RATE))
    ends = [packet.decode_at for packet in packets[1:]] + [packets[-1].decode_at + interval]
    units = []
    for packet, body, end in zip(packets, bodies, ends, strict=True):
        parts = [part for unit in body for part in payloads(codec, unit)]
        bare = make_template(kind, parts)
        announced = make_template(kind, front + parts) if packet.keyframe and front else bare
        composition = packet.show_at - packet.decode_at - ahead
        units.append(AccessUnit(packet.keyframe, composition, end - packet.decode_at, bare, announced))
    return tuple(units)
