"""`GET` and `POST /api/profile`: which profile is in force, and choosing one."""

from __future__ import annotations

import json
from dataclasses import asdict
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from vigil.core.types import ProfileCommand
from vigil.errors import VigilError
from vigil.web.problems import ProblemError

if TYPE_CHECKING:
    from vigil.web.daemon import Daemon


def routes(daemon: Daemon) -> list[web.RouteDef]:
    """Return the routes."""

    async def show(_request: web.Request) -> web.Response:
        return web.json_response(asdict(daemon.profile()))

    async def choose(request: web.Request) -> web.Response:
        command = ProfileCommand(_wanted(await request.read()))
        try:
            return web.json_response(asdict(await daemon.choose_profile(command)))
        except KeyError:
            known = ", ".join(["auto", "none", *daemon.profile().profiles])
            raise ProblemError(
                HTTPStatus.UNPROCESSABLE_ENTITY, f"there is no profile {command.wanted!r}; there is {known}"
            ) from None
        except VigilError as error:
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error

    return [web.get("/api/profile", show), web.post("/api/profile", choose)]


def _wanted(body: bytes) -> str:
    """Return the name in `{"profile": name}`; raises `ProblemError`."""
    try:
        given = json.loads(body)
    except ValueError:
        given = None
    if not isinstance(given, dict) or not isinstance(given.get("profile"), str):
        raise ProblemError(
            HTTPStatus.BAD_REQUEST,
            'the body is not understood; send {"profile": "night"}, with a name, auto or none',
        )
    return str(given["profile"])
