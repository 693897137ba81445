"""CPU seconds and resident memory of a process with its children, as the kernel counts them."""

from __future__ import annotations

import os
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PROC = Path("/proc")
_PARENT, _USER, _SYSTEM, _USER_OF_DEAD, _SYSTEM_OF_DEAD = 1, 11, 12, 13, 14
"""Places in `/proc/<pid>/stat` after the command's name (proc(5) counts from 3)."""
_STEAL = 8
"""Place in the first line of `/proc/stat`, its name included."""


def family(pid: int) -> list[int]:
    """Return a process and all its living descendants; none where it is gone."""
    parents = {int(entry.name): _stat(int(entry.name)) for entry in _PROC.iterdir() if entry.name.isdigit()}
    found = [pid] if parents.get(pid) else []
    for each in found:
        found += [child for child, stat in parents.items() if stat and int(stat[_PARENT]) == each]
    return found


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and its descendants, dead ones that were waited for included."""
    ticks = 0
    for each in family(pid):
        if stat := _stat(each):
            ticks += sum(int(stat[at]) for at in (_USER, _SYSTEM, _USER_OF_DEAD, _SYSTEM_OF_DEAD))
    return ticks / _TICKS


def own_cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process alone, 0 where it is gone."""
    stat = _stat(pid)
    return sum(int(stat[at]) for at in (_USER, _SYSTEM)) / _TICKS if stat else 0.0


def stolen_seconds() -> float:
    """Return the CPU time that this virtual machine had work for and was not given, of all cores together.

    0 for a machine of its own, and where the host does not tell.
    """
    whole = (_PROC / "stat").read_text(encoding="ascii").partition("\n")[0].split()
    return int(whole[_STEAL]) / _TICKS


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process and its descendants, in 10^6 bytes."""
    return sum(map(_resident, family(pid))) / 1e6


def _resident(pid: int) -> int:
    try:
        pages = (_PROC / str(pid) / "statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0  # it has just ended
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> list[str]:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []  # it has just ended
    return text.rpartition(")")[2].split()
