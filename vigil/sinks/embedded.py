"""The embedded broker's process: `python -m vigil.sinks.embedded`.

It reads its orders, secrets among them, as one line of JSON from its standard input, takes over what an
earlier process retained, says `ready` once it listens, and ends when its standard input closes.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path

from vigil.aio.threads import call_in_thread
from vigil.sinks.broker import READY, Orders
from vigil.sinks.home_broker import HomeBroker
from vigil.sinks.retained import RetainedStore

_WRITE_EVERY = 1.0
"""Seconds between two looks for a change of what is retained."""


async def serve(orders: Orders) -> None:
    """Serve until the standard input closes."""
    # A signal to the group, from a terminal or from systemd, is for vigil, which ends its broker last.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    store = None if orders.retained is None else RetainedStore(Path(orders.retained))
    broker = HomeBroker(orders.users, anonymous=orders.anonymous)
    await broker.start()
    if store is not None:
        broker.restore(store.read())
    server = await asyncio.start_server(broker.connected, orders.host, orders.port, reuse_address=True)
    os.write(1, READY)
    over = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        if store is not None:
            group.create_task(_keep(broker, store, over), name="retained")
        await _parent_gone()
        server.close()
        over.set()
    await broker.shutdown()


async def _parent_gone() -> None:
    parent = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(parent), sys.stdin)
    await parent.read()


async def _keep(broker: HomeBroker, store: RetainedStore, over: asyncio.Event) -> None:
    """Write what is retained once a second if it has changed, until all is over, and then once more."""
    while not over.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(_WRITE_EVERY):
                await over.wait()
        changes = broker.changes()
        if changes and not await call_in_thread(partial(store.write, changes), name="retained"):
            broker.not_written(changes)
    store.close()


def main() -> None:
    """Read the orders and follow them."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    # What clients do wrong is theirs.
    for noisy in ("amqtt", "transitions"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    # Unbuffered: the end of the input is for the loop to see.
    with open(0, "rb", buffering=0, closefd=False) as orders:
        asyncio.run(serve(Orders(**json.loads(orders.readline()))))


if __name__ == "__main__":
    main()
