"""What an earlier start left at a broker is taken back, in virtual time."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.fakes import topics
from tests.support.publishing import MESSAGES, Stage
from vigil.metrics import Metrics
from vigil.sinks.dialect import Message
from vigil.sinks.journal import Limits
from vigil.sinks.native import Native
from vigil.sinks.outbox import AtOnce, Outbox

pytestmark = pytest.mark.looptime


class Leftovers(Outbox):
    """An outbox in memory whose broker was left with topics by an earlier start."""

    def __init__(self, *topics: str) -> None:
        super().__init__(None, Limits(size=10**6, age=3600.0), Metrics(), AtOnce)
        self.start()
        for topic in topics:
            self.said("broker:1883", topic)


async def test_what_an_earlier_start_said_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once all has been said, retained topics that nobody says any more are cleared, and then forgotten."""
    left = Leftovers("vigil/cellar/status", "old/drive/status", "vigil/drive/status")
    stage = Stage(monkeypatch, left)
    async with stage.playing():
        assert {topic for topic, payload in topics(stage.sessions[0].said).items() if not payload} == set()
        stage.publisher.announced()
        await asyncio.sleep(0.1)
        said = topics(stage.sessions[0].said)
        assert said["vigil/cellar/status"] == said["old/drive/status"] == b""
        assert said["vigil/drive/status"] == b"offline"
        known = await left.topics("broker:1883")
        assert "vigil/drive/objects/person" in known, "the next start has to know"
        assert not known & {"vigil/cellar/status", "old/drive/status"}


async def test_nothing_is_taken_back_before_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Topics of cameras that are still to be told of on the bus are not cleared."""
    stage = Stage(monkeypatch, Leftovers("vigil/attic/status", "vigil/cellar/status"))
    stage.publisher.announced()
    async with stage.playing():
        said = [message for message in stage.sessions[0].said if not message.payload]
        assert [message.topic for message in said] == ["vigil/cellar/status"]


async def test_broker_that_is_away_hears_later_what_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leftover stays known until a broker has acknowledged that it is gone."""
    left = Leftovers("vigil/cellar/status")
    stage = Stage(monkeypatch, left)
    async with stage.playing():
        stage.sessions[0].mute = True
        stage.publisher.announced()
        await asyncio.sleep(0.1)
        assert "vigil/cellar/status" in await left.topics("broker:1883")
        stage.sessions[0].lose()
        await asyncio.sleep(60)
        assert topics(stage.sessions[1].said)["vigil/cellar/status"] == b""
        assert "vigil/cellar/status" not in await left.topics("broker:1883")


class Careful(Native):
    """A vocabulary with a topic that is said rarely and right for longer than vigil runs."""

    def opening(self) -> list[Message]:
        """Leave a picture from before this start where it is."""
        return [*super().opening(), Message("vigil/drive/picture", b"", retain=True, stays=True)]


async def test_what_stays_is_not_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic of which a dialect says that it stays is neither said nor cleared."""
    left = Leftovers("vigil/drive/picture")
    stage = Stage(monkeypatch, left, Careful(MESSAGES))
    async with stage.playing():
        stage.publisher.announced()
        await asyncio.sleep(1)
    assert "vigil/drive/picture" not in topics(stage.sessions[0].said)
