"""Pictures that strangers send: checked before their pixels cost memory. Only importer of Pillow.

The header is read first, so a small file that unfolds to a hundred megapixels is refused in microseconds,
and a truncated file is an error, where OpenCV would return a half-grey picture.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError

from vigil.errors import VigilError
from vigil.video.photo import ArrayImage

_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")


class PictureError(VigilError):
    """What was sent is no picture that vigil takes."""


class PictureTooLargeError(PictureError):
    """The picture has more pixels than are allowed."""


def decode_picture(data: bytes, max_pixels: int) -> ArrayImage:
    """Return an encoded picture's pixels, upright as its EXIF data says; raises `PictureError`."""
    if not data:
        raise PictureError("the body is empty; send the bytes of a picture")
    try:
        # Pillow warns of sizes that we check ourselves, and of odd metadata that does no harm.
        with (
            warnings.catch_warnings(action="ignore"),
            Pillow.open(io.BytesIO(data), formats=_FORMATS) as picture,
        ):
            _check_size(*picture.size, max_pixels)
            rgb = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"))
    except UnidentifiedImageError:
        raise PictureError(f"not a picture; send one of {', '.join(_FORMATS)}") from None
    except Pillow.DecompressionBombError as error:
        raise PictureTooLargeError(str(error)) from None
    except PictureError:
        raise
    except Exception as error:  # noqa: BLE001 -- a request's edge: its decoders raise anything for damage
        raise PictureError(f"the picture is damaged: {error}") from None
    return ArrayImage(np.ascontiguousarray(rgb[:, :, ::-1]))


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise PictureTooLargeError(
            f"the picture has {width}x{height} pixels; at most {max_pixels} in all are taken"
        )
