"""One client's connection to the embedded broker: `amqtt`'s, with bounds, and an end that is noticed."""

from __future__ import annotations

import asyncio
from typing import Any

from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter
from amqtt.mqtt.protocol.broker_handler import BrokerProtocolHandler
from amqtt.mqtt.publish import PublishPacket

_MAX_PACKET = 4 * 2**20
_MAX_UNREAD = 8 * 2**20
"""Bytes that may wait for a client that does not read; what is more is not sent to it."""
_MAX_UNANSWERED = 5000
"""Messages that a client may leave unacknowledged."""


class PacketReader(StreamReaderAdapter):  # type: ignore[misc]  # amqtt is not typed for us
    """Reads packets of a bounded size."""

    async def read(self, n: int = -1) -> bytes:
        """Return `n` bytes; raises `ValueError` for more than a packet may have."""
        if n > _MAX_PACKET:
            raise ValueError("a packet is too large")
        return bytes(await super().read(n))


class PacketWriter(StreamWriterAdapter):  # type: ignore[misc]  # amqtt is not typed for us
    """Knows how much waits to be sent."""

    @property
    def unread(self) -> int:
        """Bytes that the client has not taken yet."""
        return int(self._writer.transport.get_write_buffer_size())


class Connection(BrokerProtocolHandler):  # type: ignore[misc]  # amqtt is not typed for us
    """One client's connection."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # `amqtt`'s own forgets a client that goes before anybody waits for that.
        self._gone: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def wait_disconnect(self) -> Any:
        """Wait until the client says goodbye, and return that, or until it has vanished."""
        return await asyncio.shield(self._gone)

    async def handle_disconnect(self, goodbye: Any) -> None:
        """Hear that the client goes."""
        if not self._gone.done():
            self._gone.set_result(goodbye)

    async def handle_connect(self, _packet: Any) -> None:
        """Do not take a second hello."""
        self.hang_up()

    def handle_read_timeout(self) -> None:
        """Take a client that is silent for too long for gone."""
        self.hang_up()

    def hang_up(self) -> None:
        """Have the connection closed, as if the client had vanished."""
        if not self._gone.done():
            self._gone.set_result(None)

    async def stop(self) -> None:
        """Close the connection."""
        self.hang_up()
        await super().stop()

    def send(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        """Send a message without waiting, in order; one that the client has no room for is lost."""
        if self.writer is None or self.session is None or self.writer.unread > _MAX_UNREAD:
            return
        number = None
        if qos > 0:
            if len(self.session.inflight_out) >= _MAX_UNANSWERED:
                return
            number = self._expect_answer()
        self.writer.write(PublishPacket.build(topic, payload, number, False, qos, retain).to_bytes())

    def _expect_answer(self) -> int:
        """Return the number of a message that the client has to acknowledge."""
        waiting, number = self.session.inflight_out, int(self.session.next_packet_id)
        answered = asyncio.Future[Any]()
        waiting[number] = self._puback_waiters[number] = answered

        def done(_answer: asyncio.Future[Any]) -> None:
            del waiting[number]
            self._puback_waiters.pop(number, None)

        answered.add_done_callback(done)
        return number
