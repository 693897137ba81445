"""Retained messages outlive the broker's process, whatever becomes of their file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.sinks.retained import Kept, RetainedStore

if TYPE_CHECKING:
    from pathlib import Path

KEPT = st.builds(Kept, st.binary(min_size=1), st.integers(0, 2))
TOPICS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)
CHANGES = st.lists(st.dictionaries(TOPICS, st.none() | KEPT), max_size=4)


@given(CHANGES)
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, changes: list[dict[str, Kept | None]]
) -> None:
    """After any changes, one after another, another process finds what was said last."""
    path = tmp_path_factory.mktemp("state") / "deep" / "retained.sqlite"
    store, expected = RetainedStore(path), dict[str, Kept | None]()
    for change in changes:
        assert store.write(change)
        expected |= change
    # Not closed: the process was killed.
    assert RetainedStore(path).read() == {t: kept for t, kept in expected.items() if kept is not None}
    store.close()


def test_nothing_is_retained_at_first(tmp_path: Path) -> None:
    """Where there is no file, nothing is read and none is made."""
    path = tmp_path / "retained.sqlite"
    assert RetainedStore(path).read() == {}
    assert not path.exists()


def test_payloads_are_for_their_owner_only(tmp_path: Path) -> None:
    """The file cannot be read by other users of the machine."""
    store = RetainedStore(tmp_path / "retained.sqlite")
    store.write({"a": Kept(b"1", 0)})
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    store.close()


@pytest.mark.parametrize("broken", ["garbage", "newer"])
def test_a_file_that_cannot_be_read_is_put_aside(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str
) -> None:
    """A damaged file, or one of a later vigil, is told and kept under another name, and a new one begun."""
    path = tmp_path / "retained.sqlite"
    if broken == "garbage":
        path.write_bytes(b"no database" * 500)
    else:
        with closing(sqlite3.connect(path)) as database:
            database.execute("PRAGMA user_version = 7")
    before = path.read_bytes()
    store = RetainedStore(path)
    assert store.read() == {}
    assert path.with_suffix(".broken").read_bytes() == before
    assert "cannot be read" in caplog.text
    assert store.write({"a": Kept(b"1", 0)})
    store.close()
    assert RetainedStore(path).read() == {"a": Kept(b"1", 0)}


def test_a_folder_that_cannot_be_written_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every write is tried, the first failure is a line in the log, and the file is there once it can be."""
    obstacle = tmp_path / "state"
    obstacle.write_text("a file where a folder should be")
    store = RetainedStore(obstacle / "retained.sqlite")
    assert not store.write({"a": Kept(b"1", 0)})
    assert not store.write({"a": Kept(b"2", 0)})
    assert len(caplog.messages) == 1
    obstacle.unlink()
    assert store.write({"a": Kept(b"3", 0)})
    assert store.read() == {"a": Kept(b"3", 0)}
    store.close()
