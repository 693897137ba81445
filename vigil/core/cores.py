"""How many processor cores this process may use, whatever set the limit."""

from __future__ import annotations

import math
import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
"""`<microseconds> <period>`, or `max <period>`, inside a container (cgroup v2)."""


def cores(quota: Path = _QUOTA) -> int:
    """Return the cores of the affinity mask, or what a container's quota (`--cpus=2`) amounts to if less."""
    mask = len(os.sched_getaffinity(0))
    try:
        used, period = quota.read_text().split()
        return mask if used == "max" else max(1, min(mask, math.ceil(int(used) / int(period))))
    except (OSError, ValueError):
        return mask  # no container, or one of an older kind
