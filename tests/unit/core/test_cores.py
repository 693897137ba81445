"""How many cores there are to use."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from vigil.core.cores import cores

if TYPE_CHECKING:
    from pathlib import Path

ALL = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000", ALL),
        ("50000 100000", 1),
        ("100000 100000", 1),
        ("1000000000 100000", ALL),
        ("nonsense", ALL),
        ("", ALL),
    ],
)
def test_quota_of_a_container_counts(tmp_path: Path, text: str, expected: int) -> None:
    """A quota under the affinity mask wins, rounded up; none, or one that cannot be read, changes nothing."""
    (tmp_path / "cpu.max").write_text(text)
    assert cores(tmp_path / "cpu.max") == expected


def test_without_a_container_the_mask_counts(tmp_path: Path) -> None:
    """Where there is no such file the affinity mask says all."""
    assert cores(tmp_path / "absent") == ALL
