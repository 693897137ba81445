"""What packed inference would gain, and what it would miss, on a recording taken for many cameras.

Each camera sees the recording from another offset. The frames whose turn it is are looked at twice: whole,
which is the reference, and as regions that share canvases with those of the other cameras; tracker, events
and lines follow each way of looking on its own. As in a saturated loop, a canvas is run when the next region
finds no room, or when a camera on it is due again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from vigil.analytics.annotate import encode_png
from vigil.analytics.filters import LOW
from vigil.analytics.looks import outlined
from vigil.bench.alike import Likeness
from vigil.bench.finer import Finer
from vigil.bench.recorded import LOOKS, Camera, Side, copied, facts, feed
from vigil.core.types import Detections, Frame
from vigil.errors import CannotStartError
from vigil.inference.attention import Attention, AttentionSettings
from vigil.inference.composite import back, paint
from vigil.inference.letterbox import place
from vigil.inference.one_by_one import packed_input
from vigil.inference.packing import Canvas, Layout, Placed, Spot, fitted

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from vigil.core.geometry import Bools
    from vigil.core.types import Float32, Image
    from vigil.inference.attention import Plan
    from vigil.inference.detector import Detector
    from vigil.inference.letterbox import Letterbox, Placement
    from vigil.inference.regions import Region
    from vigil.inference.schedule import Shape

_GREY = 114 / 255


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured: a recording, how many cameras see it, for how long, and how often each is looked at.

    Without a `shape` the model's input is what the daemon would take. A `shift` measures no packing but whole
    frames that lie so many pixels beside where they would: what the model makes of a shift. `finer` holds
    both ways against whole frames at twice the sides as well.
    """

    path: Path
    cameras: int = 8
    fps: float = 5.0
    seconds: float = 20.0
    shape: Shape | None = None
    shift: tuple[int, int] | None = None
    finer: bool = False


@dataclass(slots=True)
class Counts:
    """What a run counted."""

    frames: int = 0
    whole: int = 0
    starting: int = 0
    """Whole frames of the first second of a camera, once per connection."""
    unlooked: int = 0
    """Frames that needed no look at all."""
    inputs: float = 0.0
    """What canvases take, in inputs for whole frames."""
    regions: int = 0
    filled: float = 0.0
    """What regions take of them."""
    cut: int = 0
    cpu: float = 0.0
    """CPU seconds of deciding, packing and mapping back."""


@dataclass(frozen=True, slots=True)
class PackingFigures:
    """A case and what came of it; see `Likeness` for the comparison with whole frames."""

    case: Case
    counts: Counts
    likeness: Likeness
    finer: Finer | None = None

    def as_dict(self) -> dict[str, object]:
        """Return the figures for JSON."""
        counts, case = self.counts, self.case
        looks = counts.inputs + counts.whole
        return {
            "clip": case.path.name,
            "cameras": case.cameras,
            "fps": case.fps,
            "seconds": case.seconds,
            "camera_frames_per_inference": round(counts.frames / looks if looks else 0, 2),
            "steady_camera_frames_per_inference": round(
                (counts.frames - counts.starting) / max(looks - counts.starting, 1), 2
            ),
            "whole_share": round(counts.whole / counts.frames, 3),
            "unlooked_share": round(counts.unlooked / counts.frames, 3),
            "area_used": round(counts.filled / counts.inputs if counts.inputs else 0.0, 3),
            "regions_per_frame": round(counts.regions / max(counts.frames - counts.whole, 1), 2),
            "boxes_cut": counts.cut,
            "cpu_ms_per_frame": round(1e3 * counts.cpu / counts.frames, 3),
            **self.likeness.as_dict(),
            **({} if self.finer is None else {"against_finer": self.finer.as_dict()}),
        }


def measure_packing(
    detector: Detector,
    case: Case,
    settings: AttentionSettings | None = None,
    tick: Callable[[], None] = lambda: None,
    on_canvas: Callable[[Float32, Layout], None] = lambda _canvas, _layout: None,
) -> PackingFigures:
    """Run a case; `tick` is called ten times per second of it, `on_canvas` with each canvas that is run."""
    return _Run(detector, case, settings or AttentionSettings(), on_canvas).run(tick)


class Fullest:
    """Keeps a picture of the canvas with the most regions, as a PNG."""

    def __init__(self, letterbox: Letterbox) -> None:
        self.png = b""
        self._letterbox = letterbox
        self._regions = 0

    def take(self, canvas: Float32, layout: Layout) -> None:
        """Look at one more canvas."""
        if len(layout.on) > self._regions:
            given = packed_input(self._letterbox, canvas, layout, layout.shape)
            self._regions, self.png = len(layout.on), encode_png(outlined(given.bgr, given.parts))


@dataclass(slots=True, eq=False)
class _Look:
    """A camera's frame under way: its regions that are not placed yet, and what the others showed."""

    camera: Camera
    frame: Frame
    plan: Plan
    whole: Float32
    waiting: list[Region]
    found: list[tuple[Detections, Bools]] = field(default_factory=list)


class _Run:
    """One case under way."""

    def __init__(
        self,
        detector: Detector,
        case: Case,
        settings: AttentionSettings,
        on_canvas: Callable[[Float32, Layout], None],
    ) -> None:
        self._detector, self._case, self._settings, self._on_canvas = detector, case, settings, on_canvas
        self._letterbox = detector.letterbox()
        first, total, rate = facts(case.path)
        self._shape = case.shape or detector.shape_of(first.width, first.height)
        self._place = place(first.width, first.height, self._shape)
        if case.shift is not None and not _has_room(self._place, case.shift, self._shape):
            raise CannotStartError(f"{case.path.name} has no room to be shifted in an input of {self._shape}")
        step, ticks = max(1, round(rate / LOOKS)), int(case.seconds * LOOKS)
        spare = max(total // step - ticks, 0)
        self._cameras = []
        for number in range(case.cameras):
            offset = step * (number * spare // max(case.cameras - 1, 1))
            attention = Attention(settings, phase=number / case.cameras)
            pictures = feed(case.path, offset, step, ticks)
            self._cameras.append(Camera(f"camera_{number}", pictures, attention))
        self._ticks = min(ticks, total // step)
        names = [camera.name for camera in self._cameras]
        self._reference, self._packed = Side(detector, names), Side(detector, names)
        self._cells = settings.grid
        self._canvas = self._new_canvas()
        self._pixels = np.empty((1, 3, *self._shape), np.float32)
        self._on: list[tuple[_Look, Placed]] = []
        self._seen: dict[int, Detections] = {}
        self._counts, self._likeness = Counts(), Likeness()
        self._finer = Finer(detector, names, self._shape) if case.finer else None

    def run(self, tick: Callable[[], None]) -> PackingFigures:
        """Go through the recording."""
        every = round(LOOKS / self._case.fps)
        for number in range(self._ticks):
            now = number / LOOKS
            looks = []
            for turn, camera in enumerate(self._cameras):
                index, image = next(camera.feed)
                camera.look(image, now)
                if (number + turn) % every == 0:
                    looks.append(self._begin(camera, Frame(camera.name, index, now, now, image)))
            self._pack([look for look in looks if look is not None and look.waiting])
            tick()
        self._run_canvas()
        self._likeness.compare_events(self._reference.begun, self._packed.begun)
        self._likeness.compare_lines(self._reference.crossings(), self._packed.crossings())
        if self._finer is not None:
            self._finer.finish(self._reference, self._packed)
        return PackingFigures(self._case, self._counts, self._likeness, self._finer)

    def _begin(self, camera: Camera, frame: Frame) -> _Look | None:
        """Decide what a frame is looked at for; whole frames and those that need no look are done with."""
        if any(look.camera is camera for look, _ in self._on):
            self._run_canvas()
        counts, image = self._counts, frame.image
        counts.frames += 1
        whole = self._letterbox.fill([image], self._shape)[0][0].copy()
        camera.reference = self._whole(frame.seq, whole, image)
        if self._case.shift is not None:
            counts.whole += 1
            self._follow(camera, frame, self._shifted(image))
            return None
        start = time.thread_time()
        interest = camera.interest(self._packed.tracker, frame.captured_at)
        plan = camera.attention.plan(interest, frame.captured_at, self._place, self._shape)
        counts.cpu += time.thread_time() - start
        look = _Look(camera, frame, plan, whole, list(plan.regions or ()))
        counts.regions += len(look.waiting)
        if plan.regions is None:
            counts.whole += 1
            counts.starting += plan.why == "start"
            self._done(look, copied(camera.reference), np.zeros((len(camera.reference), 4), np.bool_))
        elif not plan.regions:
            counts.unlooked += 1
            self._done(look, Detections.empty(), np.empty((0, 4), np.bool_))
        return look

    def _pack(self, looks: Sequence[_Look]) -> None:
        """Place all regions of these frames, tallest first; what finds no room waits for the next canvas."""
        left = list(looks)
        while left:
            start = time.thread_time()
            waiting = [(region, look) for look in left for region in look.waiting]
            waiting.sort(key=lambda each: (-each[0].height, -each[0].width))
            for region, look in waiting:
                spot = self._spot(region)
                if spot is not None:
                    look.waiting.remove(region)
                    placed = Placed(region, spot.left * self._cells, spot.top * self._cells)
                    self._on.append((look, placed))
            self._counts.cpu += time.thread_time() - start
            left = [look for look in left if look.waiting]
            if left:
                self._run_canvas()

    def _spot(self, region: Region) -> Spot | None:
        cells = self._cells
        origin = Spot(region.left // cells, region.top // cells) if region.full_scale else None
        return self._canvas.place(region.width // cells, region.height // cells, origin)

    def _run_canvas(self) -> None:
        """Infer the canvas, and finish the frames that wait for nothing else."""
        if not self._on:
            return
        layout, looks = self._layout(), [look for look, _ in self._on]
        self._canvas.clear()
        self._on.clear()
        on = [(looks[each.owner], each) for each in layout.on]
        counts, whole = self._counts, self._shape[0] * self._shape[1]
        counts.inputs += layout.pixels / whole
        counts.filled += layout.filled / whole
        (pixels,) = self._letterbox.canvases([(1, layout.shape)])
        for look, placed in on:
            paint(pixels[0], look.whole, placed)
        self._on_canvas(pixels[0], layout)
        (found,) = self._detector.detect_inputs(pixels, [LOW])
        for look in {id(look): look for look, _ in on}.values():
            start = time.thread_time()
            image = look.frame.image
            theirs = [placed for whose, placed in on if whose is look]
            look.found.append(back(found, theirs, self._place, image.width, image.height))
            counts.cpu += time.thread_time() - start
            if not look.waiting:
                self._done(look, *_together(look.found))

    def _done(self, look: _Look, found: Detections, cut: Bools) -> None:
        start = time.thread_time()
        result = look.camera.attention.took(look.plan, found, cut, look.frame.captured_at)
        self._counts.cpu += time.thread_time() - start
        self._counts.cut += int(cut.any(axis=1).sum())
        self._follow(look.camera, look.frame, result)

    def _follow(self, camera: Camera, frame: Frame, result: Detections) -> None:
        reference, _ = self._reference.take(frame, copied(camera.reference))
        packed, camera.tracks = self._packed.take(frame, copied(result))
        self._likeness.compare(camera.name, reference, packed)
        if self._finer is not None:
            self._finer.compare(frame, reference, packed)

    def _whole(self, index: int, whole: Float32, image: Image) -> Detections:
        """Return what the whole frame shows; a frame that several cameras see is inferred once."""
        if index not in self._seen:
            (found,) = self._detector.detect_inputs(whole[None], [LOW])
            self._seen[index] = self._in_frame(found, (0, 0), image)
        return self._seen[index]

    def _shifted(self, image: Image) -> Detections:
        """Return what a whole frame shows that lies a little beside its place."""
        assert self._case.shift is not None  # noqa: S101 -- asked for only then
        right, down = self._case.shift
        whole = self._letterbox.fill([image], self._shape)[0][0]
        at = self._place
        self._pixels[:] = _GREY
        self._pixels[0, :, at.top + down :, at.left + right :][:, : at.height, : at.width] = whole[
            :, at.top : at.top + at.height, at.left : at.left + at.width
        ]
        (found,) = self._detector.detect_inputs(self._pixels, [LOW])
        return self._in_frame(found, self._case.shift, image)

    def _in_frame(self, found: Detections, shift: tuple[int, int], image: Image) -> Detections:
        at = self._place
        origin = np.array([at.left + shift[0], at.top + shift[1]] * 2, np.float32)
        scale = np.array([at.scale_x, at.scale_y] * 2, np.float32)
        found.xyxy[:] = np.clip((found.xyxy - origin) / scale, 0, [image.width, image.height] * 2)
        return found

    def _layout(self) -> Layout:
        """Return what lies on the canvas as the daemon would have it; owners number the looks."""
        on = [replace(placed, owner=number) for number, (_, placed) in enumerate(self._on)]
        layout = Layout(self._shape, on)
        detector = self._detector
        if not detector.crops:
            return layout
        return fitted(layout, self._cells, detector.model.stride, detector.least_pixels)

    def _new_canvas(self) -> Canvas:
        height, width = self._shape
        cells = self._cells
        return Canvas(width // cells, height // cells, max(1, self._detector.model.stride // cells))


def _has_room(at: Placement, shift: tuple[int, int], shape: Shape) -> bool:
    """Tell whether a whole frame still lies within the input when it is shifted."""
    right, down = at.left + at.width + shift[0], at.top + at.height + shift[1]
    return min(at.left + shift[0], at.top + shift[1]) >= 0 and right <= shape[1] and down <= shape[0]


def _together(parts: Sequence[tuple[Detections, Bools]]) -> tuple[Detections, Bools]:
    """Return what the canvases of one frame have shown."""
    found = Detections.untracked(
        np.concatenate([each.xyxy for each, _ in parts]),
        np.concatenate([each.confidence for each, _ in parts]),
        np.concatenate([each.class_id for each, _ in parts]),
    )
    return found, np.concatenate([cut for _, cut in parts])
