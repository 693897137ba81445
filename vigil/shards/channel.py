"""Objects between a process and its own child, over a pair of sockets: pickles with their length before them.

Both ends are vigil of the same version, and nobody else can reach the sockets.
"""

from __future__ import annotations

import asyncio
import pickle
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import socket

_LENGTH = struct.Struct("!Q")
_BUFFER = 1 << 20


class ClosedError(Exception):
    """The other end is gone."""


class Channel:
    """One end; what is sent arrives whole and in order, or not at all."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, connected: socket.socket) -> Self:
        """Take over one socket of a pair."""
        connected.setblocking(False)
        return cls(*await asyncio.open_connection(sock=connected, limit=_BUFFER))

    def put(self, thing: object) -> None:
        """Send something; what the other end has not taken yet waits in memory."""
        data = pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)
        self._writer.write(_LENGTH.pack(len(data)) + data)

    async def send(self, thing: object) -> None:
        """Send something, and wait while the other end is slow; one that is gone hears nothing."""
        self.put(thing)
        with suppress(ConnectionError):
            await self._writer.drain()

    async def receive(self) -> object:
        """Return the next thing; raises `ClosedError`."""
        try:
            (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
            data = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ClosedError from error
        return pickle.loads(data)  # noqa: S301 -- from our own process, over a private pair of sockets

    async def close(self) -> None:
        """Give the socket back."""
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
