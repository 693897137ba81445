"""Messages to systemd: ready, stopping, and the watchdog's keep-alive (sd_notify(3)).

Silent where no systemd listens.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

log = logging.getLogger(__name__)


class Notifier:
    """Sends state to the socket that systemd named in the environment."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get("NOTIFY_SOCKET", "")
        microseconds = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog = int(microseconds) / 1e6 if microseconds.isdigit() and ours else None
        """Seconds within which systemd wants to hear from us, if it does."""

    def notify(self, state: str) -> None:
        """Send e.g. `READY=1`."""
        if not self._address:
            return
        # A leading @ stands for the abstract namespace's zero byte.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)  # never hold up the loop
            try:
                channel.connect(address)
                channel.sendall(state.encode())
            except OSError as error:
                log.debug("systemd: %s", error)

    async def feed_watchdog(self, alive: Callable[[], bool]) -> None:
        """Tell systemd every half period that vigil works, for as long as `alive()` says so."""
        if self.watchdog is None:
            return
        while True:
            if alive():
                self.notify("WATCHDOG=1")
            await asyncio.sleep(self.watchdog / 2)
