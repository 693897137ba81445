"""The table of docs/reference/metrics.md, from the code: `python -m vigil.metrics.reference`.

A test compares it with the page, so that the page is complete and true.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from vigil.metrics import Metrics

if TYPE_CHECKING:
    from vigil.metrics import Family


def table() -> str:
    """Return a Markdown table of every series that vigil defines itself: name, kind, labels, meaning."""
    rows = sorted(_row(family) for family in Metrics().families)
    return "\n".join(["| series | kind | labels | meaning |", "| --- | --- | --- | --- |", *rows, ""])


def _row(family: Family) -> str:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    bounds = ", ".join(f"{bound:g}" for bound in family.buckets)
    meaning = f"{family.meaning} Buckets up to {bounds}." if bounds else family.meaning
    return f"| `{family.name}` | {family.kind} | {labels} | {meaning} |"


if __name__ == "__main__":
    sys.stdout.write(table())
