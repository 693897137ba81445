"""The schedule's rules, one by one, with time passed in."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import FakeImage, frame
from vigil.core.types import MAIN_MODEL, Frame
from vigil.inference.schedule import Batch, Offer, Schedule, Upload

WIDE, TALL = FakeImage(1280, 720), FakeImage(720, 1280)


def shape_of(_model: str, width: int, height: int) -> tuple[int, int]:
    """Give each frame size an input shape of its own."""
    return height // 2, width // 2


@pytest.fixture
def schedule() -> Schedule:
    """Return a schedule with the cameras `a` and `b`, one inference per second each, due at 0."""
    schedule = Schedule(shape_of)
    schedule.add("a", model=MAIN_MODEL, fps=1, weight=1, floor=0.25, now=0.0)
    schedule.add("b", model=MAIN_MODEL, fps=1, weight=1, floor=0.5, now=0.0)
    return schedule


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


def test_new_camera_is_due_at_once(schedule: Schedule) -> None:
    """The first frame of a camera is kept and can be taken at the same instant."""
    assert schedule.offer(frame("a"), 0.0) is Offer.KEPT
    assert schedule.waiting({MAIN_MODEL})
    assert names(took(schedule, 0.0)) == ["a"]


def test_nothing_waits_nothing_is_taken(schedule: Schedule) -> None:
    """An engine that finds nothing due gets nothing, and nothing is said to wait."""
    assert schedule.take(5.0, {MAIN_MODEL: 8}) is None
    assert not schedule.waiting({MAIN_MODEL})


def test_unknown_camera_is_told(schedule: Schedule) -> None:
    """A frame of a camera that is not scheduled is neither kept nor counted as dropped."""
    assert schedule.offer(frame("stranger"), 0.0) is Offer.UNKNOWN
    schedule.remove("a")
    assert schedule.offer(frame("a"), 0.0) is Offer.UNKNOWN
    assert not schedule.waiting({MAIN_MODEL})
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
    assert not schedule.waiting({MAIN_MODEL})


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
    schedule.add("light", model=MAIN_MODEL, fps=1, weight=1, floor=0, now=0.0)
    schedule.add("heavy", model=MAIN_MODEL, fps=1, weight=4, floor=0, now=2.0)
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


def test_batch_falls_apart_into_single_frames(schedule: Schedule) -> None:
    """Each frame of a batch becomes one of its own, with its floor and upload, and frees its own camera."""
    sent = upload(0.0)
    for camera in "ab":
        schedule.offer(frame(camera), 0.0)
    schedule.submit(sent)
    batch = took(schedule, 1.0)
    singles = list(batch.singles())
    assert {(each.model, each.shape, len(each.frames)) for each in singles} == {(batch.model, batch.shape, 1)}
    assert tuple(each.frames[0] for each in singles) == batch.frames
    assert tuple(each.floors[0] for each in singles) == batch.floors
    assert [each.uploads for each in singles] == [(), (), (sent,)]
    for camera in "ab":
        schedule.offer(frame(camera), 2.0)
    for single in singles[:2]:
        schedule.done(single)
        assert names(took(schedule, 2.0)) == names(single)


def test_other_shapes_wait_for_the_next_batch(schedule: Schedule) -> None:
    """A batch has the shape of its most overdue frame; the rest stays and is taken next."""
    schedule.offer(frame("a", image=TALL), 0.0)
    schedule.offer(frame("b"), 0.0)
    schedule.submit(upload(-5.0, TALL))
    first, second = took(schedule, 0.0), took(schedule, 0.0)
    assert first.shape == shape_of(MAIN_MODEL, 720, 1280)
    assert (names(first), len(first.uploads)) == (["a"], 1)
    assert (names(second), second.shape) == (["b"], shape_of(MAIN_MODEL, 1280, 720))


def test_camera_in_flight_waits_with_its_next_frame(schedule: Schedule) -> None:
    """A frame that arrives while its camera is being inferred can be taken only after `done`."""
    schedule.offer(frame("a", 1), 0.0)
    batch = took(schedule, 0.0)
    assert schedule.offer(frame("a", 2), 1.0) is Offer.KEPT
    assert not schedule.waiting({MAIN_MODEL})
    assert schedule.take(1.0, {MAIN_MODEL: 8}) is None
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
    assert not schedule.waiting({MAIN_MODEL})
    assert len(schedule) == 0


def test_camera_that_changes_its_rate_keeps_its_turn(schedule: Schedule) -> None:
    """A scheduled camera that is added again is due one new period after its last turn, not at once."""
    schedule.offer(frame("a"), 0.0)
    schedule.done(took(schedule, 0.0))
    schedule.add("a", model=MAIN_MODEL, fps=0.1, weight=1, floor=0.25, now=0.5)
    assert schedule.offer(frame("a"), 1.0) is Offer.NOT_DUE
    assert schedule.offer(frame("a"), 10.0) is Offer.KEPT
    schedule.done(took(schedule, 10.0))
    schedule.add("a", model=MAIN_MODEL, fps=2, weight=1, floor=0.25, now=10.0)
    assert schedule.offer(frame("a"), 10.5) is Offer.KEPT
    assert len(schedule) == 2


def test_camera_that_changes_keeps_the_frame_that_waits(schedule: Schedule) -> None:
    """New weight and floor hold for the frame that waits already, which is neither lost nor doubled."""
    schedule.offer(frame("a", 7), 0.0)
    schedule.offer(frame("b"), 0.0)
    schedule.add("b", model=MAIN_MODEL, fps=1, weight=10, floor=0.125, now=0.5)
    batch = took(schedule, 0.5)
    assert names(batch) == ["b", "a"]
    assert batch.floors == (0.125, 0.25)
    assert schedule.take(0.5, {MAIN_MODEL: 8}) is None


def test_camera_removed_and_added_in_flight_is_not_taken_twice(schedule: Schedule) -> None:
    """A reload that adds a camera again while a frame of it is inferred does not start a second one."""
    schedule.offer(frame("a", 1), 0.0)
    batch = took(schedule, 0.0)
    schedule.remove("a")
    schedule.add("a", model=MAIN_MODEL, fps=1, weight=1, floor=0.25, now=0.1)
    schedule.offer(frame("a", 2), 0.1)
    assert schedule.take(0.1, {MAIN_MODEL: 8}) is None
    schedule.done(batch)
    assert [each.seq for each in took(schedule, 0.2).frames] == [2]


def test_drained_uploads_are_all_of_them(schedule: Schedule) -> None:
    """An engine that goes away hands every waiting upload back, in order, and none waits afterwards."""
    sent = [upload(float(number)) for number in range(3)]
    for each in sent:
        schedule.submit(each)
    assert schedule.uploads == 3
    assert schedule.drain_uploads() == sent
    assert not schedule.waiting({MAIN_MODEL})


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


def names_of(batch: Batch | None) -> list[str]:
    """Return the cameras of a batch that must be there."""
    assert batch is not None
    return names(batch)


def learn(schedule: Schedule, camera: str, source: float, start: float, seconds: float) -> int:
    """Play a camera's frames to an engine that takes each at once; returns how many it took."""
    turns = 0
    for number in range(round(source * seconds)):
        now = start + number / source
        if schedule.offer(frame(camera), now) is Offer.KEPT:
            schedule.done(took(schedule, now), 0.02)
            turns += 1
    return turns


def test_nobody_asks_before_a_turn_was_measured(schedule: Schedule) -> None:
    """Until it is known what a turn costs, nothing can be planned."""
    for number in range(10):
        schedule.offer(frame("a"), number * 0.1)
    assert schedule.demands({MAIN_MODEL: 8}, 1.0) == []


def test_camera_asks_for_what_it_can_use(schedule: Schedule) -> None:
    """A camera asks for its target, or for all that its source delivers if that is less."""
    schedule.add("b", model=MAIN_MODEL, fps=30, weight=2, floor=0.5, now=0.0)
    learn(schedule, "a", 10, 0.0, 30)
    learn(schedule, "b", 10, 0.0, 30)
    a, b = schedule.demands({MAIN_MODEL: 8}, 30.0)
    assert (a.camera, a.weight, b.camera, b.weight) == ("a", 1, "b", 2)
    assert (a.fps, a.cost, b.fps, b.cost) == pytest.approx((1, 0.02, 10, 0.02))
    assert schedule.demands({"another": 8}, 30.0) == []


def test_model_that_nobody_measured_does_not_hide_the_others(schedule: Schedule) -> None:
    """A camera that never sent a frame, alone with its model, does not keep the others from being planned."""
    schedule.remove("b")
    schedule.add("dead", model=A, fps=5, weight=1, floor=0.25, now=0.0)
    learn(schedule, "a", 10, 0.0, 10)
    assert [each.camera for each in schedule.demands({MAIN_MODEL: 1, A: 1}, 10.0)] == ["a"]


def test_source_that_was_away_asks_for_what_it_delivers(schedule: Schedule) -> None:
    """A minute of silence is not taken for a frame interval: a second later the demand is the old one."""
    schedule.add("a", model=MAIN_MODEL, fps=5, weight=1, floor=0.25, now=0.0)
    learn(schedule, "a", 10, 0.0, 10)
    learn(schedule, "a", 10, 70.0, 1)
    demand, _ = schedule.demands({MAIN_MODEL: 1}, 71.0)
    assert demand.fps == pytest.approx(5)


def test_camera_that_stutters_asks_for_the_turns_that_it_can_have(schedule: Schedule) -> None:
    """Of frames that come all at once every second two are looked at, not five, be engines free or not."""
    schedule.add("a", model=MAIN_MODEL, fps=5, weight=1, floor=0.25, now=0.0)
    turns = 0
    for second in range(60):
        for number in range(25):
            now = second + number / 1000
            if schedule.offer(frame("a"), now) is Offer.KEPT:
                schedule.done(took(schedule, now), 0.02)
                turns += 1
    assert turns / 60 == pytest.approx(2, rel=0.1)
    free, _ = schedule.demands({MAIN_MODEL: 1}, 59.1)
    assert free.fps == pytest.approx(2, rel=0.1)
    for number in range(60 * 25):
        schedule.offer(frame("a"), 60 + number // 25 + number % 25 / 1000)
    busy, _ = schedule.demands({MAIN_MODEL: 1}, 119.1)
    assert busy.fps == pytest.approx(free.fps, rel=0.01)


def test_a_look_at_a_quiet_picture_is_no_demand(schedule: Schedule) -> None:
    """A camera that is looked at once in ten seconds asks for nothing; from its second frame on it does."""
    schedule.add("a", model=MAIN_MODEL, fps=5, weight=1, floor=0.25, now=0.0)
    learn(schedule, "a", 25, 0.0, 10)
    for now in (20.0, 30.0, 40.0):
        schedule.offer(frame("a"), now)
        schedule.done(took(schedule, now), 0.02)
        assert schedule.demands({MAIN_MODEL: 1}, now + 0.1)[0].fps == 0
    schedule.offer(frame("a"), 40.2)
    assert schedule.demands({MAIN_MODEL: 1}, 40.2)[0].fps == pytest.approx(5)


def test_a_first_turn_that_takes_long_is_soon_forgotten(schedule: Schedule) -> None:
    """An engine warms up in its first turns; ten others later they are a tenth of what is planned with."""
    schedule.offer(frame("a"), 0.0)
    schedule.done(took(schedule, 0.0), 2.02)
    learn(schedule, "a", 1, 1.0, 9)
    assert schedule.demands({MAIN_MODEL: 1}, 9.5)[0].cost == pytest.approx(0.02 + 2 / 10)


@pytest.mark.parametrize(("source", "silent_after"), [(10.0, 2.0), (0.5, 10.0)])
def test_silent_source_asks_for_nothing(schedule: Schedule, source: float, silent_after: float) -> None:
    """After two seconds without a frame, or five of its intervals, a camera asks for nothing."""
    learn(schedule, "a", source, 0.0, 100)
    last = 100 - 1 / source
    just_before, after = (
        schedule.demands({MAIN_MODEL: 8}, last + silent_after + moment)[0].fps for moment in (-0.1, 0.1)
    )
    assert just_before == pytest.approx(min(source, 1))
    assert after == 0


def test_allowed_rate_is_kept_exactly(schedule: Schedule) -> None:
    """A camera that may be looked at less often than it asks gets just that, and its target afterwards."""
    schedule.add("a", model=MAIN_MODEL, fps=5, weight=1, floor=0.25, now=0.0)
    assert learn(schedule, "a", 25, 0.0, 100) == pytest.approx(500, abs=1)
    schedule.allow({"a": 1.7, "stranger": 1})
    assert learn(schedule, "a", 25, 100.0, 100) == pytest.approx(170, abs=1)
    schedule.allow({"a": float("inf")})
    assert learn(schedule, "a", 25, 200.0, 100) == pytest.approx(500, abs=1)


def test_target_holds_where_more_is_allowed(schedule: Schedule) -> None:
    """Being allowed more than it asks for makes no camera faster, and a new target holds at once."""
    schedule.allow({"a": 20})
    assert learn(schedule, "a", 25, 0.0, 50) == pytest.approx(50, abs=1)
    schedule.allow({"a": 2})
    schedule.add("a", model=MAIN_MODEL, fps=10, weight=1, floor=0.25, now=50.0)
    assert learn(schedule, "a", 25, 50.0, 50) == pytest.approx(100, abs=1)


def test_rates_that_change_often_add_up(schedule: Schedule) -> None:
    """A rate that is set anew each second, up and down, gives the turns that it adds up to."""
    schedule.add("a", model=MAIN_MODEL, fps=10, weight=1, floor=0.25, now=0.0)
    turns = 0
    for second in range(100):
        schedule.allow({"a": (2.0, 4.0)[second % 2]})
        turns += learn(schedule, "a", 25, float(second), 1)
    assert turns == pytest.approx(300, rel=0.02)


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


def test_camera_has_room_while_nothing_of_it_waits(schedule: Schedule) -> None:
    """A frame that waits holds up the next of those that were kept; one that an engine has does not."""
    states = [schedule.has_room("a"), schedule.has_room("nobody")]
    schedule.offer(frame("a"), 0.0)
    states.append(schedule.has_room("a"))
    batch = took(schedule, 0.1)
    states += [schedule.has_room("a"), schedule.has_room("b")]
    schedule.offer(frame("a"), 2.0)
    states.append(schedule.has_room("a"))
    schedule.done(batch)
    assert [*states, schedule.has_room("a")] == [True, True, False, True, True, False, False]


def test_late_frames_take_the_turns_of_their_own_time(schedule: Schedule) -> None:
    """Frames of the last ten seconds, offered all at once, are taken at the camera's rate in their time."""
    taken = []
    for number in range(100):
        late = 10 - number / 10
        offered = Frame("a", number, 0.0, None, WIDE, late)
        schedule.offer(offered, 50 - late)
        batch = schedule.take(50.0, {MAIN_MODEL: 1})
        if batch is not None:
            taken.append(number)
            schedule.done(batch)
    assert taken == [0, 1, *range(10, 100, 10)]  # one missed turn is made up for


@pytest.mark.parametrize(("interval", "taken"), [(0.04, 1.4), (0.08, 1.44), (0.5, 1.0)])
def test_turn_waits_for_a_fresher_frame(schedule: Schedule, interval: float, taken: float) -> None:
    """Where it may wait, and frames come often, it does for two fifths of a period at most."""
    schedule.add("a", model=MAIN_MODEL, fps=1, weight=1, floor=0.25, now=0.0)
    schedule.offer(frame("a"), 0.0)
    schedule.done(took(schedule, 0.0), 0.02)
    arrivals = [number * interval for number in range(1, 60)]
    kept = next(at for at in arrivals if schedule.offer(frame("a"), at, may_wait=True) is Offer.KEPT)
    assert kept == pytest.approx(taken)
    schedule.done(took(schedule, kept), 0.02)
    arrivals = [at for at in arrivals if at > kept]
    assert next(at for at in arrivals if schedule.offer(frame("a"), at) is Offer.KEPT) == pytest.approx(2.0)


def test_frames_in_parts_share_the_inputs(schedule: Schedule) -> None:
    """Frames are taken, most overdue first, while their shares fit into the inputs; whole ones take one."""
    for camera in "cd":
        schedule.add(camera, model=MAIN_MODEL, fps=1, weight=1, floor=0.5, now=0.0)
    shares = {"a": 0.5, "b": 0.6, "c": 0.4, "d": None}
    for number, camera in enumerate("abcd"):
        schedule.offer(frame(camera), 1.0 + number / 10)
    batch = schedule.take(2.0, {MAIN_MODEL: 1}, lambda each: shares[each.camera])
    assert batch is not None
    assert names(batch) == ["a", "c"]
    assert batch.packed
    rest = schedule.take(2.0, {MAIN_MODEL: 2}, lambda each: shares[each.camera])
    assert rest is not None
    assert names(rest) == ["b", "d"]


def test_frame_that_is_put_back_is_as_overdue_as_before(schedule: Schedule) -> None:
    """It goes first the next time, and its camera's due times are what they were."""
    schedule.offer(frame("a", 1), 0.0)
    batch = took(schedule, 5.0)
    assert schedule.put_back(batch.frames[0])
    schedule.done(batch, 0.1, 1)
    schedule.offer(frame("b", 1), 5.0)
    again = took(schedule, 5.1, limit=1)
    assert again.frames == batch.frames


def test_frame_that_is_put_back_yields_to_a_newer_one(schedule: Schedule) -> None:
    """The newest frame wins: what was put back is lost, and told so."""
    schedule.offer(frame("a", 1), 0.0)
    batch = took(schedule, 0.0)
    schedule.offer(frame("a", 2), 1.0)
    assert not schedule.put_back(batch.frames[0])
    schedule.done(batch, 0.1, 1)
    assert took(schedule, 1.0).frames[0].seq == 2
