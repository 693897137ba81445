"""Settings for the whole test run."""

from __future__ import annotations

import asyncio

from hypothesis import settings


def pytest_configure() -> None:
    """Leave no default loop for looptime's hook to create and forget (Python 3.11)."""
    asyncio.set_event_loop(None)


# Nothing here is a timed test: machines that are shared are slow at times.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
