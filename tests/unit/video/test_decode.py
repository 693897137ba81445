"""Decoded pictures whose pixels are of no use."""

from __future__ import annotations

import av
import numpy as np
import pytest

from vigil.errors import PixelsError
from vigil.video.decode import Scalers, YuvImage


def test_format_that_cannot_be_scaled_is_told() -> None:
    """FFmpeg's refusal becomes vigil's own error, naming the format, and the next picture is scaled."""
    scalers = Scalers()
    out = np.full((3, 16, 16), -1, np.float32)
    unreadable = av.VideoFrame(32, 32, "rgb4")  # swscale writes it and cannot read it
    with pytest.raises(PixelsError, match="pixels of format rgb4 cannot be scaled"):
        YuvImage(unreadable, scalers).write_rgb(out)
    assert (out == -1).all()
    white = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 255, np.uint8), format="bgr24")
    YuvImage(white, scalers).write_rgb(out)
    assert out == pytest.approx(1, abs=0.01)
