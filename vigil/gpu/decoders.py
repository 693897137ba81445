"""Which GPU decodes a camera just now: what it belongs to, less what failed there and what is too much.

Capture threads ask at each keyframe, since only there a stream can go from one decoder to another.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from vigil.aio.threads import call_in_thread
from vigil.gpu.spill import Spill

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vigil.gpu.nvml import DecoderMeter
    from vigil.gpu.spill import Limits

log = logging.getLogger(__name__)

_LOOK = 1.0
"""Seconds between two looks at the decoders; NVML's own samples are up to a second long."""


class Decoders:
    """The decoders of all GPUs; safe to call from any thread."""

    def __init__(self, meter: DecoderMeter, limits: Limits | None = None) -> None:
        self._meter = meter
        self._limits = limits
        self._lock = threading.Lock()
        self._homes: dict[str, str] = {}  # by camera, the GPU that it belongs to
        self._spills: dict[str, Spill] = {}  # by GPU
        self._unfit: set[tuple[str, str]] = set()  # cameras that a GPU cannot decode
        self._broken: set[str] = set()  # GPUs that decode nothing

    def of(self, camera: str) -> CameraDecoder:
        """Return the view of one camera."""
        return CameraDecoder(camera, self)

    def settle(self, homes: Mapping[str, str]) -> None:
        """Know which GPU each camera belongs to; those that are not named are decoded on the CPU."""
        with self._lock:
            self._homes = dict(homes)
            # Who is opened with other settings is tried again.
            self._unfit = {(camera, device) for camera, device in self._unfit if homes.get(camera) == device}

    def opens(self, camera: str) -> str | None:
        """Take in a camera that is being opened; returns the GPU that decodes it, `None` for the CPU."""
        with self._lock:
            device = self._able(camera)
            return device if device is not None and self._spill(device).opens(camera) else None

    def device(self, camera: str) -> str | None:
        """Return the GPU that is to decode a camera from now on, `None` for the CPU."""
        with self._lock:
            device = self._able(camera)
            return None if device is None or camera in self._spill(device).on_cpu else device

    def failed(self, camera: str, device: str, why: str, *, wholly: bool) -> None:
        """Decode a camera on the CPU, `wholly` all of the GPU's, until vigil starts again; says so once."""
        with self._lock:
            known = device in self._broken or (camera, device) in self._unfit
            if wholly:
                self._broken.add(device)
            else:
                self._unfit.add((camera, device))
        if not known:
            who = f"the cameras of {device} are" if wholly else f"{camera}: is"
            log.warning("%s decoded on the CPU, the decoder of %s failed: %s", who, device, why)

    def look(self, costs: Mapping[str, float], now: float) -> None:
        """Read each GPU that decodes, and let cameras leave it or come back; `costs` by camera."""
        with self._lock:
            devices = {device for camera in self._homes if (device := self._able(camera)) is not None}
        readings = {device: self._meter.busy(device) for device in sorted(devices)}
        for device, busy in readings.items():
            with self._lock:
                own = {name: cost for name, cost in costs.items() if self._able(name) == device}
                spill = self._spill(device)
                before = spill.on_cpu
                spill.look(busy, own, now)
                after = spill.on_cpu
            for camera in sorted((after - before) & own.keys()):
                log.info("%s: decoded on the CPU from now on, the decoder of %s is full", camera, device)
            for camera in sorted((before - after) & own.keys()):
                log.info("%s: decoded by %s again", camera, device)

    async def run(self, costs: Callable[[], Mapping[str, float]]) -> None:
        """Look once a second until cancelled."""
        while True:
            await asyncio.sleep(_LOOK)
            if self._homes:
                look = partial(self.look, costs(), time.monotonic())
                await call_in_thread(look, name="decoders")

    def _able(self, camera: str) -> str | None:
        device = self._homes.get(camera)
        return None if device in self._broken or (camera, device) in self._unfit else device

    def _spill(self, device: str) -> Spill:
        return self._spills.setdefault(device, Spill(self._limits))


@dataclass(frozen=True, slots=True)
class CameraDecoder:
    """One camera's view of the decoders, as `vigil.video.lane` asks for it."""

    camera: str
    decoders: Decoders

    def opens(self) -> str | None:
        """Return the GPU that decodes the stream that is being opened, `None` for the CPU."""
        return self.decoders.opens(self.camera)

    def device(self) -> str | None:
        """Return the GPU that is to decode from the next keyframe on, `None` for the CPU."""
        return self.decoders.device(self.camera)

    def failed(self, device: str, why: str, *, wholly: bool) -> None:
        """Note that a GPU does not decode this stream, or `wholly` none at all."""
        self.decoders.failed(self.camera, device, why, wholly=wholly)
