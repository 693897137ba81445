"""Which runtime and device weights get, and what people are told of it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from vigil.config.model import ModelConfig
from vigil.errors import CannotStartError
from vigil.inference.candidates import Candidate, tiers
from vigil.inference.choose import Chooser
from vigil.inference.engine import EngineError, Output, Weights
from vigil.inference.measured import Measured, Measurements, digest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vigil.core.types import Float32
    from vigil.inference.schedule import Shape

BOTH = {"onnxruntime": ("cpu",), "openvino": ("cpu",)}


class Clock:
    """Time that passes only when somebody works."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time in seconds."""
        return self.now


class FakeEngine:
    """An engine that takes so many seconds for an image; `broken` ones raise."""

    fixed_shape: Shape | None = None
    max_batch = workers = 1
    outputs: Sequence[Output] = ()
    weights = Weights("fake", (), 32, 640, {})

    def __init__(self, runtime: str, device: str, clock: Clock, seconds: float, *, broken: bool) -> None:
        self.name, self.device = f"{runtime} 1.0 {device}", device
        self._clock, self._seconds, self._broken = clock, seconds, broken
        self.closed = False

    def run(self, batch: Float32) -> list[Float32]:
        """Let time pass."""
        if self._broken:
            raise EngineError("no kernel for this operator")
        self._clock.now += self._seconds * len(batch)
        return [np.zeros((len(batch), 6), np.float32)]

    def close(self) -> None:
        """Note that the engine was given up."""
        self.closed = True


class FakeRuntimes:
    """Runtimes with the devices that they see and the seconds that they take; some devices do not start."""

    def __init__(self, devices: Mapping[str, Sequence[str]], *, dead: str = "", broken: str = "") -> None:
        self._devices, self._dead, self._broken = devices, dead, broken
        self.clock = Clock()
        self.seconds = {"onnxruntime": 0.062, "openvino": 0.058, "ultralytics": 0.08}
        self.opened: list[tuple[str, str, str]] = []
        self.engines: list[FakeEngine] = []

    def version(self, runtime: str) -> str | None:
        """Return a version of what is there."""
        return "1.0" if runtime in self._devices else None

    def devices(self, runtime: str) -> Sequence[str]:
        """Return what it sees."""
        return self._devices[runtime]

    def open(
        self, runtime: str, weights: Path, settings: ModelConfig, device: str, cache: Path | None
    ) -> FakeEngine:
        """Open an engine and note it."""
        assert settings.size
        assert cache is None or cache.is_dir()
        self.opened.append((runtime, device, weights.name))
        if device == self._dead:
            raise CannotStartError(f"{device} does not start")
        engine = FakeEngine(
            runtime, device, self.clock, self.seconds[runtime], broken=runtime == self._broken
        )
        self.engines.append(engine)
        return engine


def chooser(runtimes: FakeRuntimes, cache: Path | None = None, export: Path | None = None) -> Chooser:
    """Return a chooser on a certain day, which finds `export` if there is one."""

    def find(weights: Path, settings: ModelConfig, cache: Path) -> Path | None:
        assert weights.suffix == ".pt"
        assert settings.engine != "ultralytics"
        assert cache.is_dir()
        return export

    return Chooser(cache, find, runtimes, runtimes.clock, lambda: date(2026, 11, 23), runtimes.clock)


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    """Return weights that nobody reads."""
    path = tmp_path / "net.onnx"
    path.write_bytes(b"weights")
    return path


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a checkpoint that nobody reads."""
    path = tmp_path / "net.pt"
    path.write_bytes(b"weights")
    return path


class TestMeasured:
    """Two runtimes on one CPU."""

    def test_faster_one_runs(self, onnx: Path, tmp_path: Path) -> None:
        """The faster runtime is taken, the other closed, and the sentence holds both rates and the day."""
        runtimes = FakeRuntimes(BOTH)
        chosen = chooser(runtimes, tmp_path).choose(onnx, ModelConfig())
        assert chosen.why == (
            "openvino on cpu: 17.2 images/s against 16.1 of onnxruntime (measured 2026-11-23)"
        )
        assert chosen.engine is runtimes.engines[1]
        assert [engine.closed for engine in runtimes.engines] == [True, False]

    def test_second_start_does_not_measure(self, onnx: Path, tmp_path: Path) -> None:
        """What was measured is remembered: only the winner is opened, and for the same reason."""
        first = chooser(FakeRuntimes(BOTH), tmp_path).choose(onnx, ModelConfig())
        runtimes = FakeRuntimes(BOTH)
        second = chooser(runtimes, tmp_path).choose(onnx, ModelConfig())
        assert second.why == first.why
        assert runtimes.opened == [("openvino", "cpu", "net.onnx")]
        assert runtimes.clock.now == 0

    def test_other_weights_are_measured_anew(self, onnx: Path, tmp_path: Path) -> None:
        """A file of the same name with other bytes is another model."""
        chooser(FakeRuntimes(BOTH), tmp_path).choose(onnx, ModelConfig())
        onnx.write_bytes(b"other weights")
        runtimes = FakeRuntimes(BOTH)
        chooser(runtimes, tmp_path).choose(onnx, ModelConfig())
        assert len(runtimes.opened) == 2

    def test_short(self, onnx: Path) -> None:
        """Measuring takes about half a second for each runtime, warm-ups included."""
        runtimes = FakeRuntimes(BOTH)
        chooser(runtimes).choose(onnx, ModelConfig())
        assert 1.0 <= runtimes.clock.now < 1.3

    def test_one_that_fails_is_passed_over(self, onnx: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A runtime that cannot run the weights leaves them to the other, with a line in the log."""
        chosen = chooser(FakeRuntimes(BOTH, broken="openvino")).choose(onnx, ModelConfig())
        assert chosen.engine.name == "onnxruntime 1.0 cpu"
        assert "openvino is passed over: no kernel" in caplog.text


class TestAsked:
    """What the configuration names."""

    def test_engine(self, onnx: Path) -> None:
        """A named engine runs without a measurement."""
        runtimes = FakeRuntimes(BOTH)
        chosen = chooser(runtimes).choose(onnx, ModelConfig(engine="onnxruntime"))
        assert chosen.why == "onnxruntime on cpu: the configuration names the engine"
        assert runtimes.clock.now == 0

    @pytest.mark.parametrize(
        ("settings", "suffix", "message"),
        [
            (ModelConfig(engine="openvino"), ".onnx", r"pip install 'vigil\[openvino\]'"),
            (ModelConfig(), ".xml", r"pip install 'vigil\[openvino\]'"),
            (ModelConfig(), ".pt", r"pip install 'vigil\[ultralytics\]'"),
            (ModelConfig(device="intel-npu"), ".onnx", r"'intel-npu' needs openvino: pip install"),
            (ModelConfig(engine="openvino"), ".pt", "vigil models export"),
            (ModelConfig(engine="ultralytics"), ".onnx", "use auto or onnxruntime or openvino"),
            (ModelConfig(), ".tflite", "vigil loads .onnx, .xml"),
        ],
    )
    def test_missing(self, settings: ModelConfig, suffix: str, message: str) -> None:
        """What cannot be had says what to install or to write instead."""
        with pytest.raises(CannotStartError, match=message):
            chooser(FakeRuntimes({"onnxruntime": ("cpu",)})).choose(Path(f"net{suffix}"), settings)


class TestDevices:
    """Devices before the CPU."""

    def test_order(self) -> None:
        """CUDA, then an Intel GPU, then the CPU; an NPU and TensorRT only when asked."""
        visible = {
            "onnxruntime": ("tensorrt", "cuda", "cpu"),
            "openvino": ("intel-gpu", "intel-npu", "cpu"),
        }
        found = tiers(visible, "auto", tensorrt_built=False)
        assert [tier[0].device for tier in found] == ["cuda", "intel-gpu", "cpu"]
        assert found[-1] == [Candidate("onnxruntime", "cpu"), Candidate("openvino", "cpu")]
        assert tiers(visible, "intel-npu", tensorrt_built=False) == [[Candidate("openvino", "intel-npu")]]

    def test_tensorrt_when_built(self) -> None:
        """TensorRT comes first where an engine of its own was built before."""
        found = tiers({"onnxruntime": ("tensorrt", "cuda", "cpu")}, "auto", tensorrt_built=True)
        assert found[0] == [Candidate("onnxruntime", "tensorrt")]

    def test_number_is_kept(self) -> None:
        """`cuda:1` is a CUDA device."""
        visible = {"onnxruntime": ("cuda", "cpu")}
        assert tiers(visible, "cuda:1", tensorrt_built=False) == [[Candidate("onnxruntime", "cuda:1")]]

    def test_dead_device_is_passed_over(self, onnx: Path, caplog: pytest.LogCaptureFixture) -> None:
        """`auto` goes on to the CPU where a device is installed and does not start."""
        runtimes = FakeRuntimes({"onnxruntime": ("cuda", "cpu")}, dead="cuda")
        assert chooser(runtimes).choose(onnx, ModelConfig()).engine.device == "cpu"
        assert "cuda is passed over: cuda does not start" in caplog.text

    def test_dead_device_that_is_asked_for(self, onnx: Path) -> None:
        """A device that the configuration names is not replaced by another."""
        runtimes = FakeRuntimes({"onnxruntime": ("cuda", "cpu")}, dead="cuda")
        with pytest.raises(CannotStartError, match="does not start"):
            chooser(runtimes).choose(onnx, ModelConfig(device="cuda"))


class TestExports:
    """Checkpoints that were exported for this machine."""

    def test_export_runs(self, onnx: Path, checkpoint: Path, tmp_path: Path) -> None:
        """A .pt runs from its export, and the sentence says so."""
        chosen = chooser(FakeRuntimes({"onnxruntime": ("cpu",)}), tmp_path, onnx).choose(
            checkpoint, ModelConfig()
        )
        assert chosen.weights == onnx
        assert chosen.digest == digest(onnx)
        assert chosen.why.endswith("from the export of net.pt")

    def test_torch_when_asked(self, onnx: Path, checkpoint: Path, tmp_path: Path) -> None:
        """`engine: ultralytics` runs the checkpoint itself."""
        runtimes = FakeRuntimes({"ultralytics": ("cpu",)})
        chooser(runtimes, tmp_path, onnx).choose(checkpoint, ModelConfig(engine="ultralytics"))
        assert runtimes.opened == [("ultralytics", "cpu", "net.pt")]


class TestMeasurements:
    """The cache of measurements."""

    KEY = {"what": "runtime"}  # noqa: RUF012 -- nobody writes it
    FOUND = Measured("2026-11-23", {"onnxruntime": 16.25})

    def test_round_trip(self, tmp_path: Path) -> None:
        """What is remembered comes back under its key alone, and no other file stays."""
        measurements = Measurements(tmp_path)
        measurements.remember(self.KEY, self.FOUND)
        assert measurements.recall(self.KEY) == self.FOUND
        assert measurements.recall({"what": "other"}) is None
        assert len(list((tmp_path / "measured").iterdir())) == 1

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"on": "x"}', '{"on": "x", "values": {"a": "b"}}'])
    def test_broken_file(self, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
        """A file that is not what was written is a line in the log and is measured again."""
        measurements = Measurements(tmp_path)
        measurements.remember(self.KEY, self.FOUND)
        next((tmp_path / "measured").iterdir()).write_text(text)
        assert measurements.recall(self.KEY) is None
        assert "made again" in caplog.text

    def test_unwritable(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A cache that cannot be written is a line in the log."""
        (tmp_path / "measured").write_text("a file where the folder should be")
        Measurements(tmp_path).remember(self.KEY, self.FOUND)
        assert "cannot be kept" in caplog.text

    def test_digest_covers_the_weights_of_an_xml(self, tmp_path: Path) -> None:
        """An .xml's numbers stand in the .bin beside it."""
        (tmp_path / "net.xml").write_text("<net/>")
        (tmp_path / "net.bin").write_bytes(b"1")
        before = digest(tmp_path / "net.xml")
        (tmp_path / "net.bin").write_bytes(b"2")
        assert digest(tmp_path / "net.xml") != before
