"""Notices that the configuration file has changed.

The file's identity is looked at once a second: that also sees editors that replace the file and
Kubernetes' swap of symbolic links, on every file system, where notifications miss some.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_PERIOD = 1.0

Identity = tuple[int, int, int, int]


def identity(path: Path) -> Identity | None:
    """Return what changes when a file does; nothing for a file that is not there."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


async def changes(path: Path, since: Identity | None = None) -> AsyncIterator[None]:
    """Yield each time the file has changed and then stayed the same for a period, as a saved file does.

    `since` is the identity of the file that was loaded; without it, the file as it is now is taken for it.
    """
    seen = identity(path)
    settled = since or seen
    while True:
        await asyncio.sleep(_PERIOD)
        now = identity(path)
        # A file that is away is being replaced: what comes next counts.
        if now is not None and now == seen and now != settled:
            settled = now
            yield
        seen = now
