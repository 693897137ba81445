"""`POST /detect`: an uploaded picture takes its turn on the one engine, like a camera's frame.

A JSON body is a request of DOODS' form, see `doods`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from aiohttp import BodyPartReader, web
from aiohttp.http_exceptions import BadHttpMessage

from vigil.aio.threads import call_in_thread
from vigil.core.describe import describe
from vigil.errors import RetryableError, VigilError
from vigil.web.problems import ProblemError
from vigil.web.routes import doods

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from vigil.core.types import Detections, Image, Model
    from vigil.web.daemon import Daemon

_LEAST, _MOST = 0.1, 1.0
_EXTRA = 1 << 16
"""Bytes beside the picture in a request of DOODS' form."""


def routes(daemon: Daemon, max_upload: int) -> list[web.RouteDef]:
    """Return the routes; bodies are limited to `max_upload` bytes."""

    async def detect(request: web.Request) -> web.Response:
        if request.content_type == "application/json":
            return await detect_as_doods(request)
        confidence = _confidence(request, daemon.default_confidence)
        _, found = await _found(daemon, await _picture(request, max_upload), confidence)
        return web.json_response(answer(found, daemon.model))

    async def detect_as_doods(request: web.Request) -> web.Response:
        # Base64 is a third longer; around the picture there are thresholds.
        body = await _limited(request.content.iter_chunked(1 << 16), max_upload, 4 * max_upload // 3 + _EXTRA)
        asked = await call_in_thread(lambda: doods.read(body), name="doods-request")
        if len(asked.data) > max_upload:
            raise _too_large(max_upload)
        if asked.detector not in {doods.DEFAULT, daemon.model.name}:
            raise ProblemError(
                HTTPStatus.BAD_REQUEST,
                f"there is no detector {asked.detector[:40]!r}; there is default, {daemon.model.name}",
            )
        least = asked.floor(_LEAST, daemon.default_confidence)
        image, found = await _found(daemon, asked.data, least)
        return web.json_response(doods.answer(found, image, daemon.model, asked))

    async def detectors(_request: web.Request) -> web.Response:
        return web.json_response(doods.detectors(daemon.model))

    return [web.post("/detect", detect), web.get("/detectors", detectors)]


async def _found(daemon: Daemon, data: bytes, confidence: float) -> tuple[Image, Detections]:
    """Return the pixels of a picture, and the objects in it; raises `ProblemError`."""
    try:
        image = await daemon.decode(data)
    except VigilError as error:
        raise ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, str(error)) from error
    try:
        return image, await daemon.detect(image, confidence)
    except RetryableError as error:
        raise ProblemError(HTTPStatus.SERVICE_UNAVAILABLE, str(error), {"Retry-After": "1"}) from error


def answer(found: Detections, model: Model) -> dict[str, object]:
    """Return the JSON object of an upload's detections, boxes in pixels of the uploaded picture."""
    objects = describe(found, model.names)
    return {"count": len(objects), "detections": objects}


def _confidence(request: web.Request, default: float) -> float:
    given = request.query.get("confidence")
    if given is None:
        return default
    try:
        confidence = float(given)
    except ValueError:
        confidence = -1.0
    if not _LEAST <= confidence <= _MOST:
        raise ProblemError(
            HTTPStatus.BAD_REQUEST, f"confidence={given} is wrong; give a number from {_LEAST} to {_MOST}"
        )
    return confidence


async def _picture(request: web.Request, limit: int) -> bytes:
    """Return the picture's bytes from a multipart field `file` or from the raw body."""
    if not request.content_type.startswith("multipart/"):
        return await _limited(request.content.iter_chunked(1 << 16), limit)
    try:
        reader = await request.multipart()
        async for part in reader:
            if isinstance(part, BodyPartReader) and part.name == "file":
                return await _limited(_chunks(part), limit)
    except (ValueError, BadHttpMessage) as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, f"the multipart body is malformed: {error}") from error
    raise ProblemError(HTTPStatus.BAD_REQUEST, "the form has no field `file`; put the picture there")


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    while chunk := await part.read_chunk(1 << 16):
        yield chunk


async def _limited(chunks: AsyncIterable[bytes], limit: int, most: int | None = None) -> bytes:
    """Return a body of a picture of up to `limit` bytes; `most` is what may be around it as well."""
    data = bytearray()
    try:
        async for chunk in chunks:
            data += chunk
            if len(data) > (most or limit):
                raise _too_large(limit)
    except web.RequestPayloadError as error:
        raise ProblemError(HTTPStatus.BAD_REQUEST, "the body is cut off or not encoded as it says") from error
    return bytes(data)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the picture is larger than http.max_upload, {limit} bytes"
    )
