"""`POST /api/cameras/{c}/enable|disable|restart` and `POST /api/reload`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from vigil.core.types import Action, CameraCommand
from vigil.errors import VigilError
from vigil.web.problems import ProblemError

if TYPE_CHECKING:
    from vigil.web.daemon import Daemon


def routes(daemon: Daemon) -> list[web.RouteDef]:
    """Return the routes."""

    async def act(request: web.Request) -> web.Response:
        name, action = request.match_info["camera"], Action(request.match_info["action"])
        try:
            await daemon.command(CameraCommand(name, action))
        except KeyError:
            raise ProblemError(
                HTTPStatus.NOT_FOUND, f"there is no camera {name!r}; see /api/cameras"
            ) from None
        return web.json_response({"camera": name, "done": action.value})

    async def reload(_request: web.Request) -> web.Response:
        try:
            return web.json_response({"changed": await daemon.reload()})
        except VigilError as error:
            raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error

    actions = "|".join(Action)
    return [
        web.post(f"/api/cameras/{{camera}}/{{action:{actions}}}", act),
        web.post("/api/reload", reload),
    ]
