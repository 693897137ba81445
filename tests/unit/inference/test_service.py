"""A model in service: opened once, warm, and opened again only when somebody asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.fakes import MODEL, FakeEngine, one_person
from tests.support.serving import service
from vigil.config.model import ModelConfig
from vigil.core.types import Loaded
from vigil.errors import CannotStartError
from vigil.inference.choose import Chosen
from vigil.inference.engine import EngineError
from vigil.inference.service import open_service

if TYPE_CHECKING:
    from vigil.core.types import Float32

WEIGHTS = Path("fake.onnx")


class Opened:
    """Stands in for `Chooser`: a new fake engine each time, all of them noted."""

    def __init__(self) -> None:
        self.engines: list[FakeEngine] = []
        self.device = "cpu"
        self.answer = one_person

    def __call__(self, *_settings: object) -> Opened:
        """Take what a chooser takes."""
        return self

    def choose(self, weights: Path, _settings: ModelConfig) -> Chosen:
        """Open an engine."""
        engine = FakeEngine(self.answer, workers=1, max_batch=3)
        engine.device = self.device
        self.engines.append(engine)
        return Chosen(self.engines[-1], "there is no other", weights, "00")


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Open fake engines instead of real ones."""
    opened = Opened()
    monkeypatch.setattr("vigil.inference.service.Chooser", opened)
    return opened


def test_model_is_opened_once_and_is_warm(opened: Opened) -> None:
    """Putting a model into service loads it once and runs it once, before the first camera needs it."""
    served = open_service(WEIGHTS, ModelConfig.model_validate({"size": 640, "timeout": "12s"}), None)
    (engine,) = opened.engines
    assert served.detector.engine is engine
    assert engine.batches == [(1, 3, 384, 640)]
    assert (served.workers, served.max_batch, served.limit, served.timeout) == (1, 3, 3, 12)
    assert served.loaded == Loaded(MODEL.name, "fake cpu", "there is no other")


def test_model_opened_again_is_a_new_engine_and_warm(opened: Opened) -> None:
    """What replaces an engine that failed is loaded anew and has run once; the old one is left alone."""
    served = open_service(WEIGHTS, ModelConfig(size=640), None)
    fresh = served.reopen()
    old, new = opened.engines
    assert fresh.engine is new
    assert new.batches == [(1, 3, 384, 640)]
    assert served.detector.engine is old
    assert not old.closed


def test_engine_that_fails_while_it_is_measured_cannot_start(opened: Opened) -> None:
    """Which model does not run on what, and why, is told before any camera is connected."""

    def answer(batch: Float32) -> Float32:
        if len(opened.engines[0].batches) > 1:
            raise EngineError("out of order")
        return one_person(batch)

    opened.device, opened.answer = "gpu", answer
    with pytest.raises(CannotStartError, match=r"model\.name: fake\.onnx does not run on .*: out of order"):
        open_service(WEIGHTS, ModelConfig(size=640), None)


def test_limit_follows_the_memory() -> None:
    """No more frames at once than pay off, and no more than the engine was found to have memory for."""
    served = service(FakeEngine(max_batch=8))
    served.max_batch = 6
    assert served.limit == 6
    served.detector.halve_batch(8)
    assert served.limit == 4
