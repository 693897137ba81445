"""Do the engines of this machine find the same boxes? Each that can run the weights against the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from vigil.errors import CannotStartError
from vigil.inference.accuracy import QUANTIZED, SAME, Agreement, agreement_of, detect_each
from vigil.inference.backends import Installed
from vigil.inference.candidates import able
from vigil.inference.export import Runtime, find_export

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vigil.config.model import ModelConfig
    from vigil.core.types import Image
    from vigil.inference.export import Limits, Opener


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one engine does beside the first; without an `agreement` it cannot run, as `problem` says."""

    engine: str
    weights: Path
    agreement: Agreement | None
    passed: bool
    problem: str = ""


def verify(
    weights: Path,
    settings: ModelConfig,
    cache: Path | None,
    images: Sequence[Image],
    open_detector: Opener,
    limits: Limits,
) -> Iterator[Verdict]:
    """Yield a verdict for every installed runtime that can run the weights or an export of theirs.

    The first is the one that the others are held against; raises `CannotStartError` if it is not there.
    """
    rivals = list(_rivals(weights, settings, cache))
    first = open_detector(*rivals[0])
    matches = (SAME, QUANTIZED)
    expected = {match: detect_each(first, images, match.floor) for match in matches}
    alone = agreement_of(expected[SAME], expected[SAME])
    yield Verdict(first.engine.name, weights, alone, passed=True)
    for path, its in rivals[1:]:
        int8 = its.precision == "int8"
        match, least = (QUANTIZED, limits.quantized) if int8 else (SAME, limits.same)
        try:
            detector = open_detector(path, its)
        except CannotStartError as error:
            yield Verdict(its.engine, path, None, passed=False, problem=str(error))
            continue
        agreed = agreement_of(detect_each(detector, images, match.floor), expected[match], match)
        yield Verdict(detector.engine.name, path, agreed, agreed.share >= least)
        detector.engine.close()


def _rivals(weights: Path, settings: ModelConfig, cache: Path | None) -> Iterator[tuple[Path, ModelConfig]]:
    """Yield each file, the weights first, then their exports, with settings that name one runtime for it."""
    for path, precision in _files(weights, settings, cache).items():
        free = settings.model_copy(update={"engine": "auto", "precision": precision})
        for runtime in able(path, free, lambda runtime: Installed().version(runtime) is not None):
            yield path, free.model_copy(update={"engine": runtime})


def _files(
    weights: Path, settings: ModelConfig, cache: Path | None
) -> dict[Path, Literal["auto", "fp32", "int8"]]:
    files: dict[Path, Literal["auto", "fp32", "int8"]] = {weights: "fp32"}
    if cache is None:
        return files
    for runtime in get_args(Runtime):
        for precision in ("fp32", "int8"):
            wanted = settings.model_copy(update={"engine": runtime, "precision": precision})
            found = find_export(weights, wanted, cache)
            if found is not None:
                files[found] = precision
    return files
