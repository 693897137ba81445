"""What log lines look like."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import TYPE_CHECKING

import pytest

from vigil.config.model import LogConfig
from vigil.log import JsonFormatter, TextFormatter, set_up

if TYPE_CHECKING:
    from collections.abc import Iterator


def record(message: str = "mqtt: %s", *args: object, error: bool = False) -> logging.LogRecord:
    """Return a warning, with a traceback if there is an error."""
    info = None
    if error:
        try:
            int("bad")
        except ValueError:
            info = sys.exc_info()
    return logging.LogRecord("vigil.sinks", logging.WARNING, "file.py", 1, message, args, info)


def test_line_for_people() -> None:
    """Time of day, level in lower case, message."""
    assert re.fullmatch(r"\d\d:\d\d:\d\d warning mqtt: away", TextFormatter().format(record("mqtt: away")))


def test_formatting_leaves_the_record_alone() -> None:
    """Another handler of the same record still finds the level's own name."""
    shared = record()
    TextFormatter().format(shared)
    assert shared.levelname == "WARNING"


def test_object_for_machines() -> None:
    """One JSON object on one line, arguments filled in, umlauts as they are."""
    line = JsonFormatter().format(record("mqtt: %s\nnext", "Tür"))
    assert "\n" not in line
    assert "Tür" in line
    entry = json.loads(line)
    assert isinstance(entry.pop("time"), float)
    assert entry == {"level": "warning", "logger": "vigil.sinks", "message": "mqtt: Tür\nnext"}


def test_error_carries_its_traceback() -> None:
    """Both forms tell where an error came from."""
    entry = json.loads(JsonFormatter().format(record(error=True)))
    for text in (entry["traceback"], TextFormatter().format(record(error=True))):
        assert "Traceback" in text
        assert "ValueError: invalid literal" in text


@pytest.fixture
def root() -> Iterator[logging.Logger]:
    """Give the root logger and restore it."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield root
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.mark.parametrize("style", ["text", "json"])
def test_settings_decide(root: logging.Logger, capsys: pytest.CaptureFixture[str], style: str) -> None:
    """Level and form come from the configuration, and lines go to standard error, once each."""
    settings = LogConfig.model_validate({"level": "warning", "format": style})
    for _ in range(2):
        set_up(settings)
    assert root.level == logging.WARNING
    logging.getLogger("vigil").info("quiet")
    logging.getLogger("vigil").warning("loud")
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.count("loud") == 1
    assert "quiet" not in written.err
    assert written.err.startswith("{") == (style == "json")
