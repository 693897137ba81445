"""What Home Assistant was told survives a restart, and a broken file costs nothing but what was in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.announced import Announced
from vigil.sinks.homeassistant.dialect import Told

if TYPE_CHECKING:
    from pathlib import Path

TEXT = st.text(min_size=1, max_size=8)


@given(st.dictionaries(TEXT, st.builds(Told, TEXT, st.dictionaries(TEXT, TEXT))))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, topics: dict[str, Told]) -> None:
    """Any announcements come back as they were."""
    path = tmp_path_factory.mktemp("state") / "a.json"
    Announced(path).write(topics)
    assert Announced(path).read() == topics


@pytest.mark.parametrize("text", ["[]", '{"a/b": 3}', '{"a/b": ["device"]}', '{"a": ["b", 1]}'])
def test_broken_file_is_told(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be read is put aside with a line that says what may follow."""
    (tmp_path / "a.json").write_text(text)
    assert Announced(tmp_path / "a.json").read() == {}
    assert "may stay in Home Assistant" in caplog.text
