"""Between a camera's capture and its inference: what moves, and which frames are worth a look."""

from __future__ import annotations

import math
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

import numpy as np

from vigil.analytics.gate import Gate, MotionState
from vigil.analytics.motion import STILL, MotionDetector, stride_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from vigil.analytics.motion import Motion
    from vigil.config.analytics import MotionConfig
    from vigil.core.types import Float32, Frame, Image
    from vigil.metrics.camera import CameraMetrics

_LOOK = 0.1
"""Seconds between two looks for motion, at least."""
_PRESENT, _PRESENT_TURNS = 0.5, 1.5
"""Seconds, or turns as slow as they really come, for which what was seen keeps the camera awake."""
_REST = 2.0
"""Seconds without motion and without an object after which the camera rests."""
_LONGEST_GAP = 10.0
"""Seconds between two frames above which the gap says nothing about the next one."""
_MOST_LOOKS = 64
"""Looks for motion between two inferences that are kept apart; before them anything may have moved."""


class FrameTaker(Protocol):
    """Where frames go that are worth an inference."""

    def offer(self, frame: Frame) -> None:
        """Take a camera's newest frame; called from its capture thread."""


class Watch:
    """One camera's motion and gate; frames come from its capture thread, the rest from anywhere."""

    def __init__(
        self,
        taker: FrameTaker,
        metrics: CameraMetrics,
        on_motion: Callable[[bool], None],
        now: Callable[[], float] | None = None,
        has_room: Callable[[], bool] = lambda: True,
        has_time: Callable[[], bool] = lambda: True,
    ) -> None:
        """`on_motion(on)` is called from the thread in which motion begins or ends.

        `now()` is the time in seconds: the monotonic clock's, or that of a recording. `has_room()` tells
        whether no frame of the camera waits for an inference, `has_time()` whether an engine is free.
        """
        self._now = now or time.monotonic
        self._taker = taker
        self._metrics = metrics
        self._on_motion = on_motion
        self._detector: MotionDetector | None = None
        self._state = MotionState()
        self._gate = Gate(gate=False)
        self._looked = self._present_until = 0.0
        self._clock = 0.0  # from wall-clock seconds of frames to monotonic ones, which nobody sets
        self.turn = 0.0
        """Seconds from one inference to the next, where there is time for all."""
        self._inferred = self._spared = -math.inf
        self._in_sight = False
        self._offered = self._stirred = 0.0
        self._has_room, self._has_time = has_room, has_time
        self._motions: deque[Motion] = deque(maxlen=_MOST_LOOKS)  # since `moved` was asked last
        self.stirring = False
        """Whether something moved when the latest frame was looked at."""
        self.quiet = False
        """Whether the latest frame was spared, because nothing moves."""

    def settle(self, motion: MotionConfig, *, gate: bool, fps: float) -> None:
        """Go by these settings from the next frame on; `fps` is how often the camera is inferred."""
        self.pace(fps)
        self._in_sight = False
        now = self._now()
        self._detector = MotionDetector(motion.masks, motion.sensitivity) if motion.enabled else None
        state = MotionState(motion.hold)
        # What moves is held on over new settings, whose detector has yet to learn the picture.
        state.update(active=motion.enabled and self._state.on, now=now)
        self._state = state
        self._gate = Gate(gate=gate and motion.enabled)
        self._gate.connected(now)

    def pace(self, fps: float) -> None:
        """Know how often the camera is inferred."""
        self.turn = 1 / fps

    @property
    def moving(self) -> bool:
        """Whether there is motion, as people are told."""
        return self._state.on

    @property
    def resting(self) -> bool:
        """Whether nothing moves and nothing is followed, so that a look now and then will do."""
        now = self._now()
        if self._detector is None or not self._detector.settled:
            return False
        calm = self._gate.satisfied(now) and now - self._stirred >= _REST
        return calm and not self.following

    @property
    def following(self) -> bool:
        """Whether the latest inference, or one just before it, found something that may move on."""
        return self._in_sight or self._now() <= self._present_until

    def stirs(self, image: Image) -> bool:
        """Tell whether something moves in a picture that comes long after the one before; learns nothing."""
        detector = self._detector
        return detector is None or detector.stirs(image.luma(stride_of(image.width, image.height)))

    def moved(self) -> Float32 | None:
        """Return where things moved since this was asked last, `(m, 4)` in fractions of the frame.

        `None` where that is not known: motion is not looked for, or the picture is another one. Called from
        inference workers.
        """
        motions = [STILL]
        while self._motions:
            motions.append(self._motions.popleft())
        if self._detector is None or not self._detector.settled or len(motions) > _MOST_LOOKS:
            return None
        return np.concatenate([each.boxes for each in motions]) if all(m.known for m in motions) else None

    def has_room(self) -> bool:
        """Tell whether no frame of the camera waits for an inference."""
        return self._has_room()

    def offer(self, frame: Frame) -> None:
        """Look for motion, and pass a frame on that is worth it; called from the capture thread."""
        now = self._now() - frame.late
        self._clock = now - frame.captured_at
        gap, self._offered = now - self._offered, now
        moving = self._look(frame, now)
        present = self._in_sight or now <= self._present_until
        # Of frames that come seldom the one nearest to the check's time is taken for it.
        early = gap / 2 if 0 < gap <= _LONGEST_GAP else 0.0
        if self._gate.awake(moving=moving, present=present, now=now, early=early, has_time=self._has_time):
            self.quiet = False
            self._taker.offer(frame)
        else:
            self.quiet = True
            self._spared = now
            self._metrics.dropped("quiet")

    def inferred(self, frame: Frame, *, active: bool) -> None:
        """Note that a frame was inferred, and whether it shows anything that may move on.

        What it shows keeps the camera awake until the next look, however late that comes at overload, and
        for a turn and a half in any case: the detector may miss it once.
        """
        # A wall clock that is set meanwhile must not take the frame into the future.
        captured = min(frame.captured_at + self._clock, self._now())
        turn = self.turn
        if self._spared < self._inferred:  # awake all the while, so this is how long a turn takes
            turn = max(turn, captured - self._inferred)
        self._inferred = captured
        self._gate.inferred(captured)
        self._in_sight = active
        if active:
            self._stirred = self._now()
            self._present_until = captured + max(_PRESENT, _PRESENT_TURNS * turn)

    def live(self) -> None:
        """Note that the camera has connected."""
        self._gate.connected(self._now())

    def away(self) -> None:
        """Note that the camera is away: nothing moves that nobody sees."""
        self.quiet = self._in_sight = False
        if self._state.clear():
            self._on_motion(False)

    def _look(self, frame: Frame, now: float) -> bool:
        """Return whether this frame moves; what moved between two looks shows in the second."""
        if self._detector is None or 0 <= now - self._looked < _LOOK:
            return False
        self._looked = now
        image = frame.image
        motion = self._detector.look(image.luma(stride_of(image.width, image.height)), now)
        self._motions.append(motion)
        self.stirring = active = motion.active
        if active:
            self._stirred = self._now()
        if self._state.update(active=active, now=now):
            self._on_motion(self._state.on)
        return active
