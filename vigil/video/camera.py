"""One camera's life: open, capture in a thread, notice when it falls silent, come back.

The capture thread only reads, decodes and offers; the camera's task on the loop starts it, watches the
age of its last frame, and lets go of it when it hangs. `keep_running` decides on the next try.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

from vigil.aio.tasks import Backoff, keep_running
from vigil.aio.threads import Signal, Worker
from vigil.core.types import CameraStatus, Frame
from vigil.errors import EndedError, SourceError, StalledError

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.metrics import CameraMetrics
    from vigil.video.source import Pause, Source

log = logging.getLogger(__name__)

_GRACE = 2.0
"""Seconds that a capture thread gets to end by itself."""


class FrameTaker(Protocol):
    """Where frames go."""

    def offer(self, frame: Frame) -> None:
        """Take a camera's newest frame; called from its capture thread."""


class Camera:
    """Keeps one source captured for as long as `run` runs."""

    def __init__(
        self,
        name: str,
        open_source: Callable[[Pause], Source],
        taker: FrameTaker,
        metrics: CameraMetrics,
        *,
        stall_after: float,
        on_status: Callable[[CameraStatus, str], None],
    ) -> None:
        """`open_source(pause)` makes a source; no frame for `stall_after` seconds ends it."""
        self.name = name
        self._open_source = open_source
        self._taker = taker
        self._metrics = metrics
        self._stall_after = stall_after
        self._on_status = on_status
        self._seq = 0
        self._last_frame = 0.0
        self._down = ""

    async def run(self, backoff: Backoff | None = None) -> None:
        """Capture until cancelled, through any number of failures."""
        await keep_running(self.run_once, name=self.name, backoff=backoff, on_failure=self._failed)

    async def run_once(self) -> None:
        """Capture until the source ends; raises the `SourceError` that says why."""
        stop, live = threading.Event(), Signal()
        started = self._last_frame = time.monotonic()
        worker = Worker(lambda: self._capture(stop, live), name=f"capture-{self.name}")
        watchers = [
            asyncio.ensure_future(worker.wait()),
            asyncio.ensure_future(self._watch()),
            asyncio.ensure_future(self._announce(live, started)),
        ]
        try:
            await asyncio.wait(watchers[:2], return_when=asyncio.FIRST_COMPLETED)
            for watcher in watchers[:2]:
                if watcher.done():
                    watcher.result()
            raise EndedError("the stream ended")
        finally:
            for watcher in watchers:
                watcher.cancel()
            stop.set()
            if not await worker.ended_within(_GRACE):
                self._metrics.thread_abandoned()
                log.warning("%s: the capture thread hangs and is left behind", self.name)

    def _capture(self, stop: threading.Event, live: Signal) -> None:
        """Read the source until told to stop. Runs in the capture thread."""
        source = self._open_source(stop.wait)
        spent = time.thread_time()
        try:
            source.open()
            for picture in source.pictures():
                if stop.is_set():
                    return
                self._last_frame = time.monotonic()
                live.set()
                self._seq += 1
                now = time.thread_time()
                self._metrics.decoded(picture.captured_at, now - spent)
                spent = now
                self._taker.offer(
                    Frame(self.name, self._seq, picture.captured_at, picture.pts, picture.image)
                )
        finally:
            source.close()

    async def _watch(self) -> None:
        """Raise `StalledError` once the last frame is too old."""
        # The capture thread only writes a time: a wake-up of the loop for each frame would cost more.
        while (age := time.monotonic() - self._last_frame) < self._stall_after:  # noqa: ASYNC110 -- as said
            await asyncio.sleep(self._stall_after - age)
        raise StalledError(f"no frame for {self._stall_after:g} s")

    async def _announce(self, live: Signal, started: float) -> None:
        """Tell that the camera is there, once, when its first frame is."""
        await live.wait()
        self._metrics.up(up=True)
        log.info("%s: live, first frame after %.2f s", self.name, self._last_frame - started)
        self._down = ""
        self._on_status(CameraStatus.ONLINE, "")

    def _failed(self, error: Exception, wait: float) -> None:
        """Tell that the camera is away, once per cause."""
        reason = error.reason if isinstance(error, SourceError) else "error"
        self._metrics.up(up=False)
        self._metrics.reconnecting(reason)
        if self._down != reason:
            self._down = reason
            log.warning("%s: offline: %s; trying again in %.1f s, then quietly", self.name, error, wait)
            self._on_status(CameraStatus.OFFLINE, reason)
