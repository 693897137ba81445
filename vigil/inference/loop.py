"""The one shared inference loop: cameras offer frames, workers take the most overdue, results go on.

Each worker thread prepares, runs and hands over its own batches; the engine says how many pay off. With
two or more, preparing one batch and publishing another overlap with running a third, without a queue in
between in which frames would grow old.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING, Protocol

from vigil.aio.threads import Worker
from vigil.core.types import Frame
from vigil.errors import RetryableError
from vigil.inference.schedule import Batch, Offer, Schedule, Upload

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Detections, Image
    from vigil.inference.detector import Detector
    from vigil.metrics import Metrics

log = logging.getLogger(__name__)

_STOP_GRACE = 5.0
"""Seconds that workers get for the batch in hand when the daemon stops."""


class BusyError(RetryableError):
    """Too many uploads wait already."""

    reason = "busy"


class ResultHandler(Protocol):
    """Takes what the detector found; called from worker threads, never twice at once for one camera."""

    def handle(self, frames: Sequence[Frame], found: Sequence[Detections]) -> None:
        """Take one batch's frames and the boxes of each."""


class InferenceLoop:
    """Owns the schedule and the workers; safe to call from any thread unless said otherwise."""

    def __init__(
        self, detector: Detector, handler: ResultHandler, metrics: Metrics, *, max_uploads: int = 32
    ) -> None:
        self.detector = detector
        self._handler = handler
        self._metrics = metrics
        self._max_uploads = max_uploads
        self._schedule = Schedule(detector.shape_of)
        self._changed = threading.Condition()
        self._stopping = False
        self._busy_since: dict[int, float] = {}
        self._waiting_since: float | None = None

    def set_camera(self, camera: str, *, fps: float, weight: float, floor: float) -> None:
        """Infer a camera `fps` times per second; boxes under `floor` confidence are never made.

        A camera that is inferred already changes its rate, weight and floor.
        """
        with self._changed:
            self._schedule.add(camera, fps=fps, weight=weight, floor=floor, now=time.monotonic())

    def remove_camera(self, camera: str) -> None:
        """Infer a camera no more."""
        with self._changed:
            self._schedule.remove(camera)

    def offer(self, frame: Frame) -> None:
        """Take a camera's newest frame; it is kept only if it is wanted. Called by capture threads."""
        with self._changed:
            offer = self._schedule.offer(frame, time.monotonic())
            if offer is Offer.KEPT:
                self._work_arrived()
        lost = offer in {Offer.OVERWROTE, Offer.NOT_DUE}
        if lost and (series := self._metrics.camera(frame.camera)) is not None:
            series.dropped(offer.value)

    async def detect(self, image: Image, confidence: float) -> Detections:
        """Find objects in one picture, in its turn; raises `BusyError` when too many wait."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Detections] = loop.create_future()

        def deliver(outcome: Detections | Exception) -> None:
            loop.call_soon_threadsafe(_settle, future, outcome)

        frame = Frame("", 0, time.time(), None, image)
        with self._changed:
            if self._stopping:
                raise BusyError("vigil is stopping")
            if self._schedule.uploads >= self._max_uploads:
                raise BusyError(f"{self._max_uploads} uploads wait already")
            self._schedule.submit(Upload(frame, confidence, time.monotonic(), deliver))
            self._work_arrived()
        return await future

    def stuck_for(self) -> float:
        """Return for how many seconds nothing moved: no batch came back, or work waited and none was taken.

        0 when there is nothing to do: a daemon whose cameras are all away is not stuck.
        """
        with self._changed:
            since = [*self._busy_since.values()]
            if self._waiting_since is not None:
                since.append(self._waiting_since)
        return time.monotonic() - min(since) if since else 0.0

    async def run(self) -> None:
        """Run the workers until cancelled; an engine's exception ends all and is raised here."""
        count = self.detector.engine.workers
        workers = [Worker(self._work, name=f"inference-{number}") for number in range(count)]
        try:
            await asyncio.gather(*(worker.wait() for worker in workers))
        finally:
            with self._changed:
                self._stopping = True
                self._changed.notify_all()
            ended = await asyncio.gather(*(worker.ended_within(_STOP_GRACE) for worker in workers))
            if not all(ended):
                log.warning("inference: %d workers did not stop in time and are left", ended.count(False))
            for upload in self._schedule.drain_uploads():
                upload.deliver(BusyError("vigil is stopping"))

    def _work_arrived(self) -> None:
        if self._waiting_since is None and self._schedule.waiting:
            self._waiting_since = time.monotonic()
        self._changed.notify()

    def _work(self) -> None:
        letterbox = self.detector.letterbox()
        me = threading.get_ident()
        while (batch := self._next_batch(me)) is not None:
            started = time.perf_counter()
            try:
                found = self.detector.detect(
                    letterbox, [frame.image for frame in batch.frames], batch.floors, batch.shape
                )
                self._metrics.inferred(len(batch.frames), time.perf_counter() - started)
                self._deliver(batch, found)
            except Exception as error:
                for upload in batch.uploads:
                    upload.deliver(error)
                raise
            finally:
                with self._changed:
                    self._busy_since.pop(me, None)
                    self._schedule.done(batch)
                    self._changed.notify()

    def _next_batch(self, me: int) -> Batch | None:
        """Wait for work; returns nothing when the loop stops."""
        with self._changed:
            while not self._stopping:
                batch = self._schedule.take(time.monotonic(), self.detector.engine.max_batch)
                if batch is not None:
                    now = time.monotonic()
                    self._busy_since[me] = now
                    self._waiting_since = now if self._schedule.waiting else None
                    return batch
                self._waiting_since = None
                self._changed.wait()
        return None

    def _deliver(self, batch: Batch, found: Sequence[Detections]) -> None:
        frames = batch.camera_frames
        if frames:
            self._handler.handle(frames, found[: len(frames)])
        for upload, detections in zip(batch.uploads, found[len(frames) :], strict=True):
            upload.deliver(detections)


def _settle(future: asyncio.Future[Detections], outcome: Detections | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
