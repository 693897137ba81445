"""Baseline JPEG pictures cut into RTP payloads (RFC 2435), quantisation tables in band."""

import struct
from dataclasses import dataclass
from typing import Final

_DQT, _SOF0, _DHT, _SOS = 0xDB, 0xC0, 0xC4, 0xDA
_TABLES_IN_BAND: Final = 255
_LARGEST: Final = 2040
_SUBSAMPLING: Final = {0x21: 0, 0x22: 1}
"""Sampling factors of the luma component (4:2:2, 4:2:0) to RFC 2435's type."""


class UnsupportedJpegError(ValueError):
    """The picture uses something that RFC 2435 cannot say."""


@dataclass(frozen=True, slots=True)
class JpegPicture:
    """What the RTP header tells of a picture, and its entropy-coded scan."""

    kind: int
    width: int
    height: int
    tables: bytes
    scan: bytes


def parse_jpeg(data: bytes) -> JpegPicture:
    """Take a baseline 4:2:0 or 4:2:2 JPEG of at most 2040 x 2040 apart; raises `UnsupportedJpegError`."""
    tables: dict[int, bytes] = {}
    kind = width = height = 0
    position = 2
    while position + 4 <= len(data):
        marker, length = struct.unpack_from(">xBH", data, position)
        segment = data[position + 4 : position + 2 + length]
        position += 2 + length
        if marker == _DQT:
            for start in range(0, len(segment), 65):
                tables[segment[start]] = segment[start + 1 : start + 65]
        elif marker == _SOF0:
            height, width = struct.unpack_from(">HH", segment, 1)
            if segment[7] not in _SUBSAMPLING or max(width, height) > _LARGEST or (width | height) & 7:
                raise UnsupportedJpegError(f"{width}x{height} with sampling {segment[7]:#x}")
            kind = _SUBSAMPLING[segment[7]]
        elif marker == _SOS:
            both = tables[0] + tables.get(1, tables[0])
            return JpegPicture(kind, width, height, both, data[position:].removesuffix(b"\xff\xd9"))
    raise UnsupportedJpegError("no baseline scan")


def jpeg_payloads(data: bytes, size: int) -> list[bytes]:
    """Return the RTP payloads, each at most `size` bytes, of one JPEG picture."""
    picture = parse_jpeg(data)
    payloads, offset = [], 0
    while offset < len(picture.scan):
        header = struct.pack(
            ">IBBBB", offset, picture.kind, _TABLES_IN_BAND, picture.width // 8, picture.height // 8
        )
        if offset == 0:
            header += struct.pack(">HH", 0, len(picture.tables)) + picture.tables
        chunk = picture.scan[offset : offset + size - len(header)]
        payloads.append(header + chunk)
        offset += len(chunk)
    return payloads
