"""The few words in which schemas of payloads are written: each is a JSON Schema (2020-12)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable

Schema: TypeAlias = dict[str, Any]


def record(description: str, /, **properties: Schema) -> Schema:
    """Return an object with these keys and no others, all of which are there."""
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def table(description: str, of: Schema, key: str = "^[^/+#]+$") -> Schema:
    """Return an object of free names, all of whose values are alike."""
    return {
        "type": "object",
        "description": description,
        "patternProperties": {key: of},
        "additionalProperties": False,
    }


def several(description: str, of: Schema) -> Schema:
    """Return a list."""
    return {"type": "array", "description": description, "items": of}


def text(description: str) -> Schema:
    """Return any text."""
    return {"type": "string", "description": description}


def word(description: str, words: Iterable[str]) -> Schema:
    """Return one of a few words."""
    return {"type": "string", "description": description, "enum": [str(each) for each in words]}


def whole(description: str, least: int = 0) -> Schema:
    """Return a whole number that is not below another."""
    return {"type": "integer", "description": description, "minimum": least}


def number(description: str, least: float = 0, most: float | None = None) -> Schema:
    """Return a number within bounds."""
    upper = {} if most is None else {"maximum": most}
    return {"type": "number", "description": description, "minimum": least, **upper}


def truth(description: str) -> Schema:
    """Return true or false."""
    return {"type": "boolean", "description": description}


def nullable(schema: Schema) -> Schema:
    """Return the same or null."""
    return {**schema, "type": [schema["type"], "null"]}
