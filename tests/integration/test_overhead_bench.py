"""`vigil bench overhead`: every stage does its work, as far as a broker."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vigil.analytics.scene import SceneResult
from vigil.bench.overhead import STAGES
from vigil.bench.publishing import publishing
from vigil.core.events import Totals
from vigil.core.types import Detections, Model, Result
from vigil.metrics import Metrics

if TYPE_CHECKING:
    from vigil.bench.publishing import Spent

pytestmark = pytest.mark.alone

MODEL = Model("null", ("person",), stride=32, size=640)


def test_the_command_names_every_stage() -> None:
    """The figures have a time for each stage, and their sum."""
    command = [sys.executable, "-m", "vigil", "bench", "overhead", "--cameras", "1", "--json"]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    stages = found["stages_ms"]
    assert list(stages) == list(STAGES)
    assert all(spent > 0 for spent in stages.values())
    assert abs(sum(stages.values()) - found["python_ms_per_frame"]) < 0.001


def test_everything_published_arrives() -> None:
    """The broker is sent a message for each result; words and the sending of them are counted apart."""
    arrived, spent = asyncio.run(published(20))
    assert arrived == 20
    assert all(each.encode > 0 and each.publish > 0 for each in spent)


async def published(results: int) -> tuple[int, list[Spent]]:
    """Return how many messages a broker is sent of so many results, and what they cost."""
    state = SceneResult({"person": 0}, {}, Totals())
    spent = []
    async with publishing({"drive": state}, Metrics()) as outlet:
        await asyncio.sleep(0.2)  # what is retained of the camera
        before = outlet.arrived
        for number in range(results):
            seen = Result("drive", number, 0.0, 640, 480, MODEL, Detections.empty(), state.counts)
            spent.append(await outlet.publish([seen]))
        await asyncio.sleep(0.2)
        return outlet.arrived - before, spent
