"""Secrets in every place where the configuration takes one, failures of every kind, and no trace of them.

What is searched: the log at its most talkative, every MQTT message, every HTTP answer, what `vigil check` and
`vigil probe` print, and the arguments of every process.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
import pytest
from aiohttp import web

from tests.support.assets import photograph
from tests.support.broker import recorder
from tests.support.daemon import ROOT, DaemonProcess, clean_environ, free_port
from tests.support.wire import CONNACK, hello, wire
from vigil.sinks.broker import EmbeddedBroker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PLACES = (
    *("address", "query", "key", "special", "file", "variable", "pipeline", "profile"),
    *("mqtt", "mqtt-wrong", "user", "user-file", "user-guess", "probe"),
)
SECRETS = {place: f"s3cret{number}x{place.replace('-', 'x')}" for number, place in enumerate(PLACES)}
SECRETS["special"] = "s3cret@/: %of#special"
SPY = ("spy", "not-looked-for")


@asynccontextmanager
async def refusing_camera() -> AsyncIterator[int]:
    """Run a web server that lets nobody in; gives its port."""

    async def refuse(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="camera"'})

    server = web.ServerRunner(web.Server(refuse))
    await server.setup()
    port = free_port()
    await web.TCPSite(server, "127.0.0.1", port).start()
    try:
        yield port
    finally:
        await server.cleanup()


def cameras(folder: Path, port: int) -> str:
    """Return the YAML of a camera for each place of a secret, all refused, and one that works."""
    (folder / "camera.password").write_text(SECRETS["file"])
    here, nobody = f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}"
    login = "username: viewer, password:"
    return f"""
cameras:
  works: {{url: 'photo:{photograph("zidane")}?size=640x360&fps=10', detect: {{fps: 2, classes: [person]}}}}
  address: {{url: 'rtsp://viewer:{SECRETS["address"]}@{nobody}/stream'}}
  address-http: {{url: 'http://viewer:{SECRETS["address"]}@{here}/stream'}}
  query: {{url: 'http://{here}/picture?user=viewer&password={SECRETS["query"]}', snapshot_interval: 1s}}
  key: {{url: 'rtsp://{nobody}/stream', {login} {SECRETS["key"]}}}
  special: {{url: 'http://{here}/stream', {login} '{SECRETS["special"]}'}}
  file: {{url: 'http://{here}/stream', username: viewer, password_file: camera.password}}
  variable: {{url: 'rtmp://{nobody}/stream', {login} '${{CAMERA_SECRET}}'}}
  pipeline: {{url: 'rtspsrc location=rtsp://v:{SECRETS["pipeline"]}@{nobody}/a ! appsink', backend: opencv}}
profiles:
  away: {{cameras: {{key: {{{login} {SECRETS["profile"]}}}}}}}
"""


def broken(good: str) -> Iterator[str]:
    """Yield configurations with a mistake right beside a secret."""
    secret = SECRETS["key"]
    for mistake in (
        f"password: [{secret}]",
        f"password: {{{secret}: 1}}",
        f"pasword: {secret}",
        f"password: *{secret}",
        f"password:{secret}",
        f"password: {secret}, password_file: camera.password",
    ):
        yield good.replace(f"password: {secret}", mistake)
    yield good.replace("rtsp://viewer:", "ftp://viewer:")
    yield good.replace("CAMERA_SECRET", "NO_SUCH_VARIABLE")
    yield good.replace("fps: 2", "fps: fast")


async def answers(daemon: DaemonProcess, names: list[str]) -> str:
    """Return what every request of the reference page is answered, head and body."""
    page = (ROOT / "docs/reference/http.md").read_text("utf-8")
    found = re.findall(r"^\| `(GET|POST) (/[^`]*)`", page, re.MULTILINE)
    assert len(found) > 10
    wanted = [(method, path.replace("{camera}", name)) for method, path in found for name in names]
    parts = []
    async with aiohttp.ClientSession() as session:
        for method, path in [
            *dict.fromkeys(wanted),
            ("GET", "/no/such/page"),
            ("GET", "/api/cameras/nobody"),
        ]:
            body = json.dumps({"profile": "auto"}) if method == "POST" else None
            async with session.request(method, daemon.url(path), data=body) as answer:
                text = (await answer.read()).decode("utf-8", "replace")
                parts.append(f"{method} {path} {answer.status} {dict(answer.headers)} {text}")
    return "\n".join(parts)


async def printed(*arguments: str, environ: dict[str, str]) -> str:
    """Return all that a `vigil` command prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "vigil", *arguments),
        cwd=ROOT,
        env=clean_environ(environ),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return (await process.communicate())[0].decode()


def arguments_of(daemon: DaemonProcess) -> str:
    """Return the command lines of vigil and its children, as everybody on the machine can read them."""
    children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
    lines = [Path(f"/proc/{pid}/cmdline").read_bytes() for pid in (daemon.pid, *children)]
    return b"\n".join(lines).replace(b"\0", b" ").decode("utf-8", "replace")


def assert_silent(where: str, text: str) -> None:
    """Fail for a secret in a text, as it is or as an address has it."""
    for place, secret in SECRETS.items():
        for form in {secret, quote(secret), quote(secret, safe=""), json.dumps(secret)[1:-1]}:
            at = text.find(form)
            assert at < 0, f"{where}: the secret of {place} stands in {text[max(at - 200, 0) : at + 100]!r}"


@pytest.mark.parametrize("form", ["text", "json"])
async def test_no_secret_is_shown_by_a_run(tmp_path: Path, form: str) -> None:
    """With cameras and brokers that refuse, reloads that fail and problems told, no secret appears."""
    path, out_of_file = tmp_path / "vigil.yaml", {"CAMERA_SECRET": SECRETS["variable"]}
    environ = {**out_of_file, "VIGIL_STATE": str(tmp_path / "state")}
    broker = EmbeddedBroker("127.0.0.1", free_port(), {"vigil": SECRETS["mqtt"], SPY[0]: SPY[1]})
    await broker.start()
    watching = asyncio.ensure_future(broker.run_once())
    try:
        async with refusing_camera() as port, recorder(broker.port, login=SPY) as heard:
            whole = (
                f"model: {{size: 320}}\nlog: {{level: debug, format: {form}}}\n"
                f"mqtt: {{host: 127.0.0.1, username: vigil, password: {SECRETS['mqtt-wrong']}}}\n"
                f"{cameras(tmp_path, port)}"
            )
            path.write_text(whole)
            async with DaemonProcess(
                "run", "-c", str(path), environ=environ, mqtt_port=broker.port
            ) as daemon:
                names = [each["name"] for each in (await daemon.get_json("/api/cameras"))["cameras"]]
                await daemon.wait_for_log("refuses")
                path.write_text(whole.replace(SECRETS["mqtt-wrong"], SECRETS["mqtt"]))
                await heard.until(lambda: heard.last("vigil/works/status") == b"online")
                await daemon.wait_for_log("unauthorized", within=20)
                await daemon.wait_for_log("nobody listens at this address", within=20)
                await heard.until(lambda: heard.heard["vigil/works/detections"])
                shown = await answers(daemon, names)
                for number, bad in enumerate(broken(path.read_text()), start=1):
                    path.write_text(bad)
                    await daemon.wait_for_log_count("the configuration is left as it was", number)
                    shown += await answers(daemon, ["works"])
                    shown += await printed("check", "-c", str(path), environ=out_of_file)
                shown += arguments_of(daemon)
            log = daemon.log
        watching.cancel()
    finally:
        await broker.stop()
    assert {"works", "special", "pipeline"} <= set(names)
    assert_silent("the log", log)
    assert_silent("answers", shown)
    for topic, payloads in heard.heard.items():
        assert_silent(topic, topic + b"\n".join(payloads).decode("utf-8", "replace"))


async def test_no_secret_of_the_embedded_broker_is_shown(tmp_path: Path) -> None:
    """Users that come in, guesses that do not, and a check that fails leave no password anywhere."""
    path = tmp_path / "vigil.yaml"
    (tmp_path / "user.password").write_text(SECRETS["user-file"])
    users = f"{{ha: {{password: {SECRETS['user']}}}, other: {{password_file: user.password}}}}"
    photo = f"photo:{photograph('zidane')}?size=640x360&fps=10"
    path.write_text(
        "model: {size: 320}\nlog: {level: debug}\n"
        f"mqtt: {{embedded: {{host: 0.0.0.0, users: {users}}}}}\n"
        f"cameras: {{works: {{url: '{photo}', detect: {{fps: 2}}}}}}\n"
    )
    environ = {"VIGIL_STATE": str(tmp_path / "state")}
    async with DaemonProcess("run", "-c", str(path), environ=environ) as daemon:
        async with recorder(daemon.mqtt_port, login=("other", SECRETS["user-file"])) as heard:
            await heard.until(lambda: heard.last("vigil/works/status") == b"online")
            for login in (("ha", SECRETS["user-guess"]), (SECRETS["user-guess"], "x")):
                async with wire(daemon.mqtt_port, hello("guess", login=login)) as stranger:
                    assert (await stranger.hears(CONNACK)).body[1] == 4
            shown = await answers(daemon, ["works"]) + arguments_of(daemon)
            assert "vigil.sinks.embedded" in shown
        good = path.read_text()
        path.write_text(good.replace("password: ", "pasword: "))
        await daemon.wait_for_log("the configuration is left as it was")
        shown += await printed("check", "-c", str(path), environ={})
        path.write_text(good.replace(f"{{password: {SECRETS['user']}}}", SECRETS["user"]))
        shown += await printed("check", "-c", str(path), environ={})
        assert "is not a mapping" in shown
    kept = b"".join(file.read_bytes() for file in (tmp_path / "state").iterdir())
    assert_silent("the log", daemon.log)
    assert_silent("answers", shown)
    assert_silent("messages", str(dict(heard.heard)))
    assert_silent("the state folder", kept.decode("utf-8", "replace"))


async def test_no_secret_is_shown_by_a_probe() -> None:
    """Whatever becomes of it, `vigil probe` repeats no password, however it was given."""
    environ = {"VIGIL_PROBE_PASSWORD": SECRETS["special"]}
    async with refusing_camera() as port:
        for address in (f"127.0.0.1:{port}", f"127.0.0.1:{free_port()}"):
            given = f"http://viewer:{SECRETS['probe']}@{address}/s"
            for arguments, extra in (
                ([given], {}),
                ([f"http://{address}/s?pwd={SECRETS['probe']}"], {}),
                ([f"http://{address}/s", "--username", "viewer"], environ),
                ([given, "--username", "viewer"], {}),
            ):
                text = await printed("probe", *arguments, environ=extra)
                assert text
                assert_silent("probe", text)
