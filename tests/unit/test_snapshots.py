"""When pictures of events are taken, in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from weakref import ref

import pytest

from tests.support.fakes import MODEL, FakeImage, boxes, frame
from vigil.analytics.pipeline import Sight
from vigil.config.analytics import SnapshotConfig
from vigil.core.events import BestView
from vigil.core.types import LiveView, SnapshotTaken
from vigil.errors import PixelsError
from vigil.metrics import Metrics
from vigil.snapshots import Snapshots

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from vigil.core.types import BusMessage, UInt8

pytestmark = pytest.mark.looptime


class Broken(FakeImage):
    """A picture that nobody can convert."""

    def to_bgr(self) -> UInt8:
        """Raise."""
        raise PixelsError("odd pixels")


class Name(str):
    """An event's id of which can be told whether anybody keeps it."""

    __slots__ = ("__weakref__",)


class Studio:
    """Snapshots of the cameras `drive` (live every 10 s) and `attic` (none wanted)."""

    def __init__(self) -> None:
        self.told: list[BusMessage] = []
        self.metrics = Metrics()
        self.metrics.add_camera("drive")
        self.settings = {
            "drive": SnapshotConfig.model_validate({"live": "10s"}),
            "attic": SnapshotConfig(enabled=False),
        }
        self.seen: Sight | None = None
        self.camera = Snapshots(self.told.extend, self.metrics)

    def snapshots(self) -> Mapping[str, SnapshotConfig]:
        """Return the settings of every camera that there is."""
        return self.settings

    def sight(self, camera: str) -> Sight | None:
        """Return a camera's latest inferred frame."""
        assert camera == "drive"
        return self.seen

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Take pictures."""
        task = asyncio.ensure_future(self.camera.run(self))
        try:
            await asyncio.sleep(0)
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    def offer(self, event: str, at: float, camera: str = "drive", image: FakeImage | None = None) -> None:
        """Show an object better than before."""
        self.camera.offer(frame(camera, at=at, image=image), [BestView(event, "person", (1, 2, 90, 99), 0.5)])

    def pictures(self) -> list[tuple[str, float]]:
        """Return event and time of all pictures that were told."""
        return [(each.event_id, each.taken_at) for each in self.told if isinstance(each, SnapshotTaken)]


@pytest.fixture(autouse=True)
def _encode_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encode on the loop: a thread would take real time, of which there is none here."""

    async def call(function: Callable[[], bytes], *, name: str) -> bytes:
        assert name == "snapshot"
        return function()

    monkeypatch.setattr("vigil.snapshots.call_in_thread", call)


async def settled() -> None:
    """Let everything happen that is due."""
    await asyncio.sleep(0.01)


async def test_the_first_view_is_told_at_once_and_better_ones_once_a_second() -> None:
    """Of many better views within a second only the last becomes a picture, when its turn comes."""
    studio = Studio()
    async with studio.open():
        studio.offer("a", 1.0)
        await settled()
        assert studio.pictures() == [("a", 1.0)]
        for at in (1.1, 1.2, 1.3):
            studio.offer("a", at)
        studio.offer("b", 1.3)
        await settled()
        assert studio.pictures() == [("a", 1.0), ("b", 1.3)]
        await asyncio.sleep(1)
        await settled()
        assert studio.pictures() == [("a", 1.0), ("b", 1.3), ("a", 1.3)]
    value = studio.metrics.registry.get_sample_value
    assert value("vigil_snapshots_taken_total", {"camera": "drive"}) == 3
    told = next(each for each in studio.told if isinstance(each, SnapshotTaken))
    assert (told.camera, told.label, told.jpeg[:2]) == ("drive", "person", b"\xff\xd8")


async def test_pictures_of_a_second_ago_leave_nothing_behind() -> None:
    """Of events that were pictured and are over not even the name is kept, so thousands cost no memory."""
    studio, names = Studio(), []
    async with studio.open():
        for number in range(10):
            event = Name(f"event {number}")
            names.append(ref(event))
            studio.offer(event, float(number))
            del event
            await asyncio.sleep(0.5)
            studio.told.clear()
    assert [name() for name in names] == [None] * 8 + ["event 8", "event 9"]


async def test_nobody_is_pictured_where_nobody_wants_it() -> None:
    """A camera without snapshots, and one that is gone, tell none."""
    studio = Studio()
    async with studio.open():
        studio.offer("a", 1.0, camera="attic")
        studio.offer("b", 1.0, camera="cellar")
        await settled()
    assert studio.pictures() == []


async def test_what_is_too_much_is_dropped_oldest_first_and_counted() -> None:
    """Views that come faster than pictures hold no more than 32 frames."""
    studio = Studio()
    for number in range(40):
        studio.offer(f"{number}", float(number))
    async with studio.open():
        await settled()
        await settled()
    assert {event for event, _ in studio.pictures()} == {str(number) for number in range(8, 40)}
    value = studio.metrics.registry.get_sample_value
    assert value("vigil_snapshots_dropped_total", {"reason": "busy"}) == 8


async def test_pixels_that_cannot_be_read_are_a_line(caplog: pytest.LogCaptureFixture) -> None:
    """One frame's trouble takes no picture, is counted and said, and the next is taken."""
    studio = Studio()
    async with studio.open():
        studio.offer("a", 1.0, image=Broken())
        studio.offer("b", 2.0)
        await settled()
    assert studio.pictures() == [("b", 2.0)]
    value = studio.metrics.registry.get_sample_value
    assert value("vigil_snapshots_dropped_total", {"reason": "unreadable"}) == 1
    assert "drive: no picture: odd pixels" in caplog.text


async def test_live_pictures_come_at_their_interval() -> None:
    """What a camera saw last is told every ten seconds; while it is away, nothing is."""
    studio = Studio()
    async with studio.open():
        await asyncio.sleep(25)
        assert studio.told == []
        studio.seen = Sight(frame("drive"), MODEL, boxes())
        await asyncio.sleep(21)
        await settled()
    live = [each for each in studio.told if isinstance(each, LiveView)]
    assert 2 <= len(live) <= 3
    assert live[0].jpeg[:2] == b"\xff\xd8"
