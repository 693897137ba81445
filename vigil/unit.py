"""One camera of the configuration with everything that belongs to it alone, and what is told of it."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from vigil.core.settings import ENABLED
from vigil.core.types import CameraIntroduced, CameraStats, CameraView

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from vigil.analytics.pipeline import CameraPipeline
    from vigil.analytics.watch import Watch
    from vigil.config.model import CameraConfig
    from vigil.config.tuning import Wanted
    from vigil.core.types import CameraHealth
    from vigil.metrics.camera import CameraMetrics
    from vigil.video.camera import Camera

_USUAL_RATE = 1920.0 * 1080 * 25


@dataclass(slots=True, eq=False)
class Unit:
    """A camera: what is wanted of it, its parts, and how it is."""

    wanted: Wanted
    config: CameraConfig
    """What it goes by: `wanted.camera`."""
    pipeline: CameraPipeline
    metrics: CameraMetrics
    watch: Watch
    camera: Camera
    health: CameraHealth
    enabled: bool
    task: asyncio.Task[None] | None = None

    @property
    def target(self) -> float:
        """How often the camera is to be inferred, per second."""
        return self.config.detect.fps if self.config.detect.enabled else 0.0

    @property
    def pixel_rate(self) -> float:
        """Pixels a second that it sends; as long as nobody knows, those of a usual camera."""
        sent = self.camera.format
        return (sent.width * sent.height * self.metrics.capture_fps) or _USUAL_RATE

    def introduced(self) -> CameraIntroduced:
        """Return what a subscriber is told of it first."""
        state, pictures = self.pipeline.state, self.config.snapshots
        return CameraIntroduced(
            self.camera.name,
            state.counts,
            state.zones,
            state.totals,
            self.wanted.tuning,
            snapshots=pictures.enabled,
            live=pictures.live is not None,
        )

    def view(self) -> CameraView:
        """Return what people are shown of it."""
        return CameraView(
            self.camera.name,
            self.config.redacted_url,
            self.health.status,
            self.health.state,
            self.health.reason,
            self.health.condition,
            self.camera.retry_at,
            round(self.metrics.capture_fps, 2),
            round(self.metrics.inference_fps, 2),
            self.target,
            self.watch.moving,
            self.watch.quiet,
            self.metrics.decode_mode,
            dict(self.pipeline.counts),
            {ENABLED: self.enabled, **asdict(self.wanted.tuning)},
        )

    def stats(self) -> CameraStats:
        """Return how it did since this was asked last."""
        latencies, sent = sorted(self.metrics.take_latencies()), self.camera.format
        return CameraStats(
            self.metrics.capture_fps,
            self.metrics.inference_fps,
            self.target,
            quantile(latencies, 0.5),
            quantile(latencies, 0.95),
            sent.codec,
            sent.width,
            sent.height,
        )


def quantile(ascending: Sequence[float], share: float) -> float | None:
    """Return the least value that this share does not exceed, `None` of no values."""
    return ascending[math.ceil(share * len(ascending)) - 1] if ascending else None
