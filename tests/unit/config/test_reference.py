"""The example file, the reference page and the schema say what the models say."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from vigil.config.load import load, schema
from vigil.config.model import CameraConfig, Config, DetectConfig
from vigil.config.mqtt import EmbeddedConfig
from vigil.config.reference import tables
from vigil.config.section import Section

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "config" / "vigil.example.yaml"
PAGE = ROOT / "docs" / "reference" / "configuration.md"


def sections() -> list[tuple[str, type[Section]]]:
    """Return the path and model of every section."""
    top = {name: field.annotation for name, field in Config.model_fields.items() if name != "cameras"}
    found = [
        (name, kind) for name, kind in top.items() if isinstance(kind, type) and issubclass(kind, Section)
    ]
    return [
        *found,
        ("mqtt.embedded", EmbeddedConfig),
        ("cameras.drive", CameraConfig),
        ("cameras.drive.detect", DetectConfig),
    ]


def uncommented(text: str) -> str:
    """Return the example with its commented-out keys switched on."""
    return re.sub(r"^(\s*)# (\w+: \S)", r"\1\2", text, flags=re.MULTILINE)


def test_the_example_loads() -> None:
    """The shipped example is a valid configuration without any variable set."""
    config = load(EXAMPLE, {})
    assert set(config.cameras) == {"drive", "front-door"}
    assert config.cameras["drive"].detect.confidence == {"person": 0.6}
    assert config.cameras["front-door"].detect.classes == ["person", "car"]


@pytest.mark.parametrize(("path", "model"), sections())
def test_the_example_shows_every_key(path: str, model: type[Section]) -> None:
    """No key is missing in the example; an optional one may be commented out."""
    found = yaml.safe_load(uncommented(EXAMPLE.read_text(encoding="utf-8")))
    for key in path.split("."):
        found = found[key]
    assert set(model.model_fields) - set(found) == set()


@pytest.mark.parametrize("section", ["model", "mqtt", "homeassistant", "compat", "http", "commands", "log"])
def test_the_example_shows_the_defaults(section: str) -> None:
    """What the example writes for a general key is its default, as the file's head promises."""
    shown = load(EXAMPLE, {}).model_dump()[section]
    assert shown == Config.model_validate({"cameras": {"a": {"url": "x"}}}).model_dump()[section]


def test_the_reference_page_is_complete() -> None:
    """The page holds the tables made from the models: key, what to write, default, meaning."""
    assert tables() in PAGE.read_text(encoding="utf-8"), (
        "put in what `python -m vigil.config.reference` prints"
    )


def test_examples_on_the_reference_page_load(tmp_path: Path) -> None:
    """Every YAML block of the page is a valid configuration."""
    blocks = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    for block in blocks:
        (tmp_path / "vigil.yaml").write_text(block)
        load(tmp_path / "vigil.yaml", {"DRIVE_PASSWORD": "x"})


def test_every_key_has_a_meaning() -> None:
    """Each field carries the sentence that the page shows."""
    for path, model in sections():
        for key, field in model.model_fields.items():
            assert (field.description or "").endswith("."), f"{path}.{key}"


def test_the_schema_is_of_the_file() -> None:
    """The JSON Schema knows `defaults` without `url`, refuses unknown keys and marks secrets."""
    whole = json.loads(json.dumps(schema()))
    assert set(whole["properties"]) == {
        *("model", "models", "mqtt", "homeassistant", "compat", "http", "log", "cameras"),
        *("location", "profiles", "defaults", "commands", "shards"),
    }
    assert "url" not in whole["$defs"]["CameraDefaults"]["properties"]
    assert whole["additionalProperties"] is False
    assert whole["$defs"]["MqttConfig"]["properties"]["password"]["anyOf"][0]["writeOnly"] is True
    assert whole["$defs"]["MqttConfig"]["properties"]["keepalive"]["default"] == "30s"


def test_a_configuration_cannot_be_changed() -> None:
    """Sections are frozen: a reload makes a new configuration."""
    config = load(EXAMPLE, {})
    with pytest.raises(ValueError, match="frozen"):
        setattr(config.http, "port", 1)  # noqa: B010 -- written plainly, the type checker refuses it
