"""What analytics know and expect of a camera's picture: what inference goes by that looks at parts of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from vigil.core.geometry import Floats
    from vigil.core.types import Float32

Rows: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, slots=True, eq=False)
class Interest:
    """What a camera's analytics know and expect, in frame pixels, one row per object of `expected`.

    `expected (n, 4)` are boxes at the frame's time, `spread (n, 4)` the standard deviations of centre and
    sides, `speed (n,)` pixels per second, infinite where nothing is known of it, `detection (n,)` rows of
    the camera's last result, -1 for what that did not show, `unseen (n,)` seconds. `moving (m, 4)` is what
    moved since then.
    """

    expected: Floats
    spread: Floats
    speed: Floats
    detection: Rows
    unseen: Floats
    moving: Float32
    changed: bool = False
    """Whether the whole picture is another one."""
    seq: int = -1
    """The frame whose result `detection` has rows of; -1 without one."""
