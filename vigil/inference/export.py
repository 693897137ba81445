"""Weights in the form that runs best here: made once, held against what they were made of, kept in the cache.

A checkpoint becomes ONNX, which both CPU runtimes, CUDA and TensorRT take; for OpenVINO alone it becomes
OpenVINO's own form, and INT8 weights always have that. An export is found by the sha256 of its source, the
input's size, the runtime with its version, and the precision; devices share exports, since what is compiled
for one device (TensorRT's engines, OpenVINO's kernels) is cached by the runtimes themselves. The cache only
ever sees whole exports that passed: each is made in a folder of its own, whose rename comes last.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from vigil.errors import CannotStartError, VigilError
from vigil.inference.accuracy import (
    FLOOR,
    QUANTIZED,
    SAME,
    Agreement,
    Labelled,
    Precision,
    agreement_of,
    detect_each,
    precision,
)
from vigil.inference.backends import Installed
from vigil.inference.convert import to_onnx, to_openvino
from vigil.inference.measured import digest
from vigil.inference.quantize import quantize
from vigil.inference.turns import turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vigil.config.model import ModelConfig
    from vigil.core.types import Float32, Image
    from vigil.inference.detector import Detector
    from vigil.inference.fetch import Progress

Runtime = Literal["onnxruntime", "openvino", "ultralytics"]

READERS: dict[str, Runtime] = {".pt": "ultralytics", ".onnx": "onnxruntime", ".xml": "openvino"}
"""The runtime against which an export of such a file is held."""
_HELD_OUT = 5
"""Every fifth picture is not calibrated on, but compared on."""
_LEAST_PICTURES = 10


class ExportRefusedError(VigilError):
    """An export's boxes are too far from those of its source."""


class Opener(Protocol):
    """Loads weights just as the settings say."""

    def __call__(self, weights: Path, settings: ModelConfig, /) -> Detector:
        """Return a detector; raises `CannotStartError`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What an export has to reach: shares of boxes that agree (0..1), and precision lost at most in points.

    An INT8 yolo11n that loses 0.4 points keeps 98.5 % of its boxes, one that loses 4 points 93 %.
    """

    same: float = 0.99
    quantized: float = 0.96
    map_drop: float = 1.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made, and where it belongs below the cache folder."""

    runtime: Runtime
    int8: bool
    path: Path


@dataclass(frozen=True, slots=True)
class Exported:
    """An export in the cache, and how it did if it was made just now; precision where there were labels."""

    path: Path
    agreement: Agreement | None = None
    before: Precision | None = None
    after: Precision | None = None


@dataclass(frozen=True, slots=True)
class Exporter:
    """Makes exports below `cache`."""

    cache: Path
    open_detector: Opener
    progress: Progress
    limits: Limits = Limits()

    def make(
        self,
        weights: Path,
        settings: ModelConfig,
        pictures: Sequence[Image],
        labelled: Sequence[Labelled] = (),
    ) -> Exported:
        """Return the export that `settings` ask for, made now unless it is there; INT8 is always made anew.

        It is compared on `pictures`; for INT8 most of them are calibrated on and the rest compared on. Raises
        `ExportRefusedError` where it does not reach the limits, `CannotStartError` where it cannot be made.
        """
        plan = plan_for(weights, settings)
        final = self.cache / plan.path
        with turn(final.parent, self.progress, "another process makes it already"):
            if final.is_file() and not plan.int8:
                return Exported(final)
            prefix = f".{final.parent.name}-"
            for left in final.parent.parent.glob(f"{prefix}*"):
                shutil.rmtree(left, ignore_errors=True)  # what killed exports left behind
            with tempfile.TemporaryDirectory(prefix=prefix, dir=final.parent.parent) as work:
                fresh = Path(work, "fresh")
                fresh.mkdir()
                source = self.open_detector(weights, _only(settings, READERS[weights.suffix], "fp32"))
                result = self._convert(weights, plan, settings.size, source, pictures, fresh / final.name)
                report = self._measure(source, result, plan, settings, pictures, labelled)
                if final.parent.exists():
                    final.parent.rename(Path(work, "old"))
                fresh.rename(final.parent)
        return Exported(final, report.agreement, report.before, report.after)

    def _convert(
        self, weights: Path, plan: Plan, size: int, source: Detector, pictures: Sequence[Image], target: Path
    ) -> Path:
        """Write what is planned to `target`, by way of ONNX for a checkpoint, and return it."""
        work, path = target.parent.parent, weights
        if weights.suffix == ".pt":
            self.progress(0, None, "writing ONNX")
            path = target if target.suffix == ".onnx" else work / f"{weights.stem}.onnx"
            to_onnx(weights, path, size, source.engine.outputs[0])
        if plan.int8:
            self._quantize(path, target, source, pictures)
        elif plan.runtime == "openvino":
            self.progress(0, None, "writing OpenVINO's form")
            to_openvino(path, target)
        return target

    def _quantize(self, path: Path, target: Path, source: Detector, pictures: Sequence[Image]) -> None:
        if len(pictures) < _LEAST_PICTURES:
            raise CannotStartError(
                f"{len(pictures)} pictures are too few to calibrate on; give at least {_LEAST_PICTURES}, "
                "better some hundred, of all cameras by day and by night"
            )
        calibrated_on = [each for number, each in enumerate(pictures) if number % _HELD_OUT]
        letterbox, seen = source.letterbox(), 0

        def prepare(image: Image) -> Float32:
            nonlocal seen
            seen += 1
            self.progress(seen, None, f"calibrating on {len(calibrated_on)} pictures")
            shape = source.shape_of(image.width, image.height)
            return letterbox.fill([image], shape)[0].copy()

        quantize(path, target, calibrated_on, prepare)

    def _measure(
        self,
        source: Detector,
        path: Path,
        plan: Plan,
        settings: ModelConfig,
        pictures: Sequence[Image],
        labelled: Sequence[Labelled],
    ) -> Exported:
        """Return how the export at `path` does beside its source; raises `ExportRefusedError`."""
        self.progress(0, None, "comparing boxes")
        result = self.open_detector(path, _only(settings, plan.runtime, "int8" if plan.int8 else "fp32"))
        match, least = (QUANTIZED, self.limits.quantized) if plan.int8 else (SAME, self.limits.same)
        compared = pictures[::_HELD_OUT] if plan.int8 else pictures
        ours, theirs = (detect_each(each, compared, match.floor) for each in (result, source))
        agreed = agreement_of(ours, theirs, match)
        if agreed.share < least:
            raise ExportRefusedError(
                f"refused: only {agreed.share:.1%} of {agreed.total} boxes agree with those of the source, "
                f"{least:.1%} are asked for"
            )
        if not labelled:
            return Exported(path, agreed)
        before, after = (_precision(each, labelled) for each in (source, result))
        if before.map50_95 - after.map50_95 > self.limits.map_drop:
            raise ExportRefusedError(
                f"refused: the mean average precision falls from {before.map50_95:.1f} to "
                f"{after.map50_95:.1f}, by more than {self.limits.map_drop:g} points"
            )
        return Exported(path, agreed, before, after)


def find_export(weights: Path, settings: ModelConfig, cache: Path) -> Path | None:
    """Return the export of `weights` that was made for such settings, if there is one.

    Where any runtime will do, ONNX comes first: more runtimes take it, and the fastest is chosen.
    """
    runtimes: tuple[Runtime, ...] = ("onnxruntime", "openvino")
    if settings.engine != "auto":
        runtimes = (settings.engine,)
    for runtime in runtimes:
        try:
            path = cache / plan_for(weights, settings.model_copy(update={"engine": runtime})).path
        except CannotStartError:
            continue
        if path.is_file():
            return path
    return None


def plan_for(weights: Path, settings: ModelConfig) -> Plan:
    """Return what to make of `weights`; raises `CannotStartError` where there is nothing to make."""
    int8 = settings.precision == "int8"
    runtime: Runtime = "openvino" if int8 else "onnxruntime"
    if settings.engine != "auto":
        runtime = settings.engine
    if runtime == "ultralytics" or weights.suffix not in READERS:
        raise CannotStartError(f"{weights.name} is not exported for {runtime}: give a .pt, or another engine")
    if int8 and runtime != "openvino":
        raise CannotStartError("8 bits are made for OpenVINO only: leave the engine out, or say openvino")
    if not int8 and READERS[weights.suffix] in {runtime, "openvino"}:
        raise CannotStartError(f"{weights.name} needs no export: it already is what {runtime} runs")
    version = Installed().version(runtime)
    if version is None:
        raise CannotStartError(f"{runtime} is not installed, and what is made for it cannot be tried out")
    kind = "int8" if int8 else "fp32"
    folder = f"{digest(weights)[:16]}-{settings.size}-{version.replace(' ', '-')}-{kind}"
    ending = ".xml" if runtime == "openvino" else ".onnx"
    return Plan(runtime, int8, Path("exports", folder, weights.stem + ending))


def _only(settings: ModelConfig, runtime: Runtime, precision: Literal["fp32", "int8"]) -> ModelConfig:
    """Return the settings for exactly this runtime on the CPU, where every runtime is exact."""
    return settings.model_copy(update={"engine": runtime, "precision": precision, "device": "cpu"})


def _precision(detector: Detector, labelled: Sequence[Labelled]) -> Precision:
    found = detect_each(detector, [each.image for each in labelled], FLOOR)
    return precision(found, [each.truth for each in labelled])
