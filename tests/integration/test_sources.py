"""Every kind of source and codec, read from a real server or file."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.server
import ssl
import threading
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tests.support.daemon import free_port
from vigil.aio.threads import Worker
from vigil.bench.clips import make_clip
from vigil.bench.rtsp import Credentials, RtspLab
from vigil.config.model import CameraConfig
from vigil.errors import SourceError, UnauthorizedError
from vigil.video.open import open_source
from vigil.video.source import Picture

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


WANTED = 5
PATIENCE = 20.0
SIZE = (320, 240)


async def read(url: str, *, wanted: int = WANTED, **keys: Any) -> list[Picture]:
    """Open a camera as vigil does and return its first pictures, each converted once."""
    camera = CameraConfig.model_validate({"url": url, "open_timeout": "5s", "read_timeout": "10s", **keys})
    stop = threading.Event()

    def capture() -> list[Picture]:
        source = open_source(camera, stop.wait)
        seen: list[Picture] = []
        try:
            source.open()
            for picture in source.pictures():
                assert isinstance(picture, Picture)
                seen.append(picture)
                if len(seen) == wanted:
                    break
        finally:
            source.close()
        return seen

    try:
        async with asyncio.timeout(PATIENCE):
            return await Worker(capture, name="test-capture").wait()
    finally:
        stop.set()


def check(pictures: list[Picture], size: tuple[int, int] = SIZE) -> None:
    """Check that the pictures are there, of the right size, and show something."""
    assert len(pictures) == WANTED
    for picture in pictures:
        assert (picture.image.width, picture.image.height) == size
        out = np.zeros((3, 96, 128), np.float32)
        picture.image.write_rgb(out)
        assert 0 <= out.min() < out.max() <= 1.01
        assert picture.image.luma(8).std() > 4
    arrivals = [picture.captured_at for picture in pictures]
    assert arrivals == sorted(arrivals)


async def run(*command: str | Path) -> None:
    """Run a program to its end; it must succeed."""
    process = await asyncio.create_subprocess_exec(*map(str, command), stderr=asyncio.subprocess.DEVNULL)
    assert await process.wait() == 0


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Return an H.264 clip."""
    return make_clip(tmp_path / "clip.mp4", seconds=2, gop=10, fps=25)


@asynccontextmanager
async def ffmpeg(*arguments: str | Path) -> AsyncIterator[None]:
    """Run ffmpeg, which sends or serves for as long as the block lasts."""
    command = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", *map(str, arguments)]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.DEVNULL)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("codec", ["h264", "hevc", "mjpeg"])
async def test_rtsp(tmp_path: Path, codec: Any, transport: str) -> None:
    """RTSP over TCP and over UDP, in each codec that cameras send."""
    source = make_clip(tmp_path / "clip.mkv", codec=codec, seconds=2, gop=10)
    async with RtspLab() as lab:
        check(await read(await lab.add("/cam", source), transport=transport))


async def test_rtsp_over_tls(tmp_path: Path, clip: Path) -> None:
    """RTSP inside TLS, with the self-signed certificate that a camera has."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=camera",
    ]
    await run(*command, "-keyout", key, "-out", certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    async with RtspLab() as lab, tls_proxy(lab.port, context) as port:
        await lab.add("/cam", clip)
        check(await read(f"rtsps://127.0.0.1:{port}/cam"))


@asynccontextmanager
async def tls_proxy(target: int, context: ssl.SSLContext) -> AsyncIterator[int]:
    """Take TLS off and pass everything on to a port."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_rtmp(clip: Path) -> None:
    """RTMP."""
    url = f"rtmp://127.0.0.1:{free_port()}/live/cam"
    async with ffmpeg("-i", clip, "-c", "copy", "-an", "-f", "flv", "-listen", "1", url):
        await asyncio.sleep(1.0)  # it serves one client only: looking whether it listens would be that one
        check(await read(url))


async def test_http_mjpeg(clip: Path) -> None:
    """Motion JPEG over HTTP, as webcams and old cameras send it."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/video"
    async with ffmpeg("-i", clip, "-c:v", "mjpeg", "-f", "mpjpeg", "-listen", "1", url):
        await asyncio.sleep(1.0)  # as for RTMP
        check(await read(url))


async def test_mpegts_over_udp(clip: Path) -> None:
    """An MPEG transport stream over UDP."""
    url = f"udp://127.0.0.1:{free_port()}"
    async with ffmpeg("-i", clip, "-c", "copy", "-f", "mpegts", f"{url}?pkt_size=1316"):
        check(await read(url))


async def test_hls(tmp_path: Path, clip: Path) -> None:
    """HTTP live streaming, a playlist of segments."""
    folder = tmp_path / "hls"
    folder.mkdir()
    options = ["-c", "copy", "-f", "hls", "-hls_time", "1", "-hls_list_size", "4"]
    async with ffmpeg("-i", clip, *options, folder / "live.m3u8"):
        async with asyncio.timeout(PATIENCE):
            while not (folder / "live.m3u8").exists():
                await asyncio.sleep(0.05)
        with http_server(folder) as port:
            check(await read(f"http://127.0.0.1:{port}/live.m3u8"))


@contextmanager
def http_server(folder: Path) -> Iterator[int]:
    """Serve a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_arguments: Any) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


async def test_snapshot_address(tmp_path: Path, clip: Path) -> None:
    """A picture at an address, fetched at an interval."""
    picture = tmp_path / "now.jpg"
    await run("ffmpeg", "-v", "error", "-i", clip, "-frames:v", "1", picture)
    with http_server(tmp_path) as port:
        pictures = await read(f"http://127.0.0.1:{port}/now.jpg", snapshot_interval="200ms")
    check(pictures)
    assert pictures[-1].captured_at - pictures[0].captured_at > 0.6


@pytest.mark.parametrize(
    ("codec", "suffix"), [("h264", "mp4"), ("hevc", "mkv"), ("mjpeg", "avi"), ("mpeg4", "avi")]
)
async def test_files(tmp_path: Path, clip: Path, codec: Any, suffix: str) -> None:
    """Recordings in the usual codecs and containers."""
    path = tmp_path / f"recording.{suffix}"
    if codec == "mpeg4":
        await run("ffmpeg", "-v", "error", "-i", clip, "-c:v", "mpeg4", path)
    else:
        make_clip(path, codec=codec, seconds=1)
    check(await read(str(path)))


async def test_short_file_starts_over(tmp_path: Path) -> None:
    """A recording is played again when it is over, without a gap in its pace."""
    path = make_clip(tmp_path / "short.mp4", seconds=0.2, fps=10)
    pictures = await read(str(path), wanted=7)
    assert len(pictures) == 7


async def test_folder(tmp_path: Path) -> None:
    """A folder of files is played in the order of names, and what is no video is passed over."""
    make_clip(tmp_path / "a.mp4", seconds=0.1, fps=20)
    (tmp_path / "b.txt").write_text("not a video")
    make_clip(tmp_path / "c.mp4", seconds=0.1, fps=20, width=160, height=120)
    pictures = await read(str(tmp_path), wanted=6)
    assert [picture.image.width for picture in pictures] == [320, 320, 160, 160, 320, 320]


async def test_opencv_backend(tmp_path: Path) -> None:
    """What only OpenCV opens goes through OpenCV."""
    check(await read(str(make_clip(tmp_path / "c.avi", codec="mjpeg", seconds=1)), backend="opencv"))


@pytest.mark.parametrize("scheme", ["basic", "digest"])
async def test_difficult_password(clip: Path, scheme: Any) -> None:
    """A password of reserved characters logs in; a wrong one is `unauthorized`, and nowhere quoted."""
    secret = "p@ss:w/rd#%?&"
    async with RtspLab() as lab:
        url = await lab.add("/cam", clip, auth=Credentials("viewer", secret, scheme))
        check(await read(url, username="viewer", password=secret))
        with pytest.raises(UnauthorizedError) as caught:
            await read(url, username="viewer", password=f"{secret}x")
    assert secret not in str(caught.value)


async def test_audio_is_never_read(tmp_path: Path, clip: Path) -> None:
    """Of a file with sound only the video is demuxed."""
    path = tmp_path / "sound.mp4"
    await run("ffmpeg", "-v", "error", "-i", clip, "-f", "lavfi", "-i", "sine=d=2", "-c:v", "copy", path)
    check(await read(str(path)))
    only_sound = tmp_path / "only.wav"
    await run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "sine=d=1", only_sound)
    with pytest.raises(SourceError, match="no video"):
        await read(str(only_sound))
