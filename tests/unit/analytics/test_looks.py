"""Where inference looked, as it is drawn: outlines, and the model's inputs under the picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from vigil.analytics.looks import Strip, outlined
from vigil.core.looked import Looked, PackedInput, Part

if TYPE_CHECKING:
    from vigil.core.types import UInt8

GREEN, ORANGE = (pytest.approx(bgr, abs=25) for bgr in ([80, 200, 80], [40, 140, 255]))
"""Lines are smooth, so their pixels are a little of what lies under them."""
FRAME = np.full((480, 640, 3), (10, 20, 200), np.uint8)
DRAWN = np.full((480, 640, 3), 77, np.uint8)


def given(value: int, *parts: Part) -> PackedInput:
    """Return an input of one grey value, as large as its half of the strip but for the edge."""
    return PackedInput(np.full((230, 310, 3), value, np.uint8), parts)


def parts(*inputs: PackedInput) -> Looked:
    """Return what is known of a frame that was looked at in parts, on these inputs."""
    return Looked(whole=False, parts=[part for each in inputs for part in each.parts], inputs=inputs)


def strip(picture: UInt8) -> UInt8:
    """Return what was drawn under a picture."""
    assert picture.shape == (720, 640, 3)
    assert (picture[:480] == DRAWN).all()
    return picture[480:]


PART = Part((100.0, 80.0, 200.0, 160.0), full_scale=True)
SMALL = Part((220.0, 80.0, 300.0, 160.0), full_scale=False)


def test_parts_are_outlined_by_their_scale() -> None:
    """Green at full scale, orange where it was shrunk; what is inside stays, and so does the original."""
    plain = np.zeros((230, 310, 3), np.uint8)
    drawn = outlined(plain, [PART, SMALL])
    assert all(drawn[spot].tolist() == GREEN for spot in ((120, 100), (120, 199), (159, 150)))
    assert drawn[120, 220].tolist() == ORANGE
    assert not drawn[120, 110:190].any()
    assert not drawn[120, 201:219].any()
    assert not plain.any()


def test_an_input_is_drawn_under_the_picture() -> None:
    """In the left half, its parts outlined where they lie; the right one says what it came to."""
    drawn = strip(Strip().under(DRAWN, FRAME, parts(given(150, PART))))
    assert drawn[5 + 120, 5 + 150].tolist() == [150] * 3
    assert drawn[5 + 120, 5 + 100].tolist() == GREEN
    right = drawn[:, 320:]
    assert (right == 255).any()
    assert (right == 150).all(axis=2).mean() < 0.01


def test_two_inputs_lie_beside_each_other() -> None:
    """Parts that found no room on one input are seen on the second."""
    drawn = strip(Strip().under(DRAWN, FRAME, parts(given(150, PART), given(60, SMALL))))
    assert drawn[200, 150].tolist() == [150] * 3
    assert drawn[200, 320 + 150].tolist() == [60] * 3


def test_a_whole_frame_is_the_input() -> None:
    """Of a frame that was looked at whole it is the frame that is shown."""
    drawn = strip(Strip().under(DRAWN, FRAME, Looked(whole=True, why="due")))
    assert drawn[120, 150].tolist() == FRAME[0, 0].tolist()


@pytest.mark.parametrize("looked", [None, Looked(whole=False)])
def test_the_latest_input_stays_darker_where_nobody_looked(looked: Looked | None) -> None:
    """A frame that nobody looked at has the input of the one before, darkened and without outlines."""
    painter = Strip()
    painter.under(DRAWN, FRAME, parts(given(150, PART)))
    painter.under(DRAWN, FRAME, Looked(whole=True, why="start"))
    drawn = strip(painter.under(DRAWN, FRAME, looked))
    assert (drawn[10:230, 10:310] == 50).all()


@pytest.mark.parametrize("why", ["start", "due", "doubt", "full", "unknown"])
def test_reasons_are_told_apart(why: str) -> None:
    """Each reason for a whole frame is a sentence of its own."""
    others = {"start", "due", "doubt", "full", "unknown"} - {why}
    mine = Strip().under(DRAWN, FRAME, Looked(whole=True, why=why))
    assert all((mine != Strip().under(DRAWN, FRAME, Looked(whole=True, why=each))).any() for each in others)


def test_what_it_came_to_is_counted() -> None:
    """The same look says something else after another one: there were more frames."""
    painter, looked = Strip(), parts(given(150, PART))
    first, second = (painter.under(DRAWN, FRAME, looked) for _ in range(2))
    assert (first[:, :320] == second[:, :320]).all()
    assert (first != second).any()


@pytest.mark.parametrize("size", [(16, 16), (64, 4000), (2160, 3840), (481, 641)])
def test_strips_go_under_any_picture(size: tuple[int, int]) -> None:
    """Tiny, huge, long and odd pictures are half as high again."""
    picture = np.zeros((*size, 3), np.uint8)
    three = parts(given(150, PART), given(150), given(60, SMALL))
    for looked in (Looked(whole=True, why="due"), three, None):
        drawn = Strip().under(picture, picture, looked)
        assert drawn.shape == (size[0] + size[0] // 2, size[1], 3)
        assert (drawn[size[0] :] != 0).any()


def test_the_share_of_an_input_is_what_its_parts_take() -> None:
    """A part of a hundred by eighty pixels takes that much of it."""
    assert given(0, PART, SMALL).used == pytest.approx((100 * 80 + 80 * 80) / (230 * 310))
    assert given(0).used == 0
