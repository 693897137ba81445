"""`/api/cameras/{c}/settings`: what is set, setting it, and every way to be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.unit.web.test_web import DRIVE, FakeDaemon, problem
from vigil.config.model import HttpConfig
from vigil.core.types import Action, CameraCommand, Setting, SettingCommand
from vigil.web.server import application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATH = "/api/cameras/drive/settings"


@pytest.fixture
def daemon() -> FakeDaemon:
    """Return a daemon that notes what it is told."""
    return FakeDaemon()


@pytest.fixture
async def http(daemon: FakeDaemon) -> AsyncIterator[TestClient[Any, Any]]:
    """Return a client of the application."""
    async with TestClient(TestServer(application(daemon, HttpConfig()))) as client:
        yield client


async def test_settings_are_shown(http: TestClient[Any, Any]) -> None:
    """They stand alone and in the camera's own answer."""
    assert await (await http.get(PATH)).json() == DRIVE.settings
    assert (await (await http.get("/api/cameras/drive")).json())["settings"] == DRIVE.settings


@pytest.mark.parametrize("method", ["PATCH", "POST"])
async def test_several_are_set_at_once(http: TestClient[Any, Any], daemon: FakeDaemon, method: str) -> None:
    """Each value is a command; a camera is enabled once all else is set."""
    body = {"enabled": True, "fps": 2, "detect": False}
    answer = await http.request(method, PATH, json=body)
    assert (answer.status, await answer.json()) == (200, DRIVE.settings)
    assert daemon.commands == [
        SettingCommand("drive", Setting.FPS, 2.0),
        SettingCommand("drive", Setting.DETECT, value=False),
        CameraCommand("drive", Action.ENABLE),
    ]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "the body is not understood"),
        (b"[]", 400, "the body is not understood"),
        (b"[" * 100_000, 400, "the body is not understood"),
        (b'{"fps": 2, "speed": 3}', 422, "there is no setting 'speed'; there is enabled, detect, motion"),
        (b'{"detect": false, "fps": 0}', 422, "fps: a number above 0 up to 60 is wanted"),
        (b'{"confidence": NaN}', 422, "confidence: a number from 0.01 to 1 is wanted"),
        (b'{"motion": "OFF"}', 422, "motion: true or false is wanted"),
    ],
    ids=range(7),
)
async def test_wrong_body_sets_nothing(
    http: TestClient[Any, Any], daemon: FakeDaemon, body: bytes, status: int, says: str
) -> None:
    """One wrong value and nothing of the body is done; the answer says what would be right."""
    assert says in await problem(await http.patch(PATH, data=body), status)
    assert daemon.commands == []


async def test_unknown_camera_is_404(http: TestClient[Any, Any], daemon: FakeDaemon) -> None:
    """A camera that is not there has no settings, to show or to change."""
    for answer in (
        await http.get("/api/cameras/cellar/settings"),
        await http.patch("/api/cameras/cellar/settings", data=b"?"),
    ):
        assert "'cellar'" in await problem(answer, 404)
    assert daemon.commands == []
