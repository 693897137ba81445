"""The density bench at work: a number of cameras in front of a system, window after window."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigil.bench import usage
from vigil.bench.density import Density, Rules, Trial, Verdict, Window, doomed, judge, largest
from vigil.bench.footage import FPS, GOP
from vigil.bench.rtsp import Fault, FaultKind, RtspLabProcess
from vigil.errors import VigilError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vigil.bench.rtsp import LabStats
    from vigil.bench.scenes import Scene
    from vigil.bench.systems import Running, System

_LOOK_EVERY = 1.0
_LOOKS = 12
"""Looks at a window while it lasts: what the bench does takes from what it measures."""
_WINDOWS = 2
_LONGEST_START = 90.0
"""Seconds in which every camera must have had a result: some peers open cameras one after another."""
_CATCHING_UP = 2
"""Keyframe intervals within which a camera that slept is up to date: one kept, one that passes meanwhile."""
_DEAD, _STUTTERING = "dead", "stuttering"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a system is tried."""

    scene: Scene
    rules: Rules
    seconds: float = 60.0
    """Length of a window."""
    settle: float = 10.0
    """Seconds from every camera's first result to the first window."""
    faults: bool = True
    """Whether two more cameras are there, one dead and one stuttering, of which nothing is asked."""
    most: int = 64
    guess: int = 4


def rules_of(
    target: float, oldest_ms: float | None, *, gates: bool, scene: Scene, rests: bool = True
) -> Rules:
    """Return what is asked of a system; one that `gates` owes nothing while nobody is there.

    One that `rests`, decoding little meanwhile, may be late with the first frames of a stay.
    """
    always = all(end - start >= scene.seconds for start, end in scene.active)
    if always or not gates:
        return Rules(target, oldest_ms)
    return Rules(target, oldest_ms, only_active=True, wake=_CATCHING_UP * GOP / FPS if rests else 0.0)


async def density(system: System, plan: Plan, tick: Callable[[str], None]) -> Density:
    """Find how many cameras a system can take; `tick` hears what is being tried."""
    trials: list[Trial] = []

    async def passes(cameras: int) -> bool:
        def told(what: str) -> None:
            tick(f"{system.name}, {plan.scene.name}, {cameras} cameras: {what}")

        trials.append(await attempt(system, plan, cameras, told))
        return trials[-1].passed

    found = await largest(passes, plan.most, plan.guess)
    return Density(system.name, system.versions, found, tuple(trials))


async def attempt(system: System, plan: Plan, cameras: int, tick: Callable[[str], None]) -> Trial:
    """Try one number of cameras; a system that does not start, or ends, has failed."""
    async with RtspLabProcess() as lab:
        tick("starting")
        urls = await serve(lab, plan.scene, cameras)
        origins = {name: await lab.origin(f"/{name}") for name in urls}
        faulty = await serve_faulty(lab, plan.scene) if plan.faults else {}
        try:
            async with system.run({**urls, **faulty}) as running:
                return await _windows(running, lab, plan, origins, tick)
        except VigilError as error:
            return Trial(cameras, (Verdict.failed(str(error)),), 0.0, 0.0, 0.0)


async def serve(lab: RtspLabProcess, scene: Scene, cameras: int) -> dict[str, str]:
    """Serve so many cameras, each at a place of its own in the clip; returns their addresses."""
    return {
        f"cam{number}": await lab.add(f"/cam{number}", scene.clip, start="live", begin=scene.begin(number))
        for number in range(cameras)
    }


async def serve_faulty(lab: RtspLabProcess, scene: Scene) -> dict[str, str]:
    """Serve one camera that is switched off and one whose pictures come in bursts of a second."""
    dead = await lab.add(f"/{_DEAD}", scene.clip, start="live", own_port=True)
    await lab.fault(f"/{_DEAD}", Fault(FaultKind.REFUSE))
    stuttering = await lab.add(f"/{_STUTTERING}", scene.clip, start="live")
    await lab.fault(f"/{_STUTTERING}", Fault(FaultKind.BURST, seconds=1.0))
    return {_DEAD: dead, _STUTTERING: stuttering}


async def _windows(
    running: Running,
    lab: RtspLabProcess,
    plan: Plan,
    origins: Mapping[str, float],
    tick: Callable[[str], None],
) -> Trial:
    """Wait until all cameras are looked at, then judge window after window until one fails."""
    if problem := await _settled(running, plan, origins):
        return Trial(len(origins), (Verdict.failed(problem),), 0.0, 0.0, 0.0)
    verdicts: list[Verdict] = []
    started, cpu, stats, own = time.time(), running.cpu_seconds(), await lab.stats(), time.process_time()
    stolen = usage.stolen_seconds()
    while len(verdicts) < _WINDOWS and all(verdict.passed for verdict in verdicts):
        tick(f"window {len(verdicts) + 1} of {_WINDOWS}")
        now = time.time()
        verdicts.append(await _window(running, Window(now, now + plan.seconds, origins, plan.scene), plan))
    seconds = time.time() - started
    used = running.cpu_seconds() - cpu
    results = len(running.results(started))
    return Trial(
        len(origins),
        tuple(verdicts),
        1000 * used / max(1, results),
        used / seconds,
        _used(stats, await lab.stats()) / seconds,
        (time.process_time() - own) / seconds,
        (usage.stolen_seconds() - stolen) / seconds,
    )


async def _settled(running: Running, plan: Plan, origins: Mapping[str, float]) -> str:
    """Wait for a result of every camera and then a while; returns what went wrong instead."""
    started = time.time()
    missing = set(origins)
    while missing and time.time() - started < _LONGEST_START:
        await asyncio.sleep(_LOOK_EVERY)
        if why := running.ended():
            return why
        missing -= {each.camera for each in running.results(started)}
    if missing:
        return f"no result of {len(missing)} cameras within {_LONGEST_START:g} s"
    await asyncio.sleep(plan.settle)
    return ""


async def _window(running: Running, window: Window, plan: Plan) -> Verdict:
    """Watch one window; ends early where it cannot pass any more."""
    while (left := window.end - time.time()) > 0:
        await asyncio.sleep(min(plan.seconds / _LOOKS, left))
        if why := running.ended():
            return Verdict.failed(why)
        results = running.results(window.start)
        if camera := doomed(results, window, plan.rules, time.time()):
            until = Window(window.start, time.time(), window.origins, window.scene)
            verdict = judge(results, until, plan.rules)
            return (
                verdict
                if verdict.problem
                else Verdict.failed(f"{camera} cannot reach its target rate any more")
            )
    if plan.rules.only_active:
        await asyncio.sleep(plan.rules.patience)  # what was captured in the window may be on its way still
    return judge(running.results(window.start), window, plan.rules)


def _used(before: LabStats, after: LabStats) -> float:
    return after.cpu_seconds - before.cpu_seconds
