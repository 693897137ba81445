"""The two CPU runtimes on real weights: they agree, and are what the `Engine` protocol says."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.assets import asset
from vigil.config.model import ModelConfig
from vigil.errors import CannotStartError
from vigil.inference.backends import Installed
from vigil.inference.engine import EngineError
from vigil.inference.heads import DISTANCES, all_boxes

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.core.types import Float32
    from vigil.inference.engine import Engine

RUNTIMES = ["onnxruntime", "openvino"]
YOLO = asset("models/yolo11n.onnx")
pytestmark = pytest.mark.skipif(YOLO is None, reason="VIGIL_ASSETS has no models/yolo11n.onnx")


@cache
def engine(runtime: str) -> Engine:
    """Return yolo11n on the CPU."""
    assert YOLO is not None
    return Installed().open(runtime, YOLO, ModelConfig(max_batch=2, workers=2), "cpu", None)


def noise(images: int, height: int = 64, width: int = 96) -> Float32:
    """Return pictures of noise, in 0..1."""
    return np.random.default_rng(1).random((images, 3, height, width), np.float32)


@pytest.mark.parametrize("images", [1, 2])
def test_they_agree(images: int) -> None:
    """Boxes within a hundredth of a pixel, scores within 1e-4."""
    batch = noise(images)
    first, second = (engine(runtime).run(batch)[0] for runtime in RUNTIMES)
    assert first.shape == second.shape == (images, 144, 126)
    assert first.dtype == second.dtype == np.float32
    (boxes, scores), (others, other_scores) = (all_boxes(each, (64, 96)) for each in (first, second))
    np.testing.assert_allclose(boxes, others, atol=0.01)
    np.testing.assert_allclose(scores, other_scores, atol=1e-4)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_what_they_say(runtime: str) -> None:
    """Names, stride, size, outputs and limits are read from the file and the settings."""
    found = engine(runtime)
    assert found.name.startswith(f"{runtime} ")
    assert found.name.endswith(" cpu fp32")
    assert found.weights.names[67] == "cell phone"
    assert (found.weights.stride, found.weights.size) == (32, 640)
    outputs = [(output.name, output.shape[1]) for output in found.outputs]
    assert outputs == [(DISTANCES, 144)]
    assert (found.fixed_shape, found.max_batch, found.workers) == (None, 2, 2)


def test_16_bits_of_a_processor() -> None:
    """`fp16` is BF16 where the CPU multiplies in it, never FP16, and scores move by less than 0.05."""
    import openvino  # noqa: PLC0415 -- heavy, and vigil's own import of it is lazy too

    assert YOLO is not None
    native = "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    found = Installed().open("openvino", YOLO, ModelConfig(precision="fp16"), "cpu", None)
    assert found.name.endswith(" cpu bf16" if native else " cpu fp32")
    batch = noise(1)
    exact, rounded = (all_boxes(each.run(batch)[0], (64, 96))[1] for each in (engine("openvino"), found))
    np.testing.assert_allclose(exact, rounded, atol=0.05)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_many_shapes_at_once(runtime: str) -> None:
    """Six input shapes from three threads give what they give alone: more than get models of their own."""
    batches = [noise(1, 32 * side, 64) for side in range(1, 7)] * 3
    alone = [engine(runtime).run(batch)[0] for batch in batches[:6]]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(lambda batch: engine(runtime).run(batch)[0], batches))
    for number, found in enumerate(together):
        np.testing.assert_allclose(found, alone[number % 6], atol=1e-3)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_computes_in_the_calling_thread(runtime: str) -> None:
    """A call's CPU time is the caller's own, so that workers can step back behind decoders."""
    batch = noise(1, 320, 320)
    engine(runtime).run(batch)
    whole, own = time.process_time(), time.thread_time()
    for _ in range(5):
        engine(runtime).run(batch)
    own, whole = time.thread_time() - own, time.process_time() - whole
    assert threading.active_count() < 20
    assert own > 0.8 * whole


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_failure_is_an_engine_error(runtime: str) -> None:
    """An input that the network cannot take is an error of the engine."""
    with pytest.raises(EngineError):
        engine(runtime).run(np.zeros((1, 4, 64, 64), np.float32))


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_model(runtime: str, tmp_path: Path) -> None:
    """A file that is no model is named."""
    (tmp_path / "net.onnx").write_bytes(b"nonsense")
    with pytest.raises(CannotStartError, match=r"net\.onnx cannot be loaded"):
        Installed().open(runtime, tmp_path / "net.onnx", ModelConfig(), "cpu", None)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_int8_that_is_none(runtime: str) -> None:
    """`precision: int8` with weights that are not quantised says how to get such."""
    assert YOLO is not None
    with pytest.raises(CannotStartError, match="not quantised; `vigil models export --int8`"):
        Installed().open(runtime, YOLO, ModelConfig(precision="int8"), "cpu", None)


def test_absent_device() -> None:
    """A device that is not there is answered with what to install or what is found."""
    assert YOLO is not None
    with pytest.raises(CannotStartError, match="OpenVINO finds CPU"):
        Installed().open("openvino", YOLO, ModelConfig(), "intel-npu", None)
    if "CUDAExecutionProvider" not in sys.modules["onnxruntime"].get_available_providers():
        with pytest.raises(CannotStartError, match="install onnxruntime-gpu"):
            Installed().open("onnxruntime", YOLO, ModelConfig(), "cuda", None)


def test_fixed_shape() -> None:
    """A static export's shape is the only one, in both runtimes, with a batch of one whatever is asked."""
    yolox = asset("models/yolox_nano.onnx")
    if yolox is None:
        pytest.skip("VIGIL_ASSETS has no models/yolox_nano.onnx")
    engines = [Installed().open(each, yolox, ModelConfig(max_batch=8), "cpu", None) for each in RUNTIMES]
    assert [(each.fixed_shape, each.max_batch) for each in engines] == [((416, 416), 1)] * 2
    first, second = (each.run(noise(1, 416, 416))[0] for each in engines)
    np.testing.assert_allclose(first, second, atol=0.01)


def test_metadata_beside_an_xml(tmp_path: Path) -> None:
    """Ultralytics' `metadata.yaml` beside an .xml gives names with their spaces, stride and size."""
    import openvino  # noqa: PLC0415 -- this test makes a file in OpenVINO's own format

    assert YOLO is not None
    openvino.save_model(openvino.Core().read_model(YOLO), tmp_path / "net.xml")
    (tmp_path / "metadata.yaml").write_text(
        "stride: 64\ntask: detect\nimgsz:\n- 320\n- 416\nnames:\n  0: person\n  1: cell phone\n"
    )
    found = Installed().open("openvino", tmp_path / "net.xml", ModelConfig(), "cpu", None).weights
    assert (found.name, found.names, found.stride, found.size) == ("net", ("person", "cell phone"), 64, 416)
