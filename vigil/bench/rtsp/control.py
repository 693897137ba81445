"""The laboratory in a process of its own, so that its CPU time is its own; JSON lines control it.

The process serves until its standard input ends, so it never outlives whoever started it.
"""

import asyncio
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, TypeAdapter

from vigil.bench.rtsp.faults import Fault
from vigil.bench.rtsp.lab import Lab, LabStats
from vigil.bench.rtsp.server import RtspLab
from vigil.bench.rtsp.stream import StreamOptions

_ROOT = Path(__file__).parents[3]
_GRACE = 5.0


class Ports(BaseModel, frozen=True):
    """The first line that the process prints."""

    rtsp: int
    control: int


class Command(BaseModel, frozen=True):
    """One line to the process."""

    do: Literal[
        "add", "fault", "clear", "hang_up", "clients", "connections_total", "origin", "remove", "stats"
    ]
    path: str = ""
    clip: Path = Path()
    options: StreamOptions = StreamOptions()
    fault: Fault | None = None


class Reply(BaseModel, frozen=True):
    """One line back: what the command returned, or why it failed."""

    text: str = ""
    number: int = 0
    at: float = 0.0
    stats: LabStats | None = None
    error: str | None = None


async def serve(port: int, control: int, clips: Mapping[str, Path]) -> None:
    """Run a lab with the paths of `clips` until standard input ends."""
    async with RtspLab(port=port) as lab, asyncio.TaskGroup() as tasks:
        for path, clip in clips.items():
            await lab.add(path, clip)
        writers: list[asyncio.StreamWriter] = []

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            tasks.create_task(_obey(lab, reader, writer), name="rtsp-lab-control")

        server = await asyncio.start_server(accept, "127.0.0.1", control)
        control_port = server.sockets[0].getsockname()[1]
        sys.stdout.write(Ports(rtsp=lab.port, control=control_port).model_dump_json() + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)
        server.close()
        for writer in writers:
            writer.close()


async def _obey(lab: Lab, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Execute commands from one control connection until it is closed."""
    with suppress(ConnectionError):  # whoever gave the orders is gone
        while line := await reader.readline():
            try:
                reply = await _execute(lab, Command.model_validate_json(line))
            except (OSError, ValueError) as error:
                reply = Reply(error=str(error))
            writer.write(reply.model_dump_json().encode() + b"\n")
    writer.close()


async def _execute(lab: Lab, command: Command) -> Reply:
    match command.do:
        case "add":
            return Reply(text=await lab.add_stream(command.path, command.clip, command.options))
        case "fault":
            if command.fault is None:
                raise ValueError("the order names no fault")
            await lab.fault(command.path, command.fault)
        case "clear":
            await lab.clear(command.path)
        case "hang_up":
            await lab.hang_up(command.path)
        case "remove":
            await lab.remove(command.path)
        case _:
            return await _tell(lab, command)
    return Reply()


async def _tell(lab: Lab, command: Command) -> Reply:
    """Answer a question that changes nothing."""
    match command.do:
        case "clients":
            return Reply(number=await lab.clients(command.path))
        case "connections_total":
            return Reply(number=await lab.connections_total(command.path))
        case "origin":
            return Reply(at=await lab.origin(command.path))
        case _:
            return Reply(stats=await lab.stats())


class RtspLabProcess(Lab):
    """A lab in a child process between `async with` and its end."""

    def __init__(self) -> None:
        self._process: asyncio.subprocess.Process | None = None
        self._lock = asyncio.Lock()

    async def __aenter__(self) -> Self:
        command = ["-m", "vigil.bench.rtsp", "serve", "--port", "0", "--control", "0"]
        pipe = asyncio.subprocess.PIPE
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, *command, cwd=_ROOT, stdin=pipe, stdout=pipe
        )
        if process.stdout is None:
            raise RuntimeError("the child has no standard output")
        ports = Ports.model_validate_json(await process.stdout.readline())
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", ports.control)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        process = self._process
        if process is None or process.stdin is None:
            return
        process.stdin.close()
        try:
            async with asyncio.timeout(_GRACE):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid if self._process else 0

    async def add_stream(self, path: str, clip: Path, options: StreamOptions) -> str:
        """Serve `clip` at `path`, options in one piece."""
        absolute = Path.cwd() / clip  # the child works in another folder
        return (await self._ask(Command(do="add", path=path, clip=absolute, options=options))).text

    async def fault(self, path: str, fault: Fault) -> None:
        """Switch a fault on, beside those that are on; one of its kind is replaced. Raises `ValueError`."""
        await self._ask(Command(do="fault", path=path, fault=fault))

    async def clear(self, path: str) -> None:
        """Switch all faults of a path off."""
        await self._ask(Command(do="clear", path=path))

    async def hang_up(self, path: str) -> None:
        """Close the connections of a path's playing clients, once."""
        await self._ask(Command(do="hang_up", path=path))

    async def clients(self, path: str) -> int:
        """Return how many clients play the path now."""
        return (await self._ask(Command(do="clients", path=path))).number

    async def connections_total(self, path: str) -> int:
        """Return how many connections have asked for the path."""
        return (await self._ask(Command(do="connections_total", path=path))).number

    async def origin(self, path: str) -> float:
        """Return the Unix time at which a live path sent its clip's first picture, or would have."""
        return (await self._ask(Command(do="origin", path=path))).at

    async def remove(self, path: str) -> None:
        """Take a path away and close its clients."""
        await self._ask(Command(do="remove", path=path))

    async def stats(self) -> LabStats:
        """Return what the lab did so far."""
        reply = await self._ask(Command(do="stats"))
        return TypeAdapter(LabStats).validate_python(reply.stats)

    async def _ask(self, command: Command) -> Reply:
        """Send one command and wait for its reply; raises `ValueError` with the lab's own words."""
        async with self._lock:
            self._writer.write(command.model_dump_json().encode() + b"\n")
            reply = Reply.model_validate_json(await self._reader.readline())
        if reply.error is not None:
            raise ValueError(reply.error)
        return reply
