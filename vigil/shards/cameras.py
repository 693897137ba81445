"""All cameras in other processes: for the front what `vigil.supervisor.Supervisor` is for those in its own.

What must outlive a shard is held here: what people set, the totals of lines, open events, and how each camera
is. So a shard that is started again goes on where the last one ended, and whoever asks gets an answer
meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import asdict, replace
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING

from vigil.aio.tasks import keep_running
from vigil.config.tuning import Wanted
from vigil.core.settings import ENABLED
from vigil.core.types import (
    Action,
    CameraGone,
    CameraHealth,
    CameraState,
    CameraStats,
    CameraView,
    Detections,
    SettingCommand,
)
from vigil.shards.exposition import Merger
from vigil.shards.known import CRASHED, Known
from vigil.shards.shard import BACKOFF, Shard, ShardDownError, spawn
from vigil.shards.split import assign, gpus, subset, visible_device, with_models_of
from vigil.shards.wire import Detect, Expose, Orders, Picture, Show
from vigil.supervisor import camera_filters, model_confidence
from vigil.unit import quantile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from vigil.aio.bus import Bus
    from vigil.analytics.filters import ClassFilter
    from vigil.config.diff import Changes
    from vigil.config.model import Config
    from vigil.core.events import Totals
    from vigil.core.settings import Held
    from vigil.core.types import BusMessage, CameraCommand, Image, Loaded, Model
    from vigil.launch import Setup
    from vigil.metrics import Metrics
    from vigil.shards.channel import Channel
    from vigil.shards.shard import Process
    from vigil.shards.wire import Question

log = logging.getLogger(__name__)

_PATIENCE = 5.0
"""Seconds that a shard gets for an answer that somebody waits for."""
_NOTHING = CameraStats(0.0, 0.0, 0.0, None, None, "", 0, 0)


class Shards:
    """Starts every shard, keeps it alive, and knows which camera is whose."""

    def __init__(
        self,
        setup: Setup,
        config: Config,
        number: int,
        bus: Bus[BusMessage],
        metrics: Metrics,
        totals: Mapping[str, Totals],
        held: Mapping[str, Mapping[str, Held]],
        start_process: Callable[[Mapping[str, str]], Awaitable[tuple[Process, Channel]]] = spawn,
    ) -> None:
        """`config` is what is in force, which a profile may have made of the file's.

        Lines count on from `totals`, by camera; `held` is what was set earlier.
        """
        self._setup = setup
        self._config = config
        self._bus = bus
        self._metrics = metrics
        self._known = Known(totals)
        self._merger = Merger()
        self._busy = asyncio.Lock()
        self._group: asyncio.TaskGroup | None = None
        self._wanted: dict[str, Wanted] = {}
        for name, camera in config.cameras.items():
            wanted = Wanted(camera, model_confidence(camera, config))
            self._wanted[name] = wanted.keeping(held.get(name, {}))
            metrics.add_camera(name)
        self._homes = assign(config.cameras, number, {})
        self._shards = [
            Shard(each, self, partial(start_process, self._environ(each, number))) for each in range(number)
        ]
        self._turns = cycle(self._shards)
        self.loaded: Mapping[str, Loaded] = {}
        """What people are told of each model."""
        self.models: Mapping[str, Model] = {}

    async def start(self) -> None:
        """Start every process and wait until its models are loaded; raises `CannotStartError`."""
        first, *others = self._shards
        # Alone, so that what is measured or built at the first start is there for the others.
        ready = await first.start()
        self.loaded, self.models = ready.loaded, ready.models
        async with asyncio.TaskGroup() as group:
            for shard in others:
                group.create_task(shard.start(), name=f"shard-{shard.number}-start")

    async def run(self) -> None:
        """Have every camera watched until cancelled; then every process ends in order."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for shard in self._shards:
                running = keep_running(
                    shard.run_once,
                    name=f"shard-{shard.number}",
                    backoff=BACKOFF,
                    on_failure=partial(self._failed, shard),
                )
                group.create_task(running, name=f"shard-{shard.number}")
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                self._group = None

    async def end(self) -> None:
        """End by force whatever process is left."""
        await asyncio.gather(*(shard.end() for shard in self._shards))

    # What the front's other parts ask, as they would ask a `Supervisor`.

    def filters(self, config: Config) -> Mapping[str, ClassFilter]:
        """Return each camera's filter; raises `CannotStartError` for a class or a model that is not known."""
        return camera_filters(config, self.models.__getitem__)

    async def apply(self, config: Config, changes: Changes) -> None:
        """Make the cameras what `config` says; raises as `filters` does, and has touched nothing then."""
        self.filters(config)
        async with self._busy:
            self._take_over(config, changes)
            waiting = [shard.catch_up(self._part(shard.number)) for shard in self._shards]
            answers = [each for each in waiting if each is not None]
            for error in await asyncio.gather(*answers, return_exceptions=True):
                if isinstance(error, ShardDownError):
                    log.warning("%s: it goes by the new configuration when it is back", error)
                elif isinstance(error, BaseException):
                    raise error
            for name in changes.removed:
                self._metrics.remove_camera(name)

    async def command(self, command: CameraCommand | SettingCommand) -> None:
        """Do what somebody asked of a camera; raises `KeyError` for a camera that is not there."""
        async with self._busy:
            wanted = self._wanted[command.camera]
            self._wanted[command.camera] = _after(wanted, command)
            if not await self._home(command.camera).perform(command, _PATIENCE):
                self._foretell(command.camera)

    def request(self, command: CameraCommand | SettingCommand) -> None:
        """Do what was asked as soon as possible; a camera that is not there is ignored."""
        if self._group is not None and command.camera in self._wanted:
            self._group.create_task(self._obey(command), name=f"command-{command.camera}")

    def announce(self) -> None:
        """Tell the bus of every camera and how it is."""
        self._bus.publish(list(self._known.all(self._config.cameras)))

    def totals(self) -> dict[str, Totals]:
        """Return the crossings of every camera's lines, for whoever keeps them."""
        return self._known.totals()

    def held(self) -> dict[str, Mapping[str, Held]]:
        """Return what is set of every camera instead of what its configuration says, for whoever keeps it."""
        return {name: wanted.held for name, wanted in self._wanted.items() if wanted.held}

    @property
    def saturation(self) -> float:
        """Engine time that cameras ask for over what there is, where that is most."""
        return max((shard.pulse.saturation for shard in self._shards if shard.pulse), default=0.0)

    def stats(self) -> dict[str, CameraStats]:
        """Return how every camera did; its latencies are those since this was asked last."""
        told = {
            name: each for shard in self._shards if shard.pulse for name, each in shard.pulse.stats.items()
        }
        return {name: self._timed(name, told.get(name, _NOTHING)) for name in self._config.cameras}

    # What the web asks.

    def trouble(self) -> str:
        """Return what is wrong with which shards; empty when all is well."""
        return "; ".join(
            f"shard {shard.number} ({', '.join(self._cameras_of(shard.number))}) {shard.trouble}"
            for shard in self._shards
            if shard.trouble
        )

    def moving(self) -> bool:
        """Tell whether any shard does its work: the others are being seen to."""
        return any(not shard.trouble for shard in self._shards)

    async def views(self) -> list[CameraView]:
        """Return what people are shown of every camera."""
        answers = await self._ask_all(Show())
        views = {
            view.name: view for answer in answers.values() if isinstance(answer, list) for view in answer
        }
        return [views.get(name) or self._away(name) for name in self._config.cameras]

    async def picture(self, camera: str) -> bytes | None:
        """Return a JPEG of what a camera saw last; raises `KeyError` if unknown."""
        try:
            answer = await self._home(camera).ask(Picture(camera), _PATIENCE)
        except ShardDownError:
            return None
        assert answer is None or isinstance(answer, bytes)  # noqa: S101 -- what is answered to this
        return answer

    async def expose(self) -> bytes:
        """Return one Prometheus exposition for all processes."""
        answers = await self._ask_all(Expose())
        texts = {shard: text.decode() for shard, text in answers.items() if isinstance(text, bytes)}
        away = [name for name, shard in self._homes.items() if shard not in texts]
        own = (await self._metrics.exposition()).decode()
        return self._merger.merge(own, texts, away).encode()

    async def detect(self, image: Image, confidence: float) -> Detections:
        """Find objects in a picture, on the shards in turn; raises `RetryableError` if none can."""
        found = next((each for each in (next(self._turns) for _ in self._shards) if not each.trouble), None)
        if found is None:
            raise ShardDownError("no shard can look at it now")
        answer = await found.ask(Detect(image, confidence))
        assert isinstance(answer, Detections)  # noqa: S101 -- what is answered to this
        return answer

    # What shards say: `vigil.shards.shard.Listener`.

    def orders(self, shard: int) -> Orders:
        """Return what a shard is to watch now."""
        names = self._cameras_of(shard)
        totals, held = self._known.totals(), self.held()
        return Orders(
            self._part(shard),
            self._setup.weights,
            {name: totals[name] for name in names if name in totals},
            {name: held[name] for name in names if name in held},
            shard,
            len(self._shards),
            self._setup.open_services,
        )

    def told(self, shard: int, messages: Sequence[BusMessage]) -> None:
        """Take what happened."""
        del shard
        self._known.take(messages)
        for message in messages:
            if isinstance(message, CameraHealth) and (series := self._metrics.camera(message.camera)):
                series.health(message)
        self._bus.publish(messages)

    def lost(self, shard: int) -> None:
        """Hear that a shard is dead: none of its cameras is watched until it is back."""
        self._merger.died(shard)
        self.told(shard, self._known.crashed(self._cameras_of(shard)))

    def _failed(self, shard: Shard, error: Exception, wait: float) -> None:
        names = ", ".join(self._cameras_of(shard.number)) or "no camera"
        log.error("%s: nobody watches %s; starting it again in %.1f s", error, names, wait)

    def _take_over(self, config: Config, changes: Changes) -> None:
        """Note what changes, and say of cameras whose shard is away that they are gone."""
        for name in changes.removed:
            if not self._home(name).up:
                self.told(self._homes[name], [CameraGone(name)])
            del self._homes[name], self._wanted[name]
        for name in (*changes.recaptured, *changes.retuned):
            camera = config.cameras[name]
            self._wanted[name] = self._wanted[name].over(camera, model_confidence(camera, config))
            if name in changes.recaptured:
                self._wanted[name] = self._wanted[name].without(ENABLED)
        for name in changes.added:
            camera = config.cameras[name]
            self._wanted[name] = Wanted(camera, model_confidence(camera, config))
            self._metrics.add_camera(name)
        self._config = config
        self._homes = assign(config.cameras, len(self._shards), self._homes)

    async def _obey(self, command: CameraCommand | SettingCommand) -> None:
        try:
            await self.command(command)
        except KeyError:
            log.warning("%s: is gone before it could do as it was told", command.camera)

    def _foretell(self, camera: str) -> None:
        """Say how a camera whose shard is away will be when it is back."""
        wanted, health = self._wanted[camera], self._known.health(camera)
        enabled = wanted.camera.enabled
        if not enabled:
            health = CameraHealth(camera, CameraState.DISABLED)
        elif health.state is CameraState.DISABLED:
            health = CameraHealth(camera, CameraState.OFFLINE, CRASHED)
        introduced = replace(self._known.introduced(camera), tuning=wanted.tuning)
        self.told(self._homes[camera], [introduced, health])

    async def _ask_all(self, question: Question) -> dict[int, object]:
        """Return the answers of those shards that give one in time."""
        asked = [(shard.number, shard.ask(question, _PATIENCE)) for shard in self._shards if shard.up]
        answers = await asyncio.gather(*(each for _, each in asked), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException) and not isinstance(answer, ShardDownError):
                raise answer
        return {number: answer for (number, _), answer in zip(asked, answers, strict=True)}

    def _away(self, name: str) -> CameraView:
        """Return what is shown of a camera that no shard tells of."""
        wanted, health = self._wanted[name], self._known.health(name)
        return CameraView(
            name,
            wanted.camera.redacted_url,
            health.status,
            health.state,
            health.reason,
            health.condition,
            None,
            0.0,
            0.0,
            wanted.tuning.fps if wanted.tuning.detect else 0.0,
            motion=False,
            quiet=False,
            decoding="full",
            counts=dict(self._known.introduced(name).counts),
            settings={ENABLED: wanted.camera.enabled, **asdict(wanted.tuning)},
        )

    def _timed(self, name: str, stats: CameraStats) -> CameraStats:
        """Return a camera's stats with the latencies until the front published."""
        series = self._metrics.camera(name)
        latencies = [] if series is None else sorted(series.take_latencies())
        return replace(stats, latency_p50=quantile(latencies, 0.5), latency_p95=quantile(latencies, 0.95))

    def _home(self, camera: str) -> Shard:
        return self._shards[self._homes[camera]]

    def _cameras_of(self, shard: int) -> list[str]:
        return [name for name in self._config.cameras if self._homes.get(name) == shard]

    def _part(self, shard: int) -> Config:
        config = with_models_of(self._setup.config, self._config)
        return subset(config, self._cameras_of(shard))

    def _environ(self, shard: int, shards: int) -> Mapping[str, str]:
        """Return what a shard's environment has beside this process's: the GPU that is its own."""
        models = [self._config.model, *self._config.models.values()]
        device = visible_device([each.device for each in models], shard, gpus(self._setup.environ))
        return {} if device is None or shards == 1 else {"CUDA_VISIBLE_DEVICES": device}


def _after(wanted: Wanted, command: CameraCommand | SettingCommand) -> Wanted:
    """Return what is wanted of a camera after a command, as its supervisor sees it."""
    if isinstance(command, SettingCommand):
        return wanted.holding(command.setting, command.value)
    return wanted.holding(ENABLED, command.action is not Action.DISABLE)
