"""`POST /detect` on a running vigil, with good pictures and with everything that is none."""

from __future__ import annotations

import io
import struct
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import pytest_asyncio

from tests.integration.test_trouble import write_config
from tests.support.assets import photograph
from tests.support.daemon import DaemonProcess

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def daemon(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[DaemonProcess]:
    """Run vigil with one camera, for all that is sent here."""
    config = write_config(tmp_path_factory.mktemp("uploads"))
    async with DaemonProcess("run", "-c", config) as running:
        yield running


async def post(daemon: DaemonProcess, data: Any, query: str = "") -> tuple[int, dict[str, Any], str]:
    """Return status, JSON body and content type."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(daemon.url(f"/detect{query}"), data=data) as answer,
    ):
        return answer.status, await answer.json(content_type=None), answer.content_type


async def test_picture_is_answered_raw_and_as_a_form(daemon: DaemonProcess) -> None:
    """Raw body and multipart field give the same people, in pixels of the picture."""
    picture = photograph("zidane").read_bytes()
    status, raw, _ = await post(daemon, picture)
    assert status == 200
    form = aiohttp.FormData()
    form.add_field("file", io.BytesIO(picture), filename="zidane.jpg")
    assert (await post(daemon, form))[1] == raw
    assert raw["count"] == len(raw["detections"]) >= 2
    assert {found["label"] for found in raw["detections"]} >= {"person"}
    assert all(0 <= found["bbox"]["x1"] < found["bbox"]["x2"] <= 1280 for found in raw["detections"])
    sure = (await post(daemon, picture, "?confidence=0.8"))[1]
    assert all(found["confidence"] >= 0.8 for found in sure["detections"])


def huge_png() -> bytes:
    """Return a valid 10,000 x 10,000 PNG, all black: 12 kB that unfold to 300 MB."""
    rows = zlib.compress(b"\0" * (10_000 * 1251), 9)
    header = struct.pack(">IIBBBBB", 10_000, 10_000, 1, 0, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BAD = {
    "empty": (b"", 422, "empty"),
    "text": (b"hello, I am no picture", 422, "not a picture"),
    "hundred megapixels": (huge_png(), 422, "pixels"),
    "truncated": (None, 422, "damaged"),
}


@pytest.mark.parametrize("kind", BAD)
async def test_bad_uploads_are_refused_at_once(daemon: DaemonProcess, kind: str) -> None:
    """Each bad body is a 4xx problem document in under a second, and memory stays where it was."""
    data, expected, word = BAD[kind]
    if data is None:
        picture = photograph("zidane").read_bytes()
        data = picture[: len(picture) // 2]
    await post(daemon, photograph("zidane").read_bytes())
    before, took = resident(daemon.pid), []
    for _ in range(3):
        started = time.monotonic()
        status, problem, content_type = await post(daemon, data)
        took.append(time.monotonic() - started)
        assert (status, content_type) == (expected, "application/problem+json")
        assert word in problem["detail"]
        assert problem["status"] == expected
        assert resident(daemon.pid) - before < 50_000_000
    assert min(took) < 1.0


async def test_wrong_confidence_says_what_is_right(daemon: DaemonProcess) -> None:
    """A confidence that is no number from 0.1 to 1 is a 400 that says so."""
    for wrong in ("0.05", "1.5", "nan", "high"):
        status, problem, _ = await post(daemon, b"x", f"?confidence={wrong}")
        assert status == 400
        assert "0.1 to 1.0" in problem["detail"]


def resident(pid: int) -> int:
    """Return a process's resident memory in bytes."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096
