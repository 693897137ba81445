"""The configuration file: what loads, what wins over what, and where a problem is said to be."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.config.load import camera_of, load
from vigil.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vigil.config.model import Config

    Loader = Callable[..., Config]
    Reporter = Callable[..., list[str]]

CAMERA = "cameras: {drive: {url: rtsp://10.0.0.5/s}}\n"


@pytest.fixture
def loaded(tmp_path: Path) -> Loader:
    """Return a loader of text (or bytes) as `vigil.yaml`."""

    def load_text(text: str | bytes, environ: Mapping[str, str] | None = None) -> Config:
        path = tmp_path / "vigil.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load(path, environ or {})

    return load_text


@pytest.fixture
def problems(loaded: Loader, tmp_path: Path) -> Reporter:
    """Return a loader that gives the problems as lines, without the folder."""

    def problems_of(text: str | bytes, environ: Mapping[str, str] | None = None) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(text, environ)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return problems_of


def test_one_camera_is_a_configuration(loaded: Loader) -> None:
    """A camera's address is all that has to be written; units of defaults are resolved."""
    config = loaded(CAMERA)
    assert config.cameras["drive"].url == "rtsp://10.0.0.5/s"
    assert config.cameras["drive"].open_timeout == 10.0
    assert (config.model.size, config.model.workers) == (640, "auto")
    assert (config.http.max_upload, config.mqtt.keepalive, config.mqtt.host) == (20_000_000, 30.0, None)


def test_every_kind_of_problem_at_once_and_in_file_order(problems: Reporter) -> None:
    """All problems of a file are reported together, in its order, each with place, wrong and right."""
    text = """\
model: {size: 641, confidence: yes}
mqtt:
  hots: x
  port: 70000
  keepalive: 30
http: {max_upload: 20, port: 80.5}
log: {level: loud}
cameras:
  Drive: {url: ftp://x}
  b: {detect: {confidence: {person: 2, car: no}, fps: 0, weight: .nan}}
  c: {url: x, enabled: maybe, read_timeout: ten, transport: [tcp]}
zones: 1
"""
    duration = "write a duration from 100ms to 1h with its unit (ms, s, m, h), such as 10s"
    size = "write a size from 1KB to 1GB with its unit (KB, MB, GB, KiB, MiB), such as 20MB"
    schemes = "use rtsp, rtsps, rtmp, http, https, file, udp, photo, or a file's path"
    address = "write an address such as rtsp://host/stream, or a file's path"
    sections = (
        "known keys: model, models, mqtt, homeassistant, compat, http, commands, log, cameras, location, "
        "shards, profiles, defaults"
    )
    fraction, weight = "write a number from 0.01 to 1", "write a number above 0 and up to 1000"
    assert problems(text) == [
        "vigil.yaml:1:15: model.size: 641 does not fit; write a multiple of 32 from 32 to 2048",
        f"vigil.yaml:1:32: model.confidence: yes is not a number; {fraction}",
        "vigil.yaml:3:3: mqtt.hots: is not a key of `mqtt`; did you mean `host`?",
        "vigil.yaml:4:9: mqtt.port: 70000 is out of range; write a whole number from 1 to 65535",
        f"vigil.yaml:5:14: mqtt.keepalive: 30 has no unit; {duration}",
        f"vigil.yaml:6:20: http.max_upload: 20 has no unit; {size}",
        "vigil.yaml:6:30: http.port: 80.5 is not a whole number; write a whole number from 1 to 65535",
        'vigil.yaml:7:14: log.level: "loud" is none of the choices; write debug, info, warning or error',
        "vigil.yaml:9:3: cameras.Drive: is not a name; write a-z, 0-9, _ and -, such as front-door",
        f'vigil.yaml:9:16: cameras.Drive.url: "ftp://x" has a scheme that vigil cannot open; {schemes}',
        f"vigil.yaml:10:3: cameras.b.url: is missing; {address}",
        f"vigil.yaml:10:37: cameras.b.detect.confidence.person: 2 is out of range; {fraction}",
        f"vigil.yaml:10:45: cameras.b.detect.confidence.car: no is not a number; {fraction}",
        "vigil.yaml:10:55: cameras.b.detect.fps: 0 is out of range; write a number above 0 and up to 60",
        f"vigil.yaml:10:66: cameras.b.detect.weight: .nan is not a finite number; {weight}",
        'vigil.yaml:11:24: cameras.c.enabled: "maybe" is not true or false; write true or false',
        f'vigil.yaml:11:45: cameras.c.read_timeout: "ten" is not understood; {duration}',
        "vigil.yaml:11:61: cameras.c.transport: a list is none of the choices; write tcp or udp",
        f"vigil.yaml:12:1: zones: is not a key of the file; {sections}",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1:1: cameras: is missing; write at least one camera: its name, and under it its `url`"),
        ("# nothing\n", "1:1: cameras: is missing"),
        ("cameras:\n", "1:9: cameras: a mapping is empty; name at least one camera"),
        ("- a\n", "1:1: is not a mapping; begin with `cameras:`"),
        ("cameras: {a: {url: x}\n", "2:1: is not YAML: expected ',' or '}', but got '<stream end>'"),
        ("cameras:\n\ta: 1\n", "2:1: is not YAML: a tab stands here; indent with spaces"),
        ("a: b: c\n", "1:5: is not YAML: a `key: value` cannot stand here"),
        ("a: *b\n", "1:4: is not YAML: * begins an alias"),
        ("a: !!python/name:os.system x\n", "1:4: a: has a YAML tag that is not known here"),
        ("? [a]\n: b\n", "1:3: has a key that is not text"),
        ("&a [*a]\n", "1:1: [0]: is an alias of itself"),
        ("<<: 3\n", "1:5: merges something that is not a mapping"),
        (
            "cameras: {a: {url: ${URL}}}\n",
            "1:21: is not YAML: a `{` cannot stand here; put ${NAME} in quotes",
        ),
        ('log: {level: "a\\nb\\e[1m"}\n', '"a b [1m" is none of the choices'),
        (
            "defaults: {detect: {confidence: {'': 0.5}}}\n",
            "defaults.detect.confidence.: is an empty key; write a name",
        ),
        ("cameras: {a: {url: 'photo:'}}\n", '"photo:" names no file; write photo: and a path'),
        ("a: 1\n--- \nb: 2\n", "2:1: is not YAML: a second document begins here"),
        ("a: \x07\n", "1:4: a control character cannot stand here"),
        ("[" * 700, "1:1: is nested too deeply"),
        ("a: &a [" + "x," * 400 + "]\nb: [" + "*a," * 300 + "]\n", "unfolds into too many values"),
        (b"a: 1\nb: \xe9\n", "2:4: is not UTF-8 text; save the file as UTF-8"),
        ("mqtt: abc\n", '1:7: mqtt: "abc" is not a mapping; write a mapping with the keys '),
        ("model: {name: }\n", "1:14: model.name: has no value; write text"),
        ("model: {name: ''}\n", '1:15: model.name: "" is empty; write text'),
        ("model: {name: 2024}\n", "1:15: model.name: 2024 is not text for YAML; put it in quotes"),
        ("defaults: {detect: {classes: person}}\n", '"person" is not a list; write a list: [text, ...]'),
        ("defaults: {detect: {classes: []}}\n", "a list is empty; write a list: [text, ...]"),
        ("model: {size: , workers: null}\n", "1:14: model.size: has no value; write a multiple of 32"),
        ("mqtt: {keepalive: }\n", "1:18: mqtt.keepalive: has no value; write a duration"),
        ("mqtt: {topic_prefix: /a/#}\n", '"/a/#" has characters that cannot stand here'),
        ("homeassistant: {discovery_prefix: a/}\n", '"a/" has characters that cannot stand here'),
        (
            "mqtt: {topic_prefix: nvr}\ncompat: {frigate: true, frigate_prefix: nvr}\n",
            "has the `frigate_prefix` that `mqtt.topic_prefix` is too",
        ),
        ("log: {format:json}\n", "1:7: log.format:json: is not a key; put a space after the colon"),
        ("log: {level: debug}\nlog: {}\nlog: {}\n", "3:1: log: is given twice, first on line 1"),
        ("model: {workers: many}\n", '"many" is none of the choices'),
        ("model: {workers: 0}\n", "0 is out of range; write a whole number from 1 to 1024 or auto"),
    ],
)
def test_each_kind_of_broken_file(problems: Reporter, text: str | bytes, expected: str) -> None:
    """Whatever is broken, a problem names the line and says what would be right."""
    assert any(expected in line for line in problems(text)), problems(text)


def test_a_camera_asks_for_a_model_that_is_there(loaded: Loader, problems: Reporter) -> None:
    """`detect.model` names one of `models`; one that is not there is told, where it was written."""
    text = "models: {big: {name: x.onnx}}\ndefaults: {detect: {model: %s}}\ncameras: {a: {url: x}}\n"
    assert loaded(text % "big").cameras["a"].detect.model == "big"
    assert problems(text % "huge") == [
        'vigil.yaml:2:28: defaults.detect.model: "huge" is none of `models`; there is big'
    ]


def test_duplicate_keys_are_all_reported(problems: Reporter) -> None:
    """Each repetition of a key is a problem of its own, also inside flow mappings."""
    lines = problems("log: {level: info, level: debug}\nlog: {}\n" + CAMERA)
    assert [line.split(": ")[:2] for line in lines] == [
        ["vigil.yaml:1:20", "log.level"],
        ["vigil.yaml:2:1", "log"],
    ]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A missing file and a folder in its place are told apart."""
    with pytest.raises(ConfigError, match="does not exist; name a YAML file"):
        load(tmp_path / "none.yaml", {})
    with pytest.raises(ConfigError, match="is a directory; name the YAML file in it"):
        load(tmp_path, {})
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        load(Path("/dev/null/vigil.yaml"), {})


def test_a_file_with_a_byte_order_mark(loaded: Loader) -> None:
    """Editors that put a mark before UTF-8 do no harm."""
    assert "drive" in loaded(b"\xef\xbb\xbf" + CAMERA.encode()).cameras


def test_anchors_and_merge_keys(loaded: Loader) -> None:
    """YAML's own way of sharing works, and a key of the mapping itself wins over a merged one."""
    config = loaded(
        "cameras:\n  a: &a {url: rtsp://h/a, transport: udp}\n  b: {<<: *a, url: rtsp://h/b}\n"
        "  c: {<<: [{url: rtsp://h/c}, *a]}\n"
    )
    urls = {name: (camera.url, camera.transport) for name, camera in config.cameras.items()}
    assert urls == {
        "a": ("rtsp://h/a", "udp"),
        "b": ("rtsp://h/b", "udp"),
        "c": ("rtsp://h/c", "udp"),
    }


def test_names_that_yaml_takes_for_something_else(loaded: Loader) -> None:
    """Keys are text, so a camera can be called `no`, `1` or `2024-01-01`."""
    config = loaded("cameras: {no: {url: a}, 1: {url: a}, 2024-01-01: {url: a}}\n")
    assert list(config.cameras) == ["no", "1", "2024-01-01"]


def test_what_only_looks_like_a_number_is_text(loaded: Loader) -> None:
    """A date, or digits that Python cannot turn into a number, stay the text that was written."""
    config = loaded("model: {name: 2024-99-99, device: 0b_}\n" + CAMERA)
    assert (config.model.name, config.model.device) == ("2024-99-99", "0b_")


def test_a_section_without_keys_is_empty(loaded: Loader) -> None:
    """A section whose keys are all commented out has its defaults."""
    config = loaded("model:\ndefaults:\ncameras:\n  drive:\n    url: x\n    detect:\n")
    assert (config.model.name, config.cameras["drive"].detect.fps) == ("yolo11n", 5)


def test_camera_values_win_over_defaults_key_by_key(loaded: Loader) -> None:
    """Mappings merge deeply; scalars, lists and null of the camera replace those of `defaults`."""
    config = loaded(
        "defaults:\n  transport: udp\n"
        "  detect: {fps: 2, classes: [car], confidence: {person: 0.3, car: 0.4}}\n"
        "cameras:\n  a: {url: x, detect: {classes: [dog], confidence: {person: 0.9}}}\n"
        "  b: {url: x, detect: {classes: null, confidence: null}}\n  c: {url: x, detect: }\n"
    )
    a, b, c = (config.cameras[name].detect for name in "abc")
    assert (a.fps, a.classes, a.confidence) == (2, ["dog"], {"person": 0.9, "car": 0.4})
    assert (b.fps, b.classes, b.confidence) == (2, None, None)
    assert (c.fps, c.classes) == (2, ["car"])
    assert config.cameras["a"].transport == "udp"


def test_a_problem_in_defaults_is_reported_once(problems: Reporter) -> None:
    """A bad default stands at its own place, not at every camera that takes it."""
    text = "defaults:\n  detct: {}\n  transport: tpc\n  url: x\ncameras: {a: {url: x}, b: {url: y}}\n"
    lines = problems(text)
    assert [line.split(": ")[1] for line in lines] == ["defaults.detct", "defaults.transport", "defaults.url"]
    assert lines[0].endswith("is not a key of `defaults`; did you mean `detect`?")


def test_variables_in_texts(loaded: Loader) -> None:
    """`${NAME}` works inside texts and as a number; defaults, empty values and `$${` are kept apart."""
    config = loaded(
        "model: {name: 'a$${b}-${A}${B:-x}${A:-y}'}\nmqtt:\n  host: ${NONE:-}\n  port: ${PORT}\n"
        'http:\n  port: "${PORT:-1}"\n  max_upload: ${SIZE:-2MB}\n' + CAMERA,
        {"A": "1", "B": "", "PORT": "99"},
    )
    assert config.model.name == "a${b}-1x1"
    assert (config.mqtt.host, config.mqtt.port, config.http.port) == (None, 99, 99)
    assert config.http.max_upload == 2_000_000


@pytest.mark.parametrize(
    ("mqtt", "expected"),
    [
        ("{host: a, protocol: 4}", "mqtt.protocol: 4 is none of the choices; write auto, 3.1.1 or 5"),
        ("{host: a, tls: {ca_file: no.pem}}", 'mqtt.tls.ca_file: "no.pem" is no file'),
        ("{host: a, tls: {key_file: vigil.yaml}}", "needs both `certificate_file` and `key_file`"),
        ("{tls: {}}", "has `tls` or `transport` for the embedded broker, which has neither; add `host`"),
        ("{transport: websocket}", "for the embedded broker"),
        ("{websocket_path: mqtt}", '"mqtt" has characters that cannot stand here; write a path that begins'),
        ("{outbox: {age: 1s}}", '"1s" is out of range; write a duration from 1m to 365d'),
    ],
)
def test_connections_are_checked(problems: Reporter, mqtt: str, expected: str) -> None:
    """What cannot be had of a broker, or is half a pair, is told with what would be right."""
    [line] = problems(f"mqtt: {mqtt}\n{CAMERA}")
    assert expected in line


def test_version_of_mqtt_may_be_a_number(loaded: Loader) -> None:
    """YAML reads 5 as a number, which is the word all the same."""
    assert loaded(f"mqtt: {{host: a, protocol: 5}}\n{CAMERA}").mqtt.protocol == "5"


def test_missing_variables_are_named(problems: Reporter) -> None:
    """An unset variable is one problem that names it; a `${` without a name says how to write one."""
    text = 'mqtt: {port: "${PORT}", host: "${}"}\n' + CAMERA
    assert problems(text) == [
        "vigil.yaml:1:14: mqtt.port: needs the variable PORT; set it in the environment",
        "vigil.yaml:1:31: mqtt.host: has a `${` without a name; write ${NAME}, or $${ for ${",
    ]


def test_paths_begin_at_the_files_folder(loaded: Loader, tmp_path: Path) -> None:
    """Relative weights, clips, photos and secrets are looked for beside the configuration."""
    (tmp_path / "secret").write_text("s3cret\n")
    config = loaded(
        "model: {name: weights/x.onnx}\nmqtt: {host: h, username: u, password_file: secret}\ncameras:\n"
        "  a: {url: clips/a.mp4}\n  b: {url: 'photo:b.jpg?fps=5'}\n  c: {url: file://c.mp4}\n"
        "  d: {url: /abs/d.mp4}\n  e: {url: file:///abs/e.mp4}\n  f: {url: UDP://@:1234}\n"
    )
    assert config.model.name == f"{tmp_path}/weights/x.onnx"
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == "s3cret"
    assert {name: camera.url for name, camera in config.cameras.items()} == {
        "a": f"{tmp_path}/clips/a.mp4",
        "b": f"photo:{tmp_path}/b.jpg?fps=5",
        "c": f"file:{tmp_path}/c.mp4",
        "d": "/abs/d.mp4",
        "e": "file:/abs/e.mp4",
        "f": "udp://@:1234",
    }


def test_what_opencv_opens_is_left_as_it_was_written(loaded: Loader, tmp_path: Path) -> None:
    """A webcam's number and a GStreamer pipeline are no paths; a file beside the configuration is one."""
    (tmp_path / "clip.mp4").touch()
    config = loaded(
        "defaults: {backend: opencv}\ncameras:\n  a: {url: '0'}\n  b: {url: videotestsrc ! appsink}\n"
        "  c: {url: clip.mp4}\n  d: {url: rtsp://u:p@h/s}\n  e: {url: clip.mp4, backend: auto}\n"
    )
    assert {name: camera.url for name, camera in config.cameras.items()} == {
        "a": "0",
        "b": "videotestsrc ! appsink",
        "c": f"{tmp_path}/clip.mp4",
        "d": "rtsp://h/s",
        "e": f"{tmp_path}/clip.mp4",
    }


def test_snapshots_and_freezing_have_their_times(loaded: Loader) -> None:
    """No interval means a stream, a minute without change is frozen, and both can be set, back too."""
    config = loaded(
        "defaults: {snapshot_interval: 5s}\ncameras:\n  a: {url: http://h/a.jpg, frozen_after: 0s}\n"
        "  b: {url: rtsp://h/b, snapshot_interval: null}\n"
    )
    a, b = config.cameras["a"], config.cameras["b"]
    assert (a.snapshot_interval, a.frozen_after, a.backend) == (5.0, 0.0, "auto")
    assert (b.snapshot_interval, b.frozen_after) == (None, 60.0)


def test_new_keys_are_checked_like_all(problems: Reporter) -> None:
    """A wrong backend, an interval without a unit and a time out of range say what would be right."""
    text = """\
cameras:
  a: {url: x, backend: gstreamer}
  b: {url: x, snapshot_interval: 5, frozen_after: 31d}
  c: {url: x, snapshot_interval: 0s}
"""
    timeout = "write a duration from 100ms to 1h with its unit (ms, s, m, h), such as 10s"
    days = "write a duration from 0s to 30d with its unit (ms, s, m, h), such as 10s"
    assert problems(text) == [
        'vigil.yaml:2:24: cameras.a.backend: "gstreamer" is none of the choices; write auto or opencv',
        f"vigil.yaml:3:34: cameras.b.snapshot_interval: 5 has no unit; {timeout}",
        f'vigil.yaml:3:51: cameras.b.frozen_after: "31d" is out of range; {days}',
        f'vigil.yaml:4:34: cameras.c.snapshot_interval: "0s" is out of range; {timeout}',
    ]


def _load_bytes(data: bytes, environ: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "vigil.yaml")
        path.write_bytes(data)
        with contextlib.suppress(ConfigError):
            load(path, environ)


@given(st.binary(max_size=200))
def test_any_bytes_load_or_are_refused(data: bytes) -> None:
    """No file, whatever its bytes, raises anything but `ConfigError`."""
    _load_bytes(data, {})


_WORDS = [
    *[
        "cameras",
        "defaults",
        "detect",
        "confidence",
        "url",
        "model",
        "size",
        "mqtt",
        "password",
        "http",
        "classes",
        "fps",
    ],
    *(
        ": ",
        ":\n  ",
        "\n",
        "\n    ",
        "- ",
        "{",
        "}",
        "[",
        "]",
        ", ",
        "&a ",
        "*a",
        "<<: ",
        "!!int ",
        "'",
        '"',
        "#",
    ),
    *(
        "${A}",
        "${",
        "1",
        "-1",
        ".inf",
        "0x",
        "1e999",
        "10s",
        "yes",
        "~",
        "rtsp://u:p@h/x",
        "photo:",
        "\t",
        "|",
        "%",
    ),
]


@given(st.lists(st.sampled_from(_WORDS), max_size=30).map("".join) | st.text(max_size=100))
def test_any_text_loads_or_is_refused(text: str) -> None:
    """No text, in the file or in a variable, raises anything but `ConfigError`."""
    data = text.encode(errors="replace")
    _load_bytes(data, {})
    _load_bytes(CAMERA.encode(), {"VIGIL_CAMERAS__DRIVE__DETECT__CLASSES": text, "VIGIL_MODEL": text})
    _load_bytes(b'model: {name: "${A}"}\ncameras: {a: {url: "${A}"}}', {"A": text})


def test_camera_of_a_command_line() -> None:
    """`vigil probe` takes an address like the file does; keys that were not given have their defaults."""
    camera = camera_of("rtsp://u:p%40ss@h/s", username=None, transport="udp")
    assert (camera.url, camera.username, camera.transport) == ("rtsp://h/s", "u", "udp")
    assert camera.open_timeout == 10.0


def test_wrong_camera_of_a_command_line_is_a_problem_without_its_secret() -> None:
    """A slip on the command line is told like one in a file, and repeats no password."""
    for url, keys in (
        ("ftp://u:hunter2@h", {}),
        ("rtsp://h/s", {"transport": "pigeon", "password": "hunter2"}),
        ("rtsp://u:hunter2@h/s", {"username": "v"}),
    ):
        with pytest.raises(ConfigError) as caught:
            camera_of(url, **keys)
        assert "command line" in str(caught.value)
        assert "hunter2" not in str(caught.value)
