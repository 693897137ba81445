"""vigil's own topics (DESIGN section 6): what they say of cameras, and which commands they take."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from vigil.core.events import Event
from vigil.core.types import (
    CameraGone,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    LiveView,
    MotionChanged,
    ProfileChanged,
    ProfileCommand,
    Result,
    SnapshotTaken,
    StatsReport,
)
from vigil.sinks.dialect import Message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vigil.core.types import BusMessage, Command
    from vigil.sinks.messages import Messages


class Native:
    """The topics under `mqtt.topic_prefix`."""

    def __init__(self, messages: Messages) -> None:
        self._messages = messages
        self._known: dict[str, CameraIntroduced] = {}
        self._live: set[str] = set()
        self._pictured: dict[str, set[str]] = {}
        """The labels of each camera of which a picture is retained."""
        self._profiles: Sequence[str] = ()

    @property
    def listens(self) -> Sequence[str]:
        """Topic filters of what is to be heard."""
        return [*self._messages.commands, self._messages.profile_command]

    def opening(self) -> Iterable[Message]:
        """Return `<prefix>/status`."""
        return [self._messages.daemon_status(online=True)]

    def take(self, message: BusMessage) -> Iterable[Message]:
        """Return what something that happened changes or tells."""
        return list(self._take(message))

    def frame(self, result: Result) -> Iterable[Message]:
        """Return the boxes of an inferred frame; a last result of a camera that is gone is not told."""
        return [self._messages.detections(result)] if result.camera in self._known else ()

    def hear(self, topic: str, payload: bytes) -> Command | None:
        """Return the command; raises `ValueError` that says what would be right."""
        command = self._messages.command(topic, payload)
        if command is None or isinstance(command, ProfileCommand) or command.camera in self._known:
            return command
        raise ValueError(f"there is no camera {command.camera!r}")

    def goodbye(self) -> Iterator[Message]:
        """Leave counts at 0 and everything offline; totals of lines and switches stay as they are."""
        for camera, known in self._known.items():
            stopped = CameraHealth(camera, CameraState.OFFLINE, "stopped")
            status, health, _switch = self._messages.camera_health(stopped)
            yield from self._state(known.emptied())
            yield self._messages.motion(camera, on=False)
            yield status
            yield health
        yield self._messages.daemon_status(online=False)

    def _take(self, message: BusMessage) -> Iterable[Message]:  # noqa: C901, PLR0911 -- one for each kind
        match message:
            case Result():
                return self._counted(message)
            case Event(camera=camera):
                return [self._messages.event(message)] if camera in self._known else ()
            case MotionChanged(camera, on):
                return [self._messages.motion(camera, on=on)] if camera in self._known else ()
            case CameraHealth():
                return self._health(message)
            case CameraIntroduced():
                return self._introduced(message)
            case CameraGone(camera):
                return self._gone(camera)
            case ProfileChanged(active, profiles):
                self._profiles = profiles
                return [self._messages.profile(active), self._info()]
            case StatsReport():
                return [self._messages.stats(message)]
            case SnapshotTaken(camera, label):
                return self._snapshot(camera, label, message.jpeg)
            case LiveView(camera):
                return [self._messages.live(message)] if camera in self._known else ()

    def _counted(self, result: Result) -> Iterator[Message]:
        """Tell what a result changed of a camera's counts; what it left alone is the very same object."""
        camera, known = result.camera, self._known.get(result.camera)
        if known is None or camera not in self._live or known.says(result) or not known.fits(result):
            return
        if result.counts is not known.counts:
            yield from self._messages.objects(camera, result.counts)
        if result.zones is not known.zones:
            yield from self._messages.zones(camera, result.zones)
        if result.totals is not known.totals:
            yield from self._messages.lines(camera, result.totals)
        self._known[camera] = known.with_counts_of(result)

    def _snapshot(self, camera: str, label: str, jpeg: bytes) -> Iterable[Message]:
        known = self._known.get(camera)
        if known is None or label not in known.counts:
            return ()
        self._pictured.setdefault(camera, set()).add(label)
        return [self._messages.snapshot(camera, label, jpeg)]

    def _unpictured(self, camera: str, wanted: set[str]) -> Iterator[Message]:
        """Take back the pictures of labels that are not `wanted`."""
        gone = self._pictured.get(camera, set()) - wanted
        self._pictured[camera] = self._pictured.get(camera, set()) & wanted
        yield from taken_back(self._messages.snapshot(camera, label, b"").topic for label in gone)

    def _health(self, health: CameraHealth) -> Iterator[Message]:
        yield from self._messages.camera_health(health)
        if health.state is CameraState.LIVE:
            self._live.add(health.camera)
            return
        # Nobody is seen by a camera that does not see, whatever results are still on their way.
        self._live.discard(health.camera)
        if (known := self._known.get(health.camera)) is not None:
            yield from self._say(known.emptied())

    def _introduced(self, camera: CameraIntroduced) -> Iterator[Message]:
        """Start with a camera's state, and take back what it reports no more."""
        before = self._known.get(camera.camera)
        yield from self._say(camera)
        if before is not None:
            now = {message.topic for message in self._state(camera)}
            yield from taken_back(each.topic for each in self._state(before) if each.topic not in now)
        pictured = set(camera.counts) if camera.snapshots else set()
        yield from self._unpictured(camera.camera, pictured)
        # A picture of before this start is still the latest.
        for label in pictured:
            yield replace(self._messages.snapshot(camera.camera, label, b""), stays=True)
        yield self._info()

    def _info(self) -> Message:
        return self._messages.info(self._known, self._profiles)

    def _say(self, camera: CameraIntroduced) -> Iterable[Message]:
        self._known[camera.camera] = camera
        return self._state(camera)

    def _state(self, camera: CameraIntroduced) -> list[Message]:
        """Return all that is retained of what a camera has seen."""
        return [
            *self._messages.objects(camera.camera, camera.counts),
            *self._messages.zones(camera.camera, camera.zones),
            *self._messages.lines(camera.camera, camera.totals),
            *self._messages.settings(camera.camera, camera.tuning),
        ]

    def _gone(self, camera: str) -> Iterator[Message]:
        """Take back everything that was said of a camera."""
        known = self._known.pop(camera, None)
        self._live.discard(camera)
        gone = self._messages.camera_health(CameraHealth(camera, CameraState.DISABLED))
        gone.append(self._messages.motion(camera, on=False))
        yield from taken_back(each.topic for each in [*gone, *(self._state(known) if known else ())])
        yield from self._unpictured(camera, set())
        yield self._info()


def taken_back(topics: Iterable[str]) -> Iterator[Message]:
    """Have the broker forget retained topics."""
    for topic in topics:
        yield Message(topic, b"", qos=1, retain=True)
