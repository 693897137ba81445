"""One shard as its front sees it: a process that is started, asked, and started again when it dies."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Protocol

from vigil.aio.tasks import Backoff
from vigil.core.settings import ENABLED
from vigil.core.types import SettingCommand
from vigil.errors import CannotStartError, RetryableError
from vigil.shards.channel import Channel, ClosedError
from vigil.shards.wire import (
    Answer,
    Apply,
    Asked,
    Decoder,
    Failed,
    Go,
    Orders,
    Perform,
    Pulse,
    Ready,
    Stop,
    Told,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from vigil.config.model import Config
    from vigil.core.types import BusMessage, CameraCommand
    from vigil.shards.wire import Question

log = logging.getLogger(__name__)

BACKOFF = Backoff(first=1.0, longest=30.0)
_STOP = 6.0
"""Seconds that a shard gets to end in order, of the ten that vigil promises."""
_MOST_ASKED = 100
"""Questions that wait for one shard's answers."""
_SILENT = 10.0
"""Seconds without a pulse that are trouble."""
_PATIENCE = 30.0
"""Seconds after which a silent shard is ended, as systemd does with a vigil that is stuck.

One whose inference is stuck gets what one inference may take besides, after which it helps itself.
"""
_LOOK = 1.0
_PASSED_ON = {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}
"""What systemd tells the front alone."""


class ShardDownError(RetryableError):
    """The shard's process is not there, or not yet again."""

    reason = "shard"


class Process(Protocol):
    """What is known of a child process."""

    @property
    def pid(self) -> int:
        """Its id."""

    @property
    def returncode(self) -> int | None:
        """Its exit status, negative for a signal, `None` while it runs."""

    def kill(self) -> None:
        """End it at once."""

    async def wait(self) -> int:
        """Wait for its end."""


class Listener(Protocol):
    """Hears what a shard has to say."""

    def orders(self, shard: int) -> Orders:
        """Return what the shard is to watch now."""

    def told(self, shard: int, messages: Sequence[BusMessage]) -> None:
        """Take what happened."""

    def lost(self, shard: int) -> None:
        """Hear that the shard is dead: none of its cameras is watched until it is back."""


async def spawn(environ: Mapping[str, str] | None) -> tuple[Process, Channel]:
    """Start a shard's process; `environ` is added to this one's environment."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "vigil.shards.child", str(theirs.fileno())),
            env={
                **{key: value for key, value in os.environ.items() if key not in _PASSED_ON},
                **(environ or {}),
            },
            stdin=asyncio.subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            # A Ctrl-C in the terminal is for the front.
            start_new_session=True,
        )
    return process, await Channel.over(ours)


@dataclass(slots=True, eq=False)
class _Run:
    """A process from its start to its end."""

    process: Process
    channel: Channel
    ready: Ready
    decoder: Decoder
    config: Config
    """What it goes by."""
    pulse: Pulse | None = None
    heard_at: float = 0.0
    well_at: float = 0.0
    asked: dict[int, asyncio.Future[object]] = field(default_factory=dict)


class Shard:
    """Keeps one process: `start`, then `run_once` until it dies, again and again."""

    def __init__(
        self,
        number: int,
        listener: Listener,
        start_process: Callable[[], Awaitable[tuple[Process, Channel]]],
    ) -> None:
        self.number = number
        self.why = ""
        """Why the process is not there; empty while it is."""
        self._listener = listener
        self._start_process = start_process
        self._numbers = count()
        self._missed: dict[tuple[str, str], Perform] = {}
        """Commands of while it was starting, after its orders: the latest of each kind."""
        self._run: _Run | None = None
        self._going = False

    @property
    def up(self) -> bool:
        """Whether it watches its cameras."""
        return self._run is not None and self._going

    @property
    def pid(self) -> int:
        """The process's id; 0 while there is none."""
        return 0 if self._run is None else self._run.process.pid

    @property
    def pulse(self) -> Pulse | None:
        """What it said last of how it is, `None` while it is down."""
        return None if self._run is None else self._run.pulse

    @property
    def trouble(self) -> str:
        """Why it does not do its work; empty when it does."""
        run = self._run
        if run is None or not self._going:
            return self.why or "is starting"
        silent = asyncio.get_running_loop().time() - run.heard_at
        if silent > _SILENT:
            return f"has been silent for {silent:.0f} s"
        return "" if run.pulse is None else run.pulse.trouble

    async def start(self) -> Ready:
        """Start the process and wait until its models are loaded; raises `CannotStartError`."""
        orders = self._listener.orders(self.number)
        self._missed.clear()  # what was asked for until now is in the orders
        process, channel = await self._start_process()
        try:
            await channel.send(orders)
            said = await channel.receive()
        except BaseException as error:
            await _ended(process, channel)
            if isinstance(error, ClosedError):
                why = f"shard {self.number} ended with status {process.returncode} before it was ready"
                raise CannotStartError(why) from None
            raise
        if not isinstance(said, Ready):
            await _ended(process, channel)
            raise CannotStartError(said.why if isinstance(said, Failed) else f"shard: {said!r}")
        decoder = Decoder(said.models)
        self._run = _Run(process, channel, said, decoder, orders.config)
        self._listener.told(self.number, decoder.decode(said.told))
        return said

    async def run_once(self) -> None:
        """Watch until the process ends, which is raised; starts it first if it is not there."""
        if self._run is None:
            try:
                await self.start()
            except CannotStartError as error:  # at the start it is fatal; now it can only be tried again
                self.why = str(error)
                raise ShardDownError(f"shard {self.number} does not start: {error}") from error
        assert self._run is not None  # noqa: S101 -- just started
        run = self._run
        run.heard_at = run.well_at = asyncio.get_running_loop().time()
        await run.channel.send(Go())
        self._going, self.why = True, ""
        self.catch_up(self._listener.orders(self.number).config)
        for command in self._missed.values():
            self._put(run, command)
        try:
            async with asyncio.TaskGroup() as group:
                guard = group.create_task(self._guard(run), name=f"shard-{self.number}-guard")
                await self._listen(run)
                guard.cancel()
        except asyncio.CancelledError:
            await self._stop(run)
            raise
        except BaseException:
            await self._over(run)  # a mistake here is no reason to leave a process behind
            raise
        await self._over(run)
        raise ShardDownError(f"shard {self.number} {self.why}")

    def catch_up(self, config: Config) -> asyncio.Future[object] | None:
        """Have it go by a configuration, unless it does or is not there; returns what waits for that."""
        run = self._run
        if run is None or not self._going or run.config == config:
            return None
        run.config = config
        return self._put(run, Apply(config))

    async def ask(self, question: Question, patience: float | None = None) -> object:
        """Return the answer; raises the error that it is, or `ShardDownError`."""
        run = self._run
        if run is None or not self._going:
            raise ShardDownError(f"shard {self.number} {self.why or 'is starting'}; try again")
        if len(run.asked) >= _MOST_ASKED:
            raise ShardDownError(f"too many wait for shard {self.number}; try again")
        try:
            async with asyncio.timeout(patience):
                return await self._put(run, question)
        except TimeoutError:
            raise ShardDownError(f"shard {self.number} does not answer") from None

    async def perform(self, command: CameraCommand | SettingCommand, patience: float) -> bool:
        """Have a camera obey; returns whether it has. If the shard is starting it will, once it is there."""
        try:
            await self.ask(Perform(command), patience)
        except ShardDownError:
            kind = command.setting if isinstance(command, SettingCommand) else ENABLED
            self._missed[command.camera, kind] = Perform(command)
            return False
        return True

    async def end(self) -> None:
        """End the process by force if it is still there."""
        run, self._run = self._run, None
        if run is not None:
            await _ended(run.process, run.channel)

    def _put(self, run: _Run, question: Question) -> asyncio.Future[object]:
        number = next(self._numbers)
        run.asked[number] = answer = asyncio.get_running_loop().create_future()
        answer.add_done_callback(_looked_at)
        run.channel.put(Asked(number, question))
        return answer

    async def _listen(self, run: _Run) -> None:
        """Take what the process says until it says no more."""
        with suppress(ClosedError):
            while True:
                self._take(run, await run.channel.receive())

    def _take(self, run: _Run, said: object) -> None:
        now = run.heard_at = asyncio.get_running_loop().time()
        if isinstance(said, Told):
            self._listener.told(self.number, run.decoder.decode(said.messages))
        elif isinstance(said, Pulse):
            run.pulse = said
            if not said.trouble:
                run.well_at = now
        elif isinstance(said, Answer):
            answer = run.asked.pop(said.number, None)
            if answer is not None and not answer.done():
                answer.set_result(said.value) if said.error is None else answer.set_exception(said.error)

    async def _guard(self, run: _Run) -> None:
        """End a process that has been in trouble for too long."""
        while True:
            await asyncio.sleep(_LOOK)
            now, longest = asyncio.get_running_loop().time(), _longest_inference(run.config)
            if now - run.heard_at > _PATIENCE or now - run.well_at > _PATIENCE + longest:
                log.error("shard %d: %s; it is ended", self.number, self.trouble)
                run.process.kill()
                return

    async def _stop(self, run: _Run) -> None:
        """Have the process end in order, and hear what it says last."""
        run.channel.put(Stop())
        with suppress(TimeoutError):
            async with asyncio.timeout(_STOP):
                await self._listen(run)
        self.why = "has stopped"
        await _ended(run.process, run.channel)
        self._gone(run)

    async def _over(self, run: _Run) -> None:
        status = await _ended(run.process, run.channel)
        self.why = f"ended with status {status}"
        self._gone(run)
        self._listener.lost(self.number)

    def _gone(self, run: _Run) -> None:
        self._run, self._going = None, False
        for answer in run.asked.values():
            if not answer.done():
                answer.set_exception(ShardDownError(f"shard {self.number} {self.why}"))


def _longest_inference(config: Config) -> float:
    """Return the seconds after which a shard gives up an inference by itself."""
    return max(model.timeout for model in (config.model, *config.models.values()))


def _looked_at(answer: asyncio.Future[object]) -> None:
    """Take note of an error for whose answer nobody waits."""
    if not answer.cancelled():
        answer.exception()


async def _ended(process: Process, channel: Channel) -> int:
    """Return the status of a process that is over, or is now."""
    await channel.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(_LOOK):
            return await process.wait()
    with suppress(ProcessLookupError):
        process.kill()
    return await process.wait()
