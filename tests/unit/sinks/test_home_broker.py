"""What the embedded broker does where `amqtt` alone would lose messages, let in strangers or grow."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.support.wire import (
    CONNACK,
    GOODBYE,
    PING,
    PINGRESP,
    PUBACK,
    PUBLISH,
    client,
    hello,
    packet,
    publish,
    wire,
)
from vigil.sinks.home_broker import HomeBroker
from vigil.sinks.retained import Kept

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from tests.support.wire import Wire

USERS = {"ha": "s3cret"}
WRONG, FINE = b"\x00\x04", b"\x00\x00"


@asynccontextmanager
async def broker(
    users: Mapping[str, str] | None = None, kept: Mapping[str, Kept] | None = None
) -> AsyncIterator[tuple[HomeBroker, int]]:
    """Run a broker in this loop; gives it and its port."""
    home = HomeBroker(users or {}, anonymous=not users)
    await home.start()
    home.restore(kept or {})
    server = await asyncio.start_server(home.connected, "127.0.0.1", 0)
    try:
        yield home, server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await home.shutdown()


async def answer(connection: Wire) -> bytes:
    """Return what a CONNECT is answered."""
    return (await connection.hears(CONNACK)).body


async def test_what_is_said_just_before_the_goodbye_is_heard() -> None:
    """A command of `mosquitto_pub`, which leaves at once, arrives however much is retained for others."""
    kept = {f"r/{number}": Kept(b"1", 1) for number in range(300)}
    async with broker(kept=kept) as (_, port), client(port, "all", "#") as all_ears:
        for _ in kept:
            await all_ears.hears(PUBLISH)
        said = [publish(f"t/{number}", b"x") for number in range(20)]
        async with wire(port, hello("brief", will=("t/will", "gone")), *said, GOODBYE) as brief:
            heard = [(await all_ears.hears(PUBLISH)).topic for _ in said]
            await brief.ended()
        assert heard == [f"t/{number}" for number in range(20)]
        # The goodbye was heard as well: the last will stays unsaid.
        all_ears.say(PING)
        await all_ears.hears(PINGRESP)


async def test_who_vanishes_has_the_last_will_said_and_retained() -> None:
    """A connection that breaks is no goodbye."""
    async with broker() as (home, port), client(port, "ears", "#") as ears:
        async with wire(port, hello("frail", will=("t/will", "gone"))) as frail:
            assert await answer(frail) == FINE
            frail.hang_up()
            will = await ears.hears(PUBLISH)
        assert (will.topic, home.retained_messages["t/will"].data) == ("t/will", b"gone")


async def test_nobody_hears_what_others_subscribed_to() -> None:
    """A client that connects is not sent what is retained before it has subscribed to it."""
    async with broker(kept={"a": Kept(b"1", 0), "b": Kept(b"2", 0)}) as (_, port), client(port, "all", "#"):
        async with client(port, "new") as new:
            new.say(PING)
            await new.hears(PINGRESP)
        async with client(port, "some", "b") as some:
            retained = await some.hears(PUBLISH)
            assert (retained.topic, retained.flags & 1) == ("b", 1)


@pytest.mark.parametrize(
    ("users", "login", "code"),
    [
        (None, None, FINE),
        (None, ("anybody", "x"), FINE),
        (USERS, ("ha", "s3cret"), FINE),
        (USERS, ("ha", "S3cret"), WRONG),
        (USERS, ("ha", ""), WRONG),
        (USERS, ("he", "s3cret"), WRONG),
        (USERS, None, WRONG),
    ],
)
async def test_who_may_come_in(
    users: Mapping[str, str] | None, login: tuple[str, str] | None, code: bytes
) -> None:
    """Without users everybody may; with users, whoever knows a name and its password."""
    async with broker(users) as (_, port), wire(port, hello("x", login=login)) as stranger:
        assert await answer(stranger) == code
        if code == WRONG:
            await stranger.ended()


async def test_strangers_touch_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Who is turned away has not ended the session of the client whose id it uses, and leaves nothing."""
    caplog.set_level(logging.WARNING, logger="broker")
    async with broker(USERS) as (home, port), client(port, "home", "t", login=("ha", "s3cret")) as victim:
        for password in ("guess", "another"):
            async with wire(port, hello("home", login=("ha", password))) as stranger:
                assert await answer(stranger) == WRONG
                await stranger.ended()
        victim.say(publish("t", b"x"))
        assert (await victim.hears(PUBLISH)).topic == "t"
        assert set(home.sessions) == {"home"}
    (line,) = [record.getMessage() for record in caplog.records if record.name == "broker"]
    assert line == "a client of 127.0.0.1 is turned away: wrong user name or password"


async def test_second_client_of_a_name_ends_the_first() -> None:
    """As the standard asks: one connection for each client id, the latest."""
    async with (
        broker() as (home, port),
        client(port, "twin", "t") as first,
        client(port, "twin", "t") as second,
    ):
        await first.ended()
        second.say(publish("t", b"x"))
        assert (await second.hears(PUBLISH)).topic == "t"
        assert set(home.sessions) == {"twin"}


@pytest.mark.parametrize(("said", "wanted", "heard"), [(0, 1, 0), (1, 0, 0), (1, 1, 1)])
async def test_the_lower_quality_of_service_is_used(said: int, wanted: int, heard: int) -> None:
    """A message that nobody asked to have acknowledged costs no acknowledgement."""
    async with (
        broker() as (home, port),
        client(port, "ears", "t", wanted) as ears,
        client(port, "x") as mouth,
    ):
        mouth.say(publish("t", b"x", qos=said))
        arrived = await ears.hears(PUBLISH)
        assert arrived.qos == heard
        waiting = home.sessions["ears"][0].inflight_out
        assert len(waiting) == (heard > 0)
        if heard:
            ears.say(packet(0x40, arrived.number), PING)
            await ears.hears(PINGRESP)
            assert not waiting
        if said:
            await mouth.hears(PUBACK)


async def test_nothing_is_kept_for_clients_that_are_away() -> None:
    """A client that comes back starts anew, and what it left is forgotten at once."""
    async with broker() as (home, port):
        async with client(port, "ears", "t", 1) as ears:
            ears.say(GOODBYE)
            await ears.ended()
        assert (dict(home.sessions), dict(home.subscriptions)) == ({}, {})


async def test_who_does_not_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages beyond what may wait for a client are lost to it, and to nobody else."""
    monkeypatch.setattr("vigil.sinks.home_client._MAX_UNREAD", 100_000)
    async with broker() as (home, port), client(port, "deaf", "big"), client(port, "ears", "small") as ears:
        for _ in range(300):
            await home._broadcast_message(None, "big", bytes(100_000), 0)
        handler = home.sessions["deaf"][1]
        assert 100_000 < handler.writer.unread < 300_000
        await home._broadcast_message(None, "small", b"x", 0)
        assert (await ears.hears(PUBLISH)).topic == "small"


async def test_who_does_not_acknowledge_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many messages as may be unacknowledged, and no more, are remembered."""
    monkeypatch.setattr("vigil.sinks.home_client._MAX_UNANSWERED", 3)
    async with broker() as (home, port), client(port, "ears", "t", 1):
        for _ in range(10):
            await home._broadcast_message(None, "t", b"x", 1)
        assert len(home.sessions["ears"][0].inflight_out) == 3


async def test_every_session_is_a_new_one() -> None:
    """A client that asks for its earlier session is told that there is none, so that it subscribes again."""
    async with (
        broker() as (home, port),
        client(port, "ears", "t"),
        wire(port, hello("ears", clean=False)) as again,
    ):
        assert await answer(again) == FINE
        await home._broadcast_message(None, "t", b"x", 1)
        again.say(PING)
        await again.hears(PINGRESP)


@pytest.mark.parametrize(
    "bad",
    [
        packet(0x30, b"\x00\x02$x"),
        packet(0x30, b"\x00\x00"),
        b"\x30\xff\xff\xff\x7f" + b"\x00\x01t",
        hello("again"),
        b"\xf0\x00",
    ],
    ids=["reserved topic", "no topic", "too large", "second hello", "reserved packet"],
)
async def test_who_breaks_the_rules_is_hung_up_on(bad: bytes) -> None:
    """A packet that cannot be ends its client's connection and nothing else."""
    async with broker() as (_, port), client(port, "ears", "t") as ears:
        async with client(port, "bad") as rude:
            rude.say(bad)
            await rude.ended()
        ears.say(publish("t", b"x"))
        await ears.hears(PUBLISH)


@pytest.mark.parametrize("noise", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\x7f", bytes(50)])
async def test_noise_is_hung_up_on(noise: bytes) -> None:
    """What is no MQTT client, such as a port scan, leaves nothing behind."""
    async with broker() as (home, port):
        async with wire(port, noise) as scan:
            scan._writer.write_eof()
            await scan.ended()
        assert dict(home.sessions) == {}


async def test_changes_of_what_is_retained_are_told() -> None:
    """The latest message of each topic, `None` for one that was cleared, again if it was not written."""
    async with broker(kept={"old": Kept(b"1", 0)}) as (home, port), client(port, "x") as mouth:
        mouth.say(
            publish("a", b"1", qos=1, retain=True),
            publish("a", b"2", retain=True),
            publish("old", b"", retain=True),
            publish("b", b"not retained"),
            PING,
        )
        await mouth.hears(PUBACK)
        await mouth.hears(PINGRESP)
        changes = home.changes()
        assert changes == {"a": Kept(b"2", 0), "old": None}
        assert home.changes() == {}
        await home.retain_message(None, "a", b"3", 1)
        home.not_written(changes)
        assert home.changes() == {"a": Kept(b"3", 1), "old": None}
        assert set(home.retained_messages) == {"a"}


async def test_what_is_retained_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A message that does not fit is passed on and not retained, nor is an older one in its place."""
    monkeypatch.setattr("vigil.sinks.home_broker._MAX_RETAINED", 100)
    async with broker(kept={"a": Kept(bytes(60), 0)}) as (home, port), client(port, "ears", "b") as ears:
        for size in (30, 60, 61):
            await home.retain_message(None, "b", bytes(size), 0)
        assert set(home.retained_messages) == {"a"}
        await home.retain_message(None, "a", b"", 0)
        ears.say(publish("b", bytes(90), retain=True))
        await ears.hears(PUBLISH)
        assert {topic: len(message.data) for topic, message in home.retained_messages.items()} == {"b": 90}
        assert home.changes() == {"a": None, "b": Kept(bytes(90), 0)}
    assert len([line for line in caplog.messages if "retained already" in line]) == 1
