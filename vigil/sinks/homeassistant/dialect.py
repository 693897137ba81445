"""What Home Assistant is told: which devices and entities there are, and which are there no more.

The values come from vigil's own topics; nothing is said twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vigil.core.types import (
    CameraGone,
    CameraIntroduced,
    ProfileChanged,
    Result,
)
from vigil.sinks.dialect import SayAgain
from vigil.sinks.homeassistant import entities
from vigil.sinks.homeassistant.discovery import Device, as_device, as_entities
from vigil.sinks.native import taken_back

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, MutableMapping, Sequence

    from vigil.config.integrations import HomeAssistantConfig
    from vigil.core.types import BusMessage
    from vigil.sinks.dialect import Message
    from vigil.sinks.homeassistant.discovery import Announcement
    from vigil.sinks.homeassistant.entities import Entity


@dataclass(frozen=True, slots=True)
class Told:
    """What a discovery topic has announced: a device's entities, their platforms by key."""

    device: str
    platforms: Mapping[str, str]


@dataclass(slots=True)
class _Camera:
    """A camera as it is announced, and the latest that was seen of it."""

    known: CameraIntroduced
    device: Device
    seen: set[str] = field(default_factory=set)
    """Keys of entities that exist only because something was seen."""


class HomeAssistant:
    """Announces vigil and its cameras."""

    def __init__(
        self,
        settings: HomeAssistantConfig,
        prefix: str,
        cameras: Collection[str],
        told: MutableMapping[str, Told],
    ) -> None:
        """`prefix` is that of vigil's topics, `cameras` all that the configuration has.

        `told` is what was announced earlier, by topic; it is kept up to date for next time.
        """
        self._settings = settings
        self._prefix = prefix
        self._told = told
        self._daemon = Device(prefix)
        self._cameras: dict[str, _Camera] = {}
        self._expected = {self._daemon.id, *(Device(prefix, camera).id for camera in cameras)}
        self._before = _platforms(told)
        """What each device had when it was last announced, whatever the mode."""
        self._gone: dict[str, dict[str, str]] = {}

    @property
    def listens(self) -> Sequence[str]:
        """The topic on which Home Assistant says that it has started."""
        return [self._birth] if self._settings.discovery else []

    def opening(self) -> Iterable[Message]:
        """Take back what is announced no more, or in another way from now on.

        First: Home Assistant refuses an entity that it knows from another topic.
        """
        stale = [topic for topic, told in self._told.items() if not self._stays(topic, told)]
        return list(self._forget(stale))

    def take(self, message: BusMessage) -> Iterable[Message]:
        """Return announcements of what something that happened brings or ends."""
        if not self._settings.discovery:
            return ()
        match message:
            case Result():
                return self._counted(message)
            case CameraIntroduced():
                return self._introduced(message)
            case CameraGone(camera):
                return self._removed(camera)
            case ProfileChanged(_, profiles):
                found = entities.of_daemon(self._prefix, profiles)
                return list(self._announce(self._daemon, found))
            case _:
                return ()

    def frame(self, result: Result) -> Iterable[Message]:
        """Say nothing of single frames."""
        _ = result
        return ()

    def hear(self, topic: str, payload: bytes) -> SayAgain | None:
        """Have all be said again when Home Assistant has started."""
        return SayAgain() if topic == self._birth and payload == b"online" else None

    def goodbye(self) -> Iterable[Message]:
        """Leave everything announced: availability says that vigil is away."""
        return ()

    @property
    def _birth(self) -> str:
        return f"{self._settings.discovery_prefix}/status"

    def _stays(self, topic: str, told: Told) -> bool:
        """Tell whether an earlier announcement is one of this mode and prefix, of a device that there is."""
        if not self._settings.discovery or told.device not in self._expected:
            return False
        if self._settings.mode == "device":
            return topic == f"{self._settings.discovery_prefix}/device/{told.device}/config"
        parts = topic.removeprefix(f"{self._settings.discovery_prefix}/").split("/")
        return len(parts) == len(("platform", "node", "object", "config"))

    def _introduced(self, camera: CameraIntroduced) -> list[Message]:
        about = self._cameras.get(camera.camera)
        if about is None:
            device = Device(self._prefix, camera.camera)
            about = _Camera(camera, device, set(self._before.get(device.id, ())))
            self._cameras[camera.camera] = about
        about.known = camera
        about.seen.update(entities.newly_seen(camera))
        return list(self._announce_camera(about))

    def _announce_camera(self, about: _Camera) -> Iterable[Message]:
        found = entities.of_camera(self._prefix, about.known, about.seen, live=self._settings.live_images)
        return self._announce(about.device, found)

    def _counted(self, result: Result) -> Iterable[Message]:
        """Announce what is seen for the first time; what a result left alone is the very same object."""
        about = self._cameras.get(result.camera)
        if about is None:
            return ()
        known = about.known
        if (
            result.counts is known.counts and result.zones is known.zones and result.totals is known.totals
        ) or not known.fits(result):
            return ()
        about.known = known.with_counts_of(result)
        keys = set(entities.newly_seen(about.known))
        if keys <= about.seen:
            return ()
        about.seen |= keys
        return list(self._announce_camera(about))

    def _announce(self, device: Device, found: Mapping[str, Entity]) -> Iterator[Message]:
        """Say what a device has now, and that it has no more what it had."""
        announced = self._form(device, found)
        topics = {each.message.topic for each in announced}
        yield from self._forget(
            [topic for topic, told in self._told.items() if told.device == device.id and topic not in topics]
        )
        for each in announced:
            self._told[each.message.topic] = Told(device.id, each.platforms)
            yield each.message

    def _form(self, device: Device, found: Mapping[str, Entity]) -> list[Announcement]:
        if self._settings.mode == "entity":
            return as_entities(self._settings.discovery_prefix, device, found)
        had = self._gone.setdefault(device.id, dict(self._before.get(device.id, {})))
        gone = {key: platform for key, platform in had.items() if key not in found}
        # Until vigil starts again, so that a Home Assistant that is away for a while hears of it too.
        had |= {key: entity.platform for key, entity in found.items()}
        return as_device(self._settings.discovery_prefix, device, found, gone)

    def _removed(self, camera: str) -> list[Message]:
        about = self._cameras.pop(camera, None)
        if about is None:
            return []
        device = about.device.id
        self._gone.pop(device, None)
        self._before.pop(device, None)
        return list(self._forget([topic for topic, told in self._told.items() if told.device == device]))

    def _forget(self, topics: Iterable[str]) -> Iterator[Message]:
        """Take announcements back; an empty one removes an entity, or a whole device."""
        for topic in topics:
            self._told.pop(topic)
            yield from taken_back([topic])


def _platforms(told: Mapping[str, Told]) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for each in told.values():
        found.setdefault(each.device, {}).update(each.platforms)
    return found
