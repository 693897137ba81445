"""`GET /health`, `/ready`, `/metrics`: for systemd, Docker, Kubernetes and Prometheus."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

if TYPE_CHECKING:
    from vigil.web.daemon import Daemon


def routes(daemon: Daemon) -> list[web.RouteDef]:
    """Return the routes."""

    async def health(_request: web.Request) -> web.Response:
        trouble = daemon.trouble()
        if trouble:
            return web.json_response({"status": "stuck", "detail": trouble}, status=503)
        return web.json_response({"status": "ok"})

    async def ready(_request: web.Request) -> web.Response:
        if not daemon.ready():
            return web.json_response({"status": "starting"}, status=503)
        return web.json_response({"status": "ready"})

    async def metrics(_request: web.Request) -> web.Response:
        return web.Response(body=await daemon.metrics(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [web.get("/health", health), web.get("/ready", ready), web.get("/metrics", metrics)]
