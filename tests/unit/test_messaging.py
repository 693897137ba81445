"""Which broker vigil runs and reaches, and what is refused before the present one is given up."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import LOADED
from tests.support.household import config_of
from vigil.aio.bus import Bus
from vigil.config.mqtt import MqttConfig
from vigil.errors import CannotStartError
from vigil.messaging import Messaging
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from vigil.core.types import BusMessage


def messaging(settings: MqttConfig) -> Messaging:
    """Return MQTT as a whole, which nobody runs."""
    bus: Bus[BusMessage] = Bus()
    config = config_of({"drive": {}}).model_copy(update={"mqtt": settings})
    return Messaging(config, LOADED, bus, Metrics(), lambda _command: None)


def embedded(port: int, host: str = "127.0.0.1") -> MqttConfig:
    """Return settings of an embedded broker that any user may come in to."""
    return MqttConfig.model_validate(
        {"port": port, "embedded": {"host": host, "users": {"ha": {"password": "x"}}}}
    )


async def test_taken_ports_are_refused_but_for_ones_own() -> None:
    """A reload can keep the port that the present broker has, and cannot have that of another program."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(CannotStartError, match=rf"mqtt\.port: 127\.0\.0\.1:{port} is taken"):
            messaging(MqttConfig(host="broker")).check(embedded(port))
        messaging(embedded(port)).check(embedded(port, "0.0.0.0"))


@pytest.mark.parametrize("present", [MqttConfig(host="broker"), embedded(1883)])
async def test_addresses_of_others_are_refused(present: MqttConfig) -> None:
    """A reload that asks for an address that this machine does not have is told so, with its key."""
    with pytest.raises(CannotStartError, match=r"mqtt\.embedded\.host: 192\.0\.2\.1:.* cannot be used"):
        messaging(present).check(embedded(1883, "192.0.2.1"))
