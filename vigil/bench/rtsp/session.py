"""One client's RTSP session: how it wants its packets, and whether it gets them."""

import asyncio
import re
import secrets
from typing import Final

from vigil.bench.rtsp.delivery import Datagrams, Interleaved, Meter, Receiver, UdpSockets
from vigil.bench.rtsp.message import Request
from vigil.bench.rtsp.stream import Stream

_PAIR: Final = re.compile(r"(interleaved|client_port)=(\d+)-(\d+)")


class UnsupportedTransportError(ValueError):
    """The client asks for a transport that the path does not offer (461)."""


class Session:
    """From SETUP to TEARDOWN."""

    def __init__(
        self,
        request: Request,
        stream: Stream,
        transport: asyncio.WriteTransport,
        sockets: UdpSockets,
        meter: Meter,
    ) -> None:
        """Set the session up; raises `UnsupportedTransportError`."""
        self.id: Final = secrets.token_hex(8)
        self._stream = stream
        self._sockets = sockets
        self._rtcp_address: tuple[str, int] | None = None
        self._playing = False
        self.transport, self._receiver = self._set_up(request, transport, meter)
        self.feed: Final = stream.open_feed()

    def _set_up(
        self, request: Request, transport: asyncio.WriteTransport, meter: Meter
    ) -> tuple[str, Receiver]:
        """Return the answer's `Transport` header and where packets go."""
        wish = request.headers.get("transport", "")
        over_tcp = wish.startswith("RTP/AVP/TCP")
        pair = _PAIR.search(wish)
        if ("tcp" if over_tcp else "udp") not in self._stream.options.transports or not (pair or over_tcp):
            raise UnsupportedTransportError(wish)
        first, second = (int(pair[2]), int(pair[3])) if pair else (0, 1)
        if over_tcp:
            header = f"RTP/AVP/TCP;unicast;interleaved={first}-{second}"
            return header, Interleaved(transport, first, second, meter)
        host = transport.get_extra_info("peername")[0]
        self._rtcp_address = host, second
        ports = "{}-{}".format(*self._sockets.ports)
        header = f"RTP/AVP;unicast;client_port={first}-{second};server_port={ports}"
        return header, Datagrams(transport, self._sockets, host, (first, second), meter)

    @property
    def heard_at(self) -> float:
        """Loop time of the client's latest receiver report over UDP, 0 if there was none."""
        return self._sockets.heard_at(*self._rtcp_address) if self._rtcp_address else 0.0

    def play(self) -> None:
        """Let packets flow."""
        if not self._playing:
            self._playing = True
            self._stream.play(self.feed, self._receiver)

    def pause(self) -> None:
        """Stop packets."""
        if self._playing:
            self._playing = False
            self._stream.pause(self.feed, self._receiver)

    def close(self) -> None:
        """End the session."""
        self.pause()
        self._stream.release(self.feed)
        if self._rtcp_address:
            self._sockets.forget(*self._rtcp_address)
