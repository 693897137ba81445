"""`GET` and `PATCH /api/cameras/{c}/settings`: what MQTT's `…/set` topics do, several at once.

All of a body is checked before any of it is done.
"""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from vigil.core.settings import WORDS, camera_command, checked
from vigil.web.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.core.settings import Value
    from vigil.web.daemon import Daemon


def routes(daemon: Daemon) -> list[web.RouteDef]:
    """Return the routes."""

    async def settings(camera: str) -> Mapping[str, Value]:
        for view in await daemon.cameras():
            if view.name == camera:
                return view.settings
        raise ProblemError(HTTPStatus.NOT_FOUND, f"there is no camera {camera!r}; see /api/cameras")

    async def show(request: web.Request) -> web.Response:
        return web.json_response(await settings(request.match_info["camera"]))

    async def change(request: web.Request) -> web.Response:
        camera = request.match_info["camera"]
        await settings(camera)  # a camera that is not there is told before what is wrong with the body
        for word, value in _wanted(await request.read()).items():
            try:
                await daemon.command(camera_command(camera, word, value))
            except KeyError:
                break  # gone meanwhile, which the answer says
        return web.json_response(await settings(camera))

    path = "/api/cameras/{camera}/settings"
    return [web.get(path, show), web.patch(path, change), web.post(path, change)]


def _wanted(body: bytes) -> dict[str, Value]:
    """Return the values to set by word, `enabled` last; raises `ProblemError`."""
    try:
        given = json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, 'the body is not understood; send an object such as {"fps": 2}'
        )
    if unknown := [word for word in given if word not in WORDS]:
        raise ProblemError(
            HTTPStatus.UNPROCESSABLE_ENTITY,
            f"there is no setting {unknown[0][:40]!r}; there is {', '.join(WORDS)}",
        )
    return {word: _value(word, given[word]) for word in reversed(WORDS) if word in given}


def _value(word: str, value: object) -> Value:
    try:
        return checked(word, value)
    except ValueError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, f"{word}: {error}") from None
