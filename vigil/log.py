"""Logging set-up: lines for people on a terminal or in the journal, or one JSON object a line."""

from __future__ import annotations

import copy
import json
import logging
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vigil.config.model import LogConfig


class TextFormatter(logging.Formatter):
    """`12:34:56 warning mqtt: …`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", datefmt="%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Render a record, its level in lower case."""
        record = copy.copy(record)  # other handlers see the same object
        record.levelname = record.levelname.lower()
        return super().format(record)


class JsonFormatter(logging.Formatter):
    """One object: `time` (Unix seconds), `level`, `logger`, `message` and, for an error, `traceback`."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        entry = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def set_up(settings: LogConfig) -> None:
    """Send the root logger to standard error in the chosen form."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
