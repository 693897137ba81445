"""H.264 and H.265 elementary streams: NAL units cut apart, parameter sets picked out."""

from enum import StrEnum
from typing import Final

_START_CODE: Final = b"\x00\x00\x01"


class Codec(StrEnum):
    """What the lab can put into RTP."""

    H264 = "h264"
    HEVC = "hevc"
    MJPEG = "mjpeg"


_PARAMETER_SETS: Final = {Codec.H264: (7, 8), Codec.HEVC: (32, 33, 34)}
_SEQUENCE_PARAMETER_SET: Final = {Codec.H264: 7, Codec.HEVC: 33}
_DELIMITERS: Final = {Codec.H264: (9,), Codec.HEVC: (35,)}


def split_nal_units(data: bytes) -> list[bytes]:
    """Return the NAL units of Annex B `data`, without start codes and padding."""
    units = []
    start = data.find(_START_CODE)
    while start >= 0:
        end = data.find(_START_CODE, start + 3)
        units.append(data[start + 3 : end if end >= 0 else len(data)].rstrip(b"\x00"))
        start = end
    return [unit for unit in units if unit]


def nal_type(codec: Codec, unit: bytes) -> int:
    """Return the type in a NAL unit's header (H.264: 5 bits of one byte, H.265: 6 bits of two)."""
    return unit[0] & 0x1F if codec is Codec.H264 else unit[0] >> 1 & 0x3F


def is_parameter_set(codec: Codec, unit: bytes) -> bool:
    """Tell whether the unit is a VPS, SPS or PPS."""
    return nal_type(codec, unit) in _PARAMETER_SETS[codec]


def is_sequence_parameter_set(codec: Codec, unit: bytes) -> bool:
    """Tell whether the unit is an SPS."""
    return nal_type(codec, unit) == _SEQUENCE_PARAMETER_SET[codec]


def is_delimiter(codec: Codec, unit: bytes) -> bool:
    """Tell whether the unit only marks the start of an access unit, which RTP's timestamp does already."""
    return nal_type(codec, unit) in _DELIMITERS[codec]
