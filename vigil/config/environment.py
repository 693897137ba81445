"""What the environment adds to the file: `${NAME}` in its texts, and `VIGIL_<SECTION>__<KEY>` over its keys.

Both work on the tree of `tree`, so that a problem still knows where it comes from. Values of variables are
never repeated in problems.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from vigil.config.tree import ENVIRONMENT, Entry, Items, Leaf, Place, Reader, Table

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vigil.config.schema import Schema
    from vigil.config.tree import Tree
    from vigil.errors import Problem

SHORT_NAMES: dict[str, tuple[str, ...]] = {
    "VIGIL_MODEL": ("model", "name"),
    "VIGIL_SIZE": ("model", "size"),
    "VIGIL_CONFIDENCE": ("model", "confidence"),
    "VIGIL_DEVICE": ("model", "device"),
    "VIGIL_SHARDS": ("shards",),
}
"""Variables for the keys that one changes most; every key has a long one."""

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\$\{")
_OVERRIDE = re.compile(r"VIGIL_([A-Za-z0-9]\w*?)__(\w+)", re.ASCII)


def expand(tree: Tree, environ: Mapping[str, str], problems: list[Problem]) -> Tree:
    """Return the tree with `${NAME}` and `${NAME:-default}` replaced; `$${` stands for `${`."""
    if isinstance(tree, Table):
        entries = {k: Entry(e.key, expand(e.value, environ, problems)) for k, e in tree.entries.items()}
        return Table(tree.place, entries)
    if isinstance(tree, Items):
        return Items(tree.place, tuple(expand(item, environ, problems) for item in tree.items))
    if not isinstance(tree.value, str) or "${" not in tree.value:
        return tree
    text = _expanded(tree.value, tree.place, environ, problems)
    return replace(tree, value=None if not text and not tree.quoted else text)


def _expanded(text: str, place: Place, environ: Mapping[str, str], problems: list[Problem]) -> str:
    def value(match: re.Match[str]) -> str:
        name, default = match.group("name", "default")
        if match[0] == "$${":
            return "${"
        if name is None:
            problems.append(place.problem("has a `${` without a name; write ${NAME}, or $${ for ${"))
        elif environ.get(name) or (name in environ and default is None):
            return environ[name]
        elif default is None:
            problems.append(place.problem(f"needs the variable {name}; set it in the environment"))
        return default or ""

    return _VARIABLE.sub(value, text)


def override(root: Table, environ: Mapping[str, str], schema: Schema, problems: list[Problem]) -> Table:
    """Return the tree with every `VIGIL_` variable over the key it names; an empty one counts as unset."""
    for name, keys in _overrides(environ):
        path = _existing(root, keys)
        value = _value(name, environ[name], schema.at(path), problems)
        if value is not None:
            root = _put(root, path, value, schema)
    return root


def _overrides(environ: Mapping[str, str]) -> list[tuple[str, tuple[str, ...]]]:
    """Return names and keys, short names first and sections before their keys, so that the exact one wins."""
    short = [(name, keys) for name, keys in SHORT_NAMES.items() if environ.get(name)]
    long = [name for name in sorted(environ) if _OVERRIDE.fullmatch(name) and environ[name]]
    return short + [(name, tuple(name.removeprefix("VIGIL_").lower().split("__"))) for name in long]


def _existing(root: Tree | None, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return the keys as the file spells them: `front-door` for `FRONT_DOOR`."""
    if not keys:
        return ()
    spelled = list(root.entries) if isinstance(root, Table) else []
    key = next((k for k in spelled if re.sub(r"[- ]", "_", k.lower()) == keys[0]), keys[0])
    return (key, *_existing(root.get(key) if isinstance(root, Table) else None, keys[1:]))


def _value(name: str, text: str, schema: Schema | None, problems: list[Problem]) -> Tree | None:
    """Return a value: as it is for keys that hold text (passwords need no quotes), else as YAML."""
    if schema is not None and schema.is_text:
        place = Place(ENVIRONMENT, 0, 0, name)
        return Leaf(place, None if text == "null" else text, text, quoted=True)
    reader = Reader(ENVIRONMENT, name)
    tree = reader.read(text)
    problems += reader.problems
    return tree


def _put(table: Table, path: tuple[str, ...], value: Tree, schema: Schema | None, above: str = "") -> Table:
    key, *rest = path
    if not rest:
        return Table(table.place, {**table.entries, key: Entry(value.place, value)})
    inner, below = table.get(key), None if schema is None else schema.child(key)
    if not isinstance(inner, Table):
        if inner is not None and below is not None and below.is_section:
            return table  # the file has something else in place of the section, which is a problem of its own
        inner = Table(Place(ENVIRONMENT, 0, 0, f"{above}{key}"), {})
    return table.with_value(key, _put(inner, tuple(rest), value, below, f"{above}{key}."))
