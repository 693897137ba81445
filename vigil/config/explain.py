"""What pydantic found wrong, told to a person: where it stands in the file, and what would be right."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from vigil.config.address import one_line, redact
from vigil.config.tree import Items, Leaf, Table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import ValidationError

    from vigil.config.schema import Schema
    from vigil.config.tree import Place, Tree
    from vigil.errors import Problem

_LONGEST = 60

_WRONG = {
    "greater_than": "is out of range",
    "greater_than_equal": "is out of range",
    "less_than": "is out of range",
    "less_than_equal": "is out of range",
    "literal_error": "is none of the choices",
    "not_a_number": "is not a number",
    "float_type": "is not a number",
    "float_parsing": "is not a number",
    "finite_number": "is not a finite number",
    "int_type": "is not a whole number",
    "int_parsing": "is not a whole number",
    "int_parsing_size": "is out of range",
    "int_from_float": "is not a whole number",
    "bool_type": "is not true or false",
    "bool_parsing": "is not true or false",
    "string_type": "is not text",
    "string_too_short": "is empty",
    "string_pattern_mismatch": "has characters that cannot stand here",
    "too_short": "is empty",
    "list_type": "is not a list",
    "dict_type": "is not a mapping",
    "model_type": "is not a mapping",
    "path_type": "is not a path",
}


def explain(error: ValidationError, root: Table, schema: Schema) -> Iterator[Problem]:
    """Yield one problem per error, those of `defaults` first."""
    errors = error.errors(include_url=False, include_input=False)
    for detail in sorted(errors, key=lambda detail: detail["loc"][:1] != ("defaults",)):
        yield _Finding(root, schema, detail["loc"]).problem(detail["type"], detail.get("ctx", {}))


class _Finding:
    """The place of one error: the value as far as it exists, its key, its schema."""

    def __init__(self, root: Table, schema: Schema, loc: tuple[str | int, ...]) -> None:
        self.value: Tree = root
        self.key: Place = root.place
        self.schema: Schema | None = schema
        self.parent: Schema = schema
        self.name = str(loc[-1]) if loc else ""
        self.section = ".".join(str(step) for step in loc[:-1])
        self.absent = False
        for step in loc:
            self._down(step)

    def _down(self, step: str | int) -> None:
        """Follow one step; what is no key of the file (pydantic names the branches of a union) is skipped."""
        inner: Tree | None = None
        if isinstance(self.value, Table) and step in self.value.entries:
            entry = self.value.entries[str(step)]
            inner, self.key = entry.value, entry.key
        elif isinstance(self.value, Items) and isinstance(step, int):
            inner = self.value.items[step]
            self.key = inner.place
        self.absent = inner is None
        if inner is not None:
            self.value, self.parent = inner, self.schema or self.parent
            self.schema = None if self.schema is None else self.schema.child(step)

    def problem(self, kind: str, context: dict[str, Any]) -> Problem:
        """Say what is wrong with the value, its key, or its absence."""
        if kind == "missing":
            inner = None if self.schema is None else self.schema.child(self.name)
            return self._inside(f"is missing; write {inner.describe() if inner else self.name}")
        if kind == "extra_forbidden":
            return self.key.problem(_unknown(self.name, self.section, self.parent))
        if self.name == "[key]" and kind == "string_too_short":
            return self.key.problem("is an empty key; write a name")
        if self.name == "[key]":
            return self.key.problem("is not a name; write a-z, 0-9, _ and -, such as front-door")
        if kind == "vigil" and self.absent and isinstance(self.value, Table):
            return self._inside(context["message"])
        return self.value.place.problem(self._of_value(kind, context))

    def _of_value(self, kind: str, context: dict[str, Any]) -> str:
        if isinstance(self.value, Leaf) and self.value.value is None:
            return f"has no value; write {self._right()}"
        return f"{self._shown()} {context['message'] if kind == 'vigil' else self._wrong(kind)}"

    def _inside(self, message: str) -> Problem:
        path = f"{self.key.path}.{self.name}" if self.key.path else self.name
        return type(self.key)(self.key.file, self.key.line, self.key.column, path).problem(message)

    def _wrong(self, kind: str) -> str:
        if kind == "string_type" and isinstance(self.value, Leaf):
            return "is not text for YAML; put it in quotes"
        return f"{_WRONG.get(kind, 'does not fit')}; write {self._right()}"

    def _right(self) -> str:
        return "something else" if self.schema is None else self.schema.describe()

    def _shown(self) -> str:
        """Return the value as the file has it, variables unexpanded; a secret is only named."""
        if isinstance(self.value, Table):
            return "a mapping"
        if isinstance(self.value, Items):
            return "a list"
        if self.schema is not None and self.schema.is_secret:
            return "the value"
        text = one_line(redact(self.value.text))
        text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
        return f'"{text}"' if isinstance(self.value.value, str) else text


def _unknown(name: str, section: str, schema: Schema) -> str:
    if ":" in name:
        return "is not a key; put a space after the colon: `key: value`"
    near = difflib.get_close_matches(name.lower(), schema.keys, n=1)
    right = f"did you mean `{near[0]}`?" if near else f"known keys: {', '.join(schema.keys)}"
    return f"is not a key of {f'`{one_line(redact(section))}`' if section else 'the file'}; {right}"
