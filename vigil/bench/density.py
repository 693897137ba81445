"""How many cameras fit: the rule of stream density, and the search for the largest number that passes it.

A number of cameras passes when, for two windows in a row, every camera gets 0.95 of its target rate, Jain's
index of what they get is 0.98, and 95 % of the results are not older than 250 ms or twice the engine's time.
The rule is the same for vigil and its peers; what it asks of each beyond that stands in `Rules`.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vigil.bench.figures import jain, percentile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from vigil.bench.scenes import Scene

_TARGET_SHARE = 0.95
_JAIN = 0.98
_OLDEST_MS = 250.0
_LEAST_OWED = 20.0
"""Results that a camera must be owed in a window for its share to mean anything: one alone fails nobody."""
_CUT = 1.0
"""Seconds at both ends of an activity in which counts of objects are not compared."""
_SAME_OBJECTS = 0.05
"""Share by which objects per result may differ: the systems look at different frames of the same clip."""


@dataclass(frozen=True, slots=True)
class Result:
    """One frame of one camera that was looked at: Unix seconds, and how many objects were found."""

    camera: str
    at: float
    """When whoever asked for it had it."""
    count: int
    captured_at: float | None = None
    """When its frame arrived; not everybody tells."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is asked of one system."""

    target: float
    """Results per second and camera."""
    oldest_ms: float | None = None
    """Age that 95 % of the results may have; `None`: any."""
    only_active: bool = False
    """Results are owed while somebody is there only: the system decides by itself what needs no look."""
    wake: float = 0.0
    """Seconds at the beginning of an activity whose frames are looked at late: their age is told apart."""

    @property
    def patience(self) -> float:
        """Seconds after its capture for which a result may be on its way."""
        return 2.0 + self.wake


@dataclass(frozen=True, slots=True)
class Window:
    """Some seconds of a run, in Unix time; `origins` says when each camera's clip began."""

    start: float
    end: float
    origins: Mapping[str, float]
    scene: Scene

    def active(self, camera: str, at: float) -> bool:
        """Tell whether somebody is in front of a camera."""
        return self.scene.is_active(at - self.origins[camera])

    def surely_active(self, camera: str, at: float) -> bool:
        """Tell the same, away from the ends of the activity."""
        return all(self.active(camera, at + shift) for shift in (-_CUT, 0.0, _CUT))

    def owed(self, camera: str, rules: Rules, until: float | None = None) -> float:
        """Return how many results a camera is to get in this window, or until a time in it."""
        end = self.end if until is None else until
        if not rules.only_active:
            return rules.target * (end - self.start)
        origin = self.origins[camera]
        # Looks come at even intervals, so a stay shows a whole number of them.
        stays = self.scene.stays(self.start - origin, end - origin)
        return sum(math.floor(rules.target * seconds) for seconds in stays)


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a window went; `problem` is empty where it passed."""

    problem: str
    lowest_share: float
    jain: float
    p95_ms: float
    wake_p95_ms: float
    all_p95_ms: float
    """Of all results, fresh or looked at late."""
    results: int
    objects: float
    """Objects per result while somebody was there; not a number where nobody was."""

    @classmethod
    def failed(cls, problem: str) -> Verdict:
        """Return the verdict on a window that did not take place."""
        nothing = math.nan
        return cls(problem, 0.0, nothing, nothing, nothing, nothing, 0, nothing)

    @property
    def passed(self) -> bool:
        """Whether the rule holds."""
        return not self.problem


def judge(results: Sequence[Result], window: Window, rules: Rules) -> Verdict:
    """Hold a window's results against the rule."""
    counted = [each for each in results if _belongs(each, window, rules)]
    shares = _shares(counted, window, rules)
    fairness = jain(list(shares.values()))
    ages, late = _ages(counted, window, rules)
    p95 = percentile(ages, 95)
    sure = [each.count for each in counted if window.surely_active(each.camera, _moment(each))]
    return Verdict(
        _problem(shares, fairness, p95, rules),
        min(shares.values(), default=1.0),
        fairness,
        p95,
        percentile(late, 95),
        percentile([*ages, *late], 95),
        len(counted),
        sum(sure) / len(sure) if sure else math.nan,
    )


def doomed(results: Sequence[Result], window: Window, rules: Rules, now: float) -> str:
    """Return which camera cannot pass any more, whatever comes in the rest of the window; empty if none."""
    got = Counter(each.camera for each in results if _belongs(each, window, rules))
    for camera in window.origins:
        owed = window.owed(camera, rules)
        missed = window.owed(camera, rules, until=now) - got[camera]
        # Results that are on their way are no loss yet.
        if owed >= _LEAST_OWED and missed > (1 - _TARGET_SHARE) * owed + rules.patience * rules.target:
            return camera
    return ""


async def largest(passes: Callable[[int], Awaitable[bool]], most: int, guess: int = 1) -> int:
    """Return the largest number from 0 to `most` that passes, if all smaller ones do too.

    Doubles from `guess` until one fails, then halves the gap; no number is tried twice.
    """
    good, bad, trial = 0, most + 1, max(1, min(guess, most))
    while bad - good > 1:
        if await passes(trial):
            good = trial
        else:
            bad = trial
        doubled = 2 * good if good and bad > most else (good + bad) // 2
        trial = max(good + 1, min(doubled, bad - 1))
    return good


@dataclass(frozen=True, slots=True)
class Trial:
    """One number of cameras, tried: both windows, or as many as there were until one failed."""

    cameras: int
    verdicts: tuple[Verdict, ...]
    cpu_ms_per_result: float
    """CPU time of the system under test, per result."""
    cores: float
    """Cores that the system used, on the average."""
    server_cores: float
    """Cores that the server of the cameras used."""
    bench_cores: float = 0.0
    """Cores that the bench itself used, to hear and to count."""
    stolen_cores: float = 0.0
    """Cores that the machine's host gave to others instead: much of it, and the trial says little."""

    @property
    def objects(self) -> float:
        """Objects per result while somebody was there, over all windows in which somebody was."""
        told = [verdict.objects for verdict in self.verdicts if not math.isnan(verdict.objects)]
        return statistics.fmean(told) if told else math.nan

    @property
    def passed(self) -> bool:
        """Whether all windows did."""
        return bool(self.verdicts) and all(verdict.passed for verdict in self.verdicts)


@dataclass(frozen=True, slots=True)
class Density:
    """What was found for one system: the largest number that passed, and all trials."""

    system: str
    versions: Mapping[str, str]
    cameras: int
    trials: tuple[Trial, ...] = field(repr=False)

    @property
    def best(self) -> Trial | None:
        """The trial of the largest number that passed."""
        return next((trial for trial in self.trials if trial.cameras == self.cameras and trial.passed), None)

    def without_server(self, cores: int) -> float:
        """Return the number that would fit if the server's cores were free too, in proportion."""
        best = self.best
        return self.cameras * cores / (cores - best.server_cores) if best else 0.0


def ratio(vigil: Density, peer: Density) -> float | None:
    """Return how many times as many cameras vigil takes; nothing where the peer takes none."""
    return round(vigil.cameras / peer.cameras, 2) if peer.cameras else None


def same_objects(vigil: Density, peer: Density) -> bool | None:
    """Tell whether both found as many objects per result; nothing where one passed without seeing any."""
    if vigil.best is None or peer.best is None:
        return None
    ours, theirs = vigil.best.objects, peer.best.objects
    if math.isnan(ours) or math.isnan(theirs):
        return None
    return abs(ours - theirs) <= _SAME_OBJECTS * max(ours, theirs)


def oldest_ms(engine_ms: float) -> float:
    """Return the age that 95 % of the results may have: 250 ms, or twice the engine's time if longer."""
    return max(_OLDEST_MS, 2 * engine_ms)


def _belongs(result: Result, window: Window, rules: Rules) -> bool:
    """Whether a result counts: it came in the window, and where only activity counts, it shows some."""
    moment = _moment(result)
    if result.camera not in window.origins:
        return False
    if not rules.only_active:
        return window.start <= result.at < window.end
    return window.start <= moment < window.end and window.active(result.camera, moment)


def _moment(result: Result) -> float:
    return result.at if result.captured_at is None else result.captured_at


def _shares(results: Sequence[Result], window: Window, rules: Rules) -> dict[str, float]:
    """Return the part that each camera got of what it was owed; those that were owed little are left out."""
    owed = {camera: window.owed(camera, rules) for camera in window.origins}
    got = dict.fromkeys(owed, 0)
    for each in results:
        got[each.camera] += 1
    return {camera: got[camera] / due for camera, due in owed.items() if due >= _LEAST_OWED}


def _ages(results: Sequence[Result], window: Window, rules: Rules) -> tuple[list[float], list[float]]:
    """Return ages in milliseconds: of results that are to be fresh, and of those right after a wake-up."""
    fresh: list[float] = []
    late: list[float] = []
    for each in results:
        if each.captured_at is None:
            continue
        woke = rules.wake > 0 and not window.active(each.camera, each.captured_at - rules.wake)
        (late if woke else fresh).append(1000 * (each.at - each.captured_at))
    return fresh, late


def _problem(shares: Mapping[str, float], fairness: float, p95: float, rules: Rules) -> str:
    worst = min(shares, key=lambda camera: shares[camera], default="")
    if worst and shares[worst] < _TARGET_SHARE:
        return f"{worst} got {shares[worst]:.2f} of its target rate"
    if fairness < _JAIN:
        return f"Jain's index is {fairness:.3f}"
    if rules.oldest_ms is not None and p95 > rules.oldest_ms:
        return f"95 % of the results are up to {p95:.0f} ms old, more than {rules.oldest_ms:.0f}"
    return ""
