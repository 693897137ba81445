"""Cameras of several models on one schedule; and whatever happens, every frame has one fate."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import frame
from tests.support.scheduling import TALL, WIDE, names, names_of, shape_of
from vigil.inference.schedule import Batch, Schedule, Upload

if TYPE_CHECKING:
    from vigil.core.types import Frame

A, B = "a-model", "b-model"


@pytest.fixture
def models() -> Schedule:
    """Return a schedule with the cameras `a1` and `a2` of model A, and `b1` and `b2` of model B."""
    schedule = Schedule(shape_of)
    for name, model in (("a1", A), ("b1", B), ("a2", A), ("b2", B)):
        schedule.add(name, model=model, fps=1, weight=1, floor=0.25, now=0.0)
    return schedule


def test_batch_never_mixes_models(models: Schedule) -> None:
    """Frames of one shape that wait for different models are taken one model after the other."""
    for name in ("a1", "b1", "a2", "b2"):
        models.offer(frame(name), 1.0)
    first, second = (models.take(1.0, {A: 8, B: 8}) for _ in range(2))
    assert first is not None
    assert second is not None
    assert (first.model, sorted(names(first))) == (A, ["a1", "a2"])
    assert (second.model, sorted(names(second))) == (B, ["b1", "b2"])


def test_engine_gets_only_models_that_it_has(models: Schedule) -> None:
    """What waits for another engine's model is neither taken nor said to wait for this one."""
    models.offer(frame("b1"), 1.0)
    assert not models.waiting({A})
    assert models.take(1.0, {A: 8}) is None
    assert models.waiting({B})
    assert names_of(models.take(1.0, {B: 8})) == ["b1"]


def test_uploads_wait_for_their_model(models: Schedule) -> None:
    """A picture for one model is not taken by an engine of another."""
    sent = Upload(frame(""), 0.1, 0.0, B, lambda _outcome: None)
    models.submit(sent)
    assert (models.waiting({A}), models.waiting({B})) == (False, True)
    assert models.take(1.0, {A: 8}) is None
    batch = models.take(1.0, {A: 8, B: 8})
    assert batch is not None
    assert (batch.model, batch.uploads) == (B, (sent,))


def test_each_model_has_its_own_limit(models: Schedule) -> None:
    """The most frames at once are those of the batch's model."""
    for name in ("a1", "a2", "b1", "b2"):
        models.offer(frame(name), 1.0)
    limits = {A: 1, B: 2}
    taken = [models.take(1.0, limits) for _ in range(3)]
    assert sorted((batch.model, len(batch.frames)) for batch in taken if batch) == [(A, 1), (A, 1), (B, 2)]


def test_camera_that_changes_its_model(models: Schedule) -> None:
    """A camera's new model gets the frame that waits; what is in flight with the old one still comes back."""
    models.offer(frame("a1", 1), 0.0)
    in_flight = models.take(0.0, {A: 8})
    assert in_flight is not None
    models.add("a1", model=B, fps=1, weight=1, floor=0.5, now=0.5)
    models.offer(frame("a1", 2), 1.0)
    assert models.take(1.0, {A: 8, B: 8}) is None
    models.done(in_flight, 0.1)
    assert not models.waiting({A})
    batch = models.take(1.0, {A: 8, B: 8})
    assert batch is not None
    assert (batch.model, names(batch), batch.floors) == (B, ["a1"], (0.5,))


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["offer", "offer", "offer", "take", "done", "upload", "allow", "change"]),
        st.integers(0, 3),
        st.floats(0, 0.5),
    ),
    max_size=120,
)
LIMITS = ({A: 1}, {B: 2}, {A: 3, B: 1}, {A: 8, B: 8})


class Book:
    """Drives a schedule of two models through random steps and keeps the account of every frame."""

    def __init__(self) -> None:
        self.schedule = Schedule(shape_of)
        self.model = {f"c{number}": (A, B)[number % 2] for number in range(4)}
        for name in self.model:
            self._add(name)
        self.offered = 0
        self.fates: Counter[str] = Counter()
        self.in_flight: list[Batch] = []
        self.now = 0.0

    def step(self, what: str, number: int, pause: float) -> None:
        """Do one step after `pause` seconds."""
        self.now += pause
        name, image = f"c{number}", TALL if number == 3 else WIDE
        match what:
            case "offer":
                self.offered += 1
                self.fates[self.schedule.offer(frame(name, image=image), self.now).value] += 1
            case "upload":
                model = self.model[name]
                self.schedule.submit(
                    Upload(frame("", image=image), 0.1, self.now, model, lambda _outcome: None)
                )
            case "take":
                self._take(LIMITS[number])
            case "done" if self.in_flight:
                self.schedule.done(self.in_flight.pop(number % len(self.in_flight)), pause)
            case "allow":
                self.schedule.allow({name: pause + 0.05})
            case "change":
                self.model[name] = B if self.model[name] == A else A
                self._add(name)

    def check(self) -> None:
        """Check what holds after every step."""
        cameras = Counter(each.camera for batch in self.in_flight for each in batch.camera_frames)
        assert all(count == 1 for count in cameras.values()), "a camera is in flight twice"
        for batch in self.in_flight:
            sizes = {shape_of(batch.model, each.image.width, each.image.height) for each in batch.frames}
            assert sizes == {batch.shape}, "a batch mixes shapes"
            assert len(batch.floors) == len(batch.frames)

    def _add(self, name: str) -> None:
        rate = 2 + int(name[1:])
        self.schedule.add(name, model=self.model[name], fps=rate, weight=rate, floor=0.1, now=0.0)

    def _take(self, limits: dict[str, int]) -> None:
        batch = self.schedule.take(self.now, limits)
        if batch is None:
            assert not self.schedule.waiting(limits)
            return
        assert len(batch.frames) <= limits[batch.model]
        assert {self.model[each.camera] for each in batch.camera_frames} <= {batch.model}, (
            "a batch mixes models"
        )
        assert {each.model for each in batch.uploads} <= {batch.model}
        self.in_flight.append(batch)


@given(STEPS)
def test_every_frame_has_one_fate(steps: list[tuple[str, int, float]]) -> None:
    """Whatever happens: frames offered = taken + overwritten + not due + waiting; nothing is mixed."""
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
    while (rest := book.schedule.take(book.now, {A: 8, B: 8})) is not None:
        waiting += rest.camera_frames
    lost = book.fates["overwritten"] + book.fates["not_due"]
    assert book.offered == len(taken) + lost + len(waiting)
    assert len({id(each) for each in taken + waiting}) == len(taken) + len(waiting)
