"""Environment variables over the file's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vigil.config.load import load
from vigil.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.config.model import Config

TEXT = """\
mqtt: {host: broker, username: u, password: from-file}
defaults: {detect: {fps: 2}}
cameras:
  front-door: {url: rtsp://h/s, detect: {confidence: {cell phone: 0.4}}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with one camera."""
    path = tmp_path / "vigil.yaml"
    path.write_text(TEXT)
    return path


def problems(path: Path, environ: dict[str, str]) -> list[str]:
    """Return the problems as lines."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ)
    return [str(problem) for problem in caught.value.problems]


def test_short_names_of_the_model(path: Path) -> None:
    """The keys that one changes most have short variables; the long form of a key wins."""
    environ = {
        "VIGIL_MODEL": "yolo26n",
        "VIGIL_CONFIDENCE": "0.25",
        "VIGIL_DEVICE": "cpu",
        "VIGIL_SIZE": "320",
    }
    model = load(path, environ | {"VIGIL_MODEL__SIZE": "416"}).model
    assert (model.name, model.confidence, model.device, model.size) == ("yolo26n", 0.25, "cpu", 416)


def test_short_name_of_a_key_without_section(path: Path) -> None:
    """`shards` stands in no section, so it has a variable of its own."""
    assert load(path, {"VIGIL_SHARDS": "3"}).shards == 3
    assert load(path, {"VIGIL_SHARDS": "auto"}).shards == "auto"


def test_any_key_has_a_variable(path: Path) -> None:
    """Sections and keys are joined by two underscores; values are YAML; names match without case and `-`."""
    config = load(
        path,
        {
            "VIGIL_HTTP__PORT": "9000",
            "VIGIL_MQTT__HOST": "null",
            "VIGIL_MQTT__KEEPALIVE": "1m",
            "VIGIL_CAMERAS__FRONT_DOOR__DETECT__CLASSES": "[person, car]",
            "VIGIL_CAMERAS__FRONT_DOOR__DETECT__CONFIDENCE__CELL_PHONE": "0.7",
            "VIGIL_CAMERAS__PORCH__URL": "rtsp://h/porch",
        },
    )
    assert (config.http.port, config.mqtt.host, config.mqtt.keepalive) == (9000, None, 60.0)
    assert list(config.cameras) == ["front-door", "porch"]
    detect = config.cameras["front-door"].detect
    assert (detect.classes, detect.confidence) == (["person", "car"], {"cell phone": 0.7})
    assert config.cameras["porch"].detect.fps == 2


@pytest.mark.parametrize("secret", ["12345", "p@ss: [#x", "${NOT_A_VARIABLE}", "'quoted'"])
def test_texts_are_taken_as_they_are(path: Path, secret: str) -> None:
    """A password in a variable needs no quotes and is expanded by nobody."""
    password = load(path, {"VIGIL_MQTT__PASSWORD": secret}).mqtt.password
    assert password is not None
    assert password.get_secret_value() == secret


def test_the_more_exact_variable_wins(path: Path) -> None:
    """A key's own variable stands over that of its section, however the environment is ordered."""
    section, key = "VIGIL_CAMERAS__FRONT_DOOR__DETECT", "VIGIL_CAMERAS__FRONT_DOOR__DETECT__FPS"
    detect = load(path, {key: "7", section: "{fps: 1, weight: 3}"}).cameras["front-door"].detect
    assert (detect.fps, detect.weight, detect.confidence) == (7, 3, None)


def test_a_variable_can_replace_a_scalar_by_a_mapping(path: Path) -> None:
    """A deeper variable opens what the file, or another variable, gives as one number."""
    path.write_text("cameras: {a: {url: x, detect: {confidence: 0.5}}}\n")
    config = load(path, {"VIGIL_CAMERAS__A__DETECT__CONFIDENCE__PERSON": "0.9"})
    assert config.cameras["a"].detect.confidence == {"person": 0.9}


def test_problems_name_the_variable(path: Path) -> None:
    """What is wrong in the environment is said with the variable's name."""
    environ = {
        "VIGIL_CONFIDENCE": "7",
        "VIGIL_MQTT__PROT": "1",
        "VIGIL_NOWHERE__X": "1",
        "VIGIL_CAMERAS__FRONT_DOOR__DETECT__FPS": "{",
        "VIGIL_CAMERAS__NEW__USERNAME": "u",
    }
    not_yaml = "is not YAML: expected the node content, but found '<stream end>'"
    no_url = "is missing; write an address such as rtsp://host/stream, or a file's path"
    known = (
        "model, models, mqtt, homeassistant, compat, http, commands, log, cameras, location, shards, "
        "profiles, defaults"
    )
    unknown = f"is not a key of the file; known keys: {known}"
    fps = "VIGIL_CAMERAS__FRONT_DOOR__DETECT__FPS"
    assert problems(path, environ) == [
        f"environment:0:0: {fps}: {not_yaml}; check indentation, quotes and brackets",
        "environment:0:0: VIGIL_CONFIDENCE: 7 is out of range; write a number from 0.01 to 1",
        "environment:0:0: VIGIL_MQTT__PROT: is not a key of `mqtt`; did you mean `port`?",
        f"environment:0:0: cameras.new.url: {no_url}",
        f"environment:0:0: nowhere: {unknown}",
    ]


def test_other_variables_mean_nothing(path: Path) -> None:
    """Reserved names, what an orchestrator sets for a service, and empty values change nothing."""
    environ = {
        "VIGIL_ASSETS": "/a",
        "VIGIL_CACHE": "/c",
        "VIGIL_SAMPLES": "/s",
        "VIGIL_PORT": "tcp://10.0.0.1:8080",
        "VIGIL_SERVICE_HOST": "10.0.0.1",
        "VIGIL_MODEL": "",
        "VIGIL_HTTP__PORT": "",
        "VIGIL_MQTT__HOST": "",
        "PATH": "/bin",
    }
    assert load(path, environ) == load(path, {})


def test_the_environment_alone_can_configure(path: Path) -> None:
    """An empty file and one variable are a configuration."""
    path.write_text("")
    config: Config = load(path, {"VIGIL_CAMERAS__DRIVE__URL": "rtsp://h/s"})
    assert config.cameras["drive"].url == "rtsp://h/s"
