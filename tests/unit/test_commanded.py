"""What was set survives a restart, and a broken file costs nothing but what was in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vigil.commanded import Commanded, CommandFile
from vigil.core.settings import Held

if TYPE_CHECKING:
    from pathlib import Path

SOME = Commanded("away", {"drive": {"fps": Held(3.0, 5.0), "enabled": Held(value=False, instead_of=True)}})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    """Profile, values and what they stand in for come back as they were."""
    CommandFile(tmp_path / "a.json").write(SOME)
    assert CommandFile(tmp_path / "a.json").read() == SOME


def test_keeping_no_more_leaves_nothing_behind(tmp_path: Path) -> None:
    """Once nothing is to be kept the old values are taken out, lest they come back one day."""
    CommandFile(tmp_path / "a.json").write(SOME)
    again = CommandFile(tmp_path / "a.json")
    again.read()
    again.write(Commanded())
    assert CommandFile(tmp_path / "a.json").read() == Commanded()


def test_nothing_set_writes_nothing(tmp_path: Path) -> None:
    """Where nobody sets anything no file appears."""
    file = CommandFile(tmp_path / "a.json")
    assert file.read() == Commanded()
    file.write(Commanded())
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    "cameras",
    ["3", '{"a": {"fps": [nan, 5]}}', '{"a": {"fps": [99, 5]}}', '{"a": {"fps": 5}}', '{"a": {"x": [1, 1]}}'],
)
def test_what_nobody_could_have_set_is_not_taken(
    tmp_path: Path, cameras: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that somebody or something spoilt is put aside with a line."""
    (tmp_path / "a.json").write_text(f'{{"profile": "auto", "cameras": {cameras}}}')
    assert CommandFile(tmp_path / "a.json").read() == Commanded()
    assert (tmp_path / "a.broken").exists()
    assert "cameras begin as the configuration has them" in caplog.text
