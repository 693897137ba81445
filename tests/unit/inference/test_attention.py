"""What a camera's next frame is looked at for, and what its result is made of."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from vigil.analytics.motion import MotionDetector
from vigil.core.interest import Interest
from vigil.core.types import Detections
from vigil.inference.attention import Attention, AttentionSettings, Plan
from vigil.inference.letterbox import place

if TYPE_CHECKING:
    from vigil.core.types import Float32

SHAPE = (384, 640)
WIDTH, HEIGHT = 1280, 720
AT = place(WIDTH, HEIGHT, SHAPE)
UNCUT = np.zeros((1, 4), np.bool_)
PARKED = (600.0, 300.0, 700.0, 360.0)


def interest(
    *expected: tuple[float, float, float, float],
    moving: tuple[tuple[float, float, float, float], ...] = (),
    detection: int = 0,
    speed: float = 0.0,
    unseen: float = 0.2,
) -> Interest:
    """Return an interest in objects that the last result showed from row `detection` on."""
    number = len(expected)
    return Interest(
        np.array(expected, np.float64).reshape(-1, 4),
        np.ones((number, 4)),
        np.full(number, speed),
        np.arange(number) + detection if detection >= 0 else np.full(number, -1),
        np.full(number, unseen),
        np.array(moving, np.float32).reshape(-1, 4),
    )


def found(
    *boxes: tuple[float, float, float, float], class_id: int = 0, confidence: float = 0.9
) -> Detections:
    """Return boxes as a detector finds them."""
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    number = len(xyxy)
    return Detections.untracked(
        xyxy, np.full(number, confidence, np.float32), np.full(number, class_id, np.int32)
    )


def started(
    *boxes: tuple[float, float, float, float], settings: AttentionSettings | None = None
) -> Attention:
    """Return the attention of a camera whose start, the second up to 1.0, showed these boxes."""
    attention = Attention(settings)
    for now in (0.0, 0.5, 0.9):
        plan = attention.plan(interest(*boxes), now, AT, SHAPE)
        attention.took(plan, found(*boxes), np.zeros((len(boxes), 4), np.bool_), now)
    return attention


def holds(plan: Plan, box: tuple[float, float, float, float]) -> bool:
    """Tell whether a region of a plan holds a box of the frame."""
    left, top, right, bottom = np.array(box) * AT.scale_x + [AT.left, AT.top] * 2
    return any(
        region.left <= left and region.top <= top and region.right >= right and region.bottom >= bottom
        for region in plan.regions or ()
    )


def test_the_start_is_whole() -> None:
    """For its first second a camera's frames are looked at whole, and again when its picture changes."""
    attention = Attention()
    assert [attention.plan(interest(), now, AT, SHAPE).why for now in (0.0, 0.9)] == ["start", "start"]
    attention = started()
    assert attention.plan(interest(), 1.2, AT, SHAPE).regions == ()
    assert attention.plan(replace(interest(), changed=True), 1.4, AT, SHAPE).why == "start"


def test_whole_frames_come_at_intervals_apart_from_each_other() -> None:
    """After the start, whole frames of cameras that began together fall due at different times."""
    due = []
    for phase in (0.0, 0.25, 0.5, 0.75):
        attention = Attention(phase=phase)
        assert attention.plan(interest(), 0.2, AT, SHAPE).why == "start"
        attention.took(attention.plan(interest(), 0.8, AT, SHAPE), found(), UNCUT[:0], 0.8)
        now = 1.2
        while (plan := attention.plan(interest(), now, AT, SHAPE)).why != "due":
            attention.took(plan, found(), UNCUT[:0], now)
            now += 0.2
        due.append(round(now, 1))
    assert len(set(due)) == 4
    assert max(due) < 0.8 + 1.5 * AttentionSettings().whole_every + 0.2


def test_rare_looks_are_not_whole_ones_all_the_time() -> None:
    """A camera that is looked at as rarely as whole frames are due has looks at parts between them."""
    attention = started()
    whys = []
    for look in range(1, 13):
        plan = attention.plan(interest(), 3.0 * look, AT, SHAPE)
        assert attention.owes_whole(3.0 * look) == (plan.why == "due")
        attention.took(plan, found(), UNCUT[:0], 3.0 * look)
        whys.append(plan.why)
    assert whys == [*([""] * 5), "due"] * 2


def test_what_moves_is_looked_at_at_full_scale() -> None:
    """Motion about which nothing is known gets a region around it, as large as in the whole frame."""
    attention = started()
    plan = attention.plan(interest(moving=((200, 200, 260, 320),)), 1.2, AT, SHAPE)
    assert holds(plan, (200, 200, 260, 320))
    assert plan.regions is not None
    assert all(region.full_scale for region in plan.regions)


def test_large_objects_are_shrunk_and_small_ones_are_not() -> None:
    """An object over the comfortable size is seen at a smaller scale, motion about it as well."""
    tall, small = (500.0, 50.0, 700.0, 650.0), (100.0, 300.0, 140.0, 400.0)
    attention = started(tall, small)
    plan = attention.plan(interest(tall, small, speed=200, moving=(tall,)), 1.2, AT, SHAPE)
    assert plan.regions is not None
    large = [region for region in plan.regions if region.bottom - region.top > 200]
    assert len(large) == 1
    assert not large[0].full_scale
    assert all(region.full_scale for region in plan.regions if region is not large[0])


def test_what_stands_is_taken_as_seen_until_its_next_look() -> None:
    """An object on which nothing moves costs no look, is in the result, and is looked at again in time."""
    attention = started(PARKED)
    plan = attention.plan(interest(PARKED), 1.2, AT, SHAPE)
    assert plan.regions == ()
    result = attention.took(plan, found(), UNCUT[:0], 1.2)
    assert result.xyxy.tolist() == [list(PARKED)]
    assert holds(attention.plan(interest(PARKED), 2.1, AT, SHAPE), PARKED)


def test_a_touched_object_is_looked_at_and_stays_what_it_was() -> None:
    """Somebody passes a parked truck: it is looked at, and a part of it does not make it a car."""
    attention = started(PARKED)
    attention.took(attention.plan(interest(PARKED), 1.0, AT, SHAPE), found(), UNCUT[:0], 1.0)
    plan = attention.plan(interest(PARKED, moving=((620, 280, 660, 380),)), 1.2, AT, SHAPE)
    assert holds(plan, PARKED)
    result = attention.took(plan, found((601, 300, 699, 361), class_id=7, confidence=0.6), UNCUT, 1.2)
    assert result.class_id.tolist() == [0]
    assert result.confidence.tolist() == pytest.approx([0.9])


def test_an_object_that_is_gone_is_not_taken_as_seen() -> None:
    """A touched object whose place shows nothing is no longer in the result."""
    attention = started(PARKED)
    plan = attention.plan(interest(PARKED, moving=(PARKED,)), 1.2, AT, SHAPE)
    assert len(attention.took(plan, found(), UNCUT[:0], 1.2)) == 0


def test_where_a_box_was_cut_the_next_region_is_wider() -> None:
    """A box cut at its right edge has a region that reaches further to the right next time."""
    walker = (300.0, 300.0, 360.0, 440.0)
    regions = []
    for cut in (UNCUT, np.array([[False, False, True, False]])):
        attention = started(walker)
        plan = attention.plan(interest(walker, speed=100), 1.2, AT, SHAPE)
        attention.took(plan, found(walker), cut, 1.2)
        (region,) = attention.plan(interest(walker, speed=100), 1.4, AT, SHAPE).regions or ()
        regions.append(region)
    plain, wider = regions
    assert wider.right > plain.right
    assert (wider.left, wider.top, wider.bottom) == (plain.left, plain.top, plain.bottom)


def test_a_cut_box_yields_to_the_whole_one() -> None:
    """Of two regions that show one person, half in the one and all in the other, the whole box is kept."""
    attention = started()
    plan = attention.plan(interest(moving=((300, 300, 360, 440),)), 1.2, AT, SHAPE)
    both = found((300, 300, 330, 440), (300, 300, 360, 440))
    result = attention.took(plan, both, np.array([[False, False, True, False], [False] * 4]), 1.2)
    assert result.xyxy.tolist() == [[300, 300, 360, 440]]


def test_a_full_picture_is_looked_at_whole() -> None:
    """Where regions would fill the canvas, the whole frame is looked at instead."""
    attention = started()
    plan = attention.plan(interest(moving=((0, 0, WIDTH, HEIGHT * 0.8),)), 1.2, AT, SHAPE)
    assert plan.why == "full"


def surprised(
    settings: AttentionSettings,
    every: float,
    unseen: float | None = None,
    *,
    times: int = 1,
    turn: float = np.inf,
) -> tuple[Attention, float]:
    """Return an attention whose regions showed nothing, and whole frames a crowd, and when the last one was.

    The crowd was `unseen` for so many seconds; nobody knew of it if that is `None`. Looks come `every` so
    many seconds, and would every `turn` if there were room for all.
    """
    attention = started(settings=settings)
    now = 1.0
    crowd = [(float(x), 300.0, x + 60.0, 400.0) for x in range(0, 1200, 100)]
    known = interest() if unseen is None else interest(*crowd, detection=-1, unseen=unseen)
    for _ in range(times):
        now += every
        while (plan := attention.plan(known, now, AT, SHAPE, turn)).why != "due":
            attention.took(plan, found(), UNCUT[:0], now)
            now += every
        attention.took(plan, found(*crowd), np.zeros((12, 4), np.bool_), now)
    return attention, now


def test_regions_that_show_too_little_are_given_up() -> None:
    """Two whole frames with many objects that the regions' result had not go on whole for a while."""
    settings = AttentionSettings()
    attention, now = surprised(settings, every=0.2, times=2)
    assert attention.overlooked > settings.doubt
    for later in (1.0, settings.doubtful - 0.1):
        assert attention.plan(interest(PARKED), now + later, AT, SHAPE).why == "doubt"
    assert attention.plan(interest(PARKED), now + settings.doubtful + 0.1, AT, SHAPE).regions is not None


def looks_at_one_parked(attention: Attention, now: float, every: float, looks: int) -> list[str]:
    """Look so many times at somebody who stands, all being as expected; return why each frame is whole."""
    whys = []
    for number in range(1, looks + 1):
        plan = attention.plan(interest(PARKED), now + number * every, AT, SHAPE)
        attention.took(plan, found(PARKED), UNCUT, now + number * every)
        whys.append(plan.why)
    return whys


def test_one_surprise_is_no_habit() -> None:
    """A picture that jumped is looked at whole again two looks later, and no more if all is well then."""
    attention, now = surprised(AttentionSettings(), every=0.2)
    assert looks_at_one_parked(attention, now, every=0.2, looks=4) == ["", "due", "", ""]


def test_surprises_that_nobody_judges_are_forgotten() -> None:
    """Looked at every second, whole frames come no more often for it: they judge nobody."""
    attention, now = surprised(AttentionSettings(), every=0.2)
    assert looks_at_one_parked(attention, now, every=1.0, looks=9) == [
        "",
        "due",
        "",
        "",
        "",
        "",
        "",
        "due",
        "",
    ]


@pytest.mark.parametrize(("unseen", "overlooked"), [(0.5, False), (1.5, True)])
def test_what_the_last_look_missed_is_not_overlooked(unseen: float, *, overlooked: bool) -> None:
    """Regions are where it is expected, as long as it is looked for; confidence comes and goes by itself."""
    attention, _ = surprised(AttentionSettings(), every=0.2, unseen=unseen)
    assert (attention.overlooked > 0) is overlooked


def test_regions_are_not_judged_by_what_came_long_after_them() -> None:
    """A camera that is looked at every second does not fall back to whole frames, which are dearer."""
    settings = AttentionSettings()
    attention, now = surprised(settings, every=1.0)
    assert attention.overlooked == 0
    assert attention.plan(interest(PARKED), now + 1.0, AT, SHAPE).why == ""


@pytest.mark.parametrize(("turn", "judged"), [(0.2, False), (0.25, True), (0.33, True)])
def test_late_looks_judge_nobody(turn: float, *, judged: bool) -> None:
    """In an overload, with looks every 0.35 s, regions go on, as they would if there were room for all."""
    settings = AttentionSettings()
    attention, now = surprised(settings, every=0.35, times=2, turn=turn)
    assert (attention.overlooked > 0) is judged
    assert attention.plan(interest(PARKED), now + 0.35, AT, SHAPE, turn).why == ("doubt" if judged else "")


_BEGINNINGS = [
    (-70, 300),
    (WIDTH + 10, 300),
    (600, -160),
    (600, HEIGHT + 10),
    (-70, -160),
    (WIDTH + 10, -160),
]
_BEGINNINGS += [(-70, HEIGHT + 10), (WIDTH + 10, HEIGHT + 10)]


@pytest.mark.parametrize("begin", _BEGINNINGS)
@pytest.mark.parametrize("fps", [5, 10])
def test_who_enters_at_the_border_is_found_within_two_looks(begin: tuple[int, int], fps: int) -> None:
    """From any side or corner: two looks after half of a walker is in the picture, a region holds what is."""
    assert _looks_late(begin, fps, mask=None) <= 2


def test_who_comes_from_behind_a_mask_is_found_within_two_looks() -> None:
    """The same for a walker who comes out of a part of the picture that is masked."""
    mask = [(0.0, 0.0), (0.3, 0.0), (0.3, 1.0), (0.0, 1.0)]
    assert _looks_late((250, 300), 5, mask=mask) <= 2


def _looks_late(begin: tuple[int, int], fps: int, mask: list[tuple[float, float]] | None) -> int:
    """Return how many looks after a whole frame would show a walker a region holds what is seen of him."""
    stride, size = 10, (60, 150)
    scene = np.random.default_rng(0).integers(90, 150, (HEIGHT // stride, WIDTH // stride))
    motion, attention = MotionDetector([] if mask is None else [mask]), started()
    aim = np.array([WIDTH / 2, HEIGHT / 2]) - begin
    pace = aim / np.abs(aim).max() * 120  # pixels a second: 1.4 m, for somebody of 1.75 m
    moved: list[Float32] = []
    late: int | None = None
    for tick in range(200):
        now = 1.2 + tick / 10
        corner = np.array(begin) + pace * max(0.0, now - 4)
        plane = scene + np.random.default_rng(tick).integers(-2, 3, scene.shape)
        left, top, right, bottom = np.clip([*corner, *(corner + size)], 0, [WIDTH, HEIGHT] * 2)
        first, last = int(top // stride), int(bottom // stride)
        plane[first:last, int(left // stride) : int(right // stride)] = 20
        moved.append(motion.look(plane.astype(np.uint8), now).boxes)
        if tick % (10 // fps):
            continue
        boxes = np.concatenate(moved) * np.array([WIDTH, HEIGHT] * 2, np.float32)
        moved.clear()
        plan = attention.plan(interest(moving=tuple(map(tuple, boxes.tolist()))), now, AT, SHAPE)
        attention.took(plan, found(), UNCUT[:0], now)
        seen = max(0.0, right - left) * max(0.0, bottom - top) / (size[0] * size[1])
        unmasked = mask is None or corner[0] + size[0] / 2 > 0.3 * WIDTH
        if late is None and seen >= 0.5 and unmasked:
            late = 0
        if late is not None:
            if plan.regions is None or holds(plan, (left + 4, top + 4, right - 4, bottom - 4)):
                return late
            late += 1
    raise AssertionError("the walker never came into sight")
