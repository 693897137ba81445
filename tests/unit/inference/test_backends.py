"""What the runtimes share: metadata, batches, providers, failures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.config.model import ModelConfig
from vigil.errors import CannotStartError
from vigil.inference.backends.batches import BUCKETS, bucket_for, most_images, most_workers, padded
from vigil.inference.backends.describe import describe, image_input
from vigil.inference.backends.failures import engine_failure
from vigil.inference.backends.providers import providers_for
from vigil.inference.engine import EngineError, EngineMemoryError

NET = Path("net.onnx")


class TestDescribe:
    """Metadata as exporters write it."""

    def test_ultralytics(self) -> None:
        """Names come in the order of their ids, the size is the longer side."""
        metadata = {
            "names": "{1: 'car', 0: 'person'}",
            "stride": "64",
            "imgsz": "[384, 640]",
            "task": "detect",
        }
        found = describe(NET, metadata)
        assert (found.name, found.names, found.stride, found.size) == ("net", ("person", "car"), 64, 640)

    def test_nothing_said(self) -> None:
        """Weights without metadata have no names, the usual stride, and their fixed input's size."""
        assert describe(NET, {}).names == ()
        assert (describe(NET, {}).stride, describe(NET, {}).size) == (32, 640)
        assert describe(NET, {}, (416, 320)).size == 416

    def test_unreadable_value(self, caplog: pytest.LogCaptureFixture) -> None:
        """A value that is no literal is left out with a line in the log."""
        assert describe(NET, {"names": "{0: person"}).names == ()
        assert "'names' cannot be read" in caplog.text

    def test_other_task(self) -> None:
        """Weights of another task are told what vigil needs."""
        with pytest.raises(CannotStartError, match="made for 'segment'; vigil needs a detection model"):
            describe(NET, {"task": "segment"})


class TestInputs:
    """What a network wants to be fed."""

    def test_sizes_beside_images(self) -> None:
        """RT-DETR's and D-FINE's second input is known."""
        assert image_input(NET, {"orig_target_sizes": ["N", 2], "images": ["N", 3, 640, 640]}) == "images"

    @pytest.mark.parametrize("inputs", [{"ids": ["N", 77]}, {"images": ["N", 3, 8, 8], "prompt": ["N", 77]}])
    def test_unknown(self, inputs: dict[str, list[int | str | None]]) -> None:
        """Inputs that nobody can fill are listed."""
        with pytest.raises(CannotStartError, match="has the inputs"):
            image_input(NET, inputs)


class TestBatches:
    """Sizes of batches."""

    @given(st.integers(1, 64))
    def test_bucket_is_the_smallest_that_holds(self, images: int) -> None:
        """A batch goes into the smallest bucket that holds it."""
        bucket = bucket_for(images)
        assert bucket in BUCKETS
        assert bucket >= images
        assert not any(images <= smaller < bucket for smaller in BUCKETS)

    def test_past_the_last_bucket(self) -> None:
        """A batch larger than every bucket stays as it is."""
        assert bucket_for(65) == 65

    def test_padding(self) -> None:
        """The images stay in front, untouched; a full batch is not copied."""
        batch = np.arange(6, dtype=np.float32).reshape(3, 2, 1, 1)
        filled = padded(batch, 4)
        assert filled.shape == (4, 2, 1, 1)
        np.testing.assert_array_equal(filled[:3], batch)
        assert padded(batch, 3) is batch

    def test_most_images(self) -> None:
        """One on a CPU unless asked; 64 on a device; never more than a static export takes."""
        assert most_images(None, ModelConfig(), on_cpu=True) == 1
        assert most_images("batch", ModelConfig(max_batch=4), on_cpu=True) == 4
        assert most_images(None, ModelConfig(), on_cpu=False) == 64
        assert most_images(1, ModelConfig(max_batch=4), on_cpu=False) == 1

    def test_most_workers(self) -> None:
        """Two on a device, one of them preparing, unless the settings say otherwise."""
        assert most_workers(ModelConfig(), on_cpu=False) == 2
        assert most_workers(ModelConfig(workers=5), on_cpu=True) == 5


class TestProviders:
    """ONNX Runtime's providers."""

    def test_tensorrt_falls_back_to_cuda(self, tmp_path: Path) -> None:
        """TensorRT is tried first and CUDA after it, on the same device, with engines kept in the cache."""
        first, second = providers_for("tensorrt:1", tmp_path)
        assert (first.device, second.device) == ("tensorrt:1", "cuda:1")
        assert first.options["trt_engine_cache_path"] == str(tmp_path / "tensorrt")
        assert (first.options["device_id"], second.options["device_id"]) == ("1", "1")

    def test_one_range_for_all_shapes(self) -> None:
        """TensorRT is told the range of every dynamic input, fixed axes as they are."""
        provider = providers_for("tensorrt", None)[0]
        inputs: dict[str, list[int | str | None]] = {
            "images": ["b", 3, "h", "w"],
            "orig_target_sizes": ["b", 2],
        }
        options = provider.for_inputs(inputs, ModelConfig(size=640)).options
        assert options["trt_profile_min_shapes"] == "images:1x3x32x32,orig_target_sizes:1x2"
        assert options["trt_profile_max_shapes"] == "images:64x3x640x640,orig_target_sizes:64x2"
        assert provider.for_inputs({"images": [1, 3, 640, 640]}, ModelConfig()) is provider

    @pytest.mark.parametrize("device", ["tpu", "cuda:x", "cuda:-1", ""])
    def test_unknown(self, device: str) -> None:
        """A name that means nothing is answered with those that do."""
        with pytest.raises(CannotStartError, match="is not known; use auto, cpu, cuda"):
            providers_for(device, None)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("CUDA failure 2: out of memory ; GPU=0", EngineMemoryError),
        ("BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer", EngineMemoryError),
        ("[GPU] clEnqueueNDRangeKernel, error code: -5 CL_OUT_OF_RESOURCES", EngineMemoryError),
        ("CUDA error: an illegal memory access was encountered", EngineError),
        ("Non-zero status code while running Conv node", EngineError),
    ],
)
def test_failures(text: str, kind: type[EngineError]) -> None:
    """What runtimes say when memory ends asks for a smaller batch; anything else does not."""
    assert type(engine_failure(RuntimeError(text), "engine")) is kind


@pytest.mark.parametrize(
    ("able", "on_cpu", "hint"),
    [
        (("FP32", "BF16", "FP16"), True, "bf16"),
        (("FP32", "FP16"), True, "f32"),
        (("FP32",), True, "f32"),
        (("FP32", "BF16", "FP16"), False, "f16"),
        (("FP32", "BF16"), False, "bf16"),
    ],
)
def test_16_bits_by_device(able: tuple[str, ...], on_cpu: bool, hint: str) -> None:  # noqa: FBT001 -- a case
    """On CPUs BF16, on devices FP16 before it, and all bits where there is neither."""
    from vigil.inference.backends.openvino import half  # noqa: PLC0415 -- imports a heavy library

    assert half(able, on_cpu=on_cpu) == hint
