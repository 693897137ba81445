"""The process around the daemon: signals, exit statuses, the demo's free ports."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING

from vigil import app
from vigil.aio.threads import take_short_turns
from vigil.core.cores import cores
from vigil.errors import CannotStartError, VigilError, cause_of
from vigil.shards.split import number_of
from vigil.sinks.broker import check_free

if TYPE_CHECKING:
    from vigil.config.model import Config
    from vigil.launch import Setup

log = logging.getLogger(__name__)

OK, CRASHED = 0, 1
"""Exit statuses beside those of the errors."""

_PORTS_TRIED = 100
_SAME_SIGNAL = 0.5
"""Seconds within which a signal is the first one again: `timeout` and others send it to group and process."""


def serve(setup: Setup) -> int:
    """Run the daemon until SIGTERM or SIGINT and return the exit status; a second signal ends at once.

    SIGHUP has it read its configuration again.
    """
    take_short_turns()
    return asyncio.run(_serve(setup))


async def _serve(setup: Setup) -> int:
    daemon = asyncio.create_task(_run(setup), name="daemon")
    loop = asyncio.get_running_loop()
    stop = _Stop(daemon)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    loop.add_signal_handler(signal.SIGHUP, setup.reload_requested.set)
    try:
        await daemon
    except asyncio.CancelledError:
        log.info("stopped")
        return OK
    except Exception as error:  # noqa: BLE001 -- the edge of the process
        return _failed(error)
    return CRASHED  # a daemon does not end by itself


async def _run(setup: Setup) -> None:
    """Watch the cameras here, or in so many processes as the configuration says."""
    if (number := number_of(setup.config, cores())) == 1:
        await app.run(setup)
    else:
        from vigil.shards import front  # noqa: PLC0415 -- who has one process need not load it

        await front.run(setup, number)


class _Stop:
    """Stops the daemon at the first signal and ends the process at a later one."""

    def __init__(self, daemon: asyncio.Task[None]) -> None:
        self._daemon = daemon
        self._asked_at: float | None = None

    def __call__(self, number: signal.Signals) -> None:
        now = asyncio.get_running_loop().time()
        if self._asked_at is None:
            log.info("%s: stopping", number.name)
            self._asked_at = now
            self._daemon.cancel()
        elif now - self._asked_at > _SAME_SIGNAL:
            os._exit(128 + number)


def _failed(error: BaseException) -> int:
    """Log what ended the daemon and return the exit status for it."""
    error = cause_of(error)
    if isinstance(error, VigilError):
        log.error("%s", error)
        return error.exit_status
    log.critical("vigil ends because of an error that it does not know", exc_info=error)
    return CRASHED


def with_free_ports(config: Config) -> Config:
    """Return the configuration with the next free ports in place of taken ones."""
    mqtt_port = _next_free("127.0.0.1", config.mqtt.port, "mqtt.port")
    http_port = _next_free(config.http.host, config.http.port, "http.port", but=mqtt_port)
    return config.model_copy(
        update={
            "mqtt": config.mqtt.model_copy(update={"port": mqtt_port}),
            "http": config.http.model_copy(update={"port": http_port}),
        }
    )


def _next_free(host: str, first: int, key: str, *, but: int | None = None) -> int:
    for port in range(first, first + _PORTS_TRIED):
        if port == but:
            continue
        try:
            check_free(host, port, key)
        except CannotStartError:
            continue
        return port
    raise CannotStartError(f"{key}: no free port from {first} to {first + _PORTS_TRIED - 1}")
