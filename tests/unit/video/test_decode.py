"""Decoded pictures: those whose pixels are of no use, and those whose planes a GPU takes."""

from __future__ import annotations

import av
import numpy as np
import pytest

from tests.support.planes import Exporter
from vigil.core.types import Colour, PlanarImage
from vigil.errors import PixelsError
from vigil.video.decode import NvImage, Scalers, YuvImage, image_of


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


def nv12(width: int = 64, height: int = 48) -> av.VideoFrame:
    """Return a colourful frame in NV12, as a GPU's decoder leaves it, in the CPU's memory."""
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([x * 255 // width, y * 255 // height, np.full_like(x, 90)], axis=2).astype(np.uint8)
    return av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="nv12")


def test_planes_are_the_decoders_own() -> None:
    """What others take by DLPack is luma and interleaved chroma, of the frame itself and not of a copy."""
    frame = nv12()
    image = NvImage(frame, Scalers())
    assert isinstance(image, PlanarImage)
    assert image.device == "cpu"
    luma, chroma = (np.from_dlpack(Exporter(plane)) for plane in image.planes())
    assert (luma.shape, chroma.shape) == ((48, 64), (24, 32, 2))
    assert {luma.dtype, chroma.dtype} == {np.dtype(np.uint8)}
    np.testing.assert_array_equal(luma, image.luma(1))
    assert luma.ctypes.data == frame.planes[0].buffer_ptr


def test_the_rest_of_vigil_sees_an_image_like_any_other() -> None:
    """Scaled and whole pictures and coarse luma are those of the same frame as the CPU leaves it."""
    frame = nv12()
    image, plain = NvImage(frame, Scalers()), YuvImage(frame.reformat(format="yuv420p"), Scalers())
    ours, theirs = np.empty((2, 3, 24, 32), np.float32)
    image.write_rgb(ours)
    plain.write_rgb(theirs)
    assert (image.width, image.height) == (64, 48)
    np.testing.assert_allclose(ours, theirs, atol=1 / 255)
    np.testing.assert_array_equal(image.luma(8), plain.luma(8))
    # For planar chroma swscale has a way of its own, which is off by up to five.
    np.testing.assert_allclose(image.to_bgr().astype(int), plain.to_bgr().astype(int), atol=6)


@pytest.mark.parametrize(
    ("colorspace", "color_range", "colour"),
    [
        (2, 0, Colour()),
        (6, 1, Colour()),
        (1, 1, Colour(0.2126, 0.0722)),
        (1, 2, Colour(0.2126, 0.0722, full=True)),
        (9, 1, Colour(0.2627, 0.0593)),
    ],
)
def test_colour_is_what_the_stream_says(colorspace: int, color_range: int, colour: Colour) -> None:
    """Matrix and range come from the frame; one that says nothing is BT.601 in limited range."""
    frame = nv12()
    frame.colorspace, frame.color_range = colorspace, color_range
    assert NvImage(frame, Scalers()).colour == colour


def test_frames_of_the_cpu_stay_what_they_are() -> None:
    """Only what is in a GPU's memory is handed on by DLPack, even if it is NV12."""
    assert type(image_of(nv12(), Scalers())) is YuvImage
