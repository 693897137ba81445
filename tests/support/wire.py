"""MQTT 3.1.1 byte by byte, for what no well-behaved client does: all at once, silence, false packets."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CONNACK, PUBLISH, PUBACK, SUBACK, PINGRESP = 2, 3, 4, 9, 13
GOODBYE = b"\xe0\x00"
PING = b"\xc0\x00"


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet as it came."""

    kind: int
    flags: int
    body: bytes

    @property
    def topic(self) -> str:
        """The topic of a PUBLISH."""
        return self.body[2 : 2 + int.from_bytes(self.body[:2])].decode()

    @property
    def qos(self) -> int:
        """The quality of service of a PUBLISH."""
        return self.flags >> 1 & 3

    @property
    def number(self) -> bytes:
        """The number of a PUBLISH that has to be acknowledged."""
        start = 2 + int.from_bytes(self.body[:2])
        return self.body[start : start + 2]


def text(value: str) -> bytes:
    """Return text with its length before it."""
    data = value.encode()
    return struct.pack("!H", len(data)) + data


def packet(first: int, body: bytes) -> bytes:
    """Return a packet with its length."""
    length, rest = b"", len(body)
    while True:
        rest, digit = divmod(rest, 128)
        length += bytes([digit | (0x80 if rest else 0)])
        if not rest:
            return bytes([first]) + length + body


def hello(
    name: str,
    *,
    login: tuple[str, str] | None = None,
    will: tuple[str, str] | None = None,
    keepalive: int = 60,
    clean: bool = True,
) -> bytes:
    """Return a CONNECT; a will is retained."""
    flags = (0x02 if clean else 0) | (0xC0 if login else 0) | (0x2C if will else 0)
    fields = [name, *(will or ()), *(login or ())]
    return packet(
        0x10, text("MQTT") + bytes([4, flags]) + struct.pack("!H", keepalive) + b"".join(map(text, fields))
    )


def publish(topic: str, payload: bytes, *, qos: int = 0, retain: bool = False) -> bytes:
    """Return a PUBLISH."""
    number = b"\x00\x07" if qos else b""
    return packet(0x30 | qos << 1 | retain, text(topic) + number + payload)


def subscribe(topic: str, qos: int = 0) -> bytes:
    """Return a SUBSCRIBE."""
    return packet(0x82, b"\x00\x01" + text(topic) + bytes([qos]))


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def say(self, *packets: bytes) -> None:
        """Send, all at once."""
        self._writer.write(b"".join(packets))

    async def hear(self) -> Packet:
        """Return the next packet; raises `asyncio.IncompleteReadError` once the broker has hung up."""
        async with asyncio.timeout(10.0):
            first, length, shift = (await self._reader.readexactly(1))[0], 0, 0
            while True:
                digit = (await self._reader.readexactly(1))[0]
                length |= (digit & 0x7F) << shift
                shift += 7
                if digit < 0x80:
                    return Packet(first >> 4, first & 15, await self._reader.readexactly(length))

    async def hears(self, kind: int) -> Packet:
        """Return the next packet, which is of this kind."""
        heard = await self.hear()
        assert heard.kind == kind, heard
        return heard

    async def ended(self) -> None:
        """Wait until the broker hangs up."""
        async with asyncio.timeout(10.0):
            while await self._reader.read(65536):
                pass

    def hang_up(self) -> None:
        """Vanish."""
        self._writer.transport.abort()


@asynccontextmanager
async def wire(port: int, *first: bytes) -> AsyncIterator[Wire]:
    """Connect to a broker on 127.0.0.1, and say this at once."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    connection = Wire(reader, writer)
    connection.say(*first)
    try:
        yield connection
    finally:
        connection.hang_up()


@asynccontextmanager
async def client(
    port: int, name: str, topic: str | None = None, qos: int = 0, login: tuple[str, str] | None = None
) -> AsyncIterator[Wire]:
    """Be let in, and subscribe if there is a topic."""
    async with wire(port, hello(name, login=login)) as connection:
        assert (await connection.hears(CONNACK)).body == b"\x00\x00"
        if topic is not None:
            connection.say(subscribe(topic, qos))
            await connection.hears(SUBACK)
        yield connection
