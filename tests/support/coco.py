"""The labelled pictures of coco128, from the asset folder."""

from __future__ import annotations

import os
from pathlib import Path

from vigil.inference.accuracy import Labelled, read_truth
from vigil.video.upload import decode_picture


def folder() -> Path | None:
    """Return the folder of the pictures, or nothing where there is no asset folder."""
    assets = os.environ.get("VIGIL_ASSETS")
    found = Path(assets, "labelled/coco128/images/train2017") if assets else None
    return found if found is not None and found.is_dir() else None


def labelled(pictures: Path) -> list[Labelled]:
    """Return all labelled pictures of a folder, by name."""
    return [_labelled(path) for path in sorted(pictures.glob("*.jpg"))]


def _labelled(path: Path) -> Labelled:
    image = decode_picture(path.read_bytes(), 10**8)
    return Labelled(image, read_truth(path, image.width, image.height))
