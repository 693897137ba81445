"""Several vigils on one machine share a cache: who makes a file first, others wait for it and use it."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from vigil.inference.fetch import Progress


@contextmanager
def turn(made: Path, progress: Progress, busy: str) -> Iterator[None]:
    """Hold the lock of a file or folder that is made; `progress` is told `busy` while another holds it.

    The kernel frees it even if we are killed. Raises `OSError`.
    """
    made.parent.mkdir(parents=True, exist_ok=True)
    with made.with_name(f".{made.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(0, None, busy)
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
