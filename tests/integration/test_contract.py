"""The check in every test's subscriber, against a real broker: what vigil must not say fails the test."""

from __future__ import annotations

import asyncio

import pytest
from paho.mqtt import publish

from tests.support.broker import mosquitto, recorder


async def hear(topic: str, payload: bytes, *, qos: int = 1, retain: bool = False) -> None:
    """Have a subscriber hear one message, which may have been said before it came."""
    async with mosquitto() as broker:

        def say() -> None:
            publish.single(topic, payload, qos, retain=retain, hostname="127.0.0.1", port=broker)

        if retain:
            await asyncio.to_thread(say)
        async with recorder(broker) as heard:
            if not retain:
                # Said until it is heard: the subscription takes a moment.
                while topic not in heard.heard:
                    await asyncio.to_thread(say)
                    await asyncio.sleep(0.05)
            await heard.until(lambda: heard.heard.get(topic))


@pytest.mark.parametrize(
    ("topic", "payload", "qos", "retain", "wrong"),
    [
        ("vigil/drive/mood", b"good", 1, False, "vigil/drive/mood: no such topic is known"),
        ("vigil/drive/motion", b"on", 1, False, "'on' is not one of"),
        ("vigil/drive/motion", b"ON", 0, False, "came with QoS 0, not 1"),
        ("vigil/drive/events", b"{}", 1, True, "is retained"),
    ],
)
async def test_subscriber_fails_the_test(
    topic: str,
    payload: bytes,
    qos: int,
    retain: bool,  # noqa: FBT001 -- parametrized
    wrong: str,
) -> None:
    """A topic nobody knows, a payload that does not validate, too low a quality, retention: each is told."""
    with pytest.raises(AssertionError, match=wrong):
        await hear(topic, payload, qos=qos, retain=retain)


async def test_subscriber_lets_pass_what_is_right() -> None:
    """What fits the contract, and what others say to each other, fails nothing."""
    await hear("vigil/drive/motion", b"ON", retain=True)
    await hear("zigbee2mqtt/lamp", b"?", qos=0)
