"""RTP packets made once per clip and stamped per client: payloads, templates, sender reports.

A template holds all packets of an access unit in one buffer, framed for RTSP's interleaved transport
(`$`, channel, length). Serving an access unit is one copy of the buffer and one `pack_into` per packet.
UDP sends slices of the same buffer, without the four bytes of framing.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from vigil.bench.rtsp.bitstream import Codec
from vigil.bench.rtsp.jpeg import jpeg_payloads

CLOCK_RATE: Final = 90_000
PAYLOAD_SIZE: Final = 1400
FRAMING: Final = 4
HEADER: Final = FRAMING + 12
_FRAME: Final = struct.Struct(">cBHBBHII")
_STAMP: Final = struct.Struct(">HII")
_VERSION: Final = 0x80
_MARKER: Final = 0x80
_UNIX_TO_NTP: Final = 2_208_988_800
_FU_A, _FU = 28, 49


@dataclass(frozen=True, slots=True)
class Template:
    """The packets of one access unit on channel 0, without sequence numbers, timestamp and SSRC."""

    data: bytes
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Packets:
    """The packets of one access unit, ready to be sent to every client that shares the timeline."""

    data: bytearray
    offsets: tuple[int, ...]
    keyframe: bool

    def on_channel(self, channel: int) -> bytearray:
        """Return the bytes for the interleaved transport on `channel`."""
        if channel == 0:
            return self.data
        data = bytearray(self.data)
        for offset in self.offsets:
            data[offset + 1] = channel
        return data

    def slices(self) -> Iterator[slice]:
        """Yield where each framed packet lies in `data`."""
        yield from map(slice, self.offsets, (*self.offsets[1:], len(self.data)))

    def first_stamp(self) -> tuple[int, int]:
        """Return the sequence number and timestamp of the first packet."""
        sequence, timestamp, _ = _STAMP.unpack_from(self.data, FRAMING + 2)
        return sequence, timestamp

    def keeping(self, kept: Sequence[bool]) -> "Packets":
        """Return the packets whose flag is set; their sequence numbers stay, so that a gap shows."""
        chunks = [self.data[part] for part, keep in zip(self.slices(), kept, strict=True) if keep]
        offsets = [sum(map(len, chunks[:number])) for number in range(len(chunks))]
        return Packets(bytearray(b"".join(chunks)), tuple(offsets), self.keyframe)


def payload_type(codec: Codec) -> int:
    """Return the RTP payload type: JPEG has a static one."""
    return 26 if codec is Codec.MJPEG else 96


def payload_header(codec: Codec) -> int:
    """Return how many leading bytes of a payload tell the depacketiser what follows."""
    return {Codec.H264: 2, Codec.HEVC: 3, Codec.MJPEG: 8}[codec]


def payloads(codec: Codec, unit: bytes, size: int = PAYLOAD_SIZE) -> list[bytes]:
    """Return the RTP payloads, each at most `size` bytes, of a NAL unit or a JPEG picture."""
    if codec is Codec.MJPEG:
        return jpeg_payloads(unit, size)
    if len(unit) <= size:
        return [unit]
    return _fragments(codec, unit, size)


def _fragments(codec: Codec, unit: bytes, size: int) -> list[bytes]:
    """Cut a NAL unit into FU-A (RFC 6184, 5.8) or FU (RFC 7798, 4.4.3) payloads."""
    if codec is Codec.H264:
        head, kind, body = bytes([unit[0] & 0xE0 | _FU_A]), unit[0] & 0x1F, unit[1:]
    else:
        head, kind, body = bytes([unit[0] & 0x81 | _FU << 1, unit[1]]), unit[0] >> 1 & 0x3F, unit[2:]
    room = size - len(head) - 1
    last = (len(body) - 1) // room * room
    return [
        head + bytes([(start == 0) << 7 | (start == last) << 6 | kind]) + body[start : start + room]
        for start in range(0, len(body), room)
    ]


def make_template(kind: int, parts: Sequence[bytes]) -> Template:
    """Frame the payloads of one access unit; the last packet carries the marker bit."""
    data, offsets = bytearray(), []
    for number, part in enumerate(parts, 1):
        offsets.append(len(data))
        mark = _MARKER if number == len(parts) else 0
        data += _FRAME.pack(b"$", 0, len(part) + HEADER - FRAMING, _VERSION, mark | kind, 0, 0, 0) + part
    return Template(bytes(data), tuple(offsets))


def stamp(template: Template, sequence: int, timestamp: int, ssrc: int, *, keyframe: bool) -> Packets:
    """Copy the template and write numbers (taken modulo their field) into every packet's header."""
    data = bytearray(template.data)
    pack, timestamp = _STAMP.pack_into, timestamp & 0xFFFFFFFF
    for number, offset in enumerate(template.offsets, sequence):
        pack(data, offset + FRAMING + 2, number & 0xFFFF, timestamp, ssrc)
    return Packets(data, template.offsets, keyframe)


def sender_report(ssrc: int, wall_clock: float, timestamp: int, packets: int, octets: int) -> bytes:
    """Return an RTCP sender report: the wall clock (Unix seconds) at an RTP timestamp, and what was sent."""
    seconds = int(wall_clock)
    fraction = int((wall_clock - seconds) * 2**32)
    report = struct.pack(
        ">BBHIIIIII", _VERSION, 200, 6, ssrc, seconds + _UNIX_TO_NTP, fraction,
        timestamp & 0xFFFFFFFF, packets & 0xFFFFFFFF, octets & 0xFFFFFFFF,
    )  # fmt: skip
    name = b"vigil-lab\x00\x00\x00"
    return report + struct.pack(">BBHIBB", _VERSION | 1, 202, 4, ssrc, 1, 9) + name[:10]
