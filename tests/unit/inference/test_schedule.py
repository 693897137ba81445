"""The schedule's rules, one by one, with time passed in."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import FakeImage, frame
from vigil.inference.schedule import Batch, Offer, Schedule, Upload

if TYPE_CHECKING:
    from vigil.core.types import Frame

WIDE, TALL = FakeImage(1280, 720), FakeImage(720, 1280)


def shape_of(width: int, height: int) -> tuple[int, int]:
    """Give each frame size an input shape of its own."""
    return height // 2, width // 2


@pytest.fixture
def schedule() -> Schedule:
    """Return a schedule with the cameras `a` and `b`, one inference per second each, due at 0."""
    schedule = Schedule(shape_of)
    schedule.add("a", fps=1, weight=1, floor=0.25, now=0.0)
    schedule.add("b", fps=1, weight=1, floor=0.5, now=0.0)
    return schedule


def upload(at: float, image: FakeImage = WIDE) -> Upload:
    """Return a picture that somebody submitted."""
    return Upload(frame("", image=image), 0.1, at, lambda _outcome: None)


def took(schedule: Schedule, now: float, limit: int = 8) -> Batch:
    """Take a batch that must be there."""
    batch = schedule.take(now, limit)
    assert batch is not None
    return batch


def names(batch: Batch) -> list[str]:
    """Return the cameras of a batch in order."""
    return [frame.camera for frame in batch.camera_frames]


def test_new_camera_is_due_at_once(schedule: Schedule) -> None:
    """The first frame of a camera is kept and can be taken at the same instant."""
    assert schedule.offer(frame("a"), 0.0) is Offer.KEPT
    assert schedule.waiting
    assert names(took(schedule, 0.0)) == ["a"]


def test_nothing_waits_nothing_is_taken(schedule: Schedule) -> None:
    """An engine that finds nothing due gets nothing, and nothing is said to wait."""
    assert schedule.take(5.0, 8) is None
    assert not schedule.waiting


def test_unknown_camera_is_told(schedule: Schedule) -> None:
    """A frame of a camera that is not scheduled is neither kept nor counted as dropped."""
    assert schedule.offer(frame("stranger"), 0.0) is Offer.UNKNOWN
    schedule.remove("a")
    assert schedule.offer(frame("a"), 0.0) is Offer.UNKNOWN
    assert not schedule.waiting
    assert len(schedule) == 1


def test_newest_frame_wins(schedule: Schedule) -> None:
    """A frame that nobody took is overwritten by the next one, which is what the engine gets."""
    old, new = frame("a", 1), frame("a", 2)
    assert [schedule.offer(each, 0.0) for each in (old, new)] == [Offer.KEPT, Offer.OVERWROTE]
    assert took(schedule, 0.0).frames == (new,)


def test_frame_before_its_turn_is_not_kept(schedule: Schedule) -> None:
    """Right after a camera was taken its frames are not due, and they do not wait either."""
    schedule.offer(frame("a"), 0.0)
    schedule.done(took(schedule, 0.0))
    assert schedule.offer(frame("a"), 0.2) is Offer.NOT_DUE
    assert not schedule.waiting


@pytest.mark.parametrize(("arrival", "fate"), [(0.75, Offer.NOT_DUE), (0.85, Offer.KEPT)])
def test_frame_nearest_to_the_due_time_is_taken(schedule: Schedule, arrival: float, fate: Offer) -> None:
    """Of a frame every 0.4 s, the one that arrives at most half of that before the due time is wanted."""
    for number in range(101):  # the source's interval is learnt
        schedule.offer(frame("a"), number * 0.4 - 40)
    schedule.done(took(schedule, 0.0))  # due again at 1.0
    schedule.offer(frame("a"), 0.4)
    assert schedule.offer(frame("a"), arrival) is fate


def test_one_missed_turn_is_made_up_for(schedule: Schedule) -> None:
    """A camera that comes back after ten periods gets its turn and one extra, not ten."""
    schedule.offer(frame("a"), 0.0)
    schedule.done(took(schedule, 0.0))
    kept = []
    for number in range(20):
        if schedule.offer(frame("a"), now := 10 + number * 0.1) is Offer.KEPT:
            schedule.done(took(schedule, now))
            kept.append(round(now - 10, 1))
    assert len([late for late in kept if late < 0.5]) == 2, kept


def test_most_overdue_camera_is_first(schedule: Schedule) -> None:
    """The camera that waited longest for attention comes first, whoever offered first."""
    for camera, now in (("a", 0.0), ("b", 0.5)):
        schedule.offer(frame(camera), now)
        schedule.done(took(schedule, now))
    for camera in "ba":
        schedule.offer(frame(camera), 2.0)
    assert names(took(schedule, 2.0)) == ["a", "b"]


def test_weight_multiplies_age() -> None:
    """A camera of weight 4 overtakes one that waited three times as long."""
    schedule = Schedule(shape_of)
    schedule.add("light", fps=1, weight=1, floor=0, now=0.0)
    schedule.add("heavy", fps=1, weight=4, floor=0, now=2.0)
    for camera in ("light", "heavy"):
        schedule.offer(frame(camera), 3.0)
    assert names(took(schedule, 3.0, limit=1)) == ["heavy"]


def test_batch_keeps_to_its_limit(schedule: Schedule) -> None:
    """No more than `limit` frames are taken, uploads among them; the others wait."""
    for camera in "ab":
        schedule.offer(frame(camera), 0.0)
    schedule.submit(upload(0.0))
    batch = took(schedule, 1.0, limit=2)
    assert (len(batch.frames), len(batch.floors)) == (2, 2)
    assert len(took(schedule, 1.0, limit=2).frames) == 1


def test_engine_never_waits_to_fill_a_batch(schedule: Schedule) -> None:
    """One frame is a batch: what waits is taken at once, though there was room for more."""
    schedule.offer(frame("a"), 0.0)
    assert len(took(schedule, 0.0, limit=64).frames) == 1


def test_floors_and_uploads_stand_beside_their_frames(schedule: Schedule) -> None:
    """Each frame has its own camera's floor, and the uploads come last with theirs."""
    sent = upload(-1.0)
    schedule.submit(sent)
    for camera in "ab":
        schedule.offer(frame(camera), 0.0)
    batch = took(schedule, 0.5)
    floors = dict(zip([each.camera for each in batch.frames], batch.floors, strict=True))
    assert floors == {"a": 0.25, "b": 0.5, "": 0.1}
    assert batch.uploads == (sent,)
    assert batch.frames[-1] is sent.frame
    assert {each.camera for each in batch.camera_frames} == {"a", "b"}
    assert schedule.uploads == 0


def test_other_shapes_wait_for_the_next_batch(schedule: Schedule) -> None:
    """A batch has the shape of its most overdue frame; the rest stays and is taken next."""
    schedule.offer(frame("a", image=TALL), 0.0)
    schedule.offer(frame("b"), 0.0)
    schedule.submit(upload(-5.0, TALL))
    first, second = took(schedule, 0.0), took(schedule, 0.0)
    assert first.shape == shape_of(720, 1280)
    assert (names(first), len(first.uploads)) == (["a"], 1)
    assert (names(second), second.shape) == (["b"], shape_of(1280, 720))


def test_camera_in_flight_waits_with_its_next_frame(schedule: Schedule) -> None:
    """A frame that arrives while its camera is being inferred can be taken only after `done`."""
    schedule.offer(frame("a", 1), 0.0)
    batch = took(schedule, 0.0)
    assert schedule.offer(frame("a", 2), 1.0) is Offer.KEPT
    assert not schedule.waiting
    assert schedule.take(1.0, 8) is None
    schedule.done(batch)
    assert [each.seq for each in took(schedule, 1.0).frames] == [2]


def test_removed_camera_leaves_nothing(schedule: Schedule) -> None:
    """A camera that is removed is not taken any more, and its batch in flight may still come back."""
    for camera in "ab":
        schedule.offer(frame(camera), 0.0)
    batch = took(schedule, 0.0, limit=1)
    schedule.remove("a")
    schedule.remove("b")
    schedule.done(batch)
    assert not schedule.waiting
    assert len(schedule) == 0


def test_camera_that_changes_its_rate_keeps_its_turn(schedule: Schedule) -> None:
    """A scheduled camera that is added again is due one new period after its last turn, not at once."""
    schedule.offer(frame("a"), 0.0)
    schedule.done(took(schedule, 0.0))
    schedule.add("a", fps=0.1, weight=1, floor=0.25, now=0.5)
    assert schedule.offer(frame("a"), 1.0) is Offer.NOT_DUE
    assert schedule.offer(frame("a"), 10.0) is Offer.KEPT
    schedule.done(took(schedule, 10.0))
    schedule.add("a", fps=2, weight=1, floor=0.25, now=10.0)
    assert schedule.offer(frame("a"), 10.5) is Offer.KEPT
    assert len(schedule) == 2


def test_camera_that_changes_keeps_the_frame_that_waits(schedule: Schedule) -> None:
    """New weight and floor hold for the frame that waits already, which is neither lost nor doubled."""
    schedule.offer(frame("a", 7), 0.0)
    schedule.offer(frame("b"), 0.0)
    schedule.add("b", fps=1, weight=10, floor=0.125, now=0.5)
    batch = took(schedule, 0.5)
    assert names(batch) == ["b", "a"]
    assert batch.floors == (0.125, 0.25)
    assert schedule.take(0.5, 8) is None


def test_camera_removed_and_added_in_flight_is_not_taken_twice(schedule: Schedule) -> None:
    """A reload that adds a camera again while a frame of it is inferred does not start a second one."""
    schedule.offer(frame("a", 1), 0.0)
    batch = took(schedule, 0.0)
    schedule.remove("a")
    schedule.add("a", fps=1, weight=1, floor=0.25, now=0.1)
    schedule.offer(frame("a", 2), 0.1)
    assert schedule.take(0.1, 8) is None
    schedule.done(batch)
    assert [each.seq for each in took(schedule, 0.2).frames] == [2]


def test_drained_uploads_are_all_of_them(schedule: Schedule) -> None:
    """An engine that goes away hands every waiting upload back, in order, and none waits afterwards."""
    sent = [upload(float(number)) for number in range(3)]
    for each in sent:
        schedule.submit(each)
    assert schedule.uploads == 3
    assert schedule.drain_uploads() == sent
    assert not schedule.waiting


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["offer", "offer", "offer", "take", "done", "upload"]),
        st.integers(0, 3),
        st.floats(0, 0.5),
    ),
    max_size=120,
)


class Book:
    """Drives a schedule through random steps and keeps the account of every frame."""

    def __init__(self) -> None:
        self.schedule = Schedule(shape_of)
        for number in range(4):
            self.schedule.add(f"c{number}", fps=2 + number, weight=1 + number, floor=0.1, now=0.0)
        self.offered = 0
        self.fates: Counter[str] = Counter()
        self.in_flight: list[Batch] = []
        self.now = 0.0

    def step(self, what: str, number: int, pause: float) -> None:
        """Do one step after `pause` seconds."""
        self.now += pause
        image = TALL if number == 3 else WIDE
        match what:
            case "offer":
                self.offered += 1
                self.fates[self.schedule.offer(frame(f"c{number}", image=image), self.now).value] += 1
            case "upload":
                self.schedule.submit(upload(self.now, image))
            case "take":
                batch = self.schedule.take(self.now, 1 + number)
                assert (batch is not None) or not self.schedule.waiting
                self.in_flight += [batch] if batch else []
            case "done" if self.in_flight:
                self.schedule.done(self.in_flight.pop(number % len(self.in_flight)))

    def check(self) -> None:
        """Check what holds after every step."""
        cameras = Counter(each.camera for batch in self.in_flight for each in batch.camera_frames)
        assert all(count == 1 for count in cameras.values()), "a camera is in flight twice"
        for batch in self.in_flight:
            sizes = {shape_of(each.image.width, each.image.height) for each in batch.frames}
            assert sizes == {batch.shape}, "a batch mixes shapes"
            assert len(batch.floors) == len(batch.frames)


@given(STEPS)
def test_every_frame_has_one_fate(steps: list[tuple[str, int, float]]) -> None:
    """Whatever happens: frames offered = taken + overwritten + not due + waiting; shapes stay apart."""
    book = Book()
    taken: list[Frame] = []
    for what, number, pause in steps:
        before = len(book.in_flight)
        book.step(what, number, pause)
        book.check()
        if len(book.in_flight) > before:
            taken += book.in_flight[-1].camera_frames
    for batch in book.in_flight:
        book.schedule.done(batch)
    waiting: list[Frame] = []
    while (rest := book.schedule.take(book.now, 8)) is not None:
        waiting += rest.camera_frames
    lost = book.fates["overwritten"] + book.fates["not_due"]
    assert book.offered == len(taken) + lost + len(waiting)
    assert len({id(each) for each in taken + waiting}) == len(taken) + len(waiting)
