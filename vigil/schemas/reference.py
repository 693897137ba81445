"""The tables of docs/reference/mqtt.md, from the schemas: `python -m vigil.schemas.reference`.

A test compares them with the page, so that the page is complete and true.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vigil.schemas.payloads import PAYLOADS
from vigil.schemas.topics import PREFIX, TOPICS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from vigil.schemas.shapes import Schema

RECORDS = ("info", "health", "stats", "detections", "event")
"""Payloads that have a table of their own on the page."""

_KINDS = {"array": "list", "integer": "whole number", "string": "text"}


def topic_table() -> str:
    """Return what vigil says."""
    rows = (
        (f"`{PREFIX}/{topic.path}`", "yes" if topic.retained else "no", str(topic.qos), topic.meaning)
        for topic in TOPICS
        if not topic.asked
    )
    return _table(("topic", "retained", "QoS", "payload"), rows)


def command_table() -> str:
    """Return what vigil hears."""
    return _table(
        ("topic", "payload"),
        ((f"`{PREFIX}/{topic.path}`", topic.meaning) for topic in TOPICS if topic.asked),
    )


def payload_table(name: str) -> str:
    """Return the keys of a payload, those of its parts under their paths."""
    return _table(("key", "type", "meaning"), _keys(PAYLOADS[name], ""))


def tables() -> dict[str, str]:
    """Return every table of the page by what it shows."""
    return {
        "topics": topic_table(),
        "commands": command_table(),
        **{name: payload_table(name) for name in RECORDS},
    }


def _keys(schema: Schema, path: str) -> Iterator[tuple[str, str, str]]:
    for name, part in schema["properties"].items():
        here = f"{path}{name}"
        yield f"`{here}`", _kind(part), part["description"]
        free = next(iter(part.get("patternProperties", {}).values()), None)
        below = ((part, f"{here}."), (free, f"{here}.<name>."), (part.get("items"), f"{here}[]."))
        for inner, prefix in below:
            if isinstance(inner, dict) and "properties" in inner:
                yield from _keys(inner, prefix)


def _kind(schema: Schema) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    types: list[str] = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return " or ".join(_KINDS.get(each, each) for each in types)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    columns = list(head)
    lines = [columns, *map(list, rows)]
    text = [f"| {' | '.join(line)} |" for line in lines]
    text.insert(1, f"|{'---|' * len(columns)}")
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    sys.stdout.write("\n".join(f"{title}\n\n{table}" for title, table in tables().items()))
