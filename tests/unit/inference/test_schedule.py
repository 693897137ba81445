"""The schedule's rules, one by one, with time passed in."""

from __future__ import annotations

import pytest

from tests.support.fakes import frame
from tests.support.scheduling import TALL, WIDE, names, shape_of, took, upload
from vigil.core.types import MAIN_MODEL, Frame
from vigil.inference.schedule import Offer, Schedule


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
