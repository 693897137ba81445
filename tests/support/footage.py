"""Clips with people and vehicles: real footage where the asset folder is, else pans over the photographs."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from tests.support.assets import asset, photograph
from vigil.inference.store import Store
from vigil.video.photo import PhotoSource
from vigil.video.write import VideoWriter

if TYPE_CHECKING:
    from pathlib import Path

_PAN_SECONDS = 10


@dataclass(frozen=True)
class Clip:
    """An H.264 clip and a label that a detector must find in it."""

    name: str
    path: Path
    label: str


@cache
def clips() -> tuple[Clip, ...]:
    """Return three clips: two with people, one with vehicles."""
    if not os.environ.get("VIGIL_ASSETS"):
        return (
            Clip("people", _pan("zidane", "size=768x432&phase=0.1"), "person"),
            Clip("walkers", _pan("zidane", "size=768x576&phase=0.4"), "person"),
            Clip("traffic", _pan("bus", "size=960x540"), "bus"),
        )
    people = asset("clips/one-by-one-person-detection.mp4")
    traffic = asset("clips/traffic.mp4")
    assert people is not None, "VIGIL_ASSETS has no one-by-one-person-detection.mp4"
    assert traffic is not None, "VIGIL_ASSETS has no traffic.mp4"
    return (
        Clip("people", people, "person"),
        Clip("walkers", _transcoded("clips/vtest.avi"), "person"),
        Clip("traffic", traffic, "car"),
    )


@dataclass(frozen=True)
class Walk:
    """A clip in which somebody walks to the right before a wall, ten pictures a second."""

    path: Path

    @staticmethod
    def middle(at: float) -> float:
        """Return where somebody's middle is, in pixels from the left."""
        return 150 + 45 * at


def walk(path: Path, seconds: float = 8) -> Walk:
    """Make a clip of 960x540 from a photograph: a passer-by of 210 pixels, cut out of the street."""
    photo = cv2.imread(str(photograph("bus")))
    assert photo is not None
    somebody = cv2.resize(photo[395:910, 40:245], (84, 210), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(1).integers(-3, 4, (540, 960, 3))
    wall = (np.linspace(120, 170, 540)[:, None, None] + noise).astype(np.uint8)
    with VideoWriter(path, 960, 540) as writer:
        for number in range(round(seconds * 10)):
            picture = wall.copy()
            left = round(Walk.middle(number / 10)) - 42
            picture[250:460, left : left + 84] = somebody
            writer.write(picture, number / 10)
    return Walk(path)


def _transcoded(name: str) -> Path:
    source = asset(name)
    assert source is not None, f"VIGIL_ASSETS has no {name}"
    target = _folder() / f"{source.stem}.mp4"
    if not target.exists():
        whole = target.with_suffix(".part.mp4")
        options = ["-an", "-c:v", "libx264", "-preset", "veryfast", "-g", "20", "-bf", "0"]
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", source, *options, whole], check=True)
        whole.replace(target)
    return target


def _pan(photo: str, view: str) -> Path:
    """Record a photo camera for ten seconds, as fast as it can be coded."""
    target = _folder() / f"{photo}-{view.replace('&', '-')}.mp4"
    if target.exists():
        return target
    source = PhotoSource(f"photo:{photograph(photo)}?{view}&fps=10", lambda _seconds: False)
    source.open()
    whole = target.with_suffix(".part.mp4")
    writer: VideoWriter | None = None
    for picture in source.pictures():
        if picture.pts is None or picture.pts >= _PAN_SECONDS:
            break
        writer = writer or VideoWriter(whole, picture.image.width, picture.image.height)
        writer.write(picture.image.to_bgr(), picture.pts)
    assert writer is not None
    writer.__exit__()
    whole.replace(target)
    return target


def _folder() -> Path:
    """Return a folder that outlives the test run, beside the fetched files."""
    folder = Store(os.environ).pull("bus").parent / "test-footage"
    folder.mkdir(exist_ok=True)
    return folder
