"""The HTTP face over a fake daemon: every answer, and every way to be wrong as an RFC 9457 document."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import socket
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from aiohttp import FormData
from aiohttp.test_utils import TestClient, TestServer

from tests.support.fakes import MODEL, boxes
from vigil.analytics.annotate import encode_jpeg
from vigil.config.model import HttpConfig
from vigil.core.types import (
    Action,
    CameraCommand,
    CameraState,
    CameraStatus,
    CameraView,
    Condition,
    ProfileView,
)
from vigil.errors import CannotStartError, ConfigError, Problem, VigilError
from vigil.inference.loop import BusyError
from vigil.video.upload import decode_picture
from vigil.web.server import WebServer, application

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiohttp import ClientResponse

    from vigil.core.types import Detections, Image, Model, ProfileCommand, SettingCommand


LIMIT = 50_000
JPEG = encode_jpeg(np.full((48, 64, 3), 128, np.uint8))
DRIVE = CameraView(
    "drive",
    "rtsp://viewer:***@10.0.0.5/a",
    CameraStatus.ONLINE,
    CameraState.LIVE,
    "",
    Condition.OK,
    None,
    10.0,
    5.0,
    5.0,
    True,
    False,
    "full",
    {"person": 1},
    {"enabled": True, "detect": True, "motion": True, "confidence": 0.5, "fps": 5.0},
)


class FakeDaemon:
    """Answers as it is told to, and notes what it was asked."""

    def __init__(self) -> None:
        self.model: Model = MODEL
        self.default_confidence = 0.5
        self.problem = ""
        self.started = True
        self.failure: Exception | None = None
        self.picture: bytes | None = JPEG
        self.asked: list[tuple[int, int, float]] = []
        self.commands: list[CameraCommand | SettingCommand] = []
        self.reloads = 0
        self.reload_failure: VigilError | None = None
        self.chosen: str | None = None

    def trouble(self) -> str:
        """Return the trouble that the test made."""
        return self.problem

    def ready(self) -> bool:
        """Tell what the test said."""
        return self.started

    async def metrics(self) -> bytes:
        """Return an exposition."""
        return b"vigil_camera_up 1\n"

    async def cameras(self) -> Sequence[CameraView]:
        """Return two cameras."""
        away = replace(
            DRIVE,
            name="door",
            status=CameraStatus.OFFLINE,
            state=CameraState.OFFLINE,
            reason="refused",
            retry_at=1700000000.5,
            counts={},
        )
        return [DRIVE, away]

    async def snapshot(self, camera: str) -> bytes | None:
        """Return the picture of `drive`."""
        if camera != "drive":
            raise KeyError(camera)
        return self.picture

    async def command(self, command: CameraCommand | SettingCommand) -> None:
        """Note what was asked of `drive`."""
        if command.camera != "drive":
            raise KeyError(command.camera)
        self.commands.append(command)

    async def reload(self) -> str:
        """Reload, or refuse."""
        self.reloads += 1
        if self.reload_failure is not None:
            raise self.reload_failure
        return "added door"

    def profile(self) -> ProfileView:
        """Return what was chosen last."""
        return ProfileView(self.chosen, self.chosen or "auto", ("night", "away"), None)

    async def choose_profile(self, command: ProfileCommand) -> ProfileView:
        """Take one of two, or fail."""
        if command.wanted not in {"night", "away"}:
            raise KeyError(command.wanted)
        if self.reload_failure is not None:
            raise self.reload_failure
        self.chosen = command.wanted
        return self.profile()

    async def decode(self, data: bytes) -> Image:
        """Decode for real."""
        return decode_picture(data, 1_000_000)

    async def detect(self, image: Image, confidence: float) -> Detections:
        """Find a person, or fail."""
        self.asked.append((image.width, image.height, confidence))
        if self.failure is not None:
            raise self.failure
        return boxes((1.4, 2.6, 30, 40, 0.87654, 0), (5, 6, 7, 8, 0.5, 2))


@pytest.fixture
def daemon() -> FakeDaemon:
    """Return a healthy daemon."""
    return FakeDaemon()


@pytest.fixture
async def http(daemon: FakeDaemon) -> AsyncIterator[TestClient[Any, Any]]:
    """Return a client of the application."""
    settings = HttpConfig.model_validate({"max_upload": f"{LIMIT // 1000}KB"})
    async with TestClient(TestServer(application(daemon, settings))) as client:
        yield client


async def problem(answer: ClientResponse, status: int) -> str:
    """Check that an answer is a problem document of this status and return its detail."""
    assert answer.status == status, await answer.text()
    assert answer.content_type == "application/problem+json"
    body = json.loads(await answer.read())
    assert set(body) == {"type", "title", "status", "detail"}
    assert (body["type"], body["status"]) == ("about:blank", status)
    assert body["title"]
    return str(body["detail"])


def form(data: bytes | io.BytesIO = JPEG, name: str = "file") -> FormData:
    """Return a form with a file."""
    fields = FormData()
    fields.add_field("comment", "hello")
    fields.add_field(name, data, filename="a.jpg", content_type="image/jpeg")
    return fields


async def test_health_follows_the_daemon(http: TestClient[Any, Any], daemon: FakeDaemon) -> None:
    """200 while it works; 503 that says why when it is stuck."""
    well = await http.get("/health")
    assert (well.status, await well.json()) == (200, {"status": "ok"})
    daemon.problem = "the inference loop has not moved for 12 s"
    stuck = await http.get("/health")
    assert stuck.status == 503
    assert daemon.problem in await stuck.text()


async def test_ready_follows_the_start(http: TestClient[Any, Any], daemon: FakeDaemon) -> None:
    """503 until everything is started, 200 from then on, stuck or not."""
    daemon.started = False
    assert (await http.get("/ready")).status == 503
    daemon.started, daemon.problem = True, "stuck"
    assert (await http.get("/ready")).status == 200


async def test_metrics_are_what_prometheus_reads(http: TestClient[Any, Any]) -> None:
    """The exposition has the content type of its format."""
    answer = await http.get("/metrics")
    assert answer.content_type == "text/plain"
    assert "version=" in answer.headers["Content-Type"]
    assert await answer.read() == b"vigil_camera_up 1\n"


@pytest.mark.parametrize("body", [JPEG, form()], ids=["raw", "multipart"])
async def test_picture_gets_its_boxes(
    http: TestClient[Any, Any], daemon: FakeDaemon, body: bytes | FormData
) -> None:
    """A raw body and a form give the same answer, with the configured confidence."""
    answer = await http.post("/detect", data=body)
    assert answer.status == 200
    assert await answer.json() == {
        "count": 2,
        "detections": [
            {"label": "person", "confidence": 0.8765, "bbox": {"x1": 1, "y1": 3, "x2": 30, "y2": 40}},
            {"label": "cell phone", "confidence": 0.5, "bbox": {"x1": 5, "y1": 6, "x2": 7, "y2": 8}},
        ],
    }
    assert daemon.asked == [(64, 48, 0.5)]


@pytest.mark.parametrize("confidence", [0.1, 0.35, 1.0])
async def test_confidence_can_be_asked_for(
    http: TestClient[Any, Any], daemon: FakeDaemon, confidence: float
) -> None:
    """The query's confidence, bounds included, replaces the configured one."""
    await http.post(f"/detect?confidence={confidence}", data=JPEG)
    assert daemon.asked == [(64, 48, confidence)]


@pytest.mark.parametrize("confidence", ["0.09", "1.01", "-1", "nan", "inf", "high", ""])
async def test_bad_confidence_is_told(
    http: TestClient[Any, Any], daemon: FakeDaemon, confidence: str
) -> None:
    """A confidence that is no number from 0.1 to 1 is refused with what would be right."""
    answer = await http.post(f"/detect?confidence={confidence}", data=JPEG)
    assert "give a number from 0.1 to 1.0" in await problem(answer, 400)
    assert daemon.asked == []


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"", "the body is empty"),
        (b"words, not pixels", "not a picture"),
        (JPEG[: len(JPEG) // 2], "damaged"),
    ],
    ids=["empty", "text", "truncated"],
)
async def test_what_is_no_picture_is_told(http: TestClient[Any, Any], data: bytes, detail: str) -> None:
    """Nothing, text and half a JPEG are refused with words, raw or in a form."""
    for body in (data, form(data)):
        assert detail in await problem(await http.post("/detect", data=body), 422)


async def test_too_many_bytes_are_refused(http: TestClient[Any, Any], daemon: FakeDaemon) -> None:
    """A body over the limit is refused, raw, in a form, or unfolding from less; the limit itself is not."""
    for body in (bytes(LIMIT + 1), form(bytes(LIMIT + 1))):
        assert "http.max_upload, 50000 bytes" in await problem(await http.post("/detect", data=body), 413)
    bomb = gzip.compress(bytes(LIMIT * 50))
    assert len(bomb) < LIMIT
    answer = await http.post("/detect", data=bomb, headers={"Content-Encoding": "gzip"})
    await problem(answer, 413)
    full = await http.post("/detect", data=JPEG + bytes(LIMIT - len(JPEG)))
    assert full.status == 200
    assert len(daemon.asked) == 1


async def test_large_upload_fits_when_allowed(daemon: FakeDaemon) -> None:
    """The configured limit rules, not the web framework's own of 1 MiB."""
    app = application(daemon, HttpConfig.model_validate({"max_upload": "5MB"}))
    large = JPEG + bytes(3_000_000)
    async with TestClient(TestServer(app)) as client:
        for body in (io.BytesIO(large), form(io.BytesIO(large))):
            assert (await client.post("/detect", data=body)).status == 200


MULTIPART = {"Content-Type": "multipart/form-data; boundary=xyz"}
HEAD = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'


@pytest.mark.parametrize(
    ("data", "headers"),
    [
        (JPEG, {"Content-Type": "multipart/form-data"}),
        (b"no boundary at all", MULTIPART),
        (b"", MULTIPART),
        (HEAD + JPEG[: len(JPEG) // 2], MULTIPART),
        (HEAD[:40], MULTIPART),
        (b"--xyz\r\nnonsense\r\n\r\nx\r\n--xyz--\r\n", MULTIPART),
        (b"not gzip", {"Content-Encoding": "gzip"}),
    ],
    ids=["no-boundary", "no-parts", "empty", "half-a-picture", "half-a-header", "bad-header", "bad-gzip"],
)
@pytest.mark.filterwarnings("ignore::aiohttp.multipart.BadContentDispositionHeader")
async def test_malformed_body_is_the_clients_fault(
    http: TestClient[Any, Any], data: bytes, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    """A body that is cut off or nonsense is a 4xx, and vigil logs no traceback for it."""
    answer = await http.post("/detect", data=data, headers=headers)
    assert 400 <= answer.status < 500, await answer.text()
    await problem(answer, answer.status)
    assert not [record for record in caplog.records if record.name.startswith("vigil")]


async def test_form_without_a_file_is_told(http: TestClient[Any, Any]) -> None:
    """The right field's name is said."""
    assert "`file`" in await problem(await http.post("/detect", data=form(name="image")), 400)


async def test_busy_engine_asks_to_come_back(http: TestClient[Any, Any], daemon: FakeDaemon) -> None:
    """Too many uploads are a 503 that says when to try again."""
    daemon.failure = BusyError("32 uploads wait already")
    answer = await http.post("/detect", data=JPEG)
    assert await problem(answer, 503) == "32 uploads wait already"
    assert answer.headers["Retry-After"] == "1"


async def test_bug_is_a_problem_without_secrets(
    http: TestClient[Any, Any], daemon: FakeDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is a 500 that tells nothing of it; the log does."""
    daemon.failure = ZeroDivisionError("sesame")
    assert "sesame" not in await problem(await http.post("/detect", data=JPEG), 500)
    assert [record for record in caplog.records if record.exc_info]


async def test_unknown_address_is_a_problem(http: TestClient[Any, Any]) -> None:
    """Nothing there is a problem document as well."""
    assert await problem(await http.get("/nowhere"), 404) == "there is nothing here"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/detect", {"POST"}),
        ("POST", "/health", {"GET", "HEAD"}),
        ("DELETE", "/api/cameras", {"GET", "HEAD"}),
    ],
)
async def test_wrong_method_names_the_right_ones(
    http: TestClient[Any, Any], method: str, path: str, allowed: set[str]
) -> None:
    """A method that an address does not take is a 405 with `Allow`."""
    answer = await http.request(method, path)
    await problem(answer, 405)
    assert set(answer.headers["Allow"].split(",")) == allowed


async def test_cameras_are_listed_and_shown(http: TestClient[Any, Any]) -> None:
    """All cameras, one camera, and its picture, which no cache keeps."""
    listed = await (await http.get("/api/cameras")).json()
    assert [(each["name"], each["status"], each["reason"]) for each in listed["cameras"]] == [
        ("drive", "online", ""),
        ("door", "offline", "refused"),
    ]
    one = await (await http.get("/api/cameras/drive")).json()
    assert one == listed["cameras"][0]
    assert one["counts"] == {"person": 1}
    assert (one["state"], one["condition"], one["retry_at"]) == ("live", "ok", None)
    door = listed["cameras"][1]
    assert (door["state"], door["condition"], door["retry_at"]) == ("offline", "ok", 1700000000.5)
    picture = await http.get("/api/cameras/drive/snapshot.jpg")
    assert (picture.content_type, picture.headers["Cache-Control"]) == ("image/jpeg", "no-store")
    assert await picture.read() == JPEG


async def test_unknown_camera_is_a_problem(http: TestClient[Any, Any]) -> None:
    """A camera that is not there is a 404 by name, for itself and for its picture."""
    for path in ("/api/cameras/attic", "/api/cameras/attic/snapshot.jpg"):
        assert "'attic'" in await problem(await http.get(path), 404)


async def test_camera_without_a_picture_asks_to_come_back(
    http: TestClient[Any, Any], daemon: FakeDaemon
) -> None:
    """A camera that is away has no picture now."""
    daemon.picture = None
    answer = await http.get("/api/cameras/drive/snapshot.jpg")
    await problem(answer, 503)
    assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("action", list(Action))
async def test_camera_can_be_told(http: TestClient[Any, Any], daemon: FakeDaemon, action: Action) -> None:
    """Each action reaches the camera by its address, and the answer says what was done."""
    answer = await http.post(f"/api/cameras/drive/{action}")
    assert (answer.status, await answer.json()) == (200, {"camera": "drive", "done": action.value})
    assert daemon.commands == [CameraCommand("drive", action)]


async def test_camera_that_is_not_there_cannot_be_told(
    http: TestClient[Any, Any], daemon: FakeDaemon
) -> None:
    """A command to an unknown camera is a 404 by name."""
    assert "'attic'" in await problem(await http.post("/api/cameras/attic/restart"), 404)
    assert daemon.commands == []


@pytest.mark.parametrize("action", ["explode", "enabled", "ENABLE", "enable/now", ""])
async def test_unknown_action_is_not_found(
    http: TestClient[Any, Any], daemon: FakeDaemon, action: str
) -> None:
    """What no camera can do is a problem, not a crash."""
    await problem(await http.post(f"/api/cameras/drive/{action}"), 404)
    assert daemon.commands == []


@pytest.mark.parametrize("path", ["/api/cameras/drive/disable", "/api/reload"])
async def test_looking_changes_nothing(http: TestClient[Any, Any], daemon: FakeDaemon, path: str) -> None:
    """What changes something is a POST: a link that somebody follows does nothing."""
    answer = await http.get(path)
    await problem(answer, 405)
    assert answer.headers["Allow"] == "POST"
    assert (daemon.commands, daemon.reloads) == ([], 0)


async def test_reload_says_what_changed(http: TestClient[Any, Any], daemon: FakeDaemon) -> None:
    """A good configuration is taken over and its changes are told."""
    answer = await http.post("/api/reload")
    assert (answer.status, await answer.json()) == (200, {"changed": "added door"})
    assert daemon.reloads == 1


async def test_reload_of_a_wrong_file_tells_its_problems(
    http: TestClient[Any, Any], daemon: FakeDaemon, caplog: pytest.LogCaptureFixture
) -> None:
    """Every problem of the file is in the answer, at its place; it is the file's fault, not a crash."""
    daemon.reload_failure = ConfigError(
        [
            Problem("vigil.yaml", 3, 1, "mqtt.hots", "is not a key"),
            Problem("vigil.yaml", 9, 2, "log", "wrong"),
        ]
    )
    detail = await problem(await http.post("/api/reload"), 422)
    assert detail == "vigil.yaml:3:1: mqtt.hots: is not a key\nvigil.yaml:9:2: log: wrong"
    assert not [record for record in caplog.records if record.exc_info]


@pytest.mark.parametrize(
    "origin",
    [
        "https://elsewhere.example",
        "http://127.0.0.1:1",
        "null",
        "",
        "http://[",
        "http://{host}.elsewhere.example",
        "http://elsewhere.example/{host}",
        "http://user@elsewhere.example#{host}",
    ],
)
async def test_page_of_another_site_cannot_command(
    http: TestClient[Any, Any], daemon: FakeDaemon, origin: str
) -> None:
    """A browser that a foreign page has send a command is refused: for cameras, reload and uploads alike."""
    headers = {"Origin": origin.format(host=f"{http.host}:{http.port}")}
    for path in ("/api/cameras/drive/disable", "/api/reload", "/detect"):
        await problem(await http.post(path, headers=headers, data=JPEG), 403)
    assert (daemon.commands, daemon.reloads, daemon.asked) == ([], 0, [])


async def test_own_page_may_command(http: TestClient[Any, Any], daemon: FakeDaemon) -> None:
    """The page that vigil itself serves sends its own origin and is obeyed."""
    headers = {"Origin": f"http://{http.host}:{http.port}"}
    assert (await http.post("/api/cameras/drive/disable", headers=headers)).status == 200
    assert daemon.commands == [CameraCommand("drive", Action.DISABLE)]


async def test_page_of_another_site_may_look(http: TestClient[Any, Any]) -> None:
    """Reading is not refused for its origin: a browser keeps the answer from the foreign page itself."""
    assert (await http.get("/health", headers={"Origin": "https://elsewhere.example"})).status == 200


async def test_page_is_there_and_loads_nothing_foreign(http: TestClient[Any, Any]) -> None:
    """The page is HTML under a policy that keeps other hosts out."""
    page = await http.get("/")
    assert (page.status, page.content_type) == (200, "text/html")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "<html" in await page.text()


async def test_server_listens_and_stops(daemon: FakeDaemon) -> None:
    """From `start` the port answers, and after `run` is cancelled it is free again."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = WebServer(daemon, HttpConfig(port=port))
    await server.start()
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()
    task = asyncio.ensure_future(server.run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_taken_port_cannot_start(daemon: FakeDaemon) -> None:
    """A port that somebody has is named with the key to change."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(CannotStartError, match=rf"http\.port: 127\.0\.0\.1:{port} is taken"):
            await WebServer(daemon, HttpConfig(port=port)).start()


async def test_foreign_address_cannot_start(daemon: FakeDaemon) -> None:
    """An address that this machine does not have is not said to be taken."""
    with pytest.raises(CannotStartError, match=r"http\.host: 192\.0\.2\.1:8080 cannot be used"):
        await WebServer(daemon, HttpConfig(host="192.0.2.1")).start()
