"""Waiting for a port."""

from __future__ import annotations

import asyncio


async def listening(port: int, *, within: float = 15.0) -> None:
    """Wait until somebody listens on a port of 127.0.0.1; raises `TimeoutError`."""
    async with asyncio.timeout(within):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            writer.close()
            return
