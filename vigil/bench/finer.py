"""A judge of two ways of looking: whole frames at twice the sides, seen with the same weights.

Small people have four times the pixels there, so what it tells is nearer to the truth than either way. Which
of two answers that differ is the better one, only such a third can tell where nobody has labelled anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vigil.analytics.filters import LOW
from vigil.bench.alike import Likeness
from vigil.bench.recorded import Side, copied
from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Detections, Frame
    from vigil.inference.detector import Detector
    from vigil.inference.schedule import Shape


class Finer:
    """Looks at the frames of all cameras more closely, and holds both ways of looking against that."""

    def __init__(self, detector: Detector, names: Sequence[str], shape: Shape) -> None:
        """`shape` is the input of the two. Raises `CannotStartError` if the weights take no other one."""
        if detector.engine.fixed_shape is not None:
            raise CannotStartError("these weights take inputs of one shape only, and no finer ones")
        self.whole, self.packed = Likeness(), Likeness()
        self._detector = detector
        self._letterbox = detector.letterbox()
        self._shape = (2 * shape[0], 2 * shape[1])
        self._side = Side(detector, names)
        self._seen: dict[int, Detections] = {}

    def compare(self, frame: Frame, whole: Detections, packed: Detections) -> None:
        """Look at a frame of which the two ways reported this; several cameras may see a `seq`."""
        if frame.seq not in self._seen:
            (found,) = self._detector.detect(self._letterbox, [frame.image], [LOW], self._shape)
            self._seen[frame.seq] = found
        expected, _ = self._side.take(frame, copied(self._seen[frame.seq]))
        self.whole.compare(frame.camera, expected, whole)
        self.packed.compare(frame.camera, expected, packed)

    def finish(self, whole: Side, packed: Side) -> None:
        """Compare events and lines, once all frames are through."""
        for likeness, side in ((self.whole, whole), (self.packed, packed)):
            likeness.compare_events(self._side.begun, side.begun)
            likeness.compare_lines(self._side.crossings(), side.crossings())

    def as_dict(self) -> dict[str, object]:
        """Return for JSON how like either way is to this."""
        return {"whole": self.whole.as_dict(), "packed": self.packed.as_dict()}
