"""Topics and payloads as DESIGN section 6 fixes them."""

from __future__ import annotations

import json

import pytest

from tests.support.fakes import LOADED, MODEL, boxes, event, topics
from vigil import __version__
from vigil.core.events import EventType
from vigil.core.types import (
    Action,
    CameraCommand,
    CameraHealth,
    CameraState,
    CameraStats,
    Condition,
    Detections,
    ProfileCommand,
    Result,
    Setting,
    SettingCommand,
    StatsReport,
    Tuning,
)
from vigil.sinks.dialect import Message
from vigil.sinks.messages import Messages

MESSAGES = Messages("home/vigil", LOADED)


def result(detections: Detections) -> Result:
    """Return a result of the camera `drive`."""
    return Result("drive", 42, 1700000000.123456, 1280, 720, MODEL, detections, {})


@pytest.mark.parametrize(("online", "payload"), [(True, b"online"), (False, b"offline")])
def test_daemon_status_is_retained(online: bool, payload: bytes) -> None:  # noqa: FBT001 -- parametrized
    """Whether vigil is there is retained and certain to arrive."""
    assert MESSAGES.daemon_status(online=online) == Message("home/vigil/status", payload, 1, retain=True)


@pytest.mark.parametrize(
    ("state", "status", "switch"),
    [
        (CameraState.CONNECTING, b"offline", b"ON"),
        (CameraState.LIVE, b"online", b"ON"),
        (CameraState.STALLED, b"offline", b"ON"),
        (CameraState.OFFLINE, b"offline", b"ON"),
        (CameraState.UNAUTHORIZED, b"offline", b"ON"),
        (CameraState.DISABLED, b"disabled", b"OFF"),
    ],
)
def test_camera_health_is_retained(state: CameraState, status: bytes, switch: bytes) -> None:
    """A camera's state is one retained word of the contract, the details beside it, and its switch."""
    messages = MESSAGES.camera_health(CameraHealth("drive", state))
    assert all(message.retain and message.qos == 1 for message in messages)
    told = topics(messages)
    assert json.loads(told.pop("home/vigil/drive/health"))["state"] == state.value
    assert told == {"home/vigil/drive/status": status, "home/vigil/drive/enabled/state": switch}


def test_camera_health_has_its_details() -> None:
    """Why a camera is away, and what is wrong with a picture, stand in one JSON object."""
    for health, expected in (
        (
            CameraHealth("drive", CameraState.OFFLINE, "refused"),
            {"state": "offline", "reason": "refused", "picture": "ok"},
        ),
        (
            CameraHealth("drive", CameraState.LIVE, condition=Condition.BLINDED),
            {"state": "live", "reason": "", "picture": "blinded"},
        ),
    ):
        told = topics(MESSAGES.camera_health(health))
        assert json.loads(told["home/vigil/drive/health"]) == expected


@pytest.mark.parametrize(("payload", "action"), [(b"ON", Action.ENABLE), (b"OFF", Action.DISABLE)])
def test_switch_is_a_command(payload: bytes, action: Action) -> None:
    """What the switch is set to becomes a wish for its camera."""
    assert MESSAGES.commands[0] == "home/vigil/+/enabled/set"
    command = MESSAGES.command("home/vigil/front-door/enabled/set", payload)
    assert command == CameraCommand("front-door", action)


@pytest.mark.parametrize("payload", [b"", b"on", b"1", b"ON ", b"\xff\xfe", b"ON" * 1000])
def test_other_payloads_are_no_command(payload: bytes) -> None:
    """Anything but the two words is refused with what would be right."""
    with pytest.raises(ValueError, match="ON or OFF is wanted"):
        MESSAGES.command("home/vigil/drive/enabled/set", payload)


@pytest.mark.parametrize(
    ("topic", "command"),
    [
        ("drive/detect/set", SettingCommand("drive", Setting.DETECT, value=True)),
        ("drive/motion/set", SettingCommand("drive", Setting.MOTION, value=True)),
        ("drive/fps/set", None),
        ("drive/recording/set", None),
        ("drive/detect/state", None),
        ("drive/detect", None),
        ("drive/detect/set/now", None),
        ("detect/set", None),
        ("", None),
    ],
)
def test_only_topics_of_settings_are_commands(topic: str, command: SettingCommand | None) -> None:
    """What stands beside or under a command's topic is none; a number where ON stands is refused."""
    if topic == "drive/fps/set":
        with pytest.raises(ValueError, match="a number above 0 up to 60 is wanted"):
            MESSAGES.command(f"home/vigil/{topic}", b"ON")
    else:
        assert MESSAGES.command(f"home/vigil/{topic}", b"ON") == command
    assert MESSAGES.command(f"vigil/{topic}", b"ON") is None


def test_settings_are_retained() -> None:
    """Each setting has a state: ON or OFF, or the shortest number."""
    told = MESSAGES.settings("drive", Tuning(detect=False, motion=True, confidence=0.35, fps=10))
    assert all(message.retain and message.qos == 1 for message in told)
    assert topics(told) == {
        "home/vigil/drive/detect/state": b"OFF",
        "home/vigil/drive/motion/state": b"ON",
        "home/vigil/drive/confidence/state": b"0.35",
        "home/vigil/drive/fps/state": b"10",
    }


def test_profile_is_asked_for_and_told() -> None:
    """Topics carry a profile's name both ways; `none` is no profile, and what is no text is refused."""
    topic = MESSAGES.profile_command
    assert topic == "home/vigil/profile/set"
    assert MESSAGES.command(topic, b"night") == ProfileCommand("night")
    told = [MESSAGES.profile(name) for name in ("night", None)]
    assert topics(told[:1]) == {"home/vigil/profile/state": b"night"}
    assert (told[1].payload, told[1].qos, told[1].retain) == (b"none", 1, True)
    with pytest.raises(ValueError, match="a profile's name, auto or none is wanted"):
        MESSAGES.command(topic, b"\xff\xfe")


def test_info_says_what_runs() -> None:
    """Version, model, engine and why it is that one, more models and cameras, retained."""
    info = MESSAGES.info(["drive", "door"])
    assert (info.topic, info.qos, info.retain) == ("home/vigil/info", 0, True)
    assert json.loads(info.payload) == {
        "version": __version__,
        "model": "fake",
        "engine": "fake cpu",
        "why": "there is no other",
        "models": {},
        "cameras": ["drive", "door"],
        "profiles": [],
    }
    assert json.loads(MESSAGES.info([], ["night"]).payload)["profiles"] == ["night"]


def test_stats_say_how_it_went() -> None:
    """Rates, latencies in seconds, format and load, retained; null where there were no results."""
    drive = CameraStats(25.0, 4.987654, 5.0, 0.0512345, 0.09, "h264", 1280, 720)
    door = CameraStats(0.0, 0.0, 5.0, None, None, "", 0, 0)
    told = MESSAGES.stats(StatsReport(0.812345, 4.987654, 3600.4, {"drive": drive, "door": door}))
    assert (told.topic, told.qos, told.retain) == ("home/vigil/stats", 0, True)
    report = json.loads(told.payload)
    assert report["cameras"].pop("door")["latency_p95"] is None
    assert report == {
        "version": __version__,
        "uptime": 3600,
        "saturation": 0.8123,
        "inferences_per_second": 4.99,
        "cameras": {
            "drive": {
                "capture_fps": 25.0,
                "inference_fps": 4.9877,
                "target_fps": 5.0,
                "latency_p50": 0.0512,
                "latency_p95": 0.09,
                "codec": "h264",
                "width": 1280,
                "height": 720,
            }
        },
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


def test_event_says_how_it_ends_if_nothing_follows() -> None:
    """What is told of an event is durable, has an id of its own, and the words that end it after a crash."""
    new = MESSAGES.event(event())
    assert (new.durable, new.qos, new.retain, new.story) == (True, 1, False, "vigil/01J")
    told, last = json.loads(new.payload), json.loads(new.last_words or b"")
    assert (told["type"], told["message_id"]) == ("new", "01J-1")
    assert (last["type"], last["message_id"], last["end_time"]) == ("end", "01J-2", told["start_time"])
    end = MESSAGES.event(event(EventType.END))
    assert (end.story, end.last_words) == (new.story, None)


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


def test_names_beyond_ascii_are_told_as_they_are() -> None:
    """JSON is compact and UTF-8: a name is no longer for its letters."""
    payload = MESSAGES.info(["Haust\u00fcr"]).payload
    assert '"cameras":["Haust\u00fcr"]'.encode() in payload
