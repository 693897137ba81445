"""Where inference looked, drawn for people: parts of a picture, and the inputs that they were packed onto."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from vigil.analytics.canvas import Canvas
from vigil.core.looked import PackedInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.looked import Looked, Part
    from vigil.core.types import UInt8

_AS_IT_IS: Final = (80, 200, 80)
_SHRUNK: Final = (255, 140, 40)
_BACKGROUND: Final = (24, 28, 36)
_WHOLE: Final = {
    "start": "whole frame: the first second",
    "due": "whole frame: its turn",
    "doubt": "whole frame: parts missed too much",
    "full": "whole frame: parts would be no less",
    "unknown": "whole frame: what moves is not known",
}
_GAP = 0.02
"""Around pictures on the strip, in parts of its shorter side."""
_LINE = 1.1
"""Between lines of text, in heights of their plates."""
_THIN = 0.5
_DIMMED = 3
"""By what an input is darker that the latest frame was not looked at by."""


def outline(
    canvas: Canvas, parts: Sequence[Part], *, scale: float = 1.0, left: int = 0, top: int = 0
) -> None:
    """Draw the edges of parts, scaled and moved: green at full scale, orange of those that were shrunk."""
    for part in parts:
        x1, y1, x2, y2 = (at * scale for at in part.box)
        box = (left + x1, top + y1, left + x2 - 1, top + y2 - 1)
        canvas.rectangle(box, _AS_IT_IS if part.full_scale else _SHRUNK, width=_THIN)


def outlined(bgr: UInt8, parts: Sequence[Part]) -> UInt8:
    """Return a copy of an `(h, w, 3)` BGR picture with its parts outlined."""
    canvas = Canvas(bgr)
    outline(canvas, parts)
    return canvas.finished()


class Strip:
    """Draws what the model was given under one picture after another, and what that came to so far."""

    def __init__(self) -> None:
        self._latest: Sequence[PackedInput] = ()
        self._frames = {"whole": 0, "in parts": 0, "without a look": 0}
        self._inputs = 0.0

    def under(self, drawn: UInt8, bgr: UInt8, looked: Looked | None) -> UInt8:
        """Return an `(h, w, 3)` BGR picture, half as high again: `drawn`, and under it the model's inputs.

        `bgr` is the frame as it came; without `looked` nobody looked at it. The inputs with parts stay,
        darker, until there are others.
        """
        height, width = drawn.shape[:2]
        canvas = Canvas(np.full((height // 2, width, 3), _BACKGROUND[::-1], np.uint8))
        if looked is not None:
            self._count(looked)
        if looked is not None and looked.whole:
            _show(canvas, PackedInput(bgr, ()), 0, 2)
        else:
            fresh = looked is not None and bool(looked.inputs)
            self._latest = looked.inputs if looked is not None and looked.inputs else self._latest
            for number, each in enumerate(self._latest):
                shown = each if fresh else PackedInput(each.bgr // _DIMMED, ())
                _show(canvas, shown, number, max(2, len(self._latest)))
        line = _LINE * canvas.size_of("Ag")[1]
        canvas.plate(_said(looked), _BACKGROUND, [(width / 2, line / 2)])
        for row, text in enumerate(self._so_far()):
            canvas.plate(text, _BACKGROUND, [(width / 2, (row + 2) * line)])
        return np.concatenate([drawn, canvas.finished()])

    def _count(self, looked: Looked) -> None:
        how = "whole" if looked.whole else "in parts" if looked.parts else "without a look"
        self._frames[how] += 1
        self._inputs += 1.0 if looked.whole else sum(each.used for each in looked.inputs)

    def _so_far(self) -> list[str]:
        frames = sum(self._frames.values())
        counted = [f"{number} {how}" for how, number in self._frames.items()]
        return [
            f"{frames} frame{'' if frames == 1 else 's'} so far",
            *counted,
            f"{self._inputs / max(frames, 1):.2f} of an input on average",
        ]


def _said(looked: Looked | None) -> str:
    """Return in words what became of a frame."""
    if looked is None:
        return "no look: nothing moves"
    if looked.whole:
        return _WHOLE[looked.why]
    if not looked.parts:
        return "no look: all of it is known"
    number, used = len(looked.parts), sum(each.used for each in looked.inputs)
    return f"{number} part{'s' if number > 1 else ''}, {used:.2f} of an input"


def _show(canvas: Canvas, given: PackedInput, number: int, columns: int) -> None:
    """Draw an input in its column, as large as there is room for."""
    high, wide = given.bgr.shape[:2]
    gap = round(_GAP * min(canvas.width, canvas.height))
    room = canvas.width // columns - 2 * gap, canvas.height - 2 * gap
    scale = min(room[0] / wide, room[1] / high)
    size = max(1, round(wide * scale)), max(1, round(high * scale))
    left, top = number * canvas.width // columns + gap, gap
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas.bgr[top : top + size[1], left : left + size[0]] = cv2.resize(given.bgr, size, interpolation=way)
    outline(canvas, given.parts, scale=scale, left=left, top=top)
