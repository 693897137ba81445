"""YAML text as a tree that remembers where every key and value stands.

First step of `load`: PyYAML composes nodes, this module turns them into `Table`, `Items` and `Leaf` with
their line, column and path, and notes what YAML would let pass: duplicate keys, foreign tags, keys that are
no text. Messages never repeat text of the file that might be a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from vigil.config.address import one_line, redact_words
from vigil.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ENVIRONMENT = "environment"
"""The file name in problems of environment variables, which stand at 0:0."""

_MAX_NODES = 100_000
"""Aliases of aliases can unfold a short file into billions of values."""

_QUOTED = re.compile(r"'([^']*)'")
_CORE = "tag:yaml.org,2002:"
_SCALARS = {
    f"{_CORE}{name}" for name in ("null", "bool", "int", "float", "str", "timestamp", "value", "merge")
}
_MERGE = f"{_CORE}merge"


@dataclass(frozen=True, slots=True)
class Place:
    """Where something stands: its file, line and column from 1, and its path of keys."""

    file: str
    line: int
    column: int
    path: str

    def problem(self, message: str) -> Problem:
        """Return a problem at this place."""
        return Problem(self.file, self.line, self.column, self.path, message)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One scalar: its value, and its text as written (before variables); `quoted` when YAML saw quotes."""

    place: Place
    value: str | float | bool | None
    text: str
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A sequence."""

    place: Place
    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a table, where the key stands, and its value."""

    key: Place
    value: Tree


@dataclass(frozen=True, slots=True)
class Table:
    """A mapping."""

    place: Place
    entries: dict[str, Entry]

    def get(self, key: str) -> Tree | None:
        """Return the value of a key, `None` where there is none."""
        entry = self.entries.get(key)
        return None if entry is None else entry.value

    def at(self, path: Sequence[str]) -> Place:
        """Return where the value at a path of keys stands; the table's own place where there is none."""
        here: Tree = self
        for key in path:
            inner = here.get(key) if isinstance(here, Table) else None
            if inner is None:
                return self.place
            here = inner
        return here.place

    def with_value(self, key: str, value: Tree) -> Table:
        """Return the table with one value replaced, or added at its own place."""
        place = self.entries[key].key if key in self.entries else value.place
        return Table(self.place, {**self.entries, key: Entry(place, value)})


Tree: TypeAlias = Leaf | Items | Table


def plain(tree: Tree) -> Any:
    """Return the tree as dicts, lists and scalars, as pydantic takes them."""
    if isinstance(tree, Table):
        return {key: plain(entry.value) for key, entry in tree.entries.items()}
    return [plain(item) for item in tree.items] if isinstance(tree, Items) else tree.value


@dataclass(slots=True)
class Reader:
    """Reads YAML text of one file, or of one environment variable at `root`; collects `problems`."""

    file: str
    root: str = ""
    problems: list[Problem] = field(default_factory=list)
    _open: list[yaml.Node] = field(default_factory=list)
    _nodes: int = 0

    def read(self, text: str) -> Tree | None:
        """Return the tree; `None` for a text without any value, or one that is not YAML at all."""
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            return None if node is None else self._tree(node, self.root)
        except yaml.MarkedYAMLError as error:
            self._report(error.problem_mark or error.context_mark, self.root, _syntax(error))
        except yaml.reader.ReaderError as error:
            before = text[: error.position]
            line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
            place = Place(self.file, line, column, self.root)
            self.problems.append(place.problem("a control character cannot stand here; remove it"))
        except RecursionError:
            self._report(None, self.root, "is nested too deeply; write fewer levels")
        return None

    def _place(self, mark: yaml.Mark | None, path: str) -> Place:
        if self.file == ENVIRONMENT:
            return Place(self.file, 0, 0, path)
        line, column = (1, 1) if mark is None else (mark.line + 1, mark.column + 1)
        return Place(self.file, line, column, path)

    def _report(self, mark: yaml.Mark | None, path: str, message: str) -> None:
        self.problems.append(self._place(mark, path).problem(message))

    def _tree(self, node: yaml.Node, path: str) -> Tree:
        self._nodes += 1
        place = self._place(node.start_mark, path)
        if node in self._open or self._nodes > _MAX_NODES:
            problem = "is an alias of itself" if node in self._open else "unfolds into too many values"
            self.problems.append(place.problem(f"{problem}; write the values out"))
            return Leaf(place, None, "")
        self._open.append(node)
        tree = self._convert(node, place)
        self._open.pop()
        return tree

    def _convert(self, node: yaml.Node, place: Place) -> Tree:
        if isinstance(node, yaml.MappingNode) and node.tag == f"{_CORE}map":
            return Table(place, self._entries(node, place.path))
        if isinstance(node, yaml.SequenceNode) and node.tag == f"{_CORE}seq":
            return Items(place, tuple(self._tree(n, f"{place.path}[{i}]") for i, n in enumerate(node.value)))
        if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
            return Leaf(place, _scalar(node), node.value, quoted=node.style is not None)
        self.problems.append(
            place.problem("has a YAML tag that is not known here; put text with ! in quotes")
        )
        return Leaf(place, None, "")

    def _entries(self, node: yaml.MappingNode, path: str) -> dict[str, Entry]:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for name, entry in self._merged(value, path):
                    merged.setdefault(name, entry)
            elif not isinstance(key, yaml.ScalarNode):
                self._report(key.start_mark, path, "has a key that is not text; write `key: value`")
            else:
                self._add(own, key, value, path)
        return merged | own

    def _add(self, own: dict[str, Entry], key: yaml.ScalarNode, value: yaml.Node, path: str) -> None:
        shown = one_line(redact_words(key.value))
        place = self._place(key.start_mark, f"{path}.{shown}" if path else shown)
        if key.value in own:
            first = own[key.value].key.line
            self.problems.append(place.problem(f"is given twice, first on line {first}; keep one of the two"))
        else:
            own[key.value] = Entry(place, self._tree(value, place.path))

    def _merged(self, value: yaml.Node, path: str) -> Iterator[tuple[str, Entry]]:
        """Yield what `<<` brings in; of several mappings the first wins."""
        for node in value.value if isinstance(value, yaml.SequenceNode) else [value]:
            tree = self._tree(node, path)
            if isinstance(tree, Table):
                yield from tree.entries.items()
            else:
                self._report(
                    node.start_mark,
                    path,
                    "merges something that is not a mapping; name an anchor of a mapping",
                )


def _scalar(node: yaml.ScalarNode) -> str | float | bool | None:
    """Return the scalar as YAML 1.1 reads it; what only looks like a number or a date stays text."""
    constructor = yaml.constructor.SafeConstructor()
    try:
        match node.tag.removeprefix(_CORE):
            case "null":
                return None
            case "bool":
                return bool(constructor.construct_yaml_bool(node))
            case "int":
                return int(constructor.construct_yaml_int(node))
            case "float":
                return float(constructor.construct_yaml_float(node))
            case _:
                return str(node.value)
    except (ValueError, KeyError, IndexError):
        return str(node.value)


def _syntax(error: yaml.MarkedYAMLError) -> str:
    """Tell a newcomer what PyYAML means, without quoting the file."""
    problem = error.problem or "cannot be read"
    for sign, hint in _HINTS.items():
        if sign in f"{error.context} {problem}":
            return f"is not YAML: {hint}"
    return f"is not YAML: {_QUOTED.sub(_token, problem)}; check indentation, quotes and brackets"


def _token(quoted: re.Match[str]) -> str:
    """Keep the quoted names of YAML's own tokens, `'}'` and `'<stream end>'`."""
    return quoted[0] if len(quoted[1]) == 1 or quoted[1].startswith("<") else "this"


_HINTS = {
    "undefined alias": "* begins an alias, and no anchor has its name; put text with * in quotes",
    "duplicate anchor": "an anchor's name is used twice; rename one",
    "tag handle": "! begins a tag; put text with ! in quotes",
    "mapping values are not allowed": "a `key: value` cannot stand here; check indentation and quotes",
    "'\\t' that cannot start": "a tab stands here; indent with spaces",
    "cannot start any token": "this character cannot begin a value; put the text in quotes",
    "could not find expected ':'": "a `:` after the key is missing; write `key: value`",
    "but got '{'": "a `{` cannot stand here; put ${NAME} in quotes inside {...} and [...]",
    "but found another document": "a second document begins here; keep one document, without `---`",
}
