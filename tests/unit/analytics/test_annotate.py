"""Boxes drawn into pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from tests.support.fakes import MODEL, boxes
from tests.support.scenes import line, zone
from vigil.analytics.annotate import Painter, annotate, encode_jpeg, encode_png
from vigil.analytics.canvas import Canvas
from vigil.core.events import Crossings, Totals
from vigil.core.looked import Part
from vigil.core.types import Detections, Result, UInt8

BLACK = np.zeros((720, 1280, 3), np.uint8)
LINES = {"door": line([0.5, 0.2], [0.5, 0.8])}
"""Drawn downwards, so that `in` leads to the picture's left."""
ZONES = {"gate": zone([[0.1, 0.1], [0.4, 0.1], [0.4, 0.9], [0.1, 0.9]])}


def result(
    seen: Detections | None = None, *, people: int = 0, crossed: Crossings | None = None, track: int = 7
) -> Result:
    """Return what is known of a frame; all boxes belong to one track."""
    detections = Detections.empty() if seen is None else seen
    detections.tracker_id[:] = track
    totals = Totals({"door": {"person": crossed or Crossings()}})
    zones = {"gate": {"person": people}}
    return Result("drive", 1, 0.0, 1280, 720, MODEL, detections, {"person": people}, (), zones, totals)


def painted(*results: Result | None, apart: float = 0.2) -> UInt8:
    """Return the last of some pictures, drawn one after the other."""
    painter = Painter(ZONES, LINES)
    return [painter.paint(BLACK, each, number * apart) for number, each in enumerate(results)][-1]


def changed(one: UInt8, other: UInt8) -> tuple[float, float]:
    """Return the mean x and y, in fractions, of the pixels in which two pictures differ."""
    rows, columns = np.nonzero((one != other).any(axis=2))
    return float(columns.mean()) / one.shape[1], float(rows.mean()) / one.shape[0]


def test_box_is_drawn_on_a_copy() -> None:
    """The box's edge is there in the class's colour, its inside is untouched, and so is the original."""
    drawn = annotate(BLACK, boxes((400, 200, 800, 600, 0.9, 0)), MODEL.names)
    assert not BLACK.any()
    assert drawn[600, 600].tolist() == [244, 133, 66]
    assert not drawn[400, 600].any()


def test_nothing_is_drawn_of_nothing() -> None:
    """A picture without boxes comes back as it was."""
    assert not annotate(BLACK, Detections.empty(), MODEL.names).any()


@pytest.mark.parametrize("size", [(16, 16), (64, 4000), (2160, 3840)])
def test_any_picture_and_any_place_can_be_drawn(size: tuple[int, int]) -> None:
    """Tiny and huge pictures, and boxes at and over the edges, draw without an error."""
    height, width = size
    spots = boxes(
        (0, 0, 5, 5, 0.5, 0), (width - 5, height - 5, width, height, 0.5, 2), (-9, -9, 9e3, 9e3, 1, 1)
    )
    assert annotate(np.zeros((*size, 3), np.uint8), spots, MODEL.names).any()


def test_jpeg_holds_the_picture() -> None:
    """What is encoded can be read as a JPEG of the same size and, about, colours."""
    picture = np.full((48, 64, 3), (200, 100, 50), np.uint8)
    data = encode_jpeg(picture)
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert data.startswith(b"\xff\xd8")
    assert back is not None
    assert np.abs(back.astype(int) - picture).max() < 8


def test_png_holds_the_picture() -> None:
    """What is encoded is a PNG, and can be read as the very same pixels."""
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    data = encode_png(picture)
    back = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert data.startswith(b"\x89PNG")
    assert back is not None
    assert (back == picture).all()


def test_plates_do_not_cover_each_other() -> None:
    """Five texts for one place are all there in full, in a picture with room for them."""
    canvas, colours = Canvas(BLACK), [(10, 200 + number, 90) for number in range(5)]
    for colour in colours:
        canvas.plate("person 12  0.87", colour, [(600, 300)])
    drawn = canvas.finished()
    areas = [int((drawn == np.array(colour[::-1])).all(axis=2).sum()) for colour in colours]
    width, height = canvas.size_of("person 12  0.87")
    assert len(set(areas)) == 1
    assert areas[0] > 0.6 * width * height


def test_plates_lie_over_what_is_drawn_after_them() -> None:
    """A box that comes after a text does not cross it."""
    canvas, alone = Canvas(BLACK), Canvas(BLACK)
    for each in (canvas, alone):
        each.plate("gate", (24, 28, 36), [(600, 300)])
    canvas.rectangle((590, 310, 700, 400), (66, 133, 244))
    width, height = canvas.size_of("gate")
    area = np.s_[300 : 300 + height, 600 : 600 + width]
    assert (canvas.finished()[area] == alone.finished()[area]).all()


def test_zone_is_tinted_and_shows_what_lies_under_it() -> None:
    """A zone's area is a little brighter, what is outside stays as it was."""
    drawn = painted(result())
    assert 0 < drawn[500, 300].max() < 80
    assert not drawn[650, 900].any()


def test_counts_of_a_line_stand_where_they_lead() -> None:
    """`in` is written to the right of whoever walks along the line, `out` to the left."""
    before = painted(result())
    assert changed(painted(result(crossed=Crossings(inwards=5))), before)[0] < 0.5
    assert changed(painted(result(crossed=Crossings(outwards=5))), before)[0] > 0.5


def test_counts_stay_while_nobody_looks() -> None:
    """Of a frame that was not inferred all counts are still drawn, and that nothing moves."""
    busy = result(people=2, crossed=Crossings(3, 4))
    x, y = changed(painted(busy, None, apart=0.0), painted(busy, busy, apart=0.0))
    assert x < 0.2
    assert y > 0.9


def test_trail_shows_where_somebody_walked_and_fades() -> None:
    """From where the feet were to where they are there is a line, and none of who was there too long ago."""
    here, there = (boxes((left, 400, left + 40, 600, 0.9, 0)) for left in (800, 1000))
    between = np.s_[590:610, 880:960]
    assert painted(result(here), result(there))[between].any()
    assert not painted(result(here), result(there), apart=5.0)[between].any()
    assert not painted(result(here), result(there, track=8))[between].any()


def test_parts_that_were_looked_at_are_outlined() -> None:
    """Where a part's edge lies, and only there, the picture differs."""
    parts = [Part((400.0, 200.0, 800.0, 600.0), full_scale=True)]
    drawn = Painter({}, {}).paint(BLACK, result(), 0.0, parts)
    assert drawn[400, 400].any()
    assert not drawn[400, 600].any()
    assert not Painter({}, {}).paint(BLACK, result(), 0.0)[:600].any()


def test_identity_is_written_in_a_replay_only() -> None:
    """A track's number is part of the text of a painted box, and not of an annotated one."""
    seen = boxes((800, 300, 1000, 600, 0.9, 0))
    assert (painted(result(seen, track=1)) != painted(result(seen, track=8))).any()
    tracked = Detections(seen.xyxy, seen.confidence, seen.class_id, np.array([3], np.int32))
    assert (annotate(BLACK, tracked, MODEL.names) == annotate(BLACK, seen, MODEL.names)).all()


@pytest.mark.parametrize("size", [(16, 16), (64, 4000), (2160, 3840)])
def test_everything_can_be_painted_at_any_size(size: tuple[int, int]) -> None:
    """Tiny and huge pictures take zones, lines and objects without an error."""
    seen = boxes((-9, -9, 9e3, 9e3, 1, 1))
    assert Painter(ZONES, LINES).paint(np.zeros((*size, 3), np.uint8), result(seen), 3.0).any()
