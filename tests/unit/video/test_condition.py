"""Whether a picture still shows something: frozen, black and blinded, with the time passed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.core.types import Condition
from vigil.video.condition import ConditionCheck

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import UInt8

OK, FROZEN, BLACK, BLINDED = Condition
STREET = np.random.default_rng(1).integers(40, 200, (90, 160)).astype(np.uint8)
NIGHT = np.full((90, 160), 16, np.uint8)
FOG = np.full((90, 160), 128, np.uint8)
WHITE = np.full((90, 160), 235, np.uint8)


def moving(number: int) -> UInt8:
    """Return a street that is never twice the same."""
    return np.roll(STREET, number, axis=1)


def looks(check: ConditionCheck, planes: Sequence[UInt8], start: float = 0.0) -> list[Condition]:
    """Look at planes that come a second apart."""
    return [check.look(plane, start + number) for number, plane in enumerate(planes)]


def test_moving_picture_is_fine() -> None:
    """A picture in which something changes is ok for as long as it does."""
    assert set(looks(ConditionCheck(10), [moving(number) for number in range(100)])) == {OK}


def test_frozen_only_after_its_time() -> None:
    """The same pixels are frozen once they have been the same for `frozen_after` seconds, not sooner."""
    assert looks(ConditionCheck(10), [STREET] * 13) == [OK] * 10 + [FROZEN] * 3


def test_one_changed_pixel_is_life() -> None:
    """A single pixel that differs ends the freeze at once, and the time counts anew from there."""
    check = ConditionCheck(10)
    looks(check, [STREET] * 12)
    other = STREET.copy()
    other[5, 7] ^= 1
    assert looks(check, [other] * 11, start=12) == [OK] * 10 + [FROZEN]


def test_nothing_is_ever_frozen_when_told_so() -> None:
    """With `frozen_after` 0 a still picture stays ok for days."""
    check = ConditionCheck(0)
    assert {check.look(STREET, now) for now in (0.0, 1.0, 60.0, 1e6)} == {OK}


@pytest.mark.parametrize(("plane", "condition"), [(NIGHT, BLACK), (FOG, BLINDED), (WHITE, BLINDED)])
def test_flat_picture_is_believed_at_the_fifth_look(plane: UInt8, condition: Condition) -> None:
    """An even surface is black or blinded after five looks in a row, long before it counts as frozen."""
    assert looks(ConditionCheck(1000), [plane] * 7) == [OK] * 4 + [condition] * 3


def test_flash_in_between_begins_the_count_anew() -> None:
    """Four dark looks, a lit one, and four dark ones are no black picture."""
    planes = [*[NIGHT] * 4, moving(1), *[NIGHT] * 4]
    assert set(looks(ConditionCheck(0), planes)) == {OK}


def test_black_and_blinded_are_counted_apart() -> None:
    """Looks at a covered and at a dark picture do not add up; the later one needs its own five."""
    assert looks(ConditionCheck(0), [NIGHT] * 6 + [WHITE] * 6) == [OK] * 4 + [BLACK] * 6 + [BLINDED] * 2


@pytest.mark.parametrize("plane", [NIGHT, FOG])
def test_recovery_is_immediate(plane: UInt8) -> None:
    """The first look that shows something again is ok."""
    check = ConditionCheck(1000)
    looks(check, [plane] * 10)
    assert check.look(STREET, 10) is OK


def test_cause_of_a_flat_still_picture_is_named_first() -> None:
    """A black picture is the same to the last bit, too, and stays `black` when its time to freeze comes."""
    assert set(looks(ConditionCheck(3), [NIGHT] * 30)[4:]) == {BLACK}


def test_frozen_picture_that_turns_black_is_black_after_five_looks() -> None:
    """Until the dark is believed, what was known stays."""
    check = ConditionCheck(2)
    assert looks(check, [STREET] * 3)[-1] is FROZEN
    assert looks(check, [NIGHT] * 6, start=3) == [FROZEN] * 4 + [BLACK] * 2


def test_grain_of_a_dark_room_is_not_black() -> None:
    """A lit room at night with a sensor's noise still shows something."""
    room = np.random.default_rng(2).normal(25, 10, (90, 160)).clip(0, 255).astype(np.uint8)
    rolled = [np.roll(room, number) for number in range(20)]
    assert set(looks(ConditionCheck(60), rolled)) == {OK}


def test_grain_of_a_covered_lens_is_still_flat() -> None:
    """A hand over the lens with a little noise is told, though no two pictures are the same."""
    rng = np.random.default_rng(3)
    covered = [rng.normal(20, 2, (90, 160)).clip(0, 255).astype(np.uint8) for _ in range(6)]
    assert looks(ConditionCheck(60), covered)[-1] is BLACK


def test_plane_may_be_a_view() -> None:
    """A coarse view into a decoder's plane, whose rows are not side by side, is looked at like any other."""
    whole = np.random.default_rng(4).integers(0, 256, (720, 1344)).astype(np.uint8)
    assert looks(ConditionCheck(2), [whole[::8, :1280:8]] * 4) == [OK, OK, FROZEN, FROZEN]


@given(st.lists(st.sampled_from([STREET, NIGHT, FOG, moving(9)]), max_size=40), st.sampled_from([0, 3, 10]))
def test_condition_never_precedes_its_evidence(planes: list[UInt8], frozen_after: int) -> None:
    """Whatever comes: flat conditions have five flat looks behind them, frozen ones their seconds."""
    check = ConditionCheck(frozen_after)
    for number, plane in enumerate(planes):
        before, now = check.condition, check.look(plane, float(number))
        last_five = planes[max(0, number - 4) : number + 1]
        if now is not before and now in {BLACK, BLINDED}:
            assert len(last_five) == 5
            assert all(each is plane for each in last_five)
        if now is not before and now is FROZEN:
            assert all(each is plane for each in planes[number - frozen_after : number + 1])
