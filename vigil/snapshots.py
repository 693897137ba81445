"""Pictures on MQTT: the best view of every event, and what a camera sees now for those who ask for it.

Inference workers only point at frames; pictures are converted and encoded on a thread of their own, one after
another, so that nothing waits for them. An event's first view is told at once, better ones once a second.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vigil.aio.threads import Post, call_in_thread
from vigil.analytics.portrait import portrait
from vigil.core.types import LiveView, SnapshotTaken
from vigil.errors import PixelsError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vigil.analytics.pipeline import Sight
    from vigil.config.analytics import SnapshotConfig
    from vigil.core.events import BestView
    from vigil.core.types import BusMessage, Frame
    from vigil.metrics import Metrics

log = logging.getLogger(__name__)

_MOST_WAITING = 32
"""Views that wait for their picture: each holds a decoded frame."""
_APART = 1.0
"""Seconds between two pictures of an event."""
_LIVE_LOOK = 0.1
"""Seconds between two looks at which camera's live picture is due."""


@dataclass(frozen=True, slots=True, eq=False)
class _Waiting:
    frame: Frame
    view: BestView


class Cameras(Protocol):
    """Knows what pictures each camera is to have, and what it saw last."""

    def snapshots(self) -> Mapping[str, SnapshotConfig]:
        """Return the settings of every camera that there is."""

    def sight(self, camera: str) -> Sight | None:
        """Return a camera's latest inferred frame."""


class Snapshots:
    """Takes pictures from `run`'s start to its end; `offer` may be called by any thread."""

    def __init__(self, publish: Callable[[Sequence[BusMessage]], None], metrics: Metrics) -> None:
        """`publish(messages)` is called on the loop."""
        self._publish = publish
        self._metrics = metrics
        self._lock = threading.Lock()
        self._waiting: OrderedDict[str, _Waiting] = OrderedDict()
        self._taken: dict[str, float] = {}
        """When pictures of the last second were taken, by event."""
        self._arrived = asyncio.Event()
        self._wake: Post[None] = Post(lambda _: self._arrived.set())

    def offer(self, frame: Frame, views: Sequence[BestView]) -> None:
        """Note that a frame shows objects better than any before it."""
        with self._lock:
            for view in views:
                self._waiting.pop(view.event_id, None)
                self._waiting[view.event_id] = _Waiting(frame, view)
            while len(self._waiting) > _MOST_WAITING:
                self._waiting.popitem(last=False)
                self._metrics.snapshots_dropped.labels("busy").inc()
        self._wake(None)

    async def run(self, cameras: Cameras) -> None:
        """Take pictures until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._run_events(cameras), name="snapshots-events")
            group.create_task(self._run_live(cameras), name="snapshots-live")

    async def _run_events(self, cameras: Cameras) -> None:
        while True:
            self._arrived.clear()
            wait = await self.run_once(cameras)
            try:
                async with asyncio.timeout(wait):
                    await self._arrived.wait()
            except TimeoutError:
                continue

    async def run_once(self, cameras: Cameras) -> float | None:
        """Take the pictures whose turn it is; return the seconds until the next one's, if any waits."""
        now = asyncio.get_running_loop().time()
        due, wait = self._due(now)
        for each in due:
            settings = cameras.snapshots().get(each.frame.camera)
            if settings is not None and settings.enabled:
                await self._take(each, settings, now)
        return wait

    def _due(self, now: float) -> tuple[list[_Waiting], float | None]:
        self._taken = {event: at for event, at in self._taken.items() if at + _APART > now}
        with self._lock:
            later = {event: self._taken[event] + _APART for event in self._waiting if event in self._taken}
            due = [self._waiting.pop(event) for event in list(self._waiting) if event not in later]
            return due, min((at - now for at in later.values()), default=None)

    async def _take(self, each: _Waiting, settings: SnapshotConfig, now: float) -> None:
        frame, view = each.frame, each.view
        self._taken[view.event_id] = now
        jpeg = await self._encoded(frame, view, settings)
        if jpeg is not None:
            if (series := self._metrics.camera(frame.camera)) is not None:
                series.pictured()
            self._publish([SnapshotTaken(frame.camera, view.label, view.event_id, frame.captured_at, jpeg)])

    async def _run_live(self, cameras: Cameras) -> None:
        told: dict[str, float] = {}
        while True:
            await asyncio.sleep(_LIVE_LOOK)
            now = asyncio.get_running_loop().time()
            wanted = {name: each for name, each in cameras.snapshots().items() if each.live is not None}
            told = {name: told.get(name, -math.inf) for name in wanted}
            for camera, settings in wanted.items():
                if now - told[camera] >= (settings.live or 0.0):
                    told[camera] = now
                    await self._show(camera, cameras.sight(camera), settings)

    async def _show(self, camera: str, sight: Sight | None, settings: SnapshotConfig) -> None:
        """Publish what a camera saw last; one that is away shows nothing."""
        jpeg = None if sight is None else await self._encoded(sight.frame, None, settings)
        if jpeg is not None:
            self._publish([LiveView(camera, jpeg)])

    async def _encoded(self, frame: Frame, view: BestView | None, settings: SnapshotConfig) -> bytes | None:
        box = view.box if view is not None and settings.crop else None
        try:
            return await call_in_thread(
                lambda: portrait(frame.image, box, settings.size, settings.quality), name="snapshot"
            )
        except PixelsError as error:
            self._metrics.snapshots_dropped.labels("unreadable").inc()
            log.warning("%s: no picture: %s", frame.camera, error)
            return None
