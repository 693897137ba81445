"""Cameras and labels that come and go while the MQTT sink runs, in virtual time."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.support.fakes import topics
from tests.support.publishing import LABELS, ONLINE, Stage, health, introduced, result, settings
from vigil.core.types import (
    CameraGone,
    CameraHealth,
    CameraState,
)

pytestmark = pytest.mark.looptime


async def test_new_labels_replace_the_old_ones(stage: Stage) -> None:
    """When a camera reports other labels, those that are gone are taken back and the new ones begin at 0."""
    async with stage.playing():
        await stage.tell(ONLINE, result(2, phones=1))
        said = await stage.tell(introduced("drive", "person", "car"))
        assert all(message.retain for message in said)
        assert topics(said) == {
            "vigil/drive/objects/cell_phone": b"",
            "vigil/drive/objects": b"{}",
            "vigil/drive/objects/person": b"0",
            "vigil/drive/objects/car": b"0",
        }


async def test_same_labels_again_start_at_nought(stage: Stage) -> None:
    """A camera that is introduced again takes nothing back."""
    async with stage.playing():
        await stage.tell(ONLINE, result(1))
        said = topics(await stage.tell(introduced("drive", *LABELS["drive"])))
        assert said == {"vigil/drive/objects": b"{}", "vigil/drive/objects/person": b"0"}


async def test_label_that_comes_back_is_said_again(stage: Stage) -> None:
    """What was taken back is there again once the camera reports it again."""
    async with stage.playing():
        await stage.tell(ONLINE, introduced("drive", "person"))
        said = topics(await stage.tell(introduced("drive", *LABELS["drive"])))
        assert said == {"vigil/drive/objects/cell_phone": b"0"}


async def test_new_camera_is_told_with_the_others(stage: Stage) -> None:
    """A camera that is added while vigil runs appears with all its topics, and in what runs here."""
    async with stage.playing():
        stage.metrics.add_camera("door")
        said = topics(
            await stage.tell(introduced("door", "car"), CameraHealth("door", CameraState.CONNECTING))
        )
        assert json.loads(said.pop("vigil/info"))["cameras"] == ["drive", "attic", "door"]
        assert said == {
            "vigil/door/objects": b"{}",
            "vigil/door/objects/car": b"0",
            "vigil/door/status": b"offline",
            "vigil/door/health": health("connecting"),
            "vigil/door/enabled/state": b"ON",
            **settings("door"),
        }


DRIVE_TOPICS = {
    *settings("drive"),
    "vigil/drive/motion",
    "vigil/drive/status",
    "vigil/drive/health",
    "vigil/drive/enabled/state",
    "vigil/drive/objects",
    "vigil/drive/objects/person",
    "vigil/drive/objects/cell_phone",
}


async def test_camera_that_is_gone_leaves_nothing_behind(stage: Stage) -> None:
    """Every retained topic of a removed camera gets an empty retained message, which clears it."""
    async with stage.playing():
        await stage.tell(ONLINE, result(1))
        said = await stage.tell(CameraGone("drive"))
        assert all(message.retain for message in said)
        told = topics(said)
        assert json.loads(told.pop("vigil/info"))["cameras"] == ["attic"]
        assert told == dict.fromkeys(DRIVE_TOPICS, b"")
        assert await stage.tell(result(3)) == []
        before = len(stage.sessions[0].said)
    goodbye = {message.topic for message in stage.sessions[0].said[before:]}
    assert "vigil/attic/status" in goodbye
    assert not goodbye & DRIVE_TOPICS


async def test_camera_that_went_while_nobody_listened_is_cleared_later(stage: Stage) -> None:
    """A broker that was away while a camera was removed is told so at the next connect."""
    async with stage.playing():
        await stage.tell(ONLINE, result(1))
        stage.sessions[0].lose()
        await asyncio.sleep(0.1)
        await stage.tell(CameraGone("drive"))
        await asyncio.sleep(60)
        said = topics(stage.sessions[1].said)
        assert {topic for topic in said if topic.startswith("vigil/drive/")} == DRIVE_TOPICS
        assert {said[topic] for topic in DRIVE_TOPICS} == {b""}


async def test_last_result_of_a_removed_camera_harms_nobody(stage: Stage) -> None:
    """A result that waits in the queue while its camera's metrics go is told, or not, and vigil goes on."""
    async with stage.playing():
        await stage.tell(ONLINE)
        stage.metrics.remove_camera("drive")
        await stage.tell(result(1), CameraGone("drive"))
        assert (
            topics(await stage.tell(CameraHealth("attic", CameraState.LIVE)))["vigil/attic/status"]
            == b"online"
        )


async def test_result_of_old_labels_brings_none_back(stage: Stage) -> None:
    """A result that was under way when the labels changed does not bring a label back that was taken back."""
    async with stage.playing():
        await stage.tell(ONLINE, result(1, phones=1))
        await stage.tell(introduced("drive", "person"))
        late = topics(await stage.tell(result(1, phones=1)))
        assert "vigil/drive/objects/cell_phone" not in late
