"""The JSON Schema of the configuration file, and what a person is told of it.

`describe` turns a fragment into words; problems and the reference page use the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from pydantic import Field

from vigil.config.model import CameraDefaults, Config


class ConfigFile(Config):
    """The file: the configuration, and `defaults`, which `load` merges into every camera."""

    defaults: CameraDefaults = Field(
        default_factory=CameraDefaults,
        description="Values for every camera; a camera's own values win, key by key.",
    )


def schema() -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of the configuration file."""
    body = ConfigFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **body, "title": "vigil configuration"}


@dataclass(frozen=True, slots=True)
class Schema:
    """One place of the schema: `whole` holds the definitions that `part` refers to."""

    whole: dict[str, Any]
    part: dict[str, Any]

    @classmethod
    def of_file(cls) -> Self:
        """Return the schema's root."""
        whole = schema()
        return cls(whole, whole)

    @property
    def branches(self) -> list[Schema]:
        """The alternatives of this place without null: one, unless it is a union."""
        part = self.part
        if "$ref" in part:
            name = part["$ref"].rsplit("/", 1)[1]
            return Schema(self.whole, self.whole["$defs"][name]).branches
        inner = part.get("anyOf") or part.get("oneOf")
        if inner is None:
            return [] if part.get("type") == "null" else [self]
        return [branch for option in inner for branch in Schema(self.whole, option).branches]

    @property
    def keys(self) -> list[str]:
        """The keys that a section knows; none where keys are free."""
        return [key for branch in self.branches for key in branch.part.get("properties", {})]

    @property
    def free_values(self) -> dict[str, Any] | None:
        """The schema of the values of a mapping whose keys are names, such as `cameras`."""
        values = next(iter(self.part.get("patternProperties", {}).values()), None)
        return values or self.part.get("additionalProperties") or None

    @property
    def is_section(self) -> bool:
        """Whether null can only mean an empty mapping here."""
        whole = {self.part.get("type"), *(branch.part.get("type") for branch in self.branches)}
        return whole <= {"object", None} and "anyOf" not in self.part

    @property
    def is_text(self) -> bool:
        """Whether every value here is written as text."""
        return all(branch.part.get("type") == "string" for branch in self.branches)

    @property
    def is_secret(self) -> bool:
        """Whether a value here must never be shown."""
        return any(branch.part.get("writeOnly", False) for branch in self.branches)

    def child(self, key: str | int) -> Schema | None:
        """Return the schema of a key's or an item's value, `None` where the schema knows none."""
        for branch in self.branches:
            inner = (
                branch.part.get("items")
                if isinstance(key, int)
                else branch.part.get("properties", {}).get(key)
            )
            inner = inner or branch.free_values
            if inner:
                return Schema(self.whole, inner)
        return None

    def at(self, path: tuple[str, ...]) -> Schema | None:
        """Return the schema at a path of keys, `None` where the schema knows none."""
        place: Schema | None = self
        for key in path:
            place = None if place is None else place.child(key)
        return place

    def describe(self) -> str:
        """Say what can be written here, in words."""
        if "x-expects" in self.part:
            return str(self.part["x-expects"])
        return " or ".join(branch._describe_one() for branch in self.branches)  # noqa: SLF001 -- same class

    def _describe_one(self) -> str:
        part = self.part
        if "x-expects" in part:
            return str(part["x-expects"])
        if "const" in part or "enum" in part:
            *most, last = part.get("enum", [part.get("const")])
            return f"{', '.join(most)} or {last}" if most else str(last)
        if part["type"] == "array":
            return f"a list: [{Schema(self.whole, part['items']).describe()}, ...]"
        if part["type"] == "object":
            return self._describe_object()
        return _number(part) if part["type"] in {"integer", "number"} else _text(part)

    def _describe_object(self) -> str:
        if self.keys:
            return f"a mapping with the keys {', '.join(self.keys)}"
        return f"a mapping of names to {Schema(self.whole, self.free_values or {}).describe()}"


def _text(part: dict[str, Any]) -> str:
    if part["type"] == "boolean":
        return "true or false"
    return "a path" if part.get("format") == "path" else "text"


def _number(part: dict[str, Any]) -> str:
    kind = "a whole number" if part["type"] == "integer" else "a number"
    step = f"a multiple of {part['multipleOf']}" if "multipleOf" in part else kind
    low = f" above {part['exclusiveMinimum']}" if "exclusiveMinimum" in part else ""
    low = f" from {part['minimum']}" if "minimum" in part else low
    high = f" {'to' if 'minimum' in part else 'and up to'} {part['maximum']}" if "maximum" in part else ""
    return f"{step}{low}{high or (' up' if low.startswith(' from') else '')}"
