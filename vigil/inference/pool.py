"""The engines of one device and the threads that call them: kept going through failures of the engine.

Each worker thread prepares, runs and hands over its own batches; with two or more, preparing one batch and
publishing another overlap with running a third, without a queue in between in which frames would grow old.
An engine that raises or does not come back is replaced by a new one while the cameras go on capturing; a
worker that hangs in it is left behind, and what it may bring later is thrown away. Three failures within a
minute end the process, so that whoever started it starts all of it anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vigil.aio.tasks import Backoff, keep_running
from vigil.aio.threads import Worker, call_in_thread
from vigil.errors import FatalError, PixelsError
from vigil.inference.engine import EngineError, EngineMemoryError, SpreadingEngine
from vigil.inference.packed import Packed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.inference.letterbox import Letterbox
    from vigil.inference.packed import Packing
    from vigil.inference.schedule import Batch
    from vigil.inference.service import Service

log = logging.getLogger(__name__)

_GRACE = 2.0
"""Seconds that workers get for the batch in hand."""
_LOOK = 0.25
"""Seconds between two looks at how long the workers have been busy."""
_FAILURES, _WITHIN = 3, 60.0
"""So many failures of an engine within so many seconds are too many."""
_BACKOFF = Backoff(least=0.0, first=0.5, longest=5.0, healthy_after=_WITHIN)
_NICE = 5
"""How much workers step back behind decoders, which must never wait for them (see `os.nice`)."""


class EngineHungError(EngineError):
    """A call into an engine did not come back."""

    reason = "engine_hung"


class EngineLostError(FatalError):
    """An engine failed again and again: only a new process can help."""

    exit_status = 4


class Work(Protocol):
    """Where a pool's workers find batches and bring results; called from their threads."""

    def next_batch(self, pool: Pool, stop: threading.Event) -> Batch | None:
        """Wait for work; returns nothing once `stop` is set and the pool was woken."""

    def deliver(self, batch: Batch, packed: Packed, seconds: float, cores: int) -> None:
        """Take what a batch showed, which took so many seconds of so many workers' cores."""

    def failed(self, batch: Batch, error: Exception) -> None:
        """Take a batch back that came to nothing."""

    def wake(self) -> None:
        """Have every waiting worker look again."""

    def engine_failed(self, device: str) -> None:
        """Count an engine that failed."""


@dataclass(slots=True, eq=False)
class _Turn:
    """What a worker has in hand, the first of it now; since when, and for how long at most."""

    batches: Sequence[Batch]
    since: float
    timeout: float


class Pool:
    """Runs the workers of one device; `services` by the name of their model."""

    def __init__(self, device: str, services: Mapping[str, Service], work: Work, packing: Packing) -> None:
        self.device = device
        self.services = services
        self.workers = max(service.workers for service in services.values())
        self.trouble = ""
        """Why the engines do not work just now; empty when they do."""
        self.cores = 1
        """Workers' cores that a call takes: with more than one, another call waits for it;"""
        self.may_spread = False
        """whether it may be more than one, which workers see to."""
        self._followed = False
        self._following = threading.Lock()
        self._work = work
        self._packing = packing
        self._hanging = False
        self._failures: deque[float] = deque(maxlen=_FAILURES)
        self._lock = threading.Lock()
        self._turns: dict[int, _Turn] = {}  # by worker thread

    @property
    def limits(self) -> dict[str, int]:
        """The models that this pool's workers may take, with the most frames of each at once."""
        return {name: service.limit for name, service in self.services.items()}

    @property
    def free(self) -> bool:
        """Whether a worker has nothing in hand."""
        with self._lock:
            return len(self._turns) < self.workers

    @property
    def idle(self) -> bool:
        """Whether no worker has anything in hand."""
        with self._lock:
            return not self._turns

    def busy_for(self) -> float:
        """Return for how many seconds the slowest worker has been busy with what it has in hand."""
        with self._lock:
            since = [turn.since for turn in self._turns.values()]
        return time.monotonic() - min(since) if since else 0.0

    async def run(self) -> None:
        """Serve until cancelled; raises `EngineLostError` when engines fail again and again."""
        await keep_running(
            self.run_once, name=f"engine on {self.device}", backoff=_BACKOFF, on_failure=self._failed
        )

    async def run_once(self) -> None:
        """Serve until an engine fails, and raise what it raised; begins with new engines after a failure."""
        if self.trouble:
            await call_in_thread(self._reopen, name=f"open-engine-{self.device}")
            log.info("engine on %s: in service again", self.device)
            self.trouble = ""
        self.cores, self._followed = 1, False
        stop = threading.Event()
        workers = [
            Worker(lambda: self._serve(stop), name=f"inference-{self.device}-{number}")
            for number in range(self.workers)
        ]
        try:
            await self._watch(workers)
        finally:
            stop.set()
            self._work.wake()
            ended = await asyncio.gather(*(worker.ended_within(_GRACE) for worker in workers))
            self._take_back()
            self._hanging = not all(ended)
            if self._hanging:
                log.warning(
                    "engine on %s: %d workers hang and are left behind", self.device, ended.count(False)
                )

    async def _watch(self, workers: Sequence[Worker[None]]) -> None:
        """Wait until a worker fails or hangs, and raise why."""
        waits = [asyncio.ensure_future(worker.wait()) for worker in workers]
        try:
            while True:
                done, _ = await asyncio.wait(waits, timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
                if (hung := self._longest_over()) is not None:
                    raise EngineHungError(f"a call has not come back for {hung:g} s")
        finally:
            for wait in waits:
                wait.cancel()

    def _longest_over(self) -> float | None:
        """Return the timeout that a worker has exceeded, if any has."""
        now = time.monotonic()
        with self._lock:
            return next((t.timeout for t in self._turns.values() if now - t.since > t.timeout), None)

    def _failed(self, error: Exception, wait: float) -> None:
        now = time.monotonic()
        self._failures.append(now)
        self._work.engine_failed(self.device)
        self.trouble = f"the engine on {self.device} failed: {error}"
        log.error("engine on %s: %s; starting it again in %.1f s", self.device, error, wait)
        if len(self._failures) == _FAILURES and now - self._failures[0] <= _WITHIN:
            raise EngineLostError(
                f"the engine on {self.device} failed {_FAILURES} times within {_WITHIN:g} s; "
                f"the last time: {error}"
            )

    def _reopen(self) -> None:
        """Replace every detector of the device; the old engines go first, for their memory."""
        for service in self.services.values():
            # Under a worker that hangs in it an engine must not be taken away.
            if not self._hanging:
                service.detector.engine.close()
            service.detector = service.reopen()

    def _take_back(self) -> None:
        """Give back what hanging workers have in hand; from now on it is no longer theirs."""
        with self._lock:
            turns, self._turns = list(self._turns.values()), {}
        for batch in (batch for turn in turns for batch in turn.batches):
            self._work.failed(batch, EngineHungError("the engine did not answer"))

    def _serve(self, stop: threading.Event) -> None:
        """Take, infer and deliver batches until told to stop. Runs in a worker's thread."""
        _step_back()
        letterboxes: dict[str, Letterbox] = {}
        while (batch := self._work.next_batch(self, stop)) is not None:
            batches: Sequence[Batch] = [batch]
            while batches:
                batches = self._first(self.services[batch.model], letterboxes, batches)
            self._follow()

    def _follow(self) -> None:
        """Have calls spread or not, as they may now: what is opened for that takes this worker a moment."""
        if self.may_spread is self._followed or not self._following.acquire(blocking=False):
            return
        try:
            self._followed = on = self.may_spread
            engines = [service.detector.engine for service in self.services.values()]
            cores = [each.spread(on=on) if isinstance(each, SpreadingEngine) else 1 for each in engines]
            self.cores = min(cores)
        finally:
            self._following.release()
        self._work.wake()  # who waited for a call to end need not any more

    def _first(
        self, service: Service, letterboxes: dict[str, Letterbox], batches: Sequence[Batch]
    ) -> Sequence[Batch]:
        """Infer the first of these batches and return those to go on with; none when they were taken back.

        Raises what the engine raises, unless a smaller batch may do; the others have failed with it then.
        """
        batch, *rest = batches
        cores = self.cores
        turn = _Turn(batches, time.monotonic(), service.timeout)
        me = threading.get_ident()
        with self._lock:
            self._turns[me] = turn
        try:
            if batch.model not in letterboxes:
                letterboxes[batch.model] = service.detector.letterbox()
            packed = self._look(service, letterboxes[batch.model], batch)
        except PixelsError as error:
            if not self._returned(me, turn):
                return ()
            if len(batch.frames) > 1:  # one of them is of no use, and does not say which
                return [*batch.singles(), *rest]
            self._work.failed(batch, error)
            return rest
        except Exception as error:
            if self._returned(me, turn):
                for each in batches:
                    self._work.failed(each, error)
            if not (isinstance(error, EngineMemoryError) and service.detector.halve_batch(len(batch.frames))):
                raise
            log.warning(
                "engine on %s: %s; at most %d frames at once from now on", self.device, error, service.limit
            )
            return ()
        if not self._returned(me, turn):
            return ()
        self._work.deliver(batch, packed, time.monotonic() - turn.since, cores)
        return rest

    def _look(self, service: Service, letterbox: Letterbox, batch: Batch) -> Packed:
        """Return what a batch shows."""
        if batch.packed:
            return self._packing.detect(service.detector, letterbox, batch, service.limit)
        images = [frame.image for frame in batch.frames]
        found = service.detector.detect(letterbox, images, batch.floors, batch.shape)
        return Packed(found, len(images))

    def _returned(self, me: int, turn: _Turn) -> bool:
        """Note that a worker came back; false for one that nobody waits for any more."""
        with self._lock:
            if self._turns.get(me) is not turn:
                return False
            del self._turns[me]
            return True


def _step_back() -> None:
    """Let this thread, and no other, have the processor after those that decode (Linux: each has its own)."""
    if sys.platform == "linux":
        me = threading.get_native_id()
        # Relative: a process that somebody made nicer than this may not take it back.
        os.setpriority(os.PRIO_PROCESS, me, os.getpriority(os.PRIO_PROCESS, me) + _NICE)
