"""The one shared inference loop: cameras offer frames, workers take the most overdue, results go on.

Here the schedule, the budget and the pools of workers meet. Workers call in from their threads under one
lock, which nobody holds for longer than a decision takes.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Protocol

from vigil.core.types import MAIN_MODEL, Frame
from vigil.errors import PixelsError, RetryableError
from vigil.inference.attentions import Attentions, Regions
from vigil.inference.budget import Budget
from vigil.inference.packed import Packed, Packing
from vigil.inference.pool import Pool
from vigil.inference.schedule import Batch, Offer, Schedule, Upload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.core.types import Detections, Image, Model
    from vigil.inference.attentions import Analyst
    from vigil.inference.service import Service
    from vigil.metrics import Metrics

log = logging.getLogger(__name__)

_PLAN_EVERY = 1.0
"""Seconds between two looks at what there is room for."""

_SLOW = 3.0
"""A call that cores share and that takes so many times what is usual: others need one of these cores, and a
call is as slow as the slowest of them."""


class BusyError(RetryableError):
    """Too many uploads wait already."""

    reason = "busy"


class ResultHandler(Protocol):
    """Takes what the detector found; called from worker threads, never twice at once for one camera."""

    def handle(self, frames: Sequence[Frame], found: Sequence[Detections]) -> None:
        """Take one batch's frames and the boxes of each."""


class InferenceLoop:
    """Owns the schedule and the pools; safe to call from any thread unless said otherwise."""

    def __init__(
        self,
        services: Mapping[str, Service],
        handler: ResultHandler,
        metrics: Metrics,
        *,
        max_uploads: int = 32,
        analyst: Analyst | None = None,
    ) -> None:
        """`services` holds every model by its name; `MAIN_MODEL` is the one of cameras that ask for none.

        Without an `analyst`, who knows where to look, all frames are looked at whole.
        """
        self.services = services
        self._handler = handler
        self._metrics = metrics
        self.saturation = 0.0
        """Engine time that cameras ask for over what there is, on the device where that is most."""
        self._max_uploads = max_uploads
        self._schedule = Schedule(self._shape_of)
        self._changed = threading.Condition()
        self._stopping = False
        self._attentions = Attentions(analyst)
        packing = Packing(self._attentions, metrics)
        devices = {service.detector.engine.device: None for service in services.values()}
        self._pools = [Pool(device, _of_device(services, device), self, packing) for device in devices]
        self._budgets = {pool: Budget(pool.workers) for pool in self._pools}
        self._waiting_since: dict[Pool, float] = {}
        self._unreadable: set[str] = set()  # cameras of which that was said
        for pool in self._pools:
            metrics.engine_failures.labels(pool.device)

    def model(self, name: str = MAIN_MODEL) -> Model:
        """Return what a model's weights say of themselves; raises `KeyError` for one that is not loaded."""
        return self.services[name].detector.model

    def on_device(self, name: str = MAIN_MODEL) -> bool:
        """Tell whether a model runs on a device of its own, so that inference leaves the CPU alone."""
        return self.services[name].detector.engine.device != "cpu"

    def set_camera(
        self,
        camera: str,
        *,
        fps: float,
        weight: float,
        floor: float,
        model: str = MAIN_MODEL,
        regions: Regions = Regions.OFF,
    ) -> None:
        """Infer a camera `fps` times per second; boxes under `floor` confidence are never made.

        `regions` says when parts of its frames will do. A camera that is inferred already changes all this.
        """
        if regions is not Regions.OFF and not self.services[model].detector.packs:
            regions = Regions.OFF
        with self._changed:
            self._attentions.set_camera(camera, regions)
            self._schedule.add(camera, model=model, fps=fps, weight=weight, floor=floor, now=time.monotonic())
            self._work_arrived()  # a frame that waits may now be another device's

    def remove_camera(self, camera: str) -> None:
        """Infer a camera no more."""
        with self._changed:
            self._schedule.remove(camera)
            self._attentions.remove_camera(camera)
            self._unreadable.discard(camera)

    def offer(self, frame: Frame) -> None:
        """Take a camera's newest frame; it is kept only if it is wanted. Called by capture threads."""
        with self._changed:
            may_share = any(self._attentions.in_parts(frame.camera, pool.device) for pool in self._pools)
            may_wait = not frame.late and self._would_wait(frame.camera)
            offer = self._schedule.offer(
                frame, time.monotonic() - frame.late, may_share=may_share, may_wait=may_wait
            )
            if offer in {Offer.KEPT, Offer.KEPT_INSTEAD}:
                self._work_arrived()
        if offer.lost and (series := self._metrics.camera(frame.camera)) is not None:
            series.dropped(offer.lost)

    def has_room(self, camera: str) -> bool:
        """Tell whether no frame of a camera waits, so that the next one takes nobody's place."""
        with self._changed:
            return self._schedule.has_room(camera)

    def has_time(self, camera: str) -> bool:
        """Tell whether an engine is free for a camera, with nobody waiting for it."""
        with self._changed:
            model = self._schedule.model(camera)
            pools = (pool for pool in self._pools if model in pool.services)
            return any(pool.free and not self._schedule.waiting(pool.services) for pool in pools)

    def _would_wait(self, camera: str) -> bool:
        """Tell whether a frame of a camera would have to wait for another's call."""
        if all(pool.cores == 1 for pool in self._pools):
            return False
        model = self._schedule.model(camera)
        return all(pool.cores > 1 and not pool.idle for pool in self._pools if model in pool.services)

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
            self._schedule.submit(Upload(frame, confidence, time.monotonic(), MAIN_MODEL, deliver))
            self._work_arrived()
        return await future

    def trouble(self) -> str:
        """Return why engines do not work just now; empty when they do."""
        return "; ".join(pool.trouble for pool in self._pools if pool.trouble)

    def stuck_for(self) -> float:
        """Return for how many seconds nothing moved: no batch came back, or work waited and none was taken.

        0 when there is nothing to do: a daemon whose cameras are all away is not stuck.
        """
        with self._changed:
            waiting = list(self._waiting_since.values())
        unmoved = time.monotonic() - min(waiting) if waiting else 0.0
        return max(unmoved, *(pool.busy_for() for pool in self._pools))

    async def run(self) -> None:
        """Run the workers until cancelled; raises `EngineLostError` when an engine keeps failing."""
        try:
            async with asyncio.TaskGroup() as group:
                for pool in self._pools:
                    group.create_task(pool.run(), name=f"engine-{pool.device}")
                group.create_task(self._plan(), name="budget")
        finally:
            with self._changed:
                self._stopping = True
                uploads = self._schedule.drain_uploads()
            for upload in uploads:
                upload.deliver(BusyError("vigil is stopping"))

    # What follows is `vigil.inference.pool.Work`: called by workers.

    def next_batch(self, pool: Pool, stop: threading.Event) -> Batch | None:
        """Wait for work; returns nothing once `stop` is set and the pool was woken."""
        with self._changed:
            while not stop.is_set():
                if pool.cores > 1 and not pool.idle:  # what waits here gives way to a newer frame
                    self._changed.wait()
                    continue
                limits, now = pool.limits, time.monotonic()
                batch = self._schedule.take(now, limits, partial(self._share, pool))
                if batch is None or not self._schedule.waiting(limits):
                    self._waiting_since.pop(pool, None)
                else:
                    self._waiting_since[pool] = now
                if batch is not None:
                    return batch
                self._changed.wait()
        return None

    def deliver(self, batch: Batch, packed: Packed, seconds: float, cores: int) -> None:
        """Take what a batch showed, which took so many seconds of so many workers' cores."""
        found = packed.found
        seen, postponed = _apart(batch, found)
        cameras, boxes = [frame for frame, _ in seen], [detections for _, detections in seen]
        frames = [frame for frame in cameras if frame.camera]
        self._metrics.inferred(len(seen), seconds, [frame.camera for frame in frames])
        for upload, detections in zip(batch.uploads, found[len(batch.camera_frames) :], strict=True):
            if detections is not None:
                upload.deliver(detections)
        try:
            if frames:
                self._handler.handle(frames, boxes[: len(frames)])
        finally:
            if cores > 1:
                self._note_slow(batch.model, packed.inputs, seconds * cores)
            self._done(batch, seconds * cores, packed.inputs, postponed)

    def _note_slow(self, model: str, inputs: float, seconds: float) -> None:
        """Have calls share no cores for a while if one that did was held up."""
        with self._changed:
            usual = self._schedule.usual_seconds(model, inputs)
            if usual is None or seconds < _SLOW * usual:
                return
            for pool in self._pools:
                if model in pool.services:
                    self._budgets[pool].disturbed()
                    pool.may_spread = False

    def failed(self, batch: Batch, error: Exception) -> None:
        """Take a batch back that came to nothing: its frames are lost, its uploads told so."""
        unreadable = isinstance(error, PixelsError)
        for frame in batch.camera_frames:
            if unreadable and frame.camera not in self._unreadable:
                self._unreadable.add(frame.camera)
                log.warning("%s: %s; such frames are left out", frame.camera, error)
            if (series := self._metrics.camera(frame.camera)) is not None:
                series.dropped("unreadable" if unreadable else "engine_failed")
        for upload in batch.uploads:
            upload.deliver(error)
        self._done(batch, None)

    def wake(self) -> None:
        """Have every waiting worker look again."""
        with self._changed:
            self._changed.notify_all()

    def engine_failed(self, device: str) -> None:
        """Count an engine that failed."""
        self._metrics.engine_failures.labels(device).inc()

    def _done(
        self,
        batch: Batch,
        seconds: float | None,
        inputs: float | None = None,
        postponed: Sequence[Frame] = (),
    ) -> None:
        with self._changed:
            lost = [frame.camera for frame in postponed if not self._schedule.put_back(frame)]
            self._schedule.done(batch, seconds, inputs)
            self._work_arrived()
        for camera in lost:
            if (series := self._metrics.camera(camera)) is not None:
                series.dropped(Offer.OVERWROTE.value)

    def _share(self, pool: Pool, frame: Frame) -> float | None:
        """Return how much of an input a frame will take, `None` if it is to be looked at whole."""
        if not self._attentions.in_parts(frame.camera, pool.device):
            return None
        return self._attentions.share(frame.camera, frame.captured_at)

    def _work_arrived(self) -> None:
        now = time.monotonic()
        for pool in self._pools:
            if pool not in self._waiting_since and self._schedule.waiting(pool.services):
                self._waiting_since[pool] = now
        self._wake_one()

    def _wake_one(self) -> None:
        """Wake a worker: any of a single device, all where only those of one device will do."""
        if len(self._pools) == 1:
            self._changed.notify()
        else:
            self._changed.notify_all()

    async def _plan(self) -> None:
        """Look once a second at what there is room for, and allow each camera that."""
        while True:
            await asyncio.sleep(_PLAN_EVERY)
            self.saturation = max(self._plan_pool(pool) for pool in self._pools)
            self._metrics.saturation.set(self.saturation)

    def _plan_pool(self, pool: Pool) -> float:
        """Allow the cameras of one device what there is room for; returns how full it is."""
        now = time.monotonic()
        with self._changed:
            whole = self._schedule.demands(pool.limits, now)
            for each in whole:
                self._attentions.expect(each.camera, each.fps)
            demands = [
                replace(each, cost=each.cost * self._attentions.usual_share(each.camera, pool.device))
                for each in whole
            ]
            verdict = self._budgets[pool].plan(demands, now, whole)
            self._schedule.allow(verdict.rates)
            self._attentions.crowd(pool.device, crowded=self._budgets[pool].crowded)
        pool.may_spread = self._budgets[pool].light
        if verdict.changed and verdict.overloaded:
            log.warning(
                "overload: cameras ask for %.0f %% of what engines on %s can do; each gets its fair share",
                100 * verdict.saturation,
                pool.device,
            )
        elif verdict.changed:
            log.info("overload over: every camera on %s gets the rate that it asks for", pool.device)
        return verdict.saturation

    def _shape_of(self, model: str, width: int, height: int) -> tuple[int, int]:
        return self.services[model].detector.shape_of(width, height)


def _apart(
    batch: Batch, found: Sequence[Detections | None]
) -> tuple[list[tuple[Frame, Detections]], list[Frame]]:
    """Return the frames of a batch that were looked at, with what they show, and those that were not."""
    seen = [(frame, boxes) for frame, boxes in zip(batch.frames, found, strict=True) if boxes is not None]
    return seen, [frame for frame, boxes in zip(batch.frames, found, strict=True) if boxes is None]


def _of_device(services: Mapping[str, Service], device: str) -> dict[str, Service]:
    return {name: each for name, each in services.items() if each.detector.engine.device == device}


def _settle(future: asyncio.Future[Detections], outcome: Detections | Exception) -> None:
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
