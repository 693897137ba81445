"""Pictures into an MP4 file, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import av
import numpy as np
import pytest

from vigil.video.write import VideoWriter

if TYPE_CHECKING:
    from pathlib import Path


def test_pictures_come_back_at_their_times(tmp_path: Path) -> None:
    """Odd sizes lose a row or a column, times are kept, and one that repeats still makes a frame."""
    path = tmp_path / "out.mp4"
    times = [0.0, 0.5, 0.5, 2.0]
    with VideoWriter(path, 65, 49) as writer:
        for number, seconds in enumerate(times):
            writer.write(np.full((49, 65, 3), number * 60, np.uint8), seconds)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    assert [(frame.width, frame.height) for frame in frames] == [(64, 48)] * 4
    assert [frame.time for frame in frames] == [pytest.approx(seconds, abs=0.001) for seconds in times]
    greys = [frame.to_ndarray(format="gray").mean() for frame in frames]
    assert greys == sorted(greys)
