"""The words of vigil as data: what cannot be changed, selected or mistaken."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.support.fakes import MODEL, boxes, frame
from vigil.core.events import Totals
from vigil.core.types import UNTRACKED, CameraIntroduced, Detections, Result, topic_label


def test_no_detections_have_shapes_and_types() -> None:
    """An empty struct of arrays has the same shapes and types as a full one."""
    empty, full = Detections.empty(), boxes((1, 2, 3, 4, 0.5, 1))
    assert (len(empty), len(full)) == (0, 1)
    for field in dataclasses.fields(Detections):
        one, other = getattr(empty, field.name), getattr(full, field.name)
        assert (one.dtype, one.shape[1:]) == (other.dtype, other.shape[1:])


def test_new_detections_belong_to_no_track() -> None:
    """Every box that comes from a model is untracked."""
    assert boxes((1, 2, 3, 4, 0.5, 1), (5, 6, 7, 8, 0.5, 1)).tracker_id.tolist() == [UNTRACKED] * 2


@pytest.mark.parametrize("keep", [np.array([True, False, True]), np.array([0, 2])])
def test_selection_keeps_rows_together(keep: np.ndarray[tuple[int], np.dtype[np.int_]]) -> None:
    """A mask and an index array pick the same rows of every array."""
    three = boxes((0, 0, 1, 1, 0.1, 0), (0, 0, 2, 2, 0.2, 1), (0, 0, 3, 3, 0.3, 2))
    chosen = three.select(keep)
    assert chosen.xyxy[:, 2].tolist() == [1, 3]
    assert chosen.confidence.tolist() == [pytest.approx(0.1), pytest.approx(0.3)]
    assert (chosen.class_id.tolist(), len(chosen.tracker_id)) == ([0, 2], 2)


def test_frames_are_frozen_and_slotted() -> None:
    """A frame in flight cannot be changed by whoever holds it."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame().seq = 7  # type: ignore[misc]  # that is the point
    assert not hasattr(frame(), "__dict__")


def test_model_knows_the_ids_of_labels() -> None:
    """Labels become ids in the order asked for, and an unknown one is named."""
    assert MODEL.ids_of(["cell phone", "person"]).tolist() == [2, 0]
    assert MODEL.ids_of([]).dtype == np.int32
    with pytest.raises(KeyError) as error:
        MODEL.ids_of(["person", "unicorn"])
    assert error.value.args == ("unicorn",)


@pytest.mark.parametrize(
    ("name", "label"), [("person", "person"), ("cell phone", "cell_phone"), ("a/b c", "a_b_c")]
)
def test_topic_label_has_no_spaces_or_slashes(name: str, label: str) -> None:
    """A class name fits into one level of a topic."""
    assert topic_label(name) == label


def test_a_camera_says_what_a_result_has_until_it_counts_anew() -> None:
    """What did not change is the very same object; equal counts that were made anew may have changed."""
    seen = Result("drive", 1, 0.0, 640, 480, MODEL, Detections.empty(), {"person": 1}, zones={"gate": {}})
    said = CameraIntroduced("drive", {"person": 0}).with_counts_of(seen)
    assert said.says(seen)
    for anew in (
        dataclasses.replace(seen, counts={"person": 1}),
        dataclasses.replace(seen, zones={"gate": {}}),
        dataclasses.replace(seen, totals=Totals()),
    ):
        assert not said.says(anew)
