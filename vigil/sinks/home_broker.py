"""The embedded broker: `amqtt`, with what it lacks for a home put right, here and in `home_client`.

- Who may not come in is turned away before anything of another client is touched.
- What a client says just before it goes is still said (`amqtt` loses it when it is busy).
- A client hears what is retained on topics that it has subscribed to, not on those of others.
- A client that falls silent for one and a half times its keep-alive is gone, and its last will is said.
- Messages go at the lower of both qualities of service; a client that does not read is not waited for.
- Nothing is kept for clients that are away, and nothing grows without a bound.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from typing import TYPE_CHECKING, Any

from amqtt.broker import Broker, RetainedApplicationMessage
from amqtt.errors import CodecError, MQTTError
from amqtt.mqtt.connack import BAD_USERNAME_PASSWORD, ConnackPacket
from amqtt.utils import gen_client_id

from vigil.sinks.home_client import Connection, PacketReader, PacketWriter
from vigil.sinks.retained import Kept

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger("broker")

_HELLO = 10.0
"""Seconds in which a client has to say who it is."""
_MAX_CLIENTS = 200
_MAX_RETAINED = 64 * 2**20
"""Bytes of topics and payloads retained together, in memory and on disk."""
_QUIET = 60.0
"""Seconds between two lines about clients that are turned away."""


class HomeBroker(Broker):  # type: ignore[misc]  # amqtt is not typed for us
    """The broker: `start`, `restore`, then `connected` for each connection, `shutdown` at last."""

    def __init__(self, users: Mapping[str, str], *, anonymous: bool) -> None:
        super().__init__({"listeners": {"default": {"type": "external"}}, "plugins": {}})
        self._users = users
        self._anonymous = anonymous
        self._clients = 0
        self._size = 0
        self._changed: dict[str, Kept | None] = {}
        self._told = {"full": float("-inf"), "refused": float("-inf")}

    def restore(self, kept: Mapping[str, Kept]) -> None:
        """Take over what an earlier process retained."""
        for topic, message in kept.items():
            self._retained_messages[topic] = _retained(topic, message.payload, message.qos)
            self._size += _size(topic, message.payload)

    def changes(self) -> dict[str, Kept | None]:
        """Return what changed of the retained messages since the last call, `None` for what is gone."""
        changed, self._changed = self._changed, {}
        return changed

    def not_written(self, changes: Mapping[str, Kept | None]) -> None:
        """Have these changes told again, but for what has changed once more."""
        self._changed = {**changes, **self._changed}

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection until it ends."""
        if self._clients >= _MAX_CLIENTS:
            writer.close()
            return
        self._clients += 1
        try:
            await self.external_connected(PacketReader(reader), PacketWriter(writer), "default")
        except (OSError, TimeoutError, ValueError, CodecError, EOFError) as error:
            log.debug("a connection ends: %r", error)
        finally:
            self._clients -= 1
            writer.close()

    async def _initialize_client_session(
        self, reader: PacketReader, writer: PacketWriter, remote_address: str, _remote_port: int
    ) -> tuple[Connection, Any]:
        """Hear who a client is; raises `MQTTError` for one that may not come in."""
        async with asyncio.timeout(_HELLO):
            handler, session = await Connection.init_from_connect(reader, writer, self.plugins_manager)
        if not self._may_come_in(session.username, session.password):
            self._tell("refused", f"a client of {remote_address} is turned away: wrong user name or password")
            await ConnackPacket.build(0, BAD_USERNAME_PASSWORD).to_stream(writer)
            raise MQTTError("wrong user name or password")
        session.clean_session, session.parent = True, 0
        session.keep_alive = round(session.keep_alive * 1.5)
        session.client_id = session.client_id or gen_client_id()
        _, former = self._sessions.get(session.client_id, (None, None))
        if former is not None:
            await self._delete_session(session.client_id)
            former.hang_up()
        return handler, session

    def _may_come_in(self, username: str | None, password: str | None) -> bool:
        right = self._users.get(username or "")
        if right is None:
            return self._anonymous
        return hmac.compare_digest(right.encode(), (password or "").encode())

    async def _authenticate(self, _session: Any, _listener: Any) -> bool:
        """Whoever gets this far has been let in."""
        return True

    async def _client_message_loop(self, session: Any, handler: Connection) -> None:
        gone = asyncio.ensure_future(handler.wait_disconnect())
        loops = [
            asyncio.ensure_future(loop(session, handler))
            for loop in (self._hear, self._subscribe, self._unsubscribe)
        ]
        try:
            # One of the loops ends for a client that breaks the rules.
            await asyncio.wait([gone, *loops], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in loops:
                each.cancel()
            await asyncio.gather(*loops, return_exceptions=True)
        handler.hang_up()
        await gone
        # What a client said just before it went is still said.
        while not session.delivered_message_queue.empty():
            await self._pass_on(session, session.delivered_message_queue.get_nowait())
        await self._handle_disconnect(session, handler, gone)
        if self._sessions.get(session.client_id, (None,))[0] is session:
            await self._delete_session(session.client_id)

    async def _hear(self, session: Any, _handler: Connection) -> None:
        while await self._pass_on(session, await session.delivered_message_queue.get()):
            pass

    async def _subscribe(self, session: Any, handler: Connection) -> None:
        while True:
            wish = asyncio.Future[Any]()
            wish.set_result(await handler.get_next_pending_subscription())
            await self._handle_subscription(session, handler, wish)

    async def _unsubscribe(self, session: Any, handler: Connection) -> None:
        while True:
            wish = asyncio.Future[Any]()
            wish.set_result(await handler.get_next_pending_unsubscription())
            await self._handle_unsubscription(session, handler, wish)

    async def _pass_on(self, session: Any, message: Any) -> bool:
        """Give a client's message to all who want it; tell whether it was one that may be said."""
        topic = message.topic
        if not topic or topic.startswith("$"):
            return False
        await self._broadcast_message(session, topic, message.data, message.qos)
        if message.retain:
            await self.retain_message(None, topic, message.data, message.qos)
        return True

    async def _broadcast_message(
        self, _session: Any, topic: str, data: bytes, qos: int | None = None
    ) -> None:
        for topic_filter, subscribers in self._subscriptions.items():
            if self._matches(topic, topic_filter):
                for session, granted in subscribers:
                    handler = self._get_handler(session)
                    if handler is not None:
                        handler.send(topic, data, min(qos or 0, granted), retain=False)

    async def _publish_retained_messages_for_subscription(
        self, subscription: tuple[str, int], session: Any
    ) -> None:
        topic_filter, wanted = subscription
        handler = self._get_handler(session)
        # `amqtt` asks this for every subscription that anybody has as soon as a client connects.
        if handler is None or all(each is not session for each, _ in self._subscriptions[topic_filter]):
            return
        for topic, message in self._retained_messages.items():
            if self._matches(topic, topic_filter):
                handler.send(topic, message.data, min(message.qos or 0, wanted), retain=True)

    async def retain_message(self, _source: Any, topic: str, data: bytes, qos: int | None = None) -> None:
        """Keep the latest message of a topic, or forget it for an empty one."""
        former = self._retained_messages.pop(topic, None)
        size = self._size - (_size(topic, former.data) if former is not None else 0)
        if data and size + _size(topic, data) > _MAX_RETAINED:
            self._tell("full", f"{_MAX_RETAINED >> 20} MiB are retained already; {topic} is not")
            data = b""
        if data:
            self._retained_messages[topic] = _retained(topic, data, qos)
            size += _size(topic, data)
        self._size = size
        self._changed[topic] = Kept(bytes(data), qos or 0) if data else None

    def _tell(self, kind: str, text: str) -> None:
        """Log a line, but not too often."""
        now = asyncio.get_running_loop().time()
        if now - self._told[kind] >= _QUIET:
            self._told[kind] = now
            log.warning("%s", text)


def _size(topic: str, payload: bytes) -> int:
    return len(topic) + len(payload)


def _retained(topic: str, payload: bytes, qos: int | None) -> RetainedApplicationMessage:
    return RetainedApplicationMessage(None, topic, payload, qos)
