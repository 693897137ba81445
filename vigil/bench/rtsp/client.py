"""The smallest RTSP client that can play: for tests that look at bytes, and for measuring the lab itself."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Answer:
    """A response; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Packet:
    """An interleaved packet: RTP on even channels, RTCP on odd ones."""

    channel: int
    data: bytes

    @property
    def marker(self) -> bool:
        """Whether this RTP packet ends an access unit."""
        return bool(self.data[1] & 0x80)

    @property
    def sequence(self) -> int:
        """RTP sequence number."""
        return int.from_bytes(self.data[2:4])

    @property
    def timestamp(self) -> int:
        """RTP timestamp."""
        return int.from_bytes(self.data[4:8])

    @property
    def payload(self) -> bytes:
        """What the RTP packet carries."""
        return self.data[12:]


class RtspClient:
    """Speaks RTSP over one TCP connection; `async with` connects and closes."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._sequence = 0
        self.session = ""

    async def __aenter__(self) -> Self:
        address = urlsplit(self.url)
        self.reader, self.writer = await asyncio.open_connection(address.hostname, address.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()

    async def ask(
        self, method: str, headers: Mapping[str, str] | None = None, *, track: bool = False
    ) -> Answer:
        """Send a request and return its answer; packets that come before it are skipped."""
        self.send(method, headers, track=track)
        while (first := await self.reader.readexactly(1)) == b"$":
            await self._packet()
        head = (first + await self.reader.readuntil(b"\r\n\r\n")).decode().rstrip()
        start, *lines = head.split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self.reader.readexactly(int(fields.get("content-length", "0")))
        self.session = fields.get("session", self.session).partition(";")[0]
        return Answer(int(start.split(" ")[1]), fields, body)

    def send(self, method: str, headers: Mapping[str, str] | None = None, *, track: bool = False) -> None:
        """Send a request and do not wait."""
        self._sequence += 1
        lines = [f"{method} {self.url}{'/trackID=0' if track else ''} RTSP/1.0", f"CSeq: {self._sequence}"]
        lines += [f"Session: {self.session}"] if self.session else []
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.writer.write("".join(f"{line}\r\n" for line in [*lines, ""]).encode())

    async def set_up(self, transport: str = "RTP/AVP/TCP;unicast;interleaved=0-1") -> Answer:
        """Ask for a session."""
        return await self.ask("SETUP", {"Transport": transport}, track=True)

    async def play(self) -> Answer:
        """Set up over TCP, and play."""
        await self.set_up()
        return await self.ask("PLAY")

    async def next_packet(self) -> Packet:
        """Return the next interleaved packet; raises `IncompleteReadError` when the server is gone."""
        if await self.reader.readexactly(1) != b"$":
            raise ValueError("not an interleaved packet")
        return await self._packet()

    async def next_rtp(self) -> Packet:
        """Return the next RTP packet; sender reports are skipped."""
        while (packet := await self.next_packet()).channel % 2:
            pass
        return packet

    async def next_unit(self) -> list[Packet]:
        """Return the packets up to and with the next marker: an access unit, if none of it was lost."""
        packets = [await self.next_rtp()]
        while not packets[-1].marker:
            packets.append(await self.next_rtp())
        return packets

    async def _packet(self) -> Packet:
        channel, *size = await self.reader.readexactly(3)
        return Packet(channel, await self.reader.readexactly(int.from_bytes(bytes(size))))
