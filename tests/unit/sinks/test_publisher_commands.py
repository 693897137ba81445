"""What the MQTT sink hears, and what it tells of settings, profiles and pictures, in virtual time."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from tests.support.fakes import topics
from tests.support.publishing import Stage, introduced
from vigil.core.types import (
    Action,
    CameraCommand,
    CameraGone,
    LiveView,
    ProfileChanged,
    ProfileCommand,
    Setting,
    SettingCommand,
    SnapshotTaken,
    StatsReport,
    Tuning,
)

pytestmark = pytest.mark.looptime


async def test_switch_on_mqtt_reaches_the_camera(stage: Stage) -> None:
    """The session asks for the switches' topics, on every connect, and each switch is handed on."""
    async with stage.playing():
        stage.hear("vigil/drive/enabled/set", b"OFF")
        stage.hear("vigil/attic/enabled/set", b"ON")
        stage.sessions[0].lose()
        await asyncio.sleep(60)
        words = ("enabled", "detect", "motion", "confidence", "fps")
        wanted = [*(f"vigil/+/{word}/set" for word in words), "vigil/profile/set"]
        assert [session.wanted for session in stage.sessions] == [wanted] * 2
    assert stage.commands == [
        CameraCommand("drive", Action.DISABLE),
        CameraCommand("attic", Action.ENABLE),
    ]


async def test_profiles_of_the_file_stand_in_what_runs_here(stage: Stage) -> None:
    """What can be chosen is told with what is in force, and again when only that changes."""
    async with stage.playing():
        for profiles in (("night",), ("night", "away")):
            said = topics(await stage.tell(ProfileChanged(None, profiles)))
            assert json.loads(said["vigil/info"])["profiles"] == [*profiles]


async def test_stats_are_retained(stage: Stage) -> None:
    """A report takes the place of the one before it, and a new connection hears the last."""
    async with stage.playing():
        for saturation in (0.5, 0.75):
            said = topics(await stage.tell(StatsReport(saturation, 0.0, 60.0, {})))
            assert json.loads(said["vigil/stats"])["saturation"] == saturation
        stage.sessions[0].lose()
        await asyncio.sleep(60)
        assert json.loads(topics(stage.sessions[1].said)["vigil/stats"])["saturation"] == 0.75


async def test_settings_are_asked_for_and_told(stage: Stage) -> None:
    """A wish for a setting is handed on with its type; what is in force is retained, and said once."""
    async with stage.playing():
        stage.hear("vigil/drive/detect/set", b"OFF")
        stage.hear("vigil/attic/fps/set", b"2.5")
        tuned = replace(introduced("drive", "person", "cell phone"), tuning=Tuning(detect=False, fps=12.5))
        said = await stage.tell(tuned)
        assert topics(said) == {"vigil/drive/detect/state": b"OFF", "vigil/drive/fps/state": b"12.5"}
        assert all(message.retain and message.qos == 1 for message in said)
    assert stage.commands == [
        SettingCommand("drive", Setting.DETECT, value=False),
        SettingCommand("attic", Setting.FPS, 2.5),
    ]


async def test_profile_is_asked_for_and_told(stage: Stage) -> None:
    """A wish for a profile is handed on; the one in force is retained and said again on the next connect."""
    async with stage.playing():
        stage.hear("vigil/profile/set", b"night")
        said = topics(await stage.tell(ProfileChanged("night")))
        assert said["vigil/profile/state"] == b"night"
        stage.sessions[0].lose()
        await asyncio.sleep(60)
        assert topics(stage.sessions[1].said)["vigil/profile/state"] == b"night"
    assert stage.commands == [ProfileCommand("night")]


@pytest.mark.parametrize(
    ("topic", "payload", "says"),
    [
        ("vigil/drive/enabled/set", b"maybe", "b'maybe': ON or OFF is wanted"),
        ("vigil/drive/enabled/set", b"x" * 100_000, "ON or OFF is wanted"),
        ("vigil/cellar/enabled/set", b"OFF", "there is no camera 'cellar'"),
        ("vigil/cellar/fps/set", b"5", "there is no camera 'cellar'"),
        ("vigil/drive/detect/set", b"off", "b'off': ON or OFF is wanted"),
        ("vigil/drive/motion/set", b"1", "b'1': ON or OFF is wanted"),
        ("vigil/drive/fps/set", b"fast", "b'fast': a number above 0 up to 60 is wanted"),
        ("vigil/drive/fps/set", b"0", "a number above 0 up to 60 is wanted"),
        ("vigil/drive/confidence/set", b"nan", "b'nan': a number from 0.01 to 1 is wanted"),
        ("vigil/drive/confidence/set", b"50", "b'50': a number from 0.01 to 1 is wanted"),
    ],
)
async def test_malformed_command_is_a_line_and_nothing_else(
    stage: Stage, caplog: pytest.LogCaptureFixture, topic: str, payload: bytes, says: str
) -> None:
    """A command that makes no sense, or names nobody, is one short line in the log and changes nothing."""
    async with stage.playing():
        before = len(stage.sessions[0].said)
        stage.hear(topic, payload)
        await asyncio.sleep(1)
        assert len(stage.sessions[0].said) == before
        assert not stage.sessions[0].closed
    assert stage.commands == []
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert says in record.getMessage()
    assert len(record.getMessage()) < 200


def taken(label: str = "person", camera: str = "drive") -> SnapshotTaken:
    """Return a picture of an event."""
    return SnapshotTaken(camera, label, "01J", 0.0, b"jpeg")


async def test_snapshots_are_retained_until_their_label_goes(stage: Stage) -> None:
    """The latest picture of each label is kept and said again; it goes with its label, or with the camera."""
    async with stage.playing():
        said = await stage.tell(taken(), taken("cell phone"), taken("dog"), taken(camera="cellar"))
        assert [(each.topic, each.retain, each.qos) for each in said] == [
            ("vigil/drive/person/snapshot", True, 0),
            ("vigil/drive/cell_phone/snapshot", True, 0),
        ]
        stage.sessions[0].lose()
        await asyncio.sleep(60)
        assert topics(stage.sessions[1].said)["vigil/drive/person/snapshot"] == b"jpeg"
        fewer = topics(await stage.tell(introduced("drive", "person")))
        assert fewer["vigil/drive/cell_phone/snapshot"] == b""
        assert "vigil/drive/person/snapshot" not in fewer
        gone = topics(await stage.tell(CameraGone("drive")))
        assert gone["vigil/drive/person/snapshot"] == b""


async def test_live_pictures_are_for_who_listens_now(stage: Stage) -> None:
    """What a camera sees is not retained, and nothing is said of a camera that is gone."""
    async with stage.playing():
        (said,) = await stage.tell(LiveView("drive", b"jpeg"), LiveView("cellar", b"jpeg"))
        assert (said.topic, said.payload, said.retain) == ("vigil/drive/live", b"jpeg", False)
