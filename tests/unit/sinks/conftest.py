"""A publisher that is not connected yet."""

from __future__ import annotations

import pytest

from tests.support.publishing import Stage


@pytest.fixture
async def stage(monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Return a publisher that is not connected yet."""
    return Stage(monkeypatch)
