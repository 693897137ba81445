"""`keep_running`, in virtual time: which errors are tried again, and after how long."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.aio.tasks import Backoff, keep_running
from vigil.errors import CannotStartError, RefusedError, RetryableError, UnauthorizedError

if TYPE_CHECKING:
    from collections.abc import Iterable

pytestmark = pytest.mark.looptime

BACKOFF = Backoff(first=1, longest=60, slow=300, healthy_after=30)


class Runs:
    """A coroutine function that ends as scripted: an error to raise, or `None` to return."""

    def __init__(self, ends: Iterable[BaseException | None], lasting: float = 0.0) -> None:
        self._ends = iter(ends)
        self._lasting = lasting
        self.starts: list[float] = []

    async def __call__(self) -> None:
        """Run once."""
        self.starts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(self._lasting)
        end = next(self._ends)
        if end is not None:
            raise end

    def waits(self) -> list[float]:
        """Return the pauses between an end and the next start, to the hundredth."""
        pairs = zip(self.starts, self.starts[1:], strict=False)
        return [round(later - sooner - self._lasting, 2) for sooner, later in pairs]


def highest(_low: float, high: float) -> float:
    """Draw the longest wait."""
    return high


def lowest(low: float, _high: float) -> float:
    """Draw the shortest wait."""
    return low


async def test_run_that_returns_ends_it() -> None:
    """What ends without an error is not started again."""
    runs = Runs([None])
    await keep_running(runs, name="x")
    assert len(runs.starts) == 1


async def test_ceilings_double_up_to_the_longest() -> None:
    """Failures in a row wait up to 1, 2, 4 … seconds, never more than the longest."""
    runs = Runs([RefusedError()] * 9 + [None])
    await keep_running(runs, name="x", backoff=BACKOFF, jitter=highest)
    assert runs.waits() == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_jitter_is_full_and_never_immediate() -> None:
    """Each wait is drawn from 0 to the ceiling, and a draw near 0 still waits half a second."""
    asked: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    runs = Runs([RefusedError()] * 3 + [None])
    await keep_running(runs, name="x", backoff=BACKOFF, jitter=draw)
    assert asked == [(0, 1), (0, 2), (0, 4)]
    assert runs.waits() == [0.5] * 3


async def test_healthy_run_starts_the_sequence_anew() -> None:
    """A failure after a run of `healthy_after` seconds waits like the first one."""
    brief, long = Runs([RefusedError()] * 4 + [None], 29), Runs([RefusedError()] * 4 + [None], 30)
    for runs in (brief, long):
        await keep_running(runs, name="x", backoff=BACKOFF, jitter=highest)
    assert brief.waits() == [1, 2, 4, 8]
    assert long.waits() == [1, 1, 1, 1]


async def test_slow_errors_wait_long_from_the_start() -> None:
    """A wrong password is tried again after a minute or more, so that no account gets locked."""
    runs = Runs([UnauthorizedError()] * 4 + [None])
    await keep_running(runs, name="x", backoff=BACKOFF, jitter=highest)
    assert runs.waits() == [60, 120, 240, 300]


async def test_slow_errors_never_wait_less_than_half_the_ceiling() -> None:
    """However the draw falls, a login that was refused rests for half a minute, then longer and longer."""
    asked: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    runs = Runs([UnauthorizedError()] * 4 + [None])
    await keep_running(runs, name="x", backoff=BACKOFF, jitter=draw)
    assert asked == [(30, 60), (60, 120), (120, 240), (150, 300)]
    assert runs.waits() == [30, 60, 120, 150]


async def test_least_wait_can_be_chosen() -> None:
    """A draw near 0 waits `Backoff.least`; a longer draw is not touched."""
    for draw, waits in ((lowest, [3, 3, 3]), (highest, [3, 3, 4])):
        runs = Runs([RefusedError()] * 3 + [None])
        await keep_running(runs, name="x", backoff=Backoff(least=3, first=1), jitter=draw)
        assert runs.waits() == waits


async def test_who_runs_may_judge_its_own_health() -> None:
    """`was_healthy` is asked after each failure and decides instead of the run's length."""
    healthy = iter([False, False, True, False])
    runs = Runs([RefusedError()] * 4 + [None], lasting=1000)
    await keep_running(runs, name="x", backoff=BACKOFF, jitter=highest, was_healthy=lambda: next(healthy))
    assert runs.waits() == [1, 2, 1, 2]


async def test_slow_and_quick_errors_are_one_sequence() -> None:
    """Failures in a row count together, whatever their kind: only health starts anew."""
    ends = [RefusedError(), UnauthorizedError(), RefusedError(), None]
    runs = Runs(ends)
    await keep_running(runs, name="x", backoff=BACKOFF, jitter=highest)
    assert runs.waits() == [1, 120, 4]


async def test_fatal_error_passes() -> None:
    """A `FatalError` is not tried again."""
    runs = Runs([RefusedError(), CannotStartError("no"), None])
    with pytest.raises(CannotStartError):
        await keep_running(runs, name="x", jitter=lowest)
    assert len(runs.starts) == 2


async def test_unexpected_error_is_retried_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    """A bug is logged with its traceback and tried again: one camera's bug is that camera's alone."""
    await keep_running(Runs([ZeroDivisionError("bug"), None]), name="drive", jitter=lowest)
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert record.getMessage() == "drive: unexpected error, trying again in 0.5 s"
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ZeroDivisionError)


async def test_unexpected_error_is_heard_of_too() -> None:
    """`on_failure` hears of unexpected errors like of any other."""
    heard: list[tuple[str, float]] = []
    await keep_running(
        Runs([ZeroDivisionError("bug"), RefusedError("away"), None]),
        name="x",
        backoff=BACKOFF,
        on_failure=lambda error, wait: heard.append((str(error), wait)),
        jitter=highest,
    )
    assert heard == [("bug", 1), ("away", 2)]


async def test_expected_error_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """Without `on_failure` a retryable error is one warning without a traceback; with it, none."""
    await keep_running(Runs([RefusedError("nobody listens"), None]), name="drive", jitter=lowest)
    await keep_running(
        Runs([RefusedError(), None]), name="x", jitter=lowest, on_failure=lambda _error, _wait: None
    )
    (record,) = caplog.records
    assert (record.levelno, record.exc_info) == (logging.WARNING, None)
    assert record.getMessage() == "drive: nobody listens; trying again in 0.5 s"


async def test_cancel_passes_from_the_run_and_from_the_wait() -> None:
    """Cancelling ends it at once, be it in the middle of a run or of a pause."""
    for runs in (Runs([None], lasting=1e6), Runs([RefusedError(), None])):
        task = asyncio.ensure_future(keep_running(runs, name="x", jitter=highest))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(runs.starts) == 1


@given(st.integers(1, 10_000), st.booleans())
def test_ceiling_is_bounded(failures: int, slow: bool) -> None:  # noqa: FBT001 -- hypothesis passes it
    """However many failures, the ceiling lies within its bounds and is a number."""
    low, high = (60, 300) if slow else (1, 60)
    assert low <= BACKOFF.ceiling(failures, slow=slow) <= high


def test_errors_know_whether_they_are_slow() -> None:
    """Every retryable error has a short reason; a wrong password is slow, a refusal is not."""
    assert (RetryableError.slow, UnauthorizedError.slow, RefusedError.slow) == (False, True, False)
