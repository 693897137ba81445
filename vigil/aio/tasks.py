"""The one policy of trying again: classified errors, exponential backoff with full jitter.

Full jitter: each wait is drawn evenly from 0 to the current ceiling, so that many cameras that fell with
one switch do not come back in step (Brooker, "Exponential Backoff And Jitter", 2015).
"""

from __future__ import annotations

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vigil.errors import FatalError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Bounds of the waits between tries, in seconds."""

    least: float = 0.5
    """No wait is shorter: a draw near 0 after a refusal would be a second try of the same instant."""
    first: float = 1.0
    longest: float = 60.0
    slow: float = 300.0
    """Ceiling for errors that are `slow`; their waits start at `longest`."""
    healthy_after: float = 30.0
    """A run that lasted this long before it failed starts the sequence anew."""

    def ceiling(self, failures: int, *, slow: bool) -> float:
        """Return the longest wait after so many failures in a row (1 for the first)."""
        first, longest = (self.longest, self.slow) if slow else (self.first, self.longest)
        exponent = min(failures - 1, 30)  # past this, the ceiling rules and floats could overflow
        return min(longest, first * 2.0**exponent)


async def keep_running(
    run: Callable[[], Awaitable[None]],
    *,
    name: str,
    backoff: Backoff | None = None,
    on_failure: Callable[[Exception, float], None] | None = None,
    was_healthy: Callable[[], bool] | None = None,
    jitter: Callable[[float, float], float] = random.uniform,
) -> None:
    """Run `run()` again whenever it fails, until it returns, is cancelled or raises a `FatalError`.

    The waits start anew after a run that `was_healthy()`, by default one that lasted
    `backoff.healthy_after` seconds.

    `on_failure(error, wait)` hears of each failure before the wait of that many seconds; without it,
    one line is logged. An unexpected exception is logged with its traceback and retried as well.
    """
    backoff = backoff or Backoff()
    loop = asyncio.get_running_loop()
    failures = 0
    while True:
        started = loop.time()
        try:
            await run()
        except FatalError:
            raise
        except Exception as error:  # noqa: BLE001 -- the one place that decides on a retry
            lasted = loop.time() - started >= backoff.healthy_after
            failures = 1 if (was_healthy() if was_healthy else lasted) else failures + 1
            wait = _next_wait(error, failures, backoff, jitter)
            _report(error, wait, name, on_failure)
        else:
            return
        await asyncio.sleep(wait)


def _next_wait(
    error: Exception, failures: int, backoff: Backoff, jitter: Callable[[float, float], float]
) -> float:
    slow = isinstance(error, RetryableError) and error.slow
    ceiling = backoff.ceiling(failures, slow=slow)
    # What is slow is never tried soon: hammering a login locks the account.
    return max(backoff.least, jitter(ceiling / 2 if slow else 0.0, ceiling))


def _report(
    error: Exception, wait: float, name: str, on_failure: Callable[[Exception, float], None] | None
) -> None:
    if not isinstance(error, RetryableError):
        log.error("%s: unexpected error, trying again in %.1f s", name, wait, exc_info=error)
    elif on_failure is None:
        log.warning("%s: %s; trying again in %.1f s", name, error, wait)
    if on_failure is not None:
        on_failure(error, wait)
