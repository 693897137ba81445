"""What the web needs of the daemon, as one small interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

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


class Daemon(Protocol):
    """Answers the web's questions, on the loop; returns at once unless async."""

    @property
    def model(self) -> Model:
        """The model that finds objects."""

    @property
    def default_confidence(self) -> float:
        """Confidence of an upload that names none."""

    def trouble(self) -> str:
        """Return why the daemon is not healthy; empty when it is."""

    def ready(self) -> bool:
        """Tell whether everything is started."""

    async def metrics(self) -> bytes:
        """Return the Prometheus exposition."""

    async def cameras(self) -> Sequence[CameraView]:
        """Return every camera of the configuration."""

    async def snapshot(self, camera: str) -> bytes | None:
        """Return a JPEG of the camera's latest inferred frame with boxes; raises `KeyError` if unknown."""

    async def command(self, command: CameraCommand | SettingCommand) -> None:
        """Enable, disable, restart or set something of a camera; raises `KeyError` if unknown."""

    async def reload(self) -> str:
        """Take over the configuration file as it is now and return what changed; raises `VigilError`."""

    def profile(self) -> ProfileView:
        """Return which profile is in force, and why."""

    async def choose_profile(self, command: ProfileCommand) -> ProfileView:
        """Switch; raises `KeyError` if unknown, `VigilError` for a profile that cannot be had."""

    async def decode(self, data: bytes) -> Image:
        """Return the pixels of an uploaded picture; raises `VigilError` that says what is wrong with it."""

    async def detect(self, image: Image, confidence: float) -> Detections:
        """Find objects in a picture, in its turn; raises `RetryableError` when too many wait."""
