"""The boards and alert rules of deploy/, as tests look at them."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml

DEPLOY: Final = Path(__file__).parents[2] / "deploy"
BOARDS: Final = DEPLOY / "grafana/dashboards"
ALERTS: Final = DEPLOY / "prometheus/alerts.yml"

VARIABLES: Final = {
    "$__rate_interval": "1m",
    "$__range": "1h",
    "$instance": ".*",
    "$camera": ".*",
}
"""What Grafana puts in, with everything chosen."""


@dataclass(frozen=True, slots=True)
class Query:
    """One expression of a panel, with the variables filled in."""

    board: str
    panel: str
    expr: str
    legend: frozenset[str]
    """The labels that its legend shows."""

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}: {self.expr}"


@dataclass(frozen=True, slots=True)
class Selector:
    """A series that an expression asks for, and the labels that it chooses by."""

    name: str
    labels: frozenset[str]


def boards() -> dict[str, dict[str, Any]]:
    """Return every board by its file's name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(BOARDS.glob("*.json"))}


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the panels that show something: all but the headings of rows."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def filled(expr: str) -> str:
    """Return a board's expression as Grafana would send it."""
    for name, value in VARIABLES.items():
        expr = expr.replace(name, value)
    return expr


def queries() -> list[Query]:
    """Return every expression of every board."""
    return [
        Query(
            name,
            panel["title"],
            filled(target["expr"]),
            frozenset(re.findall(r"{{(\w+)}}", target["legendFormat"])) - {"le"},
        )
        for name, board in boards().items()
        for panel in panels(board)
        for target in panel["targets"]
    ]


def alerts(text: str | None = None) -> list[dict[str, Any]]:
    """Return the alert rules of a rule file's text, or of the one that is shipped."""
    groups = yaml.safe_load(text or ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def selectors(expr: str) -> list[Selector]:
    """Return what an expression asks for; raises `ValueError` where it is no PromQL."""
    found: list[Selector] = []

    def visit(part: promql_parser.Expr) -> bool:
        if isinstance(part, promql_parser.VectorSelector):
            chosen = frozenset(matcher.name for matcher in part.matchers.matchers)
            found.append(Selector(part.name or "", chosen))
        return True

    promql_parser.walk(promql_parser.parse(expr), visit)
    return found


def hastened(text: str, times: int = 60, patience: float = math.inf) -> str:
    """Return a rule file with every duration divided: a minute is a second.

    No alert waits for longer than `patience` seconds before it fires; promtool tests how long it should.
    """

    def shorter(found: re.Match[str]) -> str:
        span = promql_parser.parse_duration(found[2]) / times
        if found[1] == "for: " and span.total_seconds() > patience:
            span = timedelta(seconds=patience)
        return f"{found[1]}{promql_parser.display_duration(max(span, timedelta(milliseconds=1)))}"

    return re.sub(r"(\[|\boffset |\bfor: )(\d\w*)", shorter, text)
