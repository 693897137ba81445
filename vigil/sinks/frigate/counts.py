"""How many of what are where, on the topics that Frigate has for it.

A zone's count is the sum over all cameras that have a zone of this name, for its topic names no camera.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from vigil.core.types import topic_label
from vigil.sinks.dialect import Message
from vigil.sinks.native import taken_back

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vigil.core.types import CameraIntroduced

log = logging.getLogger(__name__)


class Counts:
    """The counts of all cameras and their zones, as they were said last."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._known: dict[str, CameraIntroduced] = {}
        self._complained: set[str] = set()

    def get(self, camera: str) -> CameraIntroduced | None:
        """Return a camera as it stands."""
        return self._known.get(camera)

    def put(self, camera: str, now: CameraIntroduced | None) -> list[Message]:
        """Have a camera report this from now on, or nothing; return what that changes."""
        known = self._known.get(camera)
        zones = _changed(known.zones if known else {}, now.zones if now else {})
        if known is None or now is None:
            zones.add(camera)  # a zone that is called as this camera gives way to it, and comes back after it
        before = self._topics([camera], zones)
        if now is None:
            self._known.pop(camera, None)
        else:
            self._known[camera] = now
        after = self._topics([camera], zones)
        return [
            *(_count(topic, n) for topic, n in after.items() if before.get(topic) != n),
            *taken_back(topic for topic in before if topic not in after),
        ]

    def emptied(self) -> Iterator[Message]:
        """Return every count at 0."""
        zones = {zone for camera in self._known.values() for zone in camera.zones}
        yield from (_count(topic, 0) for topic in self._topics(self._known, zones))

    def _topics(self, cameras: Iterable[str], zones: Iterable[str]) -> dict[str, int]:
        """Return the counts of cameras and zones by topic."""
        found: dict[str, int] = {}
        for zone in zones:
            if zone not in self._known:
                found |= self._counted(zone, self._in_zone(zone))
            elif any(zone in camera.zones for camera in self._known.values()):
                self._complain(zone)
        for name in cameras:
            if (camera := self._known.get(name)) is not None:
                found |= self._counted(name, camera.counts)
        return found

    def _counted(self, place: str, counts: Mapping[str, int] | None) -> dict[str, int]:
        """Return the topics of one place: each label's, and that of all together."""
        if counts is None:
            return {}
        base = f"{self._prefix}/{place}"
        labels = {f"{base}/{topic_label(label)}": count for label, count in counts.items()}
        return {**labels, f"{base}/all": sum(counts.values())}

    def _in_zone(self, zone: str) -> dict[str, int] | None:
        """Return the counts in the zones of this name, `None` if there is none."""
        found: dict[str, int] | None = None
        for camera in self._known.values():
            if (counts := camera.zones.get(zone)) is not None:
                found = found or {}
                for label, count in counts.items():
                    found[label] = found.get(label, 0) + count
        return found

    def _complain(self, zone: str) -> None:
        if zone not in self._complained:
            self._complained.add(zone)
            log.warning("frigate: zone %s is called as a camera is; its counts are not said", zone)


def _changed(before: Mapping[str, Mapping[str, int]], after: Mapping[str, Mapping[str, int]]) -> set[str]:
    """Return the zones that are not the same in both."""
    if before is after:
        return set()
    return {zone for zone in {*before, *after} if before.get(zone) != after.get(zone)}


def _count(topic: str, count: int) -> Message:
    return Message(topic, str(count).encode(), qos=1, retain=True)
