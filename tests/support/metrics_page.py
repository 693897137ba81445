"""The table of docs/reference/metrics.md, from the code: `python -m tests.support.metrics_page`."""

from __future__ import annotations

import sys

from prometheus_client.metrics import MetricWrapperBase

from vigil.metrics import Metrics


def table() -> str:
    """Return a Markdown table of every series that vigil defines itself: name, kind, labels, meaning."""
    families = [value for value in vars(Metrics()).values() if isinstance(value, MetricWrapperBase)]
    rows = sorted(_row(family) for family in families)
    return "\n".join(["| series | kind | labels | meaning |", "| --- | --- | --- | --- |", *rows, ""])


def _row(family: MetricWrapperBase) -> str:
    [described] = family.describe()
    suffix = "_total" if described.type == "counter" else ""
    labels = ", ".join(f"`{label}`" for label in family._labelnames)
    return f"| `{described.name}{suffix}` | {described.type} | {labels} | {described.documentation} |"


if __name__ == "__main__":
    sys.stdout.write(table())
