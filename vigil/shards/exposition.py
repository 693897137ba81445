"""One Prometheus exposition out of several processes', as if there were but one.

A camera's series come from the process that watches it. What is counted for a process as a whole is summed,
what a process that died had counted included, so that no counter falls; the fullest engine is the one that is
told of. Works on lines: their values are read only where they are summed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

_CAMERA = '{camera="'
_FRONTS_OWN = frozenset(
    {
        "vigil_capture_to_publish_seconds",  # the front publishes
        "python_info",
        "process_start_time_seconds",
        "process_max_fds",
    }
)
_GREATEST = frozenset({"vigil_saturation_ratio"})
_COUNTED = frozenset({"counter", "histogram"})


@dataclass(slots=True)
class Family:
    """All series of a name: what is said of it, and values by series, as text."""

    name: str
    kind: str = "untyped"
    about: list[str] = field(default_factory=list)
    series: dict[str, str] = field(default_factory=dict)

    @property
    def of_cameras(self) -> bool:
        """Whether each series is a camera's."""
        return any(_CAMERA in series for series in self.series)


def families(text: str) -> dict[str, Family]:
    """Return the families of an exposition by name, in its order."""
    found: dict[str, Family] = {}
    family = Family("")
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name = line.split(" ", 3)[2]
            family = found[name] = Family(name, about=[line])
        elif line.startswith("# TYPE "):
            family.kind = line.rsplit(" ", 1)[1]
            family.about.append(line)
        elif line:
            series, _, value = line.rpartition(" ")
            family.series[series] = value
    return found


class Merger:
    """Merges expositions again and again; remembers what processes that are away, or dead, had counted."""

    def __init__(self) -> None:
        self._last: dict[tuple[int, str], dict[str, float]] = {}
        """Counters by shard and family as they were told last."""
        self._dead: dict[tuple[int, str], dict[str, float]] = {}
        """The same of processes that the shard had before, in all."""

    def died(self, shard: int) -> None:
        """Hear that a process is gone: its counters begin anew."""
        for key in [key for key in self._last if key[0] == shard]:
            kept = self._dead.get(key, {})
            self._dead[key] = _combined(sum, [kept, self._last.pop(key)])

    def merge(self, front: str, shards: Mapping[int, str], away: Collection[str]) -> str:
        """Return one exposition of the front's and those of the shards that answered.

        `away` are the cameras that no shard tells of: theirs are the front's.
        """
        merged, others = families(front), {shard: families(text) for shard, text in shards.items()}
        names = [*merged, *(name for found in others.values() for name in found)]
        for name in dict.fromkeys(names):
            theirs = {shard: found[name] for shard, found in others.items() if name in found}
            if name not in _FRONTS_OWN:
                merged[name] = self._one(merged.get(name), theirs, away)
        return "".join(_lines(merged.values()))

    def _one(self, front: Family | None, shards: Mapping[int, Family], away: Collection[str]) -> Family:
        told = [*([] if front is None else [front]), *shards.values()]
        family = Family(told[0].name, told[0].kind, told[0].about)
        if any(each.of_cameras for each in told):
            family.series = _of_cameras({} if front is None else front.series, away)
            for each in shards.values():
                family.series |= each.series
            return family
        values = [_numbers(each.series) for each in told]
        if family.kind in _COUNTED:
            for shard, each in shards.items():
                self._last[shard, family.name] = _numbers(each.series)
            # A shard that does not answer now has counted what it had when it did.
            values += [
                counted
                for (shard, name), counted in self._last.items()
                if name == family.name and shard not in shards
            ]
            values += [counted for (_, name), counted in self._dead.items() if name == family.name]
        numbers = _combined(max if family.name in _GREATEST else sum, values)
        family.series = {series: repr(value) for series, value in numbers.items()}
        return family


def _of_cameras(series: Mapping[str, str], cameras: Collection[str]) -> dict[str, str]:
    """Return the series of these cameras."""
    marks = tuple(f'{_CAMERA}{camera}"' for camera in cameras)
    return {name: value for name, value in series.items() if name[name.find("{") :].startswith(marks)}


def _numbers(series: Mapping[str, str]) -> dict[str, float]:
    return {name: float(value) for name, value in series.items()}


def _combined(
    combine: Callable[[Iterable[float]], float], values: Sequence[Mapping[str, float]]
) -> dict[str, float]:
    """Return each series' values combined, in the order in which they come first."""
    names = dict.fromkeys(name for each in values for name in each)
    return {name: float(combine(each[name] for each in values if name in each)) for name in names}


def _lines(found: Iterable[Family]) -> Iterator[str]:
    for family in found:
        yield from (f"{line}\n" for line in family.about)
        yield from (f"{series} {value}\n" for series, value in family.series.items())
