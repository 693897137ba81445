"""From boxes to tracks: which of a frame's boxes are the objects that the camera showed before.

All frames of a batch are handled at once, whatever camera they are of. Time is real time, since cameras
run at any pace and miss frames.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from vigil.analytics import kalman
from vigil.analytics.association import NONE, CameraSettings, Known, TrackerSettings, associate, newcomers
from vigil.analytics.candidates import gather
from vigil.analytics.tracks import NOTHING, Prediction, Tracks
from vigil.analytics.tracktable import TrackTable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.analytics.association import Rows
    from vigil.analytics.candidates import Candidates
    from vigil.analytics.kalman import Float64
    from vigil.core.types import Detections

_SLOW = 2.5
"""Frame intervals that a track is kept for at least: two misses and some jitter."""
_NO_DETECTION = np.array([NONE])
"""Stands behind the places of all detections: there `NONE`, as an index, finds `NONE`."""
_NOT_LOOKED = 30.0
"""Seconds without a look that do a track no harm: ten in which a quiet picture is spared, and twenty that an
overload may make of a turn."""


@dataclass(slots=True)
class _Camera:
    """Its tracks' rows in the table, ascending by id; its latest frame's time, and the one's before that."""

    rows: Rows
    seen_at: float
    interval: float
    settings: CameraSettings


@dataclass(frozen=True, slots=True, eq=False)
class _Batch:
    """The cameras of one update; times `(cameras,)` in seconds, `elapsed` since each one's frame before."""

    cameras: list[_Camera]
    now: Float64
    before: Float64
    elapsed: Float64
    longest: float
    """The most that elapsed for any."""
    backwards: bool
    """Whether the time of any went back."""

    def least(self, what: Literal["high", "begin"]) -> Float64:
        """Return each camera's least confidence for something."""
        return np.array([getattr(camera.settings, what) for camera in self.cameras])

    def patience(self) -> Float64:
        """Return the seconds for which each camera's missed tracks are kept."""
        return np.array([max(each.settings.patience, _SLOW * each.interval) for each in self.cameras])

    def each(self, values: Float64, camera: Rows) -> Float64:
        """Return the values of tracks' cameras; a single camera's value stands for all."""
        return values if len(values) == 1 else values[camera]


class Tracker:
    """The tracks of all cameras. Any thread may call; ids ascend and are never given twice."""

    def __init__(self, settings: TrackerSettings | None = None) -> None:
        self._settings = settings or TrackerSettings()
        self._table = TrackTable()
        self._cameras: dict[str, _Camera] = {}
        self._of_camera: dict[str, CameraSettings] = {}
        self._lock = threading.Lock()

    def set_camera(self, camera: str, settings: CameraSettings) -> None:
        """Go by these settings for a camera from its next frame on."""
        with self._lock:
            self._of_camera[camera] = settings
            if camera in self._cameras:
                self._cameras[camera].settings = settings

    def update(
        self, cameras: Sequence[str], times: Sequence[float], found: Sequence[Detections]
    ) -> list[Tracks]:
        """Take a frame of each of these cameras, its time and its boxes; return the tracks of each.

        A camera stands in a batch once at most. Where its time goes back, no time has passed.
        """
        if not cameras:
            return []
        with self._lock:
            batch = self._batch(cameras, times)
            if not any(map(len, found)) and not any(len(camera.rows) for camera in batch.cameras):
                _keep(batch, np.empty(0, np.intp), [0] * (len(cameras) + 1))
                return [NOTHING] * len(cameras)
            seen = gather(found, self._settings.low)
            rows, camera, dead = self._living(batch)
            given, hit = self._continue(batch, seen, rows, camera)
            taken = np.zeros(len(seen), bool)
            taken[given[hit]] = True
            fresh = newcomers(seen, taken, batch.least("begin"), self._settings)
            if len(fresh):
                rows = np.concatenate([rows, self._begin(batch, seen, fresh)])
                camera = np.concatenate([camera, seen.camera[fresh]])
                given = np.concatenate([given, fresh])
                order = np.argsort(camera, kind="stable")
                rows, camera, given = rows[order], camera[order], given[order]
            ends = _ends(camera, len(cameras))
            _keep(batch, rows, ends)
            self._table.give_back(dead)  # not before all went well: a batch that fails is tried again
            return self._told(rows, np.concatenate((seen.index, _NO_DETECTION))[given], ends)

    def predict(self, camera: str, now: float) -> Prediction:
        """Return where a camera's tracks should be at `now`; nothing changes."""
        with self._lock:
            known = self._cameras.get(camera)
            rows = np.empty(0, np.intp) if known is None else known.rows
            seconds = 0.0 if known is None else max(0.0, now - known.seen_at)
            state = self._table.state.take(rows, axis=2)
        kalman.predict(state, np.full(len(rows), seconds))
        box = state[kalman.POSITION].T
        half = box[:, 2:] * 0.5
        xyxy = np.concatenate([box[:, :2] - half, box[:, :2] + half], axis=1)
        return Prediction(xyxy, np.sqrt(state[kalman.SPREAD].T))

    def forget(self, camera: str) -> None:
        """Drop a camera's tracks: it was away."""
        with self._lock:
            known = self._cameras.pop(camera, None)
            if known is not None:
                self._table.give_back(known.rows)

    def remove(self, camera: str) -> None:
        """Forget a camera and its settings."""
        self.forget(camera)
        with self._lock:
            self._of_camera.pop(camera, None)

    def _batch(self, names: Sequence[str], times: Sequence[float]) -> _Batch:
        cameras = []
        for name, time in zip(names, times, strict=True):
            if name not in self._cameras:
                settings = self._of_camera.get(name, CameraSettings())
                self._cameras[name] = _Camera(np.empty(0, np.intp), time, np.inf, settings)
            cameras.append(self._cameras[name])
        elapsed = [time - camera.seen_at for time, camera in zip(times, cameras, strict=True)]
        return _Batch(
            cameras,
            now=np.array(times, np.float64),
            before=np.array([camera.seen_at for camera in cameras]),
            elapsed=np.array([max(each, 0.0) for each in elapsed]),
            longest=max(elapsed),
            backwards=min(elapsed) < 0,
        )

    def _continue(self, batch: _Batch, seen: Candidates, rows: Rows, camera: Rows) -> tuple[Rows, Rows]:
        """Give the tracks their detections; return the row in `seen` (or `NONE`) of each, and who has one."""
        table = self._table
        state = table.state.take(rows, axis=2)
        kalman.predict(state, batch.each(batch.elapsed, camera))
        spread = kalman.innovation_spread(state)
        known = Known(camera, table.class_id[rows], state[kalman.POSITION], spread)
        given = associate(known, seen, batch.least("high"), self._settings)
        hit = (given != NONE).nonzero()[0]
        got = given[hit]
        if len(hit) == len(given):
            kalman.correct(state, seen.box.take(got, axis=1), spread)
        else:
            corrected = state.take(hit, axis=2)
            kalman.correct(corrected, seen.box.take(got, axis=1), spread.take(hit, axis=1))
            state[:, :, hit] = corrected
        table.state[:, :, rows] = state
        times = batch.each(batch.now, camera[hit])
        table.note(rows[hit], seen.class_id[got], seen.confidence[got], times)
        return given, hit

    def _living(self, batch: _Batch) -> tuple[Rows, Rows, Rows]:
        """Return row and camera of the tracks, and the rows of those that were missed for too long.

        That its camera was not looked at is no fault of a track: it is looked for at least once.
        """
        table = self._table
        rows, camera = _rows(batch.cameras)
        last_seen, now = table.last_seen[rows], batch.each(batch.now, camera)
        if batch.backwards:
            table.rewind(rows, now)
        missed = last_seen < batch.each(batch.before, camera)
        if batch.longest <= _NOT_LOOKED and not np.count_nonzero(missed):
            return rows, camera, rows[:0]
        waited, patience = now - last_seen, batch.each(batch.patience(), camera)
        young = table.hits[rows] == 1
        dead = missed & (waited > np.where(young, self._settings.young_patience, patience))
        if batch.longest > _NOT_LOOKED:
            dead |= ~missed & (waited > np.maximum(patience, _NOT_LOOKED))
        if not np.count_nonzero(dead):
            return rows, camera, rows[:0]
        return rows[~dead], camera[~dead], rows[dead]

    def _begin(self, batch: _Batch, seen: Candidates, fresh: Rows) -> Rows:
        begun = seen.select(fresh)
        return self._table.begin(begun.box, begun.class_id, begun.confidence, batch.now[begun.camera])

    def _told(self, rows: Rows, index: Rows, ends: list[int]) -> list[Tracks]:
        table = self._table
        box, velocity = table.state[: kalman.VELOCITY + 1].take(rows, axis=2)
        half = box[2:] * 0.5
        xyxy = np.empty((len(rows), 4), np.float32)
        np.subtract(box[:2], half, out=xyxy.T[:2], casting="same_kind")
        np.add(box[:2], half, out=xyxy.T[2:], casting="same_kind")
        every = Tracks(
            tracker_id=table.tracker_id[rows],
            class_id=table.class_id[rows],
            xyxy=xyxy,
            velocity=velocity[:2].T.astype(np.float32, order="C"),
            confidence=table.confidence[rows],
            hits=table.hits[rows],
            first_seen=table.first_seen[rows],
            last_seen=table.last_seen[rows],
            detection=index.astype(np.int32),
        )
        return [every] if len(ends) == 2 else [every.part(first, end) for first, end in pairwise(ends)]  # noqa: PLR2004 -- one camera


def _rows(cameras: Sequence[_Camera]) -> tuple[Rows, Rows]:
    """Return the rows of their tracks, and for each the number of its camera."""
    if len(cameras) == 1:
        return cameras[0].rows, np.zeros(len(cameras[0].rows), np.intp)
    rows = np.concatenate([camera.rows for camera in cameras])
    return rows, np.repeat(np.arange(len(cameras)), [len(camera.rows) for camera in cameras])


def _ends(camera: Rows, cameras: int) -> list[int]:
    """Return where each camera's tracks end, 0 before the first."""
    if cameras == 1:
        return [0, len(camera)]
    ends: list[int] = np.searchsorted(camera, np.arange(cameras + 1)).tolist()
    return ends


def _keep(batch: _Batch, rows: Rows, ends: list[int]) -> None:
    """Note what the next update must know of each camera."""
    frames = zip(batch.cameras, batch.now.tolist(), batch.elapsed.tolist(), pairwise(ends), strict=True)
    for camera, now, elapsed, (first, end) in frames:
        camera.rows = rows[first:end].copy()  # a view would keep the whole batch's alive
        camera.seen_at = now
        camera.interval = elapsed or camera.interval
