"""Logins of cameras and brokers: they reach the address that is opened, and nothing that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.config.address import split_address
from vigil.config.load import load
from vigil.config.model import CameraConfig
from vigil.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "hunter2"


def camera(**values: object) -> CameraConfig:
    """Return one validated camera."""
    return CameraConfig.model_validate(values)


def test_a_login_in_keys_is_encoded_into_the_address() -> None:
    """Characters that mean something in an address survive in the password."""
    config = camera(url="rtsp://10.0.0.5:554/stream2", username="view er", password="p@ss:w/rd#%")
    assert config.source_url == "rtsp://view%20er:p%40ss%3Aw%2Frd%23%25@10.0.0.5:554/stream2"
    assert config.redacted_url == "rtsp://view%20er:***@10.0.0.5:554/stream2"


@given(st.text(min_size=1).filter(lambda text: text.isprintable()), st.text())
def test_any_login_survives_the_address(username: str, password: str) -> None:
    """What is written in keys is what stands, decoded, in the address."""
    address = split_address(camera(url="rtsp://h/s", username=username, password=password).source_url)
    assert address is not None
    assert (address.username, address.password, address.rest) == (username, password, "h/s")


def test_a_login_in_the_address_is_moved_to_its_keys() -> None:
    """After validation `url` holds no secret, and a raw special character is encoded."""
    config = camera(url="RTSP://viewer:p%40ss%@[fe80::1]:554/x@2?a=b")
    assert config.url == "rtsp://[fe80::1]:554/x@2?a=b"
    assert config.username == "viewer"
    assert config.source_url == "rtsp://viewer:p%40ss%25@[fe80::1]:554/x@2?a=b"


@pytest.mark.parametrize(
    ("values", "source", "shown"),
    [
        ({"url": "rtsp://h/s"}, "rtsp://h/s", "rtsp://h/s"),
        ({"url": "rtsp://h/s", "username": "u"}, "rtsp://u@h/s", "rtsp://u@h/s"),
        ({"url": "rtsp://u@h/s"}, "rtsp://u@h/s", "rtsp://u@h/s"),
        ({"url": "rtsp://h/s", "password": "p"}, "rtsp://:p@h/s", "rtsp://:***@h/s"),
        ({"url": "rtsp://u:p@h"}, "rtsp://u:p@h", "rtsp://u:***@h"),
        ({"url": "http://h/s?user=a&password=p&x=1"}, None, "http://h/s?user=a&password=***&x=1"),
        ({"url": "rtsp://admin:12/34@h/s"}, None, "rtsp://admin:***@h/s"),
        ({"url": "udp://@:1234"}, "udp://@:1234", "udp://@:1234"),
        ({"url": "/a/b.mp4"}, "/a/b.mp4", "/a/b.mp4"),
    ],
)
def test_addresses_opened_and_shown(values: dict[str, str], source: str | None, shown: str) -> None:
    """Each way to write a login gives the address to open, and one without the secret."""
    config = camera(**values)
    assert config.source_url == (values["url"] if source is None else source)
    assert config.redacted_url == shown


def test_secrets_are_in_no_representation() -> None:
    """`repr` and `str` of a camera show neither the password nor one inside the address."""
    for values in (
        {"url": "rtsp://h/s", "username": "u", "password": SECRET},
        {"url": f"rtsp://u:{SECRET}@h/s"},
        {"url": f"http://h/s?pwd={SECRET}"},
    ):
        config = camera(**values)
        assert SECRET in config.source_url
        assert SECRET not in f"{config!r} {config!s}"


@pytest.mark.parametrize(
    "pipeline",
    [
        f"rtspsrc location=rtsp://u:{SECRET}@h/a ! decodebin ! appsink",
        f"rtspsrc location=rtsp://h/a user-id=u user-pw={SECRET} ! decodebin ! appsink",
        f'rtspsrc location=rtsp://h/a user-id="u" user-pw="{SECRET}" ! decodebin ! appsink',
        f"souphttpsrc location=http://h/a proxy-pw={SECRET} ! jpegdec ! appsink",
    ],
)
def test_pipelines_are_shown_without_their_secrets(pipeline: str) -> None:
    """A GStreamer pipeline is opened as it was written, and shown without the login of its elements."""
    config = camera(url=pipeline, backend="opencv")
    assert config.source_url == pipeline
    assert SECRET not in f"{config.redacted_url} {config!r}"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mqtt: {password: hunter2}", "mqtt.password: the value has no user name beside it; add `username`"),
        ("mqtt: {password: [hunter2]}", "mqtt.password: a list is not text"),
        ("mqtt:\n  password:hunter2", 'mqtt: "password:***" is not a mapping'),
        ("mqtt: {password:hunter2}", "mqtt.password:***: is not a key; put a space after the colon"),
        ("mqtt: {pasword: hunter2}", "did you mean `password`?"),
        ("mqtt: {password: *hunter2}", "* begins an alias"),
        ("mqtt: {password: !hunter2 x}", "has a YAML tag"),
        ("mqtt: {password: !hunter2!x x}", "! begins a tag"),
        ("mqtt: {password: &hunter2 x, username: &hunter2 y}", "an anchor's name is used twice"),
        ("mqtt: {username: u, password: hunter2, password_file: secret}", "keep one of the two"),
        ("cameras: {a: {url: 'ftp://u:hunter2@h'}}", "has a scheme that vigil cannot open"),
        ("cameras: {a: {url: 'rtsp://u:x/hunter2@h'}}", "is not a valid address"),
        ("cameras: {a: {url: 'u:hunter2@h/s'}}", '"u:***@h/s" has no scheme; begin with rtsp://'),
        ("cameras: {'password:hunter2': {urll: x}}", "is not a key of `cameras.password:***`"),
        ("cameras: {a: {url: 'rtsp://u:1#hunter2@h'}}", "is not a valid address"),
        ("cameras: {a: {url: 'rtsp://u:hunter2@h', username: v}}", "holds a login and so do keys beside it"),
        ("cameras: {a: {url: 'rtsp://u:${P}@h', transport: '${P}'}}", '"${P}" is none of the choices'),
        ("cameras: {a: {url: x, username: u, password: hunter2}}", "takes no login"),
        ("cameras: {a: {url: '0', backend: opencv, username: u, password: hunter2}}", "takes no login"),
        ("cameras: {a: {url: x, password: 1hunter2: 3}}", "expected ',' or '}', but got ':'"),
    ],
)
def test_problems_never_repeat_a_secret(tmp_path: Path, text: str, complaint: str) -> None:
    """Whatever is wrong around a password, the message shows neither it nor a variable's value."""
    path = tmp_path / "vigil.yaml"
    path.write_text(text)
    (tmp_path / "secret").write_text(SECRET)
    with pytest.raises(ConfigError) as caught:
        load(path, {"P": SECRET, "VIGIL_MQTT__PASWORD": SECRET})
    assert complaint in str(caught.value)
    assert SECRET not in str(caught.value)


def test_secret_files_are_read_at_load_time(tmp_path: Path) -> None:
    """`password_file` fills `password`, without the newline that editors leave behind."""
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    config = camera(url="rtsp://h/s", username="u", password_file=str(tmp_path / "secret"))
    assert config.source_url == f"rtsp://u:{SECRET}@h/s"


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none", "No such file or directory"), (".", "Is a directory"), ("bad", "it is not UTF-8")],
)
def test_unreadable_secret_files_are_problems(tmp_path: Path, name: str, reason: str) -> None:
    """A secret file that cannot be read is reported where it is named, with the reason."""
    path = tmp_path / "vigil.yaml"
    path.write_text(f"cameras:\n  a:\n    url: rtsp://h/s\n    password_file: {name}\n")
    (tmp_path / "bad").write_bytes(b"\xff")
    with pytest.raises(ConfigError) as caught:
        load(path, {})
    (problem,) = caught.value.problems
    assert (problem.line, problem.column, problem.path) == (4, 20, "cameras.a.password_file")
    assert reason in problem.message


def test_a_cameras_own_login_sets_the_default_one_aside(tmp_path: Path) -> None:
    """Login keys of `defaults` never contradict what a camera says itself, nor reach one that takes none."""
    (tmp_path / "secret").write_text("filed")
    path = tmp_path / "vigil.yaml"
    path.write_text(
        "defaults: {username: u, password: p}\ncameras:\n  a: {url: rtsp://h}\n  b: {url: 'rtsp://v:q@h'}\n"
        "  c: {url: rtsp://h, password_file: secret}\n  d: {url: clip.mp4}\n"
        "  e: {url: rtsp://h, username: w}\n"
    )
    config = load(path, {})
    assert {name: camera.source_url for name, camera in config.cameras.items()} == {
        "a": "rtsp://u:p@h",
        "b": "rtsp://v:q@h",
        "c": "rtsp://u:filed@h",
        "d": f"{tmp_path}/clip.mp4",
        "e": "rtsp://w:p@h",
    }
