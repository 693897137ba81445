"""RTSP's text: requests read from a stream, responses made (RFC 2326)."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

REASONS: Final = {
    200: "OK",
    302: "Moved Temporarily",
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    454: "Session Not Found",
    455: "Method Not Valid in This State",
    461: "Unsupported Transport",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Request:
    """One request; header names are in lower case."""

    method: str
    url: str
    headers: Mapping[str, str]

    @property
    def path(self) -> str:
        """The URL's path, with a leading slash and without the track at its end."""
        tail = self.url.partition("://")[2].partition("/")[2].partition("?")[0]
        head, _, last = tail.rstrip("/").rpartition("/")
        return "/" + (head if last.startswith("trackID=") else tail.rstrip("/"))


@dataclass(frozen=True, slots=True)
class Response:
    """One response; `promised` replaces the true Content-Length."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    promised: int | None = None

    def encode(self, sequence: str) -> bytes:
        """Return the bytes, as the answer to the request with that CSeq."""
        lines = [f"RTSP/1.0 {self.status} {REASONS[self.status]}", f"CSeq: {sequence}", "Server: vigil-lab"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        if self.body:
            lines.append(f"Content-Length: {len(self.body) if self.promised is None else self.promised}")
        return "".join(f"{line}\r\n" for line in [*lines, ""]).encode() + self.body


async def read_request(reader: asyncio.StreamReader, first: bytes) -> Request:
    """Read the rest of a request that began with byte `first`; raises `ValueError` for what is none."""
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.rstrip().split("\r\n")
    method, url, _ = start.split(" ")
    pairs = (line.partition(":") for line in lines)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, url, headers)
