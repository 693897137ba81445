"""Settings for the whole test run."""

from __future__ import annotations

import asyncio


def pytest_configure() -> None:
    """Leave no default loop for looptime's hook to create and forget (Python 3.11)."""
    asyncio.set_event_loop(None)
