"""A GPU's part between decoder and boxes, by torch: NV12 planes into the input, and boxes out of the output.

torch is handed in by `ultralytics.py`. Everything here runs on the CPU too, which is how it is tested; on a
GPU it is held against numpy before the first frame (`agrees`), and not used where the two differ.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vigil.core.types import Colour, Detections
from vigil.inference.heads import BOX, RawHead
from vigil.inference.letterbox import ULTRALYTICS, place
from vigil.inference.nv12 import Canvas, NumpyArrays, Planes, fill, taps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.core.types import Float32

CANDIDATES = 256
"""Boxes over its floor that an image may have to be suppressed there; with more the CPU does it all."""
_ROUNDS = 8
"""Rounds of suppression: a box that hangs on a chain of more others than this makes the CPU do it all."""
_CLOSE = 4 / 255
"""How far a device's letterbox may be off numpy's, in half precision."""
_CLASSES, _ANCHORS = 8, 64


class TorchArrays:
    """Planes by DLPack where they are, and scaled there; as `vigil.inference.nv12.Arrays` asks."""

    def __init__(self, torch: Any, device: Any, dtype: Any) -> None:
        """`dtype` is what matrices are multiplied in, on a GPU half precision: values of a byte fit in it."""
        self._torch, self._device, self._dtype = torch, device, dtype
        self._matrices: dict[tuple[int, int], Any] = {}

    def stack(self, capsules: Sequence[Any]) -> Any:
        """Stack as `Arrays.stack` says."""
        torch = self._torch
        return torch.stack([torch.from_dlpack(capsule) for capsule in capsules]).to(self._dtype)

    def scale(self, planes: Any, height: int, width: int) -> Any:
        """Scale as `Arrays.scale` says."""
        _, tall, wide = planes.shape
        return (self._taps(tall, height) @ planes @ self._taps(wide, width).T).float()

    def _taps(self, source: int, target: int) -> Any:
        key = (source, target)
        if key not in self._matrices:
            self._matrices[key] = self._torch.tensor(taps(*key), device=self._device, dtype=self._dtype)
        return self._matrices[key]


def pick(torch: Any, output: Any, floors: Any, iou: float) -> Any:
    """Return the boxes that `RawHead` leaves of `(b, 4 + classes, anchors)`, as `(b, 1 + 256, 6)` float32.

    A row is `x1, y1, x2, y2`, confidence and class, best first. The first row of each image is no box: how
    many follow, and whether the CPU has to do it all. No shape hangs on a value: nothing waits for the CPU.
    """
    output = output.float()
    scores = output[:, BOX:]
    class_id = scores.argmax(dim=1, keepdim=True)
    confidence = scores.gather(1, class_id)[:, 0]
    centre, half = output[:, :2], output[:, 2:BOX] / 2
    boxes = torch.cat([centre - half, centre + half], dim=1)
    valid = (scores > floors[:, None, None]).any(dim=1)
    valid &= confidence.isfinite() & boxes.isfinite().all(dim=1)
    most = min(CANDIDATES, output.shape[2])
    ranked, order = torch.sort(confidence.masked_fill(~valid, -torch.inf), descending=True, stable=True)
    order = order[:, :most]
    valid = ranked[:, :most] > -torch.inf
    rows = torch.cat([boxes, confidence[:, None], class_id.float()], dim=1).transpose(1, 2)
    rows = rows.gather(1, order[:, :, None].expand(-1, -1, rows.shape[2]))
    kept, settled = _suppressed(torch, rows, valid, iou)
    best = torch.sort((~kept).to(torch.uint8), dim=1, stable=True).indices
    rows = rows.gather(1, best[:, :, None].expand(-1, -1, rows.shape[2]))
    told = rows.new_zeros(len(rows), 1, rows.shape[2])
    told[:, 0, 0] = kept.sum(dim=1)
    too_many = (ranked > -torch.inf).sum(dim=1) > most
    told[:, 0, 1] = too_many | ~settled
    return torch.cat([told, rows], dim=1)


def _suppressed(torch: Any, rows: Any, valid: Any, iou: float) -> tuple[Any, Any]:
    """Return which of the ranked rows greedy NMS within a class leaves, and per image whether that is sure.

    A box stays if no better one that stays overlaps it. Asked of all boxes at once, again and again, the
    answer for a box is right once it is for those it hangs on; when nothing changes any more it is for all.
    """
    boxes, class_id = rows[..., :BOX], rows[..., 5]
    left, top, right, bottom = boxes.unbind(dim=2)
    common = _overlap(torch, left, right) * _overlap(torch, top, bottom)
    area = (right - left) * (bottom - top)
    union = area[:, :, None] + area[:, None, :] - common
    overlaps = (common > iou * union) & (common > 0) & (class_id[:, :, None] == class_id[:, None, :])
    beats = torch.triu(overlaps, diagonal=1)
    kept = before = valid
    for _ in range(_ROUNDS):
        before = kept
        kept = valid & ~(beats & before[:, :, None]).any(dim=1)
    return kept, (kept == before).all(dim=1)


def _overlap(torch: Any, low: Any, high: Any) -> Any:
    """Return by how much each two of the intervals `(b, n)` overlap, `(b, n, n)`."""
    ends = torch.minimum(high[:, :, None], high[:, None, :])
    return (ends - torch.maximum(low[:, :, None], low[:, None, :])).clamp(min=0)


def complete(picked: Float32) -> bool:
    """Tell whether `pick` has done all that there was to do."""
    return not picked[:, 0, 1].any()


def detections(picked: Float32) -> list[Detections]:
    """Return each image's boxes."""
    found = []
    for rows in picked:
        boxes = rows[1 : 1 + int(rows[0, 0])]
        box, confidence, class_id = boxes[:, :BOX].copy(), boxes[:, 4].copy(), boxes[:, 5].astype(np.int32)
        found.append(Detections.untracked(box, confidence, class_id))
    return found


def agrees(torch: Any, device: Any, dtype: Any) -> str:
    """Try both halves with made-up planes and outputs; returns what is wrong, nothing if all is well."""
    rng = np.random.default_rng(7)
    with torch.inference_mode():
        off = _letterbox_off(torch, device, dtype, rng)
        if off > _CLOSE:
            return f"its letterbox is off by {255 * off:.1f} of 255"
        return "" if _boxes_agree(torch, device, rng) else "its boxes are others than the CPU's"


def _letterbox_off(torch: Any, device: Any, dtype: Any, rng: np.random.Generator) -> float:
    """Return by how much the device's letterbox differs from numpy's at the worst pixel, in 0..1."""
    luma, chroma = rng.integers(0, 256, (90, 160), np.uint8), rng.integers(0, 256, (45, 80, 2), np.uint8)
    canvas = Canvas((64, 96), ULTRALYTICS)
    where = place(160, 90, canvas.shape)
    expected = np.empty((1, 3, *canvas.shape), np.float32)
    fill(expected, [Planes(luma, chroma, 160, 90, Colour(), where)], canvas, NumpyArrays())
    y, uv = [torch.utils.dlpack.to_dlpack(torch.from_numpy(plane).to(device)) for plane in (luma, chroma)]
    found = torch.empty(1, 3, *canvas.shape, device=device, dtype=dtype)
    fill(found, [Planes(y, uv, 160, 90, Colour(), where)], canvas, TorchArrays(torch, device, dtype))
    return float(np.abs(found.float().cpu().numpy() - expected).max())


def _boxes_agree(torch: Any, device: Any, rng: np.random.Generator) -> bool:
    """Tell whether the device leaves the boxes that the CPU leaves."""
    output = rng.random((2, BOX + _CLASSES, _ANCHORS), np.float32)
    output[:, :BOX] *= 96
    floors = np.array([0.6, 0.9], np.float32)
    there = torch.from_numpy(output).to(device), torch.from_numpy(floors).to(device)
    found = pick(torch, *there, 0.5).cpu().numpy()
    expected = RawHead(0.5).decode([output], floors, (96, 96))
    return complete(found) and all(
        len(ours) == len(theirs)
        and np.allclose(ours.xyxy, theirs.xyxy, atol=1e-3)
        and np.array_equal(ours.class_id, theirs.class_id)
        for ours, theirs in zip(detections(found), expected, strict=True)
    )
