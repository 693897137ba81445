"""Which lines of vigil allocate how much at once, whether they keep it or not.

`tracemalloc` knows what is allocated and how much there was at most, but not where that was: so it is asked
at every line. What a library allocates that reports nothing to Python (FFmpeg, an engine) is not seen.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import vigil

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_HOME = str(Path(vigil.__file__).parent)


class Allocations:
    """How often each line, as `file:function:line`, allocated more than `limit` bytes until the next one."""

    def __init__(self, limit: int) -> None:
        self.lines: Counter[str] = Counter()
        self._limit = limit
        self._before = 0
        self._place: tuple[str, str, int] | None = None

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch what this thread does."""
        tracemalloc.start()
        gc.disable()  # what it frees at some other time is no matter of a line
        self._look(None)
        before = sys.gettrace()
        sys.settrace(self._called)
        try:
            yield
        finally:
            sys.settrace(before)
            gc.enable()
            tracemalloc.stop()

    def _called(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        self._look(frame)
        return self._stepped if frame.f_code.co_filename.startswith(_HOME) else None

    def _stepped(self, frame: FrameType, event: str, _argument: Any) -> Any:
        self._look(frame.f_back if event == "return" else frame)
        return self._stepped

    def _look(self, next_frame: FrameType | None) -> None:
        """Note what the line that was under way took at most, and which one is next."""
        now, most = tracemalloc.get_traced_memory()
        if most - self._before > self._limit and self._place is not None:
            path, function, line = self._place
            self.lines[f"{Path(path).relative_to(_HOME)}:{function}:{line}"] += 1
        tracemalloc.reset_peak()
        self._before = now
        self._place = _place_of(next_frame)


def _place_of(frame: FrameType | None) -> tuple[str, str, int] | None:
    """Return where in vigil a frame is, or who of vigil called it."""
    while frame is not None and not frame.f_code.co_filename.startswith(_HOME):
        frame = frame.f_back
    return None if frame is None else (frame.f_code.co_filename, frame.f_code.co_name, frame.f_lineno)
