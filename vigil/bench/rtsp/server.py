"""The laboratory in this process: listeners, paths, and the switching of faults."""

import asyncio
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Self

from vigil.bench.clips import make_clip
from vigil.bench.rtsp.connection import Connection, Site
from vigil.bench.rtsp.delivery import UdpSockets
from vigil.bench.rtsp.faults import Fault, FaultKind
from vigil.bench.rtsp.lab import Lab, LabStats
from vigil.bench.rtsp.media import Media, load_media
from vigil.bench.rtsp.stream import Stream, StreamOptions


class RtspLab(Lab):
    """Serves on the running event loop between `async with` and its end."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._host = host
        self._port = port
        self._site = Site(UdpSockets(host))
        self._listener: asyncio.Server | None = None
        self._own_listeners: dict[str, asyncio.Server] = {}
        self._own_ports: dict[str, int] = {}
        self._connections: set[Connection] = set()
        self._media: dict[tuple[Path, float | None], Media] = {}
        self._stopping = asyncio.Event()
        self._folder = tempfile.TemporaryDirectory(prefix="rtsp-lab-")
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        ready = asyncio.Event()
        self._running = asyncio.create_task(self._run(ready), name="rtsp-lab")
        await ready.wait()
        self._site.sockets.open()
        self._listener = await self._listen(self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        for path in list(self._site.streams):
            await self.remove(path)
        if self._listener:
            self._listener.close()
        self._stopping.set()
        if self._running:
            await self._running
        self._site.sockets.close()
        self._folder.cleanup()

    @property
    def port(self) -> int:
        """The port of all paths without one of their own."""
        return _port(self._listener) if self._listener else self._port

    async def add_stream(self, path: str, clip: Path, options: StreamOptions) -> str:
        """Serve `clip` at `path`, options in one piece."""
        if path in self._site.streams or not path.startswith("/"):
            raise ValueError(f"{path} is taken or no path")
        stream = Stream(path, await self._load(clip, options.fps), options, self._site.meter)
        self._site.streams[path] = stream
        if options.own_port:
            self._own_listeners[path] = listener = await self._listen(0)
            self._own_ports[path] = _port(listener)
        stream.start()
        return f"rtsp://{self._host}:{self._own_ports.get(path, self.port)}{path}"

    async def fault(self, path: str, fault: Fault) -> None:
        """Switch a fault on, beside those that are on; one of its kind is replaced. Raises `ValueError`."""
        stream = self._stream(path)
        if fault.kind is FaultKind.REFUSE and not stream.options.own_port:
            raise ValueError(f"{path} shares its port: only a path with `own_port` can refuse")
        stream.switch_on(fault, await self._substitute(stream, fault))
        if fault.kind is FaultKind.REFUSE:
            self._own_listeners[path].close()
            for connection in self._of(path):
                connection.reset()

    async def clear(self, path: str) -> None:
        """Switch all faults of a path off."""
        stream = self._stream(path)
        refusing = FaultKind.REFUSE in stream.faults
        stream.clear()
        if refusing:
            self._own_listeners[path] = await self._listen(self._own_ports[path])

    async def hang_up(self, path: str) -> None:
        """Close the connections of a path's playing clients, once."""
        self._stream(path).hang_up()

    async def clients(self, path: str) -> int:
        """Return how many clients play the path now."""
        return self._stream(path).clients

    async def connections_total(self, path: str) -> int:
        """Return how many connections have asked for the path."""
        return self._stream(path).connections_total

    async def origin(self, path: str) -> float:
        """Return the Unix time at which a live path sent its clip's first picture, or would have."""
        origin = self._stream(path).origin
        if origin is None:
            raise ValueError(f"{path} has no timeline of its own")
        return origin

    async def remove(self, path: str) -> None:
        """Take a path away and close its clients."""
        self._stream(path).close()
        del self._site.streams[path]
        self._own_ports.pop(path, None)
        if listener := self._own_listeners.pop(path, None):
            listener.close()
        for connection in self._of(path):
            connection.close()

    async def stats(self) -> LabStats:
        """Return what the lab did so far."""
        meter = self._site.meter
        late = sorted(meter.lateness) or [0.0]
        return LabStats(
            cpu_seconds=time.process_time(),
            units_sent=meter.units_sent,
            units_dropped=meter.units_dropped,
            bytes_sent=meter.bytes_sent,
            slow_clients_closed=meter.slow_clients_closed,
            lateness_p95=late[len(late) * 95 // 100],
            lateness_max=late[-1],
        )

    async def _run(self, ready: asyncio.Event) -> None:
        """Hold the connections' tasks until the lab stops."""
        async with asyncio.TaskGroup() as self._tasks:
            ready.set()
            await self._stopping.wait()
            for connection in list(self._connections):
                connection.reset()

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._accept, self._host, port, backlog=512)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self._site)
        self._connections.add(connection)
        task = self._tasks.create_task(connection.run(), name="rtsp-connection")
        task.add_done_callback(lambda _: self._connections.discard(connection))

    def _of(self, path: str) -> list[Connection]:
        return [connection for connection in self._connections if connection.path == path]

    def _stream(self, path: str) -> Stream:
        if path not in self._site.streams:
            raise ValueError(f"there is no {path}")
        return self._site.streams[path]

    async def _load(self, clip: Path, fps: float | None) -> Media:
        """Load a clip once, however many paths play it."""
        if (clip, fps) not in self._media:
            self._media[clip, fps] = await asyncio.to_thread(load_media, clip, fps)
        return self._media[clip, fps]

    async def _substitute(self, stream: Stream, fault: Fault) -> Media | None:
        """Return the clip that a fault plays instead, if it does."""
        if fault.kind is FaultKind.BLACK:
            return await self._load(await self._black(stream.media), stream.media.fps)
        return await self._load(fault.clip, stream.options.fps) if fault.clip else None

    async def _black(self, media: Media) -> Path:
        """Encode a second of black in the codec and size of `media`, once."""
        name = f"black-{media.codec}-{media.width}x{media.height}.mkv"
        clip = Path(self._folder.name) / name
        if not clip.exists():
            encode = partial(
                make_clip, clip, codec=media.codec.value, width=media.width, height=media.height,
                seconds=1, picture="black",
            )  # fmt: skip
            await asyncio.to_thread(encode)
        return clip


def _port(server: asyncio.Server) -> int:
    port: int = server.sockets[0].getsockname()[1]
    return port
