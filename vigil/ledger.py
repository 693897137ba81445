"""Keeps the totals of lines over restarts: a small JSON file, replaced within a second of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vigil.core.events import Crossings, Totals
from vigil.statefile import StateFile, state_path

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class Ledger(StateFile["Mapping[str, Totals]"]):
    """The totals of every camera of one configuration; without a `path` nothing is kept."""

    subject = "totals"
    begins = "totals begin at 0"

    def __init__(self, path: Path | None) -> None:
        super().__init__(path, {})

    def plain(self, value: Mapping[str, Totals]) -> Any:
        """Return `{camera: {line: {label: [in, out]}}}`."""
        return {camera: _plain(kept) for camera, kept in value.items()}

    def value(self, plain: Any) -> Mapping[str, Totals]:
        """Return the totals of each camera."""
        return {camera: _totals(lines) for camera, lines in plain.items()}


def ledger_path(config: Path, environ: Mapping[str, str]) -> Path | None:
    """Return where the totals of a configuration are kept, `None` if nothing names a folder."""
    return state_path(config, environ, Ledger.subject)


def _plain(totals: Totals) -> dict[str, Any]:
    return {
        line: {label: [crossings.inwards, crossings.outwards] for label, crossings in labels.items()}
        for line, labels in totals.lines.items()
    }


def _totals(lines: Mapping[str, Any]) -> Totals:
    return Totals(
        {
            line: {
                label: Crossings(int(inwards), int(outwards)) for label, (inwards, outwards) in labels.items()
            }
            for line, labels in lines.items()
        }
    )
