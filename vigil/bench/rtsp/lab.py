"""The laboratory's controls: the same for a lab in this process and for one in a process of its own."""

import abc
from dataclasses import dataclass
from pathlib import Path

from vigil.bench.rtsp.auth import Credentials
from vigil.bench.rtsp.faults import Fault
from vigil.bench.rtsp.stream import Start, StreamOptions, Transport


@dataclass(frozen=True, slots=True)
class LabStats:
    """What a lab did since it started: its process's CPU time, and how late its timers were (seconds)."""

    cpu_seconds: float
    units_sent: int
    units_dropped: int
    bytes_sent: int
    slow_clients_closed: int
    lateness_p95: float
    lateness_max: float


class Lab(abc.ABC):
    """A set of RTSP paths that play clips, and whose faults can be switched while clients are connected."""

    async def add(
        self,
        path: str,
        clip: Path,
        *,
        fps: float | None = None,
        auth: Credentials | None = None,
        start: Start = "keyframe",
        gop_cache: bool = False,
        in_band: bool = True,
        transports: tuple[Transport, ...] = ("tcp", "udp"),
        own_port: bool = False,
        begin: float = 0.0,
        session_timeout: float = 60.0,
        report_interval: float = 5.0,
    ) -> str:
        """Serve `clip` at `path` (`/cam1`) and return the URL, without credentials; see `StreamOptions`.

        Raises `ValueError` for a path that is taken or a clip that cannot be served.
        """
        options = StreamOptions(
            fps=fps,
            auth=auth,
            start=start,
            gop_cache=gop_cache,
            in_band=in_band,
            transports=transports,
            own_port=own_port,
            begin=begin,
            session_timeout=session_timeout,
            report_interval=report_interval,
        )
        return await self.add_stream(path, clip, options)

    @abc.abstractmethod
    async def add_stream(self, path: str, clip: Path, options: StreamOptions) -> str:
        """Serve `clip` at `path`, options in one piece."""

    @abc.abstractmethod
    async def fault(self, path: str, fault: Fault) -> None:
        """Switch a fault on, beside those that are on; one of its kind is replaced. Raises `ValueError`."""

    @abc.abstractmethod
    async def clear(self, path: str) -> None:
        """Switch all faults of a path off."""

    @abc.abstractmethod
    async def hang_up(self, path: str) -> None:
        """Close the connections of a path's playing clients, once."""

    @abc.abstractmethod
    async def clients(self, path: str) -> int:
        """Return how many clients play the path now."""

    @abc.abstractmethod
    async def connections_total(self, path: str) -> int:
        """Return how many connections have asked for the path."""

    @abc.abstractmethod
    async def origin(self, path: str) -> float:
        """Return the Unix time at which a live path sent its clip's first picture, or would have.

        Raises `ValueError` for a path whose clients have a timeline each.
        """

    @abc.abstractmethod
    async def remove(self, path: str) -> None:
        """Take a path away and close its clients."""

    @abc.abstractmethod
    async def stats(self) -> LabStats:
        """Return what the lab did so far."""
