"""What the running daemon tells and does for the web: `vigil.web.daemon.Daemon` over the real parts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vigil.aio.threads import call_in_thread
from vigil.analytics.annotate import annotate, encode_jpeg
from vigil.video.upload import decode_picture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import (
        CameraCommand,
        CameraView,
        Detections,
        Image,
        Model,
        ProfileCommand,
        ProfileView,
        SettingCommand,
    )
    from vigil.inference.loop import InferenceLoop
    from vigil.metrics import Metrics
    from vigil.profiles import Profiles
    from vigil.reload import Reload
    from vigil.supervisor import Supervisor

_STUCK_AFTER = 10.0
"""Seconds without progress of the inference loop, though there is work, that make the daemon unhealthy."""


class Configured:
    """What does not depend on where the cameras are watched: configuration, profiles, uploads."""

    def __init__(self, reload: Reload, profiles: Profiles) -> None:
        self._reload = reload
        self._profiles = profiles
        self.started = False

    @property
    def default_confidence(self) -> float:
        """Confidence of an upload that names none."""
        return self._reload.config.model.confidence

    def ready(self) -> bool:
        """Tell whether everything is started."""
        return self.started

    async def reload(self) -> str:
        """Take over the configuration file as it is now and return what changed; raises `VigilError`."""
        return str(await self._reload.reload())

    def profile(self) -> ProfileView:
        """Return which profile is in force, and why."""
        return self._profiles.view()

    async def choose_profile(self, command: ProfileCommand) -> ProfileView:
        """Switch; raises `KeyError` if unknown, `VigilError` for a profile that cannot be had."""
        return await self._profiles.choose(command)

    async def decode(self, data: bytes) -> Image:
        """Return the pixels of an uploaded picture; raises `VigilError` that says what is wrong with it."""
        limit = self._reload.config.http.max_pixels
        return await call_in_thread(lambda: decode_picture(data, limit), name="decode-upload")


class LiveDaemon(Configured):
    """Answers the web's questions from the parts that know, all in this process."""

    def __init__(
        self,
        loop: InferenceLoop,
        supervisor: Supervisor,
        reload: Reload,
        profiles: Profiles,
        metrics: Metrics,
    ) -> None:
        super().__init__(reload, profiles)
        self._loop = loop
        self._supervisor = supervisor
        self._metrics = metrics

    @property
    def model(self) -> Model:
        """The model that finds objects."""
        return self._loop.model()

    def trouble(self) -> str:
        """Return why the daemon is not healthy; empty when it is."""
        return trouble_of(self._loop)

    def healthy(self) -> bool:
        """Tell whether there is no trouble: what feeds the watchdog."""
        return not self.trouble()

    async def metrics(self) -> bytes:
        """Return the Prometheus exposition."""
        return await self._metrics.exposition()

    async def cameras(self) -> Sequence[CameraView]:
        """Return every camera of the configuration."""
        return self._supervisor.views()

    async def snapshot(self, camera: str) -> bytes | None:
        """Return a JPEG of the camera's latest inferred frame with boxes; raises `KeyError` if unknown."""
        return await snapshot_of(self._supervisor, camera)

    async def command(self, command: CameraCommand | SettingCommand) -> None:
        """Enable, disable, restart or set something of a camera; raises `KeyError` if unknown."""
        await self._supervisor.command(command)

    async def detect(self, image: Image, confidence: float) -> Detections:
        """Find objects in a picture, in its turn."""
        return await self._loop.detect(image, confidence)


def trouble_of(loop: InferenceLoop) -> str:
    """Return why inference is not healthy; empty when it is."""
    if trouble := loop.trouble():
        return trouble
    stuck = loop.stuck_for()
    return f"the inference loop has not moved for {stuck:.0f} s" if stuck > _STUCK_AFTER else ""


async def snapshot_of(supervisor: Supervisor, camera: str) -> bytes | None:
    """Return a JPEG of the camera's latest inferred frame with boxes; raises `KeyError` if unknown."""
    sight = supervisor.sight(camera)
    if sight is None:
        return None
    return await call_in_thread(
        lambda: encode_jpeg(annotate(sight.frame.image.to_bgr(), sight.detections, sight.model.names)),
        name="snapshot",
    )
