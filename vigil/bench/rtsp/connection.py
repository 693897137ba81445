"""One RTSP connection: reads requests, answers them as the path's faults allow."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from vigil.bench.rtsp.auth import Verdict
from vigil.bench.rtsp.delivery import Meter, UdpSockets, reset
from vigil.bench.rtsp.faults import FaultKind, Faults
from vigil.bench.rtsp.message import Request, Response, read_request
from vigil.bench.rtsp.sdp import CONTROL, describe
from vigil.bench.rtsp.session import Session, UnsupportedTransportError
from vigil.bench.rtsp.stream import Stream

_CLIENTS_AFFAIR: Final = (OSError, EOFError, ValueError, asyncio.LimitOverrunError)
"""It left in the middle, or sent something that is no RTSP."""
_OK: Final = 200
_METHODS: Final = "OPTIONS, DESCRIBE, SETUP, PLAY, PAUSE, GET_PARAMETER, TEARDOWN"
_STATUS: Final = {
    FaultKind.UNAUTHORIZED: 401,
    FaultKind.FORBIDDEN: 403,
    FaultKind.NOT_FOUND: 404,
    FaultKind.UNAVAILABLE: 503,
}


@dataclass(slots=True)
class Site:
    """What all connections of a lab share."""

    sockets: UdpSockets
    meter: Meter = field(default_factory=Meter)
    streams: dict[str, Stream] = field(default_factory=dict)


class Connection:
    """Serves one client until it leaves, breaks off, or is silent for too long."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, site: Site) -> None:
        self._reader = reader
        self._writer = writer
        self._site = site
        self._stream: Stream | None = None
        self._session: Session | None = None

    @property
    def path(self) -> str:
        """The path that the client asked for, empty before its first request."""
        return self._stream.path if self._stream else ""

    async def run(self) -> None:
        """Answer requests one by one; a client that speaks no RTSP or breaks off is closed."""
        try:
            with suppress(*_CLIENTS_AFFAIR):
                while first := await self._first_byte():
                    if first == b"$":
                        await self._skip_receiver_report()
                    else:
                        await self._serve(await read_request(self._reader, first))
        finally:
            self._end_session()
            self._writer.close()

    def reset(self) -> None:
        """Break the connection off with RST."""
        reset(self._writer.transport)

    def close(self) -> None:
        """Close the connection in good order."""
        self._writer.close()

    async def _first_byte(self) -> bytes:
        """Wait for the client's next message; empty once it left or its session timed out."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while (now := loop.time()) < deadline:
            try:
                async with asyncio.timeout(deadline - now):
                    return await self._reader.read(1)
            except TimeoutError:
                heard_at = self._session.heard_at if self._session else 0.0
                deadline = max(deadline, heard_at + self._patience)
        return b""

    @property
    def _patience(self) -> float:
        return self._stream.options.session_timeout if self._stream else 60.0

    async def _skip_receiver_report(self) -> None:
        header = await self._reader.readexactly(3)
        await self._reader.readexactly(int.from_bytes(header[1:]))

    async def _serve(self, request: Request) -> None:
        """Answer one request; packets start to flow only behind the answer to PLAY."""
        stream = self._find(request)
        if stream and FaultKind.SILENT in stream.faults:
            return
        response = self._answer(request, stream)
        await self._write(
            response.encode(request.headers.get("cseq", "0")), stream.faults if stream else None
        )
        if response.status == _OK and self._session:
            if request.method == "PLAY":
                self._session.play()
            elif request.method == "TEARDOWN":
                self._end_session()

    def _find(self, request: Request) -> Stream | None:
        """Return the path's stream and count the connection at its first request for it."""
        stream = self._site.streams.get(request.path)
        if stream and stream is not self._stream:
            stream.connections_total += 1
            self._stream = stream
        return stream

    async def _write(self, data: bytes, faults: Faults | None) -> None:
        drip = faults.get(FaultKind.SLOW_LORIS) if faults else None
        if drip is None:
            self._writer.write(data)
            return
        for byte in data:
            self._writer.write(bytes([byte]))
            await self._writer.drain()
            await asyncio.sleep(drip.span)

    def _answer(self, request: Request, stream: Stream | None) -> Response:
        if request.method == "OPTIONS":
            return Response(200, {"Public": _METHODS})
        if stream is None:
            return Response(404)
        if request.method != "TEARDOWN" and (refusal := self._refusal(request, stream)):
            return refusal
        handlers = {"DESCRIBE": self._describe, "SETUP": self._set_up}
        return handlers.get(request.method, self._control)(request, stream)

    def _refusal(self, request: Request, stream: Stream) -> Response | None:
        """Return why the request is refused, if it is."""
        for kind, status in _STATUS.items():
            if kind in stream.faults:
                return Response(status, _challenge(stream) if kind is FaultKind.UNAUTHORIZED else {})
        if stream.authenticator:
            once = FaultKind.STALE_NONCE in stream.faults
            verdict = stream.authenticator.check(request, once=once)
            if verdict is not Verdict.ACCEPTED:
                return Response(401, _challenge(stream, stale=verdict is Verdict.STALE))
        return None

    def _describe(self, request: Request, stream: Stream) -> Response:
        if FaultKind.REDIRECT_LOOP in stream.faults:
            return Response(302, {"Location": request.url})
        host = self._writer.get_extra_info("sockname")[0]
        body = describe(stream.media, host, parameter_sets=stream.announces)
        wrong = stream.faults.get(FaultKind.WRONG_CONTENT_LENGTH)
        headers = {"Content-Base": f"{request.url.rstrip('/')}/", "Content-Type": "application/sdp"}
        return Response(200, headers, body, promised=round(len(body) * wrong.strength) if wrong else None)

    def _set_up(self, request: Request, stream: Stream) -> Response:
        self._end_session()
        site = self._site
        try:
            session = Session(request, stream, self._writer.transport, site.sockets, site.meter)
        except UnsupportedTransportError:
            return Response(461)
        self._session = session
        ssrc = f"{session.feed.ssrc:08X}"
        lifetime = f"{session.id};timeout={stream.options.session_timeout:g}"
        return Response(200, {"Transport": f"{session.transport};ssrc={ssrc}", "Session": lifetime})

    def _control(self, request: Request, stream: Stream) -> Response:
        """Answer a request that needs a session."""
        if request.method not in _METHODS.split(", "):
            return Response(405, {"Allow": _METHODS})
        session = self._session
        if session is None:
            return Response(200 if request.method == "GET_PARAMETER" else 455)
        lost = FaultKind.SESSION_NOT_FOUND in stream.faults and request.method != "TEARDOWN"
        if lost or request.headers.get("session", session.id) != session.id:
            return Response(454)
        headers = {"Session": session.id}
        if request.method == "PLAY":
            sequence, timestamp = session.feed.next_packet
            url = f"{request.url.rstrip('/')}/{CONTROL}"
            headers |= {"Range": "npt=now-", "RTP-Info": f"url={url};seq={sequence};rtptime={timestamp}"}
        if request.method == "PAUSE":
            session.pause()
        return Response(200, headers)

    def _end_session(self) -> None:
        if self._session:
            self._session.close()
            self._session = None


def _challenge(stream: Stream, *, stale: bool = False) -> Mapping[str, str]:
    """Return the header that asks for credentials."""
    asker = stream.authenticator
    return {"WWW-Authenticate": asker.challenge(stale=stale) if asker else 'Basic realm="camera"'}
