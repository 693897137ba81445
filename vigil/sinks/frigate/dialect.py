"""What is said and heard on topics in Frigate's form; commands are handed on as vigil's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from vigil.core.events import Event
from vigil.core.types import (
    CameraGone,
    CameraHealth,
    CameraIntroduced,
    CameraState,
    CameraStatus,
    MotionChanged,
    Result,
    SnapshotTaken,
    topic_label,
)
from vigil.sinks.dialect import Message
from vigil.sinks.frigate.counts import Counts
from vigil.sinks.frigate.objects import Objects
from vigil.sinks.frigate.reviews import NOTHING, Reviews
from vigil.sinks.native import taken_back

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vigil.core.types import BusMessage, Command
    from vigil.sinks.frigate.objects import Payload

_OURS = ("enabled", "detect", "motion")
"""Switches that vigil has too."""
_SHOWN = ("snapshots", "recordings")
"""Switches whose state is only told."""
_ON, _OFF = b"ON", b"OFF"


class Frigate:
    """The topics under `compat.frigate_prefix`."""

    def __init__(self, prefix: str, command: Callable[[str, str, bytes], Command | None]) -> None:
        """`command(camera, setting, payload)` is vigil's own reading of a command.

        It raises `ValueError` that says what would be right.
        """
        self._prefix = prefix
        self._command = command
        self._counts = Counts(prefix)
        self._objects = Objects()
        self._reviews = Reviews()
        self._live: set[str] = set()
        self._pictured: dict[str, set[str]] = {}
        """Labels of which a picture is retained, by camera."""
        self._recorded: set[str] = set()
        """Cameras of which there is a clip."""

    @property
    def listens(self) -> Sequence[str]:
        """Topic filters of the switches."""
        return [f"{self._prefix}/+/{switch}/set" for switch in (*_OURS, *_SHOWN)]

    def opening(self) -> Iterable[Message]:
        """Return `<prefix>/available`."""
        return [self._retained("available", b"online")]

    def take(self, message: BusMessage) -> Iterable[Message]:
        """Return what something that happened changes or tells."""
        return list(self._take(message))

    def frame(self, result: Result) -> Iterable[Message]:
        """Say nothing of single frames."""
        _ = result
        return ()

    def hear(self, topic: str, payload: bytes) -> Command | None:
        """Return the command; raises `ValueError` that says what would be right."""
        levels = topic.removeprefix(f"{self._prefix}/").split("/")
        if not topic.startswith(f"{self._prefix}/") or len(levels) != len(("camera", "switch", "set")):
            return None
        camera, switch, verb = levels
        if verb != "set" or switch not in (*_OURS, *_SHOWN):
            return None
        if self._counts.get(camera) is None:
            raise ValueError(f"there is no camera {camera!r}")
        if payload not in {_ON, _OFF}:
            raise ValueError("ON or OFF is wanted")
        if switch in _SHOWN:
            if payload != self._switch(camera, switch):
                raise ValueError(f"{switch} cannot be switched over MQTT")
            return None
        command = self._command(camera, switch, payload)
        if command is None:
            raise ValueError(f"{switch} cannot be switched")
        return command

    def goodbye(self) -> Iterator[Message]:
        """Leave counts at 0 and everything offline."""
        yield from self._counts.emptied()
        for camera in self._pictured:
            yield self._retained(f"{camera}/motion", _OFF)
            yield self._retained(f"{camera}/review_status", NOTHING.encode())
            yield self._retained(f"{camera}/status/detect", CameraStatus.OFFLINE.value.encode())
        yield self._retained("available", b"offline")

    def _take(self, message: BusMessage) -> Iterable[Message]:  # noqa: PLR0911 -- one for each kind of message
        match message:
            case Result():
                return self._counted(message)
            case Event(camera=camera) if camera in self._pictured:
                return self._happened(message)
            case SnapshotTaken(camera) if camera in self._pictured:
                return self._saw(message)
            case MotionChanged(camera, on) if camera in self._pictured:
                return [self._retained(f"{camera}/motion", _ON if on else _OFF)]
            case CameraHealth():
                return self._health(message)
            case CameraIntroduced():
                return self._introduced(message)
            case CameraGone(camera):
                return self._gone(camera)
            case _:
                return ()

    def _counted(self, result: Result) -> Iterable[Message]:
        """Tell what a result changed of the counts; what it left alone is the very same object."""
        known = self._counts.get(result.camera)
        self._objects.measure(result.camera, result.width, result.height)
        if known is None or (result.counts is known.counts and result.zones is known.zones):
            return ()
        if result.camera not in self._live or not known.fits(result):
            return ()
        return self._counts.put(result.camera, known.with_counts_of(result))

    def _happened(self, event: Event) -> Iterator[Message]:
        yield self._told(
            "events", self._objects.take(event), f"object/{event.id}", self._objects.last_words(event)
        )
        if event.has_clip and event.camera not in self._recorded:
            self._recorded.add(event.camera)
            yield self._state(event.camera, "recordings")
        if (review := self._reviews.take(event)) is not None:
            last = self._reviews.last_words(review, event)
            yield self._told("reviews", review, f"review/{review['after']['id']}", last)
            yield self._review_status(event.camera)

    def _saw(self, picture: SnapshotTaken) -> Iterator[Message]:
        known = self._counts.get(picture.camera)
        if known is None or picture.label not in known.counts:
            return
        self._pictured[picture.camera].add(picture.label)
        yield Message(self._picture(picture.camera, picture.label), picture.jpeg, retain=True)
        if (update := self._objects.pictured(picture)) is not None:
            yield self._told("events", update)

    def _health(self, health: CameraHealth) -> Iterator[Message]:
        camera = health.camera
        enabled = _OFF if health.state is CameraState.DISABLED else _ON
        yield self._retained(f"{camera}/enabled/state", enabled)
        yield self._retained(f"{camera}/status/detect", health.status.value.encode())
        if health.state is CameraState.LIVE:
            self._live.add(camera)
            return
        self._live.discard(camera)
        if (known := self._counts.get(camera)) is not None:
            yield from self._counts.put(camera, known.emptied())

    def _introduced(self, camera: CameraIntroduced) -> Iterator[Message]:
        name, tuning = camera.camera, camera.tuning
        yield from self._counts.put(name, camera)
        pictured = set(camera.counts) if camera.snapshots else set()
        yield from self._unpictured(name, pictured)
        # A picture of before this start is still the latest.
        yield from (Message(self._picture(name, each), b"", retain=True, stays=True) for each in pictured)
        yield self._retained(f"{name}/detect/state", _ON if tuning.detect else _OFF)
        yield self._retained(f"{name}/motion/state", _ON if tuning.motion else _OFF)
        yield from (self._state(name, switch) for switch in _SHOWN)
        yield self._review_status(name)

    def _gone(self, camera: str) -> Iterator[Message]:
        """Take back everything that was said of a camera."""
        yield from self._counts.put(camera, None)
        self._objects.forget(camera)
        self._live.discard(camera)
        self._recorded.discard(camera)
        yield from self._unpictured(camera, set())
        self._pictured.pop(camera, None)
        topics = (
            "motion",
            "review_status",
            "status/detect",
            *(f"{name}/state" for name in (*_OURS, *_SHOWN)),
        )
        yield from taken_back(f"{self._prefix}/{camera}/{topic}" for topic in topics)

    def _unpictured(self, camera: str, wanted: set[str]) -> Iterator[Message]:
        """Take back the pictures of labels that are not `wanted`."""
        there = self._pictured.get(camera, set())
        self._pictured[camera] = there & wanted
        yield from taken_back(self._picture(camera, label) for label in sorted(there - wanted))

    def _switch(self, camera: str, switch: str) -> bytes:
        """Return the state of a switch that is only told; recordings are on once there is a clip."""
        known = self._counts.get(camera)
        pictures = known is not None and known.snapshots
        return _ON if (pictures if switch == "snapshots" else camera in self._recorded) else _OFF

    def _state(self, camera: str, switch: str) -> Message:
        return self._retained(f"{camera}/{switch}/state", self._switch(camera, switch))

    def _review_status(self, camera: str) -> Message:
        return self._retained(f"{camera}/review_status", self._reviews.status(camera).encode())

    def _picture(self, camera: str, label: str) -> str:
        return f"{self._prefix}/{camera}/{topic_label(label)}/snapshot"

    def _retained(self, topic: str, payload: bytes) -> Message:
        return Message(f"{self._prefix}/{topic}", payload, qos=1, retain=True)

    def _told(
        self, topic: str, payload: Payload, story: str = "", last_words: Payload | None = None
    ) -> Message:
        return Message(
            f"{self._prefix}/{topic}",
            orjson.dumps(payload),
            qos=1,
            durable=True,
            story=f"{self._prefix}/{story}" if story else "",
            last_words=None if last_words is None else orjson.dumps(last_words),
        )
