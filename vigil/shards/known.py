"""What is known of cameras that other processes watch.

It is enough to tell anybody, and to end what a process that died has left open.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vigil.core.events import Event, EventType, Totals
from vigil.core.types import (
    CameraGone,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    MotionChanged,
    Result,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vigil.core.types import BusMessage

CRASHED = "crashed"
"""The reason why a camera is away whose process died."""


@dataclass(slots=True)
class _Camera:
    introduced: CameraIntroduced
    health: CameraHealth
    moving: bool = False
    events: dict[str, Event] = field(default_factory=dict)
    """Those that have no end yet."""


class Known:
    """Every camera as it was told last, and the totals of lines, which outlive everything."""

    def __init__(self, totals: Mapping[str, Totals]) -> None:
        self._cameras: dict[str, _Camera] = {}
        self._totals = dict(totals)

    def totals(self) -> dict[str, Totals]:
        """Return the crossings of every camera's lines, those included that are not there at present."""
        return dict(self._totals)

    def health(self, camera: str) -> CameraHealth:
        """Return how a camera is; raises `KeyError` for one that nobody introduced."""
        return self._cameras[camera].health

    def introduced(self, camera: str) -> CameraIntroduced:
        """Return what a camera reports, as it stands; raises `KeyError` as above."""
        return self._cameras[camera].introduced

    def all(self, names: Iterable[str]) -> Iterator[BusMessage]:
        """Yield what introduces these cameras, as they stand, in this order."""
        for name in names:
            if (camera := self._cameras.get(name)) is None:
                continue
            yield camera.introduced
            yield MotionChanged(name, on=camera.moving)
            yield camera.health

    def take(self, messages: Iterable[BusMessage]) -> None:
        """Take over what happened."""
        for message in messages:
            match message:
                case Result(camera=name):
                    self._counted(name, message)
                case CameraIntroduced(camera=name):
                    self._introduced(name, message)
                case CameraGone(camera=name):
                    self._cameras.pop(name, None)
                case MotionChanged(camera=name, on=on) if name in self._cameras:
                    self._cameras[name].moving = on
                case CameraHealth(camera=name) if name in self._cameras:
                    self._cameras[name].health = message
                case Event(camera=name) if name in self._cameras:
                    self._happened(self._cameras[name].events, message)

    def crashed(self, names: Iterable[str]) -> list[BusMessage]:
        """Return what is to be told now that nobody watches these cameras any more."""
        found: list[BusMessage] = []
        for name in names:
            if (camera := self._cameras.get(name)) is not None:
                found += [event.ended() for event in camera.events.values()]
                found.append(MotionChanged(name, on=False))
                if camera.health.state is not CameraState.DISABLED:
                    found.append(CameraHealth(name, CameraState.OFFLINE, CRASHED))
                camera.introduced = camera.introduced.emptied()
        return found

    def _introduced(self, name: str, message: CameraIntroduced) -> None:
        self._count(name, message.totals)
        if (camera := self._cameras.get(name)) is None:
            self._cameras[name] = _Camera(message, CameraHealth(name, CameraState.CONNECTING))
        else:
            camera.introduced = message

    def _counted(self, name: str, result: Result) -> None:
        """Take over a result's counts; what it left alone is the very same object."""
        camera = self._cameras.get(name)
        if camera is None or camera.introduced.says(result):
            return
        if result.totals is not camera.introduced.totals:
            self._count(name, result.totals)
        camera.introduced = camera.introduced.with_counts_of(result)

    def _count(self, name: str, totals: Totals) -> None:
        self._totals[name] = totals.over(self._totals.get(name, Totals()))

    @staticmethod
    def _happened(events: dict[str, Event], event: Event) -> None:
        if event.type is EventType.END:
            events.pop(event.id, None)
        else:
            events[event.id] = event
