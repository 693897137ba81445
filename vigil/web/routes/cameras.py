"""`GET /api/cameras`, one camera, and its latest picture; and the page at `/` that shows them."""

from __future__ import annotations

from dataclasses import asdict
from http import HTTPStatus
from importlib.resources import files
from typing import TYPE_CHECKING

from aiohttp import web

from vigil.web.problems import ProblemError

if TYPE_CHECKING:
    from vigil.core.types import CameraView
    from vigil.web.daemon import Daemon

_PAGE_POLICY = (
    "default-src 'self'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src 'self' data:"
)


def routes(daemon: Daemon) -> list[web.RouteDef]:
    """Return the routes."""
    page_text = files("vigil.web").joinpath("ui/index.html").read_text(encoding="utf-8")

    async def cameras(_request: web.Request) -> web.Response:
        return web.json_response({"cameras": [_shown(view) for view in await daemon.cameras()]})

    async def camera(request: web.Request) -> web.Response:
        name = request.match_info["camera"]
        for view in await daemon.cameras():
            if view.name == name:
                return web.json_response(_shown(view))
        raise _unknown(name)

    async def snapshot(request: web.Request) -> web.Response:
        name = request.match_info["camera"]
        try:
            picture = await daemon.snapshot(name)
        except KeyError:
            raise _unknown(name) from None
        if picture is None:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, f"camera {name} has no picture now", {"Retry-After": "1"}
            )
        return web.Response(body=picture, content_type="image/jpeg", headers={"Cache-Control": "no-store"})

    async def page(_request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": _PAGE_POLICY, "X-Content-Type-Options": "nosniff"}
        return web.Response(text=page_text, content_type="text/html", headers=headers)

    return [
        web.get("/", page),
        web.get("/api/cameras", cameras),
        web.get("/api/cameras/{camera}", camera),
        web.get("/api/cameras/{camera}/snapshot.jpg", snapshot),
    ]


def _shown(view: CameraView) -> dict[str, object]:
    return asdict(view)


def _unknown(name: str) -> ProblemError:
    return ProblemError(HTTPStatus.NOT_FOUND, f"there is no camera {name!r}; see /api/cameras")
