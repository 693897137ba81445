"""A clip's pictures at a lower rate, as a camera would be looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av

from vigil.video.decode import Scalers, YuvImage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def thinned(path: Path, fps: float) -> Iterator[tuple[float, YuvImage]]:
    """Yield `(seconds since the first, picture)`, no more than about `fps` of them a second."""
    scalers = Scalers()
    first: float | None = None
    due = 0.0
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in container.decode(stream):
            time = frame.time or 0.0
            first = time if first is None else first
            if time - first >= due - 0.25 / fps:
                yield time - first, YuvImage(frame, scalers)
                due = max(due + 1 / fps, time - first)
