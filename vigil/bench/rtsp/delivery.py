"""Where packets go: a TCP connection or a UDP address. A slow client loses frames; none is waited for."""

import asyncio
import socket
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Final, Protocol

from vigil.bench.rtsp.rtp import FRAMING, HEADER, Packets

BACKLOG_LIMIT: Final = 1 << 20
"""Bytes waiting for a TCP client before its access units are dropped (the kernel holds some more)."""
PATIENCE: Final = 15.0
"""Seconds that a TCP client may take nothing before it is disconnected."""
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(slots=True)
class Meter:
    """What a lab did so far. `lateness` holds the latest delays (seconds) of timers against their plan."""

    units_sent: int = 0
    units_dropped: int = 0
    bytes_sent: int = 0
    slow_clients_closed: int = 0
    lateness: deque[float] = field(default_factory=lambda: deque(maxlen=4096))


class Receiver(Protocol):
    """One client, as a feed sees it."""

    def send(self, packets: Packets) -> None:
        """Send an access unit, or drop it."""

    def report(self, report: bytes) -> None:
        """Send an RTCP packet."""

    def cut(self, packets: Packets) -> None:
        """Break the connection in the middle of a packet."""

    def hang_up(self) -> None:
        """Close the connection in good order."""


def reset(transport: asyncio.WriteTransport) -> None:
    """Close a TCP connection with RST instead of FIN."""
    connection = transport.get_extra_info("socket")
    if connection is not None and not transport.is_closing():
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


class Interleaved:
    """A client that takes RTP and RTCP over its RTSP connection.

    A client that does not keep up loses access units up to the next keyframe, as cameras do it.
    """

    def __init__(self, transport: asyncio.WriteTransport, rtp: int, rtcp: int, meter: Meter) -> None:
        self._transport = transport
        self._rtp = rtp
        self._rtcp = rtcp
        self._meter = meter
        self._behind_since: float | None = None
        self._stuck_at = 0

    def send(self, packets: Packets) -> None:
        """Write an access unit in one piece, unless the client is behind."""
        if self._transport.is_closing() or self._is_behind(packets):
            return
        self._transport.write(packets.on_channel(self._rtp))
        self._meter.units_sent += 1
        self._meter.bytes_sent += len(packets.data)

    def report(self, report: bytes) -> None:
        """Write an RTCP packet."""
        if not self._transport.is_closing() and self._behind_since is None:
            self._transport.write(struct.pack(">cBH", b"$", self._rtcp, len(report)) + report)

    def cut(self, packets: Packets) -> None:
        """Write the first packet's header and half of its payload, then reset."""
        first = next(packets.slices(), slice(0, 0))
        self._transport.write(packets.on_channel(self._rtp)[: (first.start + HEADER + first.stop) // 2])
        reset(self._transport)

    def hang_up(self) -> None:
        """Close after what was written."""
        self._transport.close()

    def _is_behind(self, packets: Packets) -> bool:
        """Count the access unit as dropped while the backlog is full, and then until a keyframe."""
        backlog = self._transport.get_write_buffer_size()
        if backlog <= BACKLOG_LIMIT and (self._behind_since is None or packets.keyframe):
            self._behind_since = None
            return False
        now = asyncio.get_running_loop().time()
        if self._behind_since is None or backlog != self._stuck_at:
            self._behind_since, self._stuck_at = now, backlog
        self._meter.units_dropped += 1
        if backlog > BACKLOG_LIMIT and now - self._behind_since > PATIENCE:
            self._meter.slow_clients_closed += 1
            self._transport.abort()
        return True


class Datagrams:
    """A client that takes RTP and RTCP over UDP; what the kernel does not take is lost, as on a network."""

    def __init__(
        self,
        control: asyncio.WriteTransport,
        sockets: "UdpSockets",
        host: str,
        ports: tuple[int, int],
        meter: Meter,
    ) -> None:
        self._control = control
        self._sockets = sockets
        self._rtp = (host, ports[0])
        self._rtcp = (host, ports[1])
        self._meter = meter

    def send(self, packets: Packets) -> None:
        """Send an access unit, a datagram per packet."""
        view, send, address = memoryview(packets.data), self._sockets.rtp.sendto, self._rtp
        try:
            for part in packets.slices():
                send(view[part.start + FRAMING : part.stop], address)
        except BlockingIOError:
            self._meter.units_dropped += 1
        else:
            self._meter.units_sent += 1
            self._meter.bytes_sent += len(packets.data)

    def report(self, report: bytes) -> None:
        """Send an RTCP packet."""
        self._sockets.rtcp.sendto(report, self._rtcp)

    def cut(self, packets: Packets) -> None:
        """Send the first half of the packets, then reset the RTSP connection."""
        count = len(packets.offsets)
        self.send(packets.keeping([number < count // 2 for number in range(count)]))
        reset(self._control)

    def hang_up(self) -> None:
        """Close the RTSP connection."""
        self._control.close()


class UdpSockets:
    """The lab's one pair of UDP ports; receivers' reports on the second one keep sessions alive."""

    def __init__(self, host: str) -> None:
        self._host = host
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._heard_at: dict[tuple[str, int], float] = {}

    def open(self) -> None:
        """Bind both and start to listen for receivers' reports."""
        for each in (self.rtp, self.rtcp):
            each.setblocking(False)
            each.bind((self._host, 0))
        self.rtp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
        asyncio.get_running_loop().add_reader(self.rtcp, self._hear)

    @property
    def ports(self) -> tuple[int, int]:
        """The ports of RTP and RTCP."""
        return self.rtp.getsockname()[1], self.rtcp.getsockname()[1]

    def heard_at(self, host: str, rtcp_port: int) -> float:
        """Return the loop time of the latest report from a client's RTCP port, 0 if there was none."""
        return self._heard_at.get((host, rtcp_port), 0.0)

    def forget(self, host: str, rtcp_port: int) -> None:
        """Drop what is known of a client that is gone."""
        self._heard_at.pop((host, rtcp_port), None)

    def close(self) -> None:
        """Close both sockets."""
        asyncio.get_running_loop().remove_reader(self.rtcp)
        self.rtp.close()
        self.rtcp.close()

    def _hear(self) -> None:
        _, address = self.rtcp.recvfrom(2048)
        self._heard_at[address] = asyncio.get_running_loop().time()
