"""One path of the lab: its clip, its options, the faults that are on, and the feeds that play it."""

import random
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vigil.bench.rtsp.auth import Authenticator, Credentials
from vigil.bench.rtsp.delivery import Meter, Receiver
from vigil.bench.rtsp.faults import Fault, FaultKind, Faults
from vigil.bench.rtsp.feed import Feed, FeedOptions
from vigil.bench.rtsp.media import Media

Transport: TypeAlias = Literal["tcp", "udp"]
Start: TypeAlias = Literal["keyframe", "live"]


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """How a path is served.

    `fps` changes the clip's speed. `start`: with `keyframe` every client has a timeline of its own which
    begins at the clip's first picture; with `live` all share one and come in where it is, as on a camera,
    in mid-GOP unless `gop_cache` sends them the current GOP first. `in_band` repeats the parameter sets
    before every keyframe; the SDP has them anyhow. `own_port` gives the path a listener of its own, which
    can be closed (`FaultKind.REFUSE`). `begin` is how many seconds into the clip a live timeline starts:
    paths that play one clip need not show the same, nor have their keyframes, at the same time. A session
    ends `session_timeout` seconds after the client's last request or receiver report. Sender reports go out
    at PLAY and every `report_interval` seconds.
    """

    fps: float | None = None
    auth: Credentials | None = None
    start: Start = "keyframe"
    gop_cache: bool = False
    in_band: bool = True
    transports: tuple[Transport, ...] = ("tcp", "udp")
    own_port: bool = False
    begin: float = 0.0
    session_timeout: float = 60.0
    report_interval: float = 5.0


class Stream:
    """A path: hands out feeds, and passes faults on to those that play."""

    def __init__(self, path: str, media: Media, options: StreamOptions, meter: Meter) -> None:
        self.path = path
        self.options = options
        self.faults = Faults()
        self.authenticator = Authenticator(options.auth) if options.auth else None
        self.clients = 0
        self.connections_total = 0
        self._own = media
        self._substitute: Media | None = None
        self._meter = meter
        self._live = self._new_feed() if options.start == "live" else None
        self._feeds: set[Feed] = {self._live} if self._live else set()

    @property
    def media(self) -> Media:
        """What is played and described now."""
        return self._substitute or self._own

    @property
    def announces(self) -> bool:
        """Whether the SDP carries parameter sets."""
        return FaultKind.NO_PARAMETER_SETS not in self.faults

    def start(self) -> None:
        """Start the shared timeline, if there is one, out of step with those of other paths."""
        if self._live:
            self._live.begin(self.options.begin)
            self._live.start(random.random() / self._own.fps)  # noqa: S311 -- only a phase

    @property
    def origin(self) -> float | None:
        """The Unix time at which a live timeline sent, or would have sent, its clip's first picture."""
        return self._live.origin if self._live else None

    def open_feed(self) -> Feed:
        """Return the timeline of a new session."""
        if self._live:
            return self._live
        feed = self._new_feed()
        self._feeds.add(feed)
        if wrap := self.faults.get(FaultKind.TIMESTAMP_WRAP):
            feed.wrap_in(wrap.span)
        return feed

    def play(self, feed: Feed, receiver: Receiver) -> None:
        """Let a session's packets flow; a timeline of its own starts, or goes on where it stopped."""
        self.clients += 1
        feed.join(receiver)
        if feed is not self._live:
            feed.start()

    def pause(self, feed: Feed, receiver: Receiver) -> None:
        """Stop a session's packets."""
        self.clients -= 1
        feed.leave(receiver)
        if feed is not self._live:
            feed.stop()

    def release(self, feed: Feed) -> None:
        """Take back the timeline of a session that ended."""
        if feed is not self._live:
            self._feeds.discard(feed)

    def switch_on(self, fault: Fault, substitute: Media | None) -> None:
        """Switch a fault on; `substitute` is the clip of those faults that play another."""
        if (
            fault.kind is FaultKind.RESOLUTION_SWITCH
            and substitute
            and substitute.codec is not self._own.codec
        ):
            raise ValueError(f"{self.path} is {self._own.codec}, {fault.clip} is {substitute.codec}")
        self.faults.switch_on(fault)
        if substitute:
            self._play(substitute)
        if fault.kind in (FaultKind.CODEC_SWITCH, FaultKind.HANG_UP):
            self.hang_up()
        if fault.kind is FaultKind.TIMESTAMP_WRAP:
            for feed in self._feeds:
                feed.wrap_in(fault.span)

    def clear(self) -> None:
        """Switch every fault off; who was sent another codec has to come again."""
        if FaultKind.CODEC_SWITCH in self.faults:
            self.hang_up()
        self.faults.clear()
        self._play(None)

    def hang_up(self) -> None:
        """Close every playing client's connection."""
        for feed in list(self._feeds):
            feed.hang_up()

    def close(self) -> None:
        """Stop all timelines."""
        for feed in self._feeds:
            feed.stop()

    def _play(self, substitute: Media | None) -> None:
        self._substitute = substitute
        for feed in self._feeds:
            feed.play(self.media)

    def _new_feed(self) -> Feed:
        options = FeedOptions(self.options.in_band, self.options.gop_cache, self.options.report_interval)
        return Feed(self.media, options, self.faults, self._meter)
