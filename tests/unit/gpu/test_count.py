"""How many GPUs there are, by what the environment and the driver say."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vigil.gpu.count import visible

if TYPE_CHECKING:
    from pathlib import Path


def test_the_drivers_folders_are_counted(tmp_path: Path) -> None:
    """Each folder is a GPU, and a machine without the driver has none."""
    assert visible({}, tmp_path / "none") == 0
    for bus in ("0000:17:00.0", "0000:65:00.0"):
        (tmp_path / bus).mkdir()
    (tmp_path / "note").write_text("no GPU")
    assert visible({}, tmp_path) == 2


@pytest.mark.parametrize(
    ("chosen", "count"), [("0,1,2", 3), ("3", 1), ("", 0), ("-1", 0), ("0,-1,2", 1), ("GPU-1a, GPU-2b", 2)]
)
def test_what_cuda_may_see_decides(chosen: str, count: int, tmp_path: Path) -> None:
    """`CUDA_VISIBLE_DEVICES` is counted as CUDA does, whatever the driver has."""
    (tmp_path / "0000:17:00.0").mkdir()
    assert visible({"CUDA_VISIBLE_DEVICES": chosen}, tmp_path) == count
