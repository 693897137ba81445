"""Pictures that strangers send: every kind that is taken, and every way to be wrong."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow

from vigil.video.upload import PictureError, PictureTooLargeError, decode_picture

if TYPE_CHECKING:
    from vigil.video.photo import ArrayImage

LIMIT = 1_000_000


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    """Return an encoded picture whose left half is red."""
    picture = Pillow.new("RGB", size, (0, 0, 0))
    picture.paste((255, 0, 0), (0, 0, size[0] // 2, size[1]))
    out = io.BytesIO()
    picture.convert(mode).save(out, kind, **options)
    return out.getvalue()


def corners(image: ArrayImage) -> list[list[int]]:
    """Return the top left, top right, bottom left pixels as BGR."""
    bgr = image.to_bgr()
    return [bgr[1, 1].tolist(), bgr[1, -2].tolist(), bgr[-2, 1].tolist()]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_promised_format_is_taken(kind: str) -> None:
    """Each format gives its pixels, in BGR and in its size."""
    image = decode_picture(encoded(kind), LIMIT)
    assert (image.width, image.height) == (64, 48)
    left, right, _ = corners(image)
    assert np.allclose(left, [0, 0, 255], atol=12)
    assert np.allclose(right, [0, 0, 0], atol=12)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGBA"), ("PNG", "L"), ("PNG", "P"), ("PNG", "1"), ("JPEG", "CMYK"), ("TIFF", "F")],
)
def test_every_kind_of_pixel_becomes_colour(kind: str, mode: str) -> None:
    """Transparency, grey, palettes and printers' inks come out as three bytes a pixel."""
    bgr = decode_picture(encoded(kind, mode), LIMIT).to_bgr()
    assert (bgr.shape, bgr.dtype) == ((48, 64, 3), np.dtype(np.uint8))
    assert bgr.flags.c_contiguous


def test_picture_comes_upright() -> None:
    """A camera that was held sideways says so in EXIF, and the pixels are turned."""
    exif = Pillow.Exif()
    exif[0x0112] = 6  # turn clockwise by a quarter to see it right
    image = decode_picture(encoded("JPEG", exif=exif), LIMIT)
    assert (image.width, image.height) == (48, 64)
    top_left, top_right, bottom_left = corners(image)
    assert (top_left[2] > 200, top_right[2] > 200, bottom_left[2] > 200) == (True, True, False)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the body is empty"),
        (b"hello, is this a picture?", "not a picture"),
        (b"\xff\xd8\xff\xe0", "not a picture"),
        (b"%PDF-1.7", "not a picture"),
    ],
)
def test_what_is_no_picture_is_told_so(data: bytes, message: str) -> None:
    """Nothing, text and other files are refused in words."""
    with pytest.raises(PictureError, match=message):
        decode_picture(data, LIMIT)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_truncated_picture_is_damaged(kind: str) -> None:
    """A picture that ends halfway is an error, not a half-grey picture."""
    data = encoded(kind, size=(256, 256))
    with pytest.raises(PictureError):
        decode_picture(data[: len(data) // 2], LIMIT)


@pytest.mark.parametrize("side", [10_000, 100_000])
def test_huge_picture_is_refused_by_its_header(side: int) -> None:
    """A few bytes that claim gigapixels are refused before any of them is unpacked."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(b""))]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in [*parts, (b"IEND", b"")]
    )
    with pytest.raises(PictureTooLargeError):
        decode_picture(data, LIMIT)


def test_limit_is_inclusive() -> None:
    """A picture of exactly the allowed pixels is taken, one more row is not."""
    assert decode_picture(encoded("PNG", size=(100, 50)), 5000).height == 50
    with pytest.raises(PictureTooLargeError, match="100x51 pixels; at most 5000"):
        decode_picture(encoded("PNG", size=(100, 51)), 5000)


EXIF = Pillow.Exif()
EXIF[0x0112] = 6
EXIF[0x010F] = "maker"
SAMPLES = [
    encoded("JPEG", exif=EXIF),
    encoded("PNG", exif=EXIF),
    encoded("WEBP", exif=EXIF),
    *(encoded(kind) for kind in ("BMP", "GIF", "TIFF")),
]


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=12),
    st.integers(0, 40),
)
@example(SAMPLES[0], [(41, 0)], 0)  # EXIF whose text claims to be a number
def test_damage_is_never_more_than_a_picture_error(
    data: bytes, changes: list[tuple[int, int]], missing: int
) -> None:
    """Whatever bytes are changed or missing: a picture comes out, or a `PictureError`, and nothing else."""
    broken = bytearray(data)
    for place, value in changes:
        broken[place % len(broken)] = value
    try:
        image = decode_picture(bytes(broken[: len(broken) - missing]), LIMIT)
    except PictureError:
        return
    assert image.width * image.height <= LIMIT
