"""What only a machine with an NVIDIA GPU can show: `make test-gpu`. Written without one, and never run yet.

Each test holds the GPU's part against the CPU's, which is tested elsewhere. A machine without what a test
needs skips it and says what is missing.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import av
import numpy as np
import pytest
import torch

from tests.support.assets import photograph, weights
from vigil.bench.clips import encode, make_clip, read_counter
from vigil.config.model import CameraConfig, ModelConfig
from vigil.core.types import PlanarImage
from vigil.gpu.nvml import Nvml
from vigil.inference.backends.planes import TorchArrays, agrees
from vigil.inference.backends.ultralytics import UltralyticsEngine
from vigil.inference.detector import Detector
from vigil.video.decode import NvImage
from vigil.video.decoder import PacketDecoder
from vigil.video.lane import Cuda, NoDecoderError
from vigil.video.source import Picture
from vigil.video.stream import StreamSource
from vigil.video.upload import decode_picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from vigil.core.types import Image

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
GPU = "cuda:0"


@dataclass
class Always:
    """A camera that is decoded on the GPU as long as it can."""

    failures: list[str] = field(default_factory=list)

    def opens(self) -> str | None:
        """Say where."""
        return self.device()

    def device(self) -> str | None:
        """Say where."""
        return None if self.failures else GPU

    def failed(self, _device: str, why: str, *, wholly: bool) -> None:
        """Note it."""
        self.failures.append(f"{why} (wholly: {wholly})")


@pytest.fixture(params=["h264", "hevc"])
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Make a clip of numbered pictures that NVDEC should take; skip where it opens for nobody."""
    path = make_clip(
        tmp_path / "clip.mp4",
        codec=request.param,
        width=640,
        height=480,
        seconds=3,
        gop=25,
        b_frames=2,
        counter=True,
    )
    with av.open(str(path)) as container:
        try:
            Cuda().open(container.streams.video[0], GPU)
        except NoDecoderError as error:
            pytest.skip(f"NVDEC does not open: {error}")
    return path


def frames(path: Path, gpu: Always | None) -> Iterator[tuple[int, Image]]:
    """Yield each picture's number and pixels."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder: PacketDecoder[int] = PacketDecoder(stream, gpu)
        for came, packet in enumerate(container.demux(stream)):
            for frame, _ in decoder.decode(packet, came):
                image = decoder.image(frame)
                yield read_counter(image.to_bgr()), image


def test_nvdec_decodes_what_the_cpu_decodes(clip: Path) -> None:
    """The same pictures in the same order, bit for bit in luma, and they stay in the GPU's memory."""
    gpu = Always()
    for (number, ours), (expected, theirs) in zip(frames(clip, gpu), frames(clip, None), strict=True):
        assert number == expected
        assert isinstance(ours, PlanarImage)
        assert ours.device == GPU
        np.testing.assert_array_equal(ours.luma(1), theirs.luma(1))
    assert gpu.failures == []


def test_a_recording_starts_over(clip: Path) -> None:
    """The decoder is emptied and used again at the recording's end."""
    gpu = Always()
    source = StreamSource(CameraConfig(url=str(clip)), lambda _seconds: False, paced=False, gpu=gpu)
    source.open()
    try:
        pictures = source.pictures()
        shown = [next(pictures) for _ in range(160)]
    finally:
        source.close()
    numbers = [read_counter(each.image.to_bgr()) for each in shown if isinstance(each, Picture)]
    assert numbers == [*range(75), *range(75), *range(10)]
    assert gpu.failures == []


def test_frames_may_be_kept(clip: Path) -> None:
    """All frames of a clip kept at the same time are still themselves: none is a decoder's surface."""
    kept = list(frames(clip, Always()))
    assert [read_counter(image.to_bgr()) for _, image in kept] == [number for number, _ in kept]


def test_the_trial_at_the_start() -> None:
    """Letterbox and suppression on the GPU do as numpy does, in both precisions."""
    device = torch.device(GPU)
    assert agrees(torch, device, torch.float32) == ""
    assert agrees(torch, device, torch.float16) == ""


class Downloaded:
    """The same image, that no engine takes as planes."""

    def __init__(self, image: NvImage) -> None:
        self.width, self.height = image.width, image.height
        self.write_rgb, self.luma, self.to_bgr = image.write_rgb, image.luma, image.to_bgr


def people(path: Path, number: int) -> Path:
    """Make a recording of a photograph of people in the street, so many frames of it."""
    pixels = decode_picture(photograph("bus").read_bytes(), 10**8).to_bgr()
    height, width = (side // 2 * 2 for side in pixels.shape[:2])
    whole = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[:height, :width]), format="bgr24")
    planar = whole.reformat(format="yuv420p").to_ndarray()
    shown = (av.VideoFrame.from_ndarray(planar, format="yuv420p") for _ in range(number))
    return encode(path, shown, "libx264", {"preset": "ultrafast", "crf": "10"}, fps=10)


def decoded_people(folder: Path, number: int) -> list[Image]:
    """Return such a recording's frames, in the GPU's memory."""
    with av.open(str(people(folder / "people.mp4", number))) as container:
        stream = container.streams.video[0]
        decoder: PacketDecoder[int] = PacketDecoder(stream, Always())
        return [
            decoder.image(frame)
            for packet in container.demux(stream)
            for frame, _ in decoder.decode(packet, 0)
        ]


def test_the_same_objects_on_both_ways(clip: Path, tmp_path: Path) -> None:
    """Batches of frames in the GPU's memory, graphs and all, find what the way by the CPU's memory finds."""
    assert clip.exists(), "NVDEC opens"
    engine = UltralyticsEngine(weights("yolo26n"), ModelConfig(), GPU)
    assert engine.takes_planes
    detector = Detector(engine, size=640, iou=0.7)
    images = decoded_people(tmp_path, 24)
    shape = detector.shape_of(images[0].width, images[0].height)
    for size in (1, 2, 3, 8, 24):
        batch = images[:size]
        downloaded: list[Image] = [Downloaded(image) for image in batch if isinstance(image, NvImage)]
        ours, theirs = (
            detector.detect(detector.letterbox(), each, [0.4] * size, shape) for each in (batch, downloaded)
        )
        assert len(theirs[0]) >= 3
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(mine.class_id, other.class_id)
            np.testing.assert_allclose(mine.xyxy, other.xyxy, atol=2)
            np.testing.assert_allclose(mine.confidence, other.confidence, atol=0.03)


def test_nvml_reads_the_decoder(clip: Path) -> None:
    """While a clip is decoded the decoder is busy, and the reading is a share of time."""
    meter = Nvml({})
    first = meter.busy(GPU)
    if first is None:
        pytest.skip("NVML cannot be read: pip install 'vigil[gpu]'")
    until, readings = time.monotonic() + 5, [first]
    while time.monotonic() < until:
        list(frames(clip, Always()))
        readings.append(meter.busy(GPU) or 0.0)
    assert 0 < max(readings) <= 1


class Interpolating(TorchArrays):
    """The letterbox by torch's own scaling, as a rival of matrices."""

    def scale(self, planes: Any, height: int, width: int) -> Any:
        """Scale as `Arrays.scale` says."""
        size = (height, width)
        scaled = torch.nn.functional.interpolate(planes[:, None], size, mode="bilinear", antialias=True)
        return scaled[:, 0].float()


def images_per_second(work: Callable[[], int]) -> float:
    """Return the median of five rates, each over a second or ten calls, after a warm-up."""
    work()
    rates = []
    for _ in range(5):
        started, done, calls = time.perf_counter(), 0, 0
        while calls < 10 or time.perf_counter() - started < 1:
            done, calls = done + work(), calls + 1
        rates.append(done / (time.perf_counter() - started))
    return statistics.median(rates)


def test_what_each_way_gives(clip: Path, tmp_path: Path) -> None:
    """Images a second of the network alone, with planes in two ways, and by the CPU's memory."""
    assert clip.exists(), "NVDEC opens"
    engine = UltralyticsEngine(weights("yolo26n"), ModelConfig(), GPU)
    detector = Detector(engine, size=640, iou=0.7)
    images = decoded_people(tmp_path, 64)
    shape = detector.shape_of(images[0].width, images[0].height)
    letterbox = detector.letterbox()

    def detected(batch: list[Image]) -> int:
        return len(detector.detect(letterbox, batch, [0.4] * len(batch), shape))

    tensors = torch.rand(64, 3, *shape).numpy()
    fetched: list[Image] = [Downloaded(image) for image in images if isinstance(image, NvImage)]
    rates = {
        "network, inputs from the CPU, outputs to it": images_per_second(lambda: len(engine.run(tensors)[0])),
        "planes, by matrices": images_per_second(lambda: detected(images)),
        "planes fetched and scaled on one core": images_per_second(lambda: detected(fetched)),
    }
    engine._arrays = Interpolating(torch, engine._device, engine._dtype)
    rates["planes, by interpolate"] = images_per_second(lambda: detected(images))
    print()
    for name, rate in rates.items():
        print(f"{rate:8.0f} images/s  {name}")
    assert rates["planes, by matrices"] > rates["planes fetched and scaled on one core"]
