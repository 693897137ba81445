"""`/api/profile`: what is in force, choosing, and every way to be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.unit.web.test_web import FakeDaemon, problem
from vigil.config.model import HttpConfig
from vigil.errors import VigilError
from vigil.web.server import application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAMES = ["night", "away"]


@pytest.fixture
def daemon() -> FakeDaemon:
    """Return a daemon that knows two profiles."""
    return FakeDaemon()


@pytest.fixture
async def http(daemon: FakeDaemon) -> AsyncIterator[TestClient[Any, Any]]:
    """Return a client of the application."""
    async with TestClient(TestServer(application(daemon, HttpConfig()))) as client:
        yield client


async def test_profile_is_shown_and_chosen(http: TestClient[Any, Any]) -> None:
    """The answer to a choice is what is in force then, as GET says it from then on."""
    before = {"active": None, "chosen": "auto", "profiles": NAMES, "next_change": None}
    assert await (await http.get("/api/profile")).json() == before
    answer = await http.post("/api/profile", data='{"profile": "night"}')
    after = {"active": "night", "chosen": "night", "profiles": NAMES, "next_change": None}
    assert (answer.status, await answer.json()) == (200, after)
    assert await (await http.get("/api/profile")).json() == after


async def test_unknown_profile_is_422(http: TestClient[Any, Any], daemon: FakeDaemon) -> None:
    """The answer names those that there are, and nothing was chosen."""
    answer = await http.post("/api/profile", json={"profile": "nihgt"})
    assert await problem(answer, 422) == "there is no profile 'nihgt'; there is auto, none, night, away"
    assert daemon.chosen is None


async def test_profile_that_cannot_be_had_is_422(http: TestClient[Any, Any], daemon: FakeDaemon) -> None:
    """Why a switch was refused is the answer's detail."""
    daemon.reload_failure = VigilError("cameras.drive: no")
    assert (
        await problem(await http.post("/api/profile", json={"profile": "away"}), 422) == "cameras.drive: no"
    )


@pytest.mark.parametrize(
    "body", [b"", b"night", b"[]", b"{}", b'{"profile": null}', b'{"profile": 1}', b"\xff\xfe"]
)
async def test_other_bodies_are_400(http: TestClient[Any, Any], body: bytes) -> None:
    """What is no JSON object with a text `profile` is told with what would be right."""
    assert '{"profile": "night"}' in await problem(await http.post("/api/profile", data=body), 400)
