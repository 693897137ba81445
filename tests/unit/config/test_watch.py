"""Noticing a changed file, in virtual time."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from vigil.config.watch import changes, identity

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.looptime


class Watched:
    """A file that is watched, and when it was noticed to have changed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.noticed = 0
        self._age = 0

    def write(self, text: str) -> None:
        """Write in place, with a time of its own however fast the test is."""
        self.path.write_text(text)
        self.touch()

    def touch(self) -> None:
        """Give the file a modification time that it never had."""
        self._age += 1
        os.utime(self.path, ns=(self._age, self._age))

    async def listen(self) -> None:
        """Count the changes."""
        async for _ in changes(self.path):
            self.noticed += 1

    async def after(self, seconds: float) -> int:
        """Return how many changes were noticed `seconds` later, in all."""
        await asyncio.sleep(seconds)
        return self.noticed


@asynccontextmanager
async def watching(path: Path) -> AsyncIterator[Watched]:
    """Watch a file."""
    watched = Watched(path)
    task = asyncio.ensure_future(watched.listen())
    await asyncio.sleep(0.1)
    try:
        yield watched
    finally:
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a configuration file."""
    path = tmp_path / "vigil.yaml"
    path.write_text("cameras: {}")
    return path


async def test_untouched_file_is_no_change(file: Path) -> None:
    """A file that nobody touches is never noticed, nor is one that is only read."""
    async with watching(file) as watched:
        file.read_text()
        assert await watched.after(3600) == 0


async def test_saved_file_is_noticed_once_and_soon(file: Path) -> None:
    """A file written in place is noticed within two seconds, once."""
    async with watching(file) as watched:
        watched.write("cameras: {a: 1}")
        assert await watched.after(2) == 1
        assert await watched.after(60) == 1
        watched.write("cameras: {b: 1}")
        assert await watched.after(60) == 2


async def test_change_of_the_same_length_is_noticed(file: Path) -> None:
    """A new time alone is a change: one digit for another is too."""
    async with watching(file) as watched:
        watched.touch()
        assert await watched.after(3) == 1


async def test_replaced_file_is_noticed(file: Path) -> None:
    """An editor that writes beside and renames is noticed, though the new file may look as old."""
    async with watching(file) as watched:
        before = identity(file)
        assert before is not None
        beside = file.with_suffix(".new")
        beside.write_text(file.read_text())
        os.utime(beside, ns=(before[2], before[2]))
        beside.replace(file)
        assert await watched.after(3) == 1


async def test_swapped_link_is_noticed(file: Path) -> None:
    """A symbolic link that points elsewhere, as Kubernetes swaps its mounted folders, is noticed."""
    folders = [file.parent / name for name in ("v1", "v2")]
    for folder in folders:
        folder.mkdir()
        (folder / "vigil.yaml").write_text("cameras: {}")
    data = file.parent / "..data"
    data.symlink_to(folders[0])
    async with watching(data / "vigil.yaml") as watched:
        swap = file.parent / "..data_tmp"
        swap.symlink_to(folders[1])
        swap.replace(data)
        assert await watched.after(3) == 1


async def test_deleted_file_is_no_change_until_it_is_back(file: Path) -> None:
    """A file that is away is being replaced: only what comes next is noticed."""
    async with watching(file) as watched:
        file.unlink()
        assert await watched.after(30) == 0
        watched.write("cameras: {a: 1}")
        assert await watched.after(3) == 1


async def test_file_that_comes_back_as_it_was_is_no_change(file: Path) -> None:
    """The very same file moved away and back has nothing new in it."""
    async with watching(file) as watched:
        away = file.rename(file.with_suffix(".away"))
        await asyncio.sleep(10)
        away.rename(file)
        assert await watched.after(10) == 0


async def test_file_that_was_not_there_is_noticed(tmp_path: Path) -> None:
    """A file that appears only later is a change."""
    async with watching(tmp_path / "late.yaml") as watched:
        assert await watched.after(5) == 0
        watched.write("cameras: {}")
        assert await watched.after(3) == 1


async def test_half_written_file_is_waited_for(file: Path) -> None:
    """A file that is still growing is noticed only once it has rested for a period."""
    async with watching(file) as watched:
        for number in range(20):
            watched.write("cameras:\n" * number)
            assert await watched.after(0.7) == 0
        assert await watched.after(2) == 1


async def test_change_during_a_slow_reload_is_noticed_after_it(file: Path) -> None:
    """Whoever listens may take its time: what happens meanwhile is noticed when it asks again."""
    watched, noticed = Watched(file), 0

    async def slowly() -> None:
        nonlocal noticed
        async for _ in changes(file):
            noticed += 1
            if noticed == 1:
                watched.write("cameras: {b: 1}")
            await asyncio.sleep(30)

    task = asyncio.ensure_future(slowly())
    await asyncio.sleep(0.1)
    watched.write("cameras: {a: 1}")
    await asyncio.sleep(100)
    task.cancel()
    await asyncio.wait([task])
    assert noticed == 2


async def test_edit_made_while_vigil_starts_is_not_missed(tmp_path: Path) -> None:
    """A file that changed between being loaded and being watched counts as changed."""
    path = tmp_path / "vigil.yaml"
    path.write_text("1")
    loaded = identity(path)
    path.write_text("two")
    async with asyncio.timeout(5):
        await anext(changes(path, loaded))
