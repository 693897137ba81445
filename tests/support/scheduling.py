"""What tests of the schedule share: frames, uploads, batches that must be there, and sources that send."""

from __future__ import annotations

from tests.support.fakes import FakeImage, frame
from vigil.core.types import MAIN_MODEL
from vigil.inference.schedule import Batch, Offer, Schedule, Upload

WIDE, TALL = FakeImage(1280, 720), FakeImage(720, 1280)


def shape_of(_model: str, width: int, height: int) -> tuple[int, int]:
    """Give each frame size an input shape of its own."""
    return height // 2, width // 2


def upload(at: float, image: FakeImage = WIDE) -> Upload:
    """Return a picture that somebody submitted."""
    return Upload(frame("", image=image), 0.1, at, MAIN_MODEL, lambda _outcome: None)


def took(schedule: Schedule, now: float, limit: int = 8) -> Batch:
    """Take a batch that must be there."""
    batch = schedule.take(now, {MAIN_MODEL: limit})
    assert batch is not None
    return batch


def names(batch: Batch) -> list[str]:
    """Return the cameras of a batch in order."""
    return [frame.camera for frame in batch.camera_frames]


def learn(schedule: Schedule, camera: str, source: float, start: float, seconds: float) -> int:
    """Play a camera's frames to an engine that takes each at once; returns how many it took."""
    turns = 0
    for number in range(round(source * seconds)):
        now = start + number / source
        if schedule.offer(frame(camera), now) is Offer.KEPT:
            schedule.done(took(schedule, now), 0.02)
            turns += 1
    return turns


def names_of(batch: Batch | None) -> list[str]:
    """Return the cameras of a batch that must be there."""
    assert batch is not None
    return names(batch)
