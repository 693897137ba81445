"""DOODS' form of `/detect`, with requests recorded from the library of Home Assistant's integration."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer

from tests.support.fakes import MODEL, boxes
from tests.unit.web.test_web import JPEG, LIMIT, FakeDaemon, problem
from vigil.analytics.annotate import encode_jpeg
from vigil.config.model import HttpConfig
from vigil.inference.loop import BusyError
from vigil.web.server import application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vigil.core.types import Detections, Image

RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "doods.json").read_text(encoding="utf-8"))
PICTURE = base64.b64encode(JPEG).decode()
PERSON = {"top": 0.25, "left": 0.0, "bottom": 0.75, "right": 0.5, "label": "person", "confidence": 90.0}
FAINT = {"top": 0.5, "left": 0.5, "bottom": 1.0, "right": 1.0, "label": "person", "confidence": 40.0}
CAR = {"top": 0.0, "left": 0.75, "bottom": 0.5, "right": 1.0, "label": "car", "confidence": 60.0}
ALL = [PERSON, CAR, FAINT]


class Daemon(FakeDaemon):
    """Finds two people, one of them faint, and a car, each of which sticks out of the picture of 64 x 48."""

    async def detect(self, image: Image, confidence: float) -> Detections:
        """Find those that are confident enough."""
        await super().detect(image, confidence)
        found = boxes((-3, 12, 32, 36, 0.9, 0), (48, -1, 70, 24, 0.6, 1), (32, 24, 64.4, 49, 0.4, 0))
        return found.select(found.confidence >= np.float32(confidence))


@pytest.fixture
def daemon() -> Daemon:
    """Return a daemon with something to find."""
    return Daemon()


@pytest.fixture
async def http(daemon: Daemon) -> AsyncIterator[TestClient[Any, Any]]:
    """Return a client of the application."""
    settings = HttpConfig.model_validate({"max_upload": f"{LIMIT // 1000}KB"})
    async with TestClient(TestServer(application(daemon, settings))) as client:
        yield client


async def found(http: TestClient[Any, Any], **body: Any) -> list[dict[str, Any]]:
    """Return the detections of a request that succeeds."""
    answer = await http.post("/detect", json={"data": PICTURE, **body})
    assert answer.status == 200, await answer.text()
    return list((await answer.json())["detections"])


@pytest.mark.parametrize(("number", "expected"), [(1, [*ALL]), (2, [PERSON, CAR]), (3, [PERSON, FAINT])])
async def test_recorded_requests_are_answered(
    http: TestClient[Any, Any], number: int, expected: list[dict[str, Any]]
) -> None:
    """Home Assistant's own bytes, its key included, get fractions, percents and their id, and no `error`."""
    asked = RECORDED[number]
    assert (asked["method"], asked["path"]) == ("POST", "/detect")
    headers = {name: value for name, value in asked["headers"].items() if name != "Content-Length"}
    answer = await http.request("POST", asked["path"], headers=headers, data=asked["body"].encode())
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert await answer.json() == {"id": "", "detections": expected}


async def test_recorded_question_for_detectors_is_answered(http: TestClient[Any, Any]) -> None:
    """Whichever name is configured, the integration finds it, with the labels to check its own against."""
    asked = RECORDED[0]
    answer = await http.request(asked["method"], asked["path"], headers=asked["headers"])
    about = {"type": "vigil", "model": "fake", "labels": list(MODEL.names), "width": 0, "height": 0}
    assert await answer.json() == {"detectors": [{"name": "default", **about}, {"name": "fake", **about}]}


@pytest.mark.parametrize("name", ["default", "fake", "", None])
async def test_each_name_is_the_one_detector(http: TestClient[Any, Any], name: str | None) -> None:
    """`default`, the model's name and none at all are the same."""
    assert await found(http, detector_name=name, detect={"*": 30}) == ALL
    answer = await http.post("/detect", json={"data": PICTURE, "detector_name": "tensorflow"})
    assert "there is no detector 'tensorflow'; there is default, fake" in await problem(answer, 400)


@pytest.mark.parametrize(
    ("detect", "floor", "expected"),
    [
        ({"*": 50}, 0.5, [PERSON, CAR]),
        ({"*": 50, "person": 30}, 0.3, ALL),
        ({"*": 30, "person": 95}, 0.3, [CAR]),
        ({"car": 60}, 0.6, [CAR]),
        ({"person": 90}, 0.9, [PERSON]),
        ({"*": 0}, 0.1, ALL),
        ({"*": 100}, 1.0, []),
        ({}, 1.0, []),
    ],
)
async def test_thresholds_are_per_label(
    http: TestClient[Any, Any],
    daemon: Daemon,
    detect: dict[str, float],
    floor: float,
    expected: list[dict[str, Any]],
) -> None:
    """A label that is named goes by its own threshold alone; the engine is asked for the least of them."""
    assert await found(http, detect=detect) == expected
    assert daemon.asked == [(64, 48, floor)]


async def test_without_thresholds_the_configuration_decides(
    http: TestClient[Any, Any], daemon: Daemon
) -> None:
    """A picture alone is answered with the configured confidence; an id that is there comes back."""
    assert await found(http) == [PERSON, CAR]
    assert daemon.asked == [(64, 48, 0.5)]
    answer = await http.post("/detect", json={"data": PICTURE, "id": "door 7"})
    assert (await answer.json())["id"] == "door 7"


@pytest.mark.parametrize(
    ("covers", "expected"), [(False, [PERSON, CAR]), (True, [PERSON])], ids=["touches", "covers"]
)
async def test_regions_let_through_what_the_whole_does_not(
    http: TestClient[Any, Any],
    covers: bool,  # noqa: FBT001 -- parametrized
    expected: list[dict[str, Any]],
) -> None:
    """A region reports what touches it, or what lies in it, under its id; first comes the whole picture."""
    left = {"top": 0, "left": 0, "bottom": 1, "right": 0.8, "detect": {"*": 50}, "covers": covers, "id": "l"}
    assert await found(http, regions=[left]) == [{**each, "region_id": "l"} for each in expected]
    both = await found(http, detect={"car": 50}, regions=[left])
    assert both == [{**PERSON, "region_id": "l"}, CAR]


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        (b"", 400, "the body is not understood"),
        (b"[]", 400, "the body is not understood"),
        (b"[" * 60_000, 400, "the body is not understood"),
        (b'{"data": 7}', 400, "the body is not understood"),
        (b'{"data": "http://10.0.0.5/a.jpg"}', 400, "`data` is no base64"),
        (b'{"data": "\xc3\xa4"}', 400, "`data` is no base64"),
        (b'{"data": "d29yZHM="}', 422, "not a picture"),
        (b'{"data": "", "detect": 5}', 400, "`detect` is no object"),
        (b'{"data": "", "detect": {"*": "high"}}', 400, "`detect.*` is no number from 0 to 100"),
        (b'{"data": "", "detect": {"*": NaN}}', 400, "`detect.*` is no number from 0 to 100"),
        (b'{"data": "", "regions": 3}', 400, "`regions` is no list"),
        (b'{"data": "", "regions": [3]}', 400, "`regions[0]` is no object"),
        (b'{"data": "", "regions": [{"top": 2}]}', 400, "`regions[0].top` is no number from 0 to 1"),
        (b'{"data": "", "detector_name": 3}', 400, "`detector_name` is no text"),
    ],
    ids=range(14),
)
async def test_wrong_request_is_told(
    http: TestClient[Any, Any], daemon: Daemon, body: bytes, status: int, says: str
) -> None:
    """Whatever is wrong is a problem that says what would be right, and no engine is troubled."""
    answer = await http.post("/detect", data=body, headers={"Content-Type": "application/json"})
    assert says in await problem(answer, status)
    assert daemon.asked == []


async def test_limit_is_of_the_picture(http: TestClient[Any, Any]) -> None:
    """The largest picture passes though its base64 is longer; one byte more, or a huge body, does not."""
    largest = base64.b64encode(JPEG + bytes(LIMIT - len(JPEG))).decode()
    assert await found(http, data=largest, detect={"*": 50}) == [PERSON, CAR]
    for data in (base64.b64encode(bytes(LIMIT + 1)).decode(), "A" * (3 * LIMIT)):
        answer = await http.post("/detect", json={"data": data})
        assert "http.max_upload, 50000 bytes" in await problem(answer, 413)


async def test_engine_that_is_busy_is_told(http: TestClient[Any, Any], daemon: Daemon) -> None:
    """As for any upload: 503, and when to come back."""
    daemon.failure = BusyError("32 uploads wait already")
    answer = await http.post(
        "/detect", json={"data": base64.b64encode(encode_jpeg(np.zeros((8, 8, 3), np.uint8))).decode()}
    )
    assert answer.headers["Retry-After"] == "1"
    assert "wait already" in await problem(answer, 503)
