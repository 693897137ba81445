"""One camera's life: open, capture in a thread, notice when it falls silent, come back.

The capture thread only reads, decodes and offers; the camera's task on the loop starts it, watches the
age of its last frame, and lets go of it when it hangs. `keep_running` decides on the next try. Each change
of state is told once: one log line, one metric, one message.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

from vigil.aio.tasks import Backoff, keep_running
from vigil.aio.threads import Signal, Worker
from vigil.core.types import CameraHealth, CameraState, Condition, Frame
from vigil.errors import EndedError, SourceError, StalledError, UnauthorizedError
from vigil.video.condition import PERIOD, STRIDE, ConditionCheck
from vigil.video.source import Format, Skipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.config.model import CameraConfig
    from vigil.metrics.camera import CameraMetrics
    from vigil.video.source import Pause, Picture, Source

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
        config: CameraConfig,
        open_source: Callable[[CameraConfig, Pause], Source],
        taker: FrameTaker,
        metrics: CameraMetrics,
        on_change: Callable[[CameraHealth], None],
        *,
        backoff: Backoff | None = None,
    ) -> None:
        """`open_source(config, pause)` makes a source; `on_change` hears of every change, on the loop."""
        self.name = name
        self.config = config
        self._open_source = open_source
        self._taker = taker
        self._metrics = metrics
        self._on_change = on_change
        self._backoff = backoff or Backoff()
        self._seq = 0
        self._last_frame = 0.0
        self._live_since: float | None = None
        self._condition = Condition.OK
        self.health = CameraHealth(name, CameraState.CONNECTING)
        self.format = Format()
        """What it sends, or sent last."""
        self.retry_at: float | None = None
        """Unix time of the next try, while the camera waits for it."""

    async def run(self) -> None:
        """Capture until cancelled, through any number of failures."""
        self.health = CameraHealth(self.name, CameraState.CONNECTING)
        self._tell()
        try:
            await keep_running(
                self.run_once,
                name=self.name,
                backoff=self._backoff,
                on_failure=self._failed,
                was_healthy=self._was_healthy,
            )
        finally:
            self.retry_at = None

    async def run_once(self) -> None:
        """Capture until the source ends; raises the `SourceError` that says why."""
        stop, live = threading.Event(), Signal()
        self.retry_at = None
        self._live_since = None
        self._last_frame = started = time.monotonic()
        worker = Worker(lambda: self._capture(stop, live), name=f"capture-{self.name}")
        ended = asyncio.ensure_future(worker.wait())
        watch = asyncio.ensure_future(self._watch(live, started))
        try:
            await asyncio.wait([ended, watch], return_when=asyncio.FIRST_COMPLETED)
            for task in (ended, watch):
                if task.done():
                    task.result()
            raise EndedError("the stream ended")
        finally:
            ended.cancel()
            watch.cancel()
            stop.set()
            if not await worker.ended_within(_GRACE):
                self._metrics.thread_abandoned()
                log.warning("%s: the capture thread hangs and is left behind", self.name)

    def _capture(self, stop: threading.Event, live: Signal) -> None:
        """Read the source until told to stop. Runs in the capture thread."""
        source = self._open_source(self.config, stop.wait)
        check = ConditionCheck(self.config.frozen_after)
        looked = accounted = spent = 0.0
        metrics = self._metrics
        metrics.decoding("full")  # until the source says otherwise
        try:
            source.open()
            for picture in source.pictures():
                if stop.is_set():
                    return
                now = self._last_frame = time.monotonic()
                if isinstance(picture, Skipped):
                    live.set()
                    metrics.captured(picture.captured_at)
                else:
                    if due := now - looked >= PERIOD:
                        looked = now
                        self.format = Format(source.codec, picture.image.width, picture.image.height)
                    live.set()
                    self._offer(picture)
                    if due:
                        self._condition = check.look(picture.image.luma(STRIDE), now)
                if now - accounted >= PERIOD:
                    # A system call, after which the kernel may let others run while Python's lock is held.
                    accounted, cpu = now, time.thread_time()
                    metrics.spent(cpu - spent)
                    spent = cpu
        finally:
            metrics.spent(time.thread_time() - spent)
            source.close()

    def _offer(self, picture: Picture) -> None:
        """Hand a picture on, numbered and counted."""
        self._seq += 1
        self._taker.offer(
            Frame(self.name, self._seq, picture.captured_at, picture.pts, picture.image, picture.late)
        )
        if not picture.late:  # the packets of others were counted when they came
            self._metrics.captured(picture.captured_at)
        self._metrics.decoded()

    async def _watch(self, live: Signal, started: float) -> None:
        """Tell that the camera is live and how its picture is; raise `StalledError` when frames stay away."""
        patience = self.config.open_timeout + self.config.read_timeout
        try:
            async with asyncio.timeout(patience):
                await live.wait()
        except TimeoutError:
            raise StalledError(f"no frame within {patience:g} s of opening it") from None
        self._live_since = time.monotonic()
        self._enter(CameraState.LIVE, "", f"first frame after {self._last_frame - started:.2f} s")
        patience = self.config.read_timeout + (self.config.snapshot_interval or 0.0)
        while (age := time.monotonic() - self._last_frame) < patience:
            # The capture thread only writes a time: a wake-up of the loop for each frame would cost more.
            await asyncio.sleep(min(PERIOD, patience - age))
            self._tell_condition()
        raise StalledError(f"no frame for {patience:g} s")

    def _was_healthy(self) -> bool:
        since = self._live_since
        return since is not None and self._last_frame - since >= self._backoff.healthy_after

    def _failed(self, error: Exception, wait: float) -> None:
        """Enter the state that an error stands for."""
        reason = error.reason if isinstance(error, SourceError) else "error"
        self._metrics.reconnecting(reason)
        self._condition = Condition.OK
        self.retry_at = time.time() + wait
        match error:
            case UnauthorizedError():
                state = CameraState.UNAUTHORIZED
            case StalledError():
                state = CameraState.STALLED
            case _:
                state = CameraState.OFFLINE
        self._enter(state, reason, f"{error}; trying again in {wait:.1f} s, then quietly")

    def _enter(self, state: CameraState, reason: str, why: str) -> None:
        """Change the state; the same state again is only noted."""
        before = self.health
        self.health = CameraHealth(self.name, state, reason)
        if state is not before.state:
            level = logging.INFO if state is CameraState.LIVE else logging.WARNING
            log.log(level, "%s: %s: %s", self.name, state, why)
        if self.health != before:
            self._tell()

    def _tell_condition(self) -> None:
        """Tell when the picture turned frozen, black or blinded, or is fine again."""
        if self._condition is self.health.condition:
            return
        self.health = CameraHealth(self.name, self.health.state, self.health.reason, self._condition)
        level = logging.INFO if self._condition is Condition.OK else logging.WARNING
        log.log(level, "%s: picture %s", self.name, self._condition)
        self._tell()

    def _tell(self) -> None:
        self._metrics.health(self.health)
        self._on_change(self.health)
