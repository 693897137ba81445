"""Totals of lines survive a restart, whatever becomes of their file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.core.events import Crossings, Totals
from vigil.ledger import Ledger, ledger_path
from vigil.statefile import state_path

if TYPE_CHECKING:
    from collections.abc import Mapping

SOME = {"drive": Totals({"entry": {"person": Crossings(3, 1), "car": Crossings()}})}
NAMES = st.text(min_size=1, max_size=8)
COUNTS = st.builds(Crossings, st.integers(0, 10**12), st.integers(0, 10**12))


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, st.dictionaries(NAMES, COUNTS))))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, lines: dict[str, dict[str, dict[str, Crossings]]]
) -> None:
    """Any totals come back as they were."""
    path = tmp_path_factory.mktemp("ledger") / "totals.json"
    totals = {camera: Totals(of) for camera, of in lines.items()}
    Ledger(path).write(totals)
    assert Ledger(path).read() == totals


def test_nothing_is_kept_without_a_folder(tmp_path: Path) -> None:
    """Where nothing names a folder, totals begin at 0 and nothing fails."""
    ledger = Ledger(None)
    ledger.write(SOME)
    assert ledger.read() == Ledger(tmp_path / "absent.json").read() == {}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"drive": {"entry": {"person": [1]}}}', '{"drive": 3}', "\0"]
)
def test_broken_file_is_put_aside(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be read is kept under another name and told, and totals begin at 0."""
    path = tmp_path / "totals.json"
    path.write_text(text)
    assert Ledger(path).read() == {}
    assert not path.exists()
    assert (tmp_path / "totals.broken").read_text() == text
    assert caplog.text.count("cannot be read") == 1


def test_full_disk_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A folder that cannot be made is one line, however often a change is to be written."""
    (tmp_path / "file").write_text("")
    ledger = Ledger(tmp_path / "file" / "totals.json")
    for _ in range(3):
        ledger.write(SOME)
    assert caplog.text.count("cannot be written") == 1


def test_unchanged_totals_are_not_written_again(tmp_path: Path) -> None:
    """The file of totals that stay the same is left alone."""
    ledger = Ledger(tmp_path / "totals.json")
    ledger.write(SOME)
    (tmp_path / "totals.json").unlink()
    ledger.write(dict(SOME))
    assert not (tmp_path / "totals.json").exists()


async def test_last_change_is_written_when_vigil_stops(tmp_path: Path) -> None:
    """What changed since the last look is on disk once the task has been cancelled."""
    ledger = Ledger(tmp_path / "totals.json")
    task = asyncio.ensure_future(ledger.run(lambda: SOME))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    assert Ledger(tmp_path / "totals.json").read() == SOME


@pytest.mark.parametrize(
    ("environ", "folder"),
    [
        ({"VIGIL_STATE": "/a", "STATE_DIRECTORY": "/b", "HOME": "/h"}, "/a"),
        ({"STATE_DIRECTORY": "/b:/c", "HOME": "/h"}, "/b"),
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/vigil"),
        ({"HOME": "/h"}, "/h/.local/state/vigil"),
        ({}, None),
    ],
)
def test_folder_comes_from_the_environment(environ: Mapping[str, str], folder: str | None) -> None:
    """The nearest variable wins; configurations have files of their own."""
    path = ledger_path(Path("/etc/vigil/a.yaml"), environ)
    other = ledger_path(Path("/etc/vigil/b.yaml"), environ)
    assert (None if path is None else str(path.parent)) == folder
    assert path is None or path != other


def test_outbox_lies_beside_the_totals() -> None:
    """Both files of a configuration have one name but for their kind."""
    environ, config = {"VIGIL_STATE": "/state"}, Path("/etc/vigil/a.yaml")
    totals, outbox = ledger_path(config, environ), state_path(config, environ, "outbox", ".db")
    assert totals is not None
    assert outbox == totals.with_name(totals.name.replace("totals", "outbox")).with_suffix(".db")
    assert state_path(config, {}, "outbox", ".db") is None
