"""The HTTP server: listens, routes, and stops within a bounded time."""

from __future__ import annotations

import asyncio
import errno
from typing import TYPE_CHECKING

from aiohttp import web

from vigil.errors import CannotStartError
from vigil.web.problems import problem_middleware
from vigil.web.routes import cameras, commands, detect, profile, settings, status

if TYPE_CHECKING:
    from vigil.config.model import HttpConfig
    from vigil.web.daemon import Daemon

_GRACE = 2.0
"""Seconds that requests in hand get when vigil stops."""


def application(daemon: Daemon, config: HttpConfig) -> web.Application:
    """Return the application with every route."""
    app = web.Application(middlewares=[problem_middleware])
    app.add_routes(status.routes(daemon))
    app.add_routes(detect.routes(daemon, config.max_upload))
    app.add_routes(cameras.routes(daemon))
    app.add_routes(commands.routes(daemon))
    app.add_routes(profile.routes(daemon))
    app.add_routes(settings.routes(daemon))
    return app


class WebServer:
    """Listens from `start` to `stop`."""

    def __init__(self, daemon: Daemon, settings: HttpConfig) -> None:
        self._settings = settings
        self._runner = web.AppRunner(
            application(daemon, settings), access_log=None, shutdown_timeout=_GRACE, handle_signals=False
        )

    async def start(self) -> None:
        """Listen; raises `CannotStartError` that names the key to change."""
        host, port = self._settings.host, self._settings.port
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self._runner.cleanup()
            taken = error.errno == errno.EADDRINUSE
            key = "http.port" if taken else "http.host"
            why = "is taken by another program" if taken else f"cannot be used ({error.strerror})"
            raise CannotStartError(f"{key}: {host}:{port} {why}; choose another {key}") from error

    async def run(self) -> None:
        """Serve until cancelled, then finish what is in hand."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self._runner.cleanup()
