"""What is in a camera's picture: a row per object, whichever track shows it at the moment.

An object outlives its track where something stands in front of it, and is handed to a new one (`stationary`
decides that). Everything that is known of objects is kept in arrays with one row per object, in the same
order everywhere: `grow` and `keep` are told to all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vigil.core.geometry import anchors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from vigil.analytics.tracks import Tracks
    from vigil.core.geometry import Bools, Floats
    from vigil.core.types import Float32, Int32

SLACK = 1e-3
"""Seconds by which a wait may fall short: times are floats, and frames come when they come."""


class Rows:
    """Named columns `(n, ...)` with a row per object."""

    def __init__(self, fresh: NDArray[np.void]) -> None:
        """`fresh (1,)` is the row of an object that nothing is known of."""
        self._fresh = {name: fresh[name] for name in fresh.dtype.names or ()}
        self.rows: dict[str, NDArray[Any]] = {name: part[:0] for name, part in self._fresh.items()}

    def grow(self, count: int) -> None:
        """Add rows for new objects."""
        for name, fresh in self._fresh.items():
            self.rows[name] = np.concatenate([self.rows[name], *[fresh] * count])

    def keep(self, kept: Bools) -> None:
        """Drop the rows `(n,)` of objects that are gone."""
        stay = kept.nonzero()[0]
        self.rows = {name: column.take(stay, axis=0) for name, column in self.rows.items()}


_COLUMNS: Final = [
    ("box", "f8", 4),  # where it was last shown
    ("size", "f8", 2),
    ("area", "f8"),
    ("class_id", "i8"),  # stays as it is once the object is confirmed
    ("seen_as", "i8"),  # the class of the track that shows it
    ("confidence", "f8"),  # of its latest detection
    ("first", "f8"),  # time that it was shown, and the latest
    ("last", "f8"),
    ("track", "i8"),
    ("detection", "i8"),  # index in this frame, -1: not shown
    ("shown", "?"),  # by this frame
    ("tracked", "?"),  # some track of it is alive
    ("confirmed", "?"),
]


class Objects(Rows):
    """The objects as the latest frame shows them, in fractions of the frame; see `_COLUMNS`."""

    def __init__(self) -> None:
        fresh = np.zeros(1, _COLUMNS)
        fresh["first"] = np.nan
        super().__init__(fresh)
        self._row_of: dict[int, int] = {}
        self._ids = b""
        self._index = np.empty(0, np.intp)
        """Which of the tracks shows each row, -1 where none does."""
        self._in_order = False
        """Whether each row is shown by the track in its place."""
        self._anchors: dict[tuple[float, ...], Floats] = {}
        """The anchors in this frame, by heights."""
        self.all_shown = False
        """Whether this frame shows every one."""
        self.scale = np.ones(4)
        """Width and height of the latest frame, twice."""
        self._stale = False
        self._doubled = False
        """Whether some object has more than one living track."""

    def __len__(self) -> int:
        return len(self.rows["shown"])

    def anchors(self, heights: tuple[float, ...]) -> Floats:
        """Return `(n, k, 2)` the anchors so far down the boxes, in this frame; not to be written to."""
        if heights not in self._anchors:
            self._anchors[heights] = anchors(self.rows["box"], np.array(heights))
        return self._anchors[heights]

    def match(self, tracks: Tracks) -> int:
        """Match tracks with rows, and return how many rows are to be added for new ones."""
        ids = tracks.tracker_id.tobytes()
        if ids == self._ids:
            return 0
        living = tracks.tracker_id.tolist()
        row_of = {track: self._row_of[track] for track in living if track in self._row_of}
        new = [track for track in living if track not in row_of]
        self._row_of = row_of | {track: row for row, track in enumerate(new, len(self))}
        self._ids, self._stale = ids, True
        return len(new)

    def follow(self, tracks: Tracks, width: int, height: int) -> None:
        """Take over what the tracks of a frame of that size say; `match` and `grow` came before."""
        if self._stale or self._doubled:
            self._point(tracks)
        if self.scale[0] != width or self.scale[1] != height:
            self.scale = np.array([width, height, width, height], np.float64)
        rows = self.rows
        rows["detection"][:] = -1
        self._anchors.clear()
        if not len(tracks):
            rows["shown"][:] = self.all_shown = False
            return
        index = slice(None) if self._in_order else self._index
        boxes = tracks.xyxy[index] / self.scale
        confidence, detection = tracks.confidence[index], tracks.detection[index]
        shown = self._shown(boxes, confidence, detection)
        rows["shown"] = shown
        self.all_shown = np.count_nonzero(shown) == len(shown)
        np.copyto(rows["box"], boxes, where=shown[:, None] if not self.all_shown else True)
        for name, column in (
            ("confidence", confidence),
            ("detection", detection),
            ("last", tracks.last_seen[index]),
            ("seen_as", tracks.class_id[index]),
        ):
            np.copyto(rows[name], column, where=shown)
        np.copyto(rows["class_id"], rows["seen_as"], where=~rows["confirmed"])
        box = rows["box"]
        rows["size"] = size = np.maximum(box[:, 2:] - box[:, :2], 0)
        rows["area"] = size[:, 0] * size[:, 1]

    def hand_over(self, new: int, old: int) -> None:
        """Let the tracks of row `new`, which is to be dropped, show the object of row `old` from now on."""
        self._row_of = {track: old if row == new else row for track, row in self._row_of.items()}
        if not self.rows["shown"][old]:
            for name, column in self.rows.items():
                if name not in {"first", "class_id", "confirmed"}:
                    column[old] = column[new]

    def keep(self, kept: Bools) -> None:
        """Drop the rows of objects that are gone."""
        place = np.cumsum(kept) - 1
        self._row_of = {track: int(place[row]) for track, row in self._row_of.items() if kept[row]}
        self._ids = b""  # a row can be dropped while its track lives on
        self.all_shown = False
        self._anchors.clear()
        super().keep(kept)

    def _shown(self, boxes: Floats, confidence: Float32, detection: Int32) -> Bools:
        """Tell `(n,)` which rows some track shows, with numbers that are numbers."""
        shown = detection >= 0
        if not self._in_order:
            shown &= self._index >= 0
        numbers, scores = np.isfinite(boxes), np.isfinite(confidence)
        if np.count_nonzero(numbers) + np.count_nonzero(scores) < numbers.size + scores.size:
            shown &= numbers.all(axis=1) & scores
        return np.asarray(shown)

    def _point(self, tracks: Tracks) -> None:
        """Find the track for each row: of several the one that this frame shows, best the one it had."""
        rows, index = self.rows, np.full(len(self), -1, np.intp)
        now = dict(zip(tracks.tracker_id.tolist(), range(len(tracks)), strict=True))
        detection, had = tracks.detection.tolist(), rows["track"].tolist()
        for track, row in sorted(self._row_of.items(), key=lambda item: item[0] == had[item[1]]):
            if index[row] < 0 or detection[now[track]] >= 0:
                index[row] = now[track]
        self._index, self._stale = index, False
        self._in_order = index.tolist() == list(range(len(tracks)))
        self._doubled = len(self._row_of) > int((index >= 0).sum())
        rows["tracked"] = index >= 0
        if len(tracks):
            np.copyto(rows["track"], tracks.tracker_id[index], where=index >= 0)
            fresh = np.isnan(rows["first"])
            np.copyto(rows["first"], tracks.first_seen[index], where=fresh)
            np.copyto(rows["last"], tracks.first_seen[index], where=fresh)
