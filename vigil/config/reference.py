"""The tables of docs/reference/configuration.md, from the models: `python -m vigil.config.reference`.

A test compares them with the page, so that the page is complete and true.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from vigil.config.schema import Schema

SECTIONS = {
    "model": ("model",),
    "mqtt": ("mqtt",),
    "mqtt.embedded": ("mqtt", "embedded"),
    "mqtt.embedded.users.<name>": ("mqtt", "embedded", "users", "<name>"),
    "mqtt.tls": ("mqtt", "tls"),
    "mqtt.outbox": ("mqtt", "outbox"),
    "homeassistant": ("homeassistant",),
    "compat": ("compat",),
    "http": ("http",),
    "commands": ("commands",),
    "log": ("log",),
    "location": ("location",),
    "profiles.<name>": ("profiles", "<name>"),
    "cameras.<name>": ("cameras", "<name>"),
    "cameras.<name>.detect": ("cameras", "<name>", "detect"),
    "cameras.<name>.motion": ("cameras", "<name>", "motion"),
    "cameras.<name>.tracking": ("cameras", "<name>", "tracking"),
    "cameras.<name>.filters.<label>": ("cameras", "<name>", "filters", "<label>"),
    "cameras.<name>.zones.<name>": ("cameras", "<name>", "zones", "<name>"),
    "cameras.<name>.lines.<name>": ("cameras", "<name>", "lines", "<name>"),
    "cameras.<name>.snapshots": ("cameras", "<name>", "snapshots"),
}
"""Heading and path of every section; `defaults` has the keys of a camera."""

_HEAD = ("| key | what to write | default | meaning |", "| --- | --- | --- | --- |")


def tables() -> str:
    """Return one Markdown table per section: key, what can be written, default, meaning."""
    root = Schema.of_file()
    return "\n".join([_top(root), *(_table(title, root.at(path)) for title, path in SECTIONS.items())])


def _top(root: Schema) -> str:
    """Return the table of the keys that are no sections."""
    rows = [
        _row(key, part, Schema(root.whole, part))
        for key, part in root.part["properties"].items()
        if Schema(root.whole, part).branches[0].part.get("type") != "object"
    ]
    return "\n".join(["### Top level", "", "Beside the sections that follow.", "", *_HEAD, *rows, ""])


def _table(title: str, section: Schema | None) -> str:
    if section is None:
        raise KeyError(title)
    (body,) = section.branches
    properties = sorted(body.part["properties"].items(), key=lambda item: item[0] not in {"url", "host"})
    rows = [_row(key, part, Schema(body.whole, part)) for key, part in properties]
    return "\n".join([f"### `{title}`", "", body.part["description"], "", *_HEAD, *rows, ""])


def _row(key: str, part: dict[str, Any], schema: Schema) -> str:
    if schema.is_section:
        return f"| `{key}` | a mapping | | {part['description']} |"
    default = f"`{json.dumps(part['default']).strip(chr(34))}`" if "default" in part else "required"
    return f"| `{key}` | {schema.describe()} | {default} | {part['description']} |"


if __name__ == "__main__":
    sys.stdout.write(tables())
