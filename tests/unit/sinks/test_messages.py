"""Topics and payloads as DESIGN section 6 fixes them."""

from __future__ import annotations

import json

import pytest

from tests.support.fakes import MODEL, boxes, topics
from vigil import __version__
from vigil.core.types import CameraStatus, Detections, Result
from vigil.sinks.messages import Message, Messages

MESSAGES = Messages("home/vigil", MODEL, "fake cpu")


def result(detections: Detections) -> Result:
    """Return a result of the camera `drive`."""
    return Result("drive", 42, 1700000000.123456, 1280, 720, detections, {})


@pytest.mark.parametrize(("online", "payload"), [(True, b"online"), (False, b"offline")])
def test_daemon_status_is_retained(online: bool, payload: bytes) -> None:  # noqa: FBT001 -- parametrized
    """Whether vigil is there is retained and certain to arrive."""
    assert MESSAGES.daemon_status(online=online) == Message("home/vigil/status", payload, 1, retain=True)


@pytest.mark.parametrize("status", list(CameraStatus))
def test_camera_status_is_retained(status: CameraStatus) -> None:
    """A camera's state is one retained word."""
    expected = Message("home/vigil/drive/status", str(status).encode(), 1, retain=True)
    assert MESSAGES.camera_status("drive", status) == expected


def test_info_says_what_runs() -> None:
    """Version, model, engine and cameras, retained."""
    info = MESSAGES.info(["drive", "door"])
    assert (info.topic, info.qos, info.retain) == ("home/vigil/info", 0, True)
    assert json.loads(info.payload) == {
        "version": __version__,
        "model": "fake",
        "engine": "fake cpu",
        "cameras": ["drive", "door"],
    }


def test_counts_are_told_together_and_one_by_one() -> None:
    """One object with what is there, and a topic for each label with its number, nought included."""
    messages = MESSAGES.objects("drive", {"person": 2, "cell phone": 0})
    assert all(message.retain and message.qos == 1 for message in messages)
    assert topics(messages) == {
        "home/vigil/drive/objects": b'{"person":2}',
        "home/vigil/drive/objects/person": b"2",
        "home/vigil/drive/objects/cell_phone": b"0",
    }


def test_detections_follow_the_contract() -> None:
    """Every key of the contract, boxes in whole frame pixels, times in Unix seconds, and nothing else."""
    message = MESSAGES.detections(result(boxes((1.4, 2.6, 30, 40, 0.87654, 2))))
    assert (message.topic, message.qos, message.retain) == ("home/vigil/drive/detections", 0, False)
    told = json.loads(message.payload)
    assert told.pop("published_at") > 1700000000
    assert told == {
        "camera": "drive",
        "seq": 42,
        "captured_at": 1700000000.1235,
        "width": 1280,
        "height": 720,
        "model": "fake",
        "count": 1,
        "detections": [
            {
                "label": "cell phone",
                "class_id": 2,
                "confidence": 0.8765,
                "bbox": {"x1": 1, "y1": 3, "x2": 30, "y2": 40},
                "track_id": None,
                "zones": [],
            }
        ],
    }


def test_empty_frame_is_told_too() -> None:
    """A frame without boxes is a message with a count of nought."""
    told = json.loads(MESSAGES.detections(result(Detections.empty())).payload)
    assert (told["count"], told["detections"]) == (0, [])
