"""Errors as RFC 9457 problem documents, whatever raised them."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import web

from vigil.errors import RetryableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp.typedefs import Handler

log = logging.getLogger(__name__)


class ProblemError(Exception):
    """An answer that is a problem."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})


@web.middleware
async def problem_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn every error of a handler into a problem document."""
    try:
        _refuse_foreign(request)
        return await handler(request)
    except ProblemError as problem:
        return _document(problem.status, problem.detail, problem.headers)
    except web.HTTPException as error:
        if error.status < HTTPStatus.BAD_REQUEST:
            raise
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return _document(
            HTTPStatus(error.status), _DETAILS.get(HTTPStatus(error.status), error.reason), allow
        )
    except RetryableError as error:
        return _document(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "1"})
    except Exception:
        log.exception("http: %s %s failed", request.method, request.path)
        return _document(
            HTTPStatus.INTERNAL_SERVER_ERROR, "vigil failed at this request; its log says why", {}
        )


def _refuse_foreign(request: web.Request) -> None:
    """Refuse what a page of another site has a browser send: it could switch cameras off unseen."""
    origin = request.headers.get("Origin")
    foreign = origin is not None and origin.partition("://")[2] != request.host
    if foreign and request.method not in {"GET", "HEAD", "OPTIONS"}:
        raise ProblemError(HTTPStatus.FORBIDDEN, f"requests from {origin} are not taken")


_DETAILS = {
    HTTPStatus.NOT_FOUND: "there is nothing here",
    HTTPStatus.METHOD_NOT_ALLOWED: "this address takes other methods",
}


def _document(status: HTTPStatus, detail: str, headers: Mapping[str, str]) -> web.Response:
    body = {"type": "about:blank", "title": status.phrase, "status": status.value, "detail": detail}
    return web.json_response(
        body, status=status.value, content_type="application/problem+json", headers=headers
    )
