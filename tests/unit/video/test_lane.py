"""Streams that go from the CPU's decoder to a GPU's and back: a software decoder stands in for the GPU's."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import av
import av.error
import pytest
from av.codec import CodecContext

from vigil.bench.clips import make_clip, read_counter
from vigil.config.model import CameraConfig
from vigil.gpu.count import visible
from vigil.video.decoder import PacketDecoder
from vigil.video.governed import GovernedSource
from vigil.video.lane import Cuda, Lane, NoDecoderError
from vigil.video.source import Picture
from vigil.video.stream import StreamSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    from vigil.video.decoder import VideoPacket

GOP, FRAMES = 10, 50
GPU = "cuda:0"


@dataclass
class Steer:
    """Says where a camera is decoded: one answer per keyframe, the last one for ever; notes what failed."""

    answers: list[str | None]
    failures: list[tuple[str, str, bool]] = field(default_factory=list)
    asked: int = 0

    def opens(self) -> str | None:
        """Say where it begins."""
        assert self.asked == 0
        return self.device()

    def device(self) -> str | None:
        """Say where it goes on; nowhere but on the CPU after a failure."""
        answer = self.answers[min(self.asked, len(self.answers) - 1)]
        self.asked += 1
        return None if self.failures else answer

    def failed(self, device: str, why: str, *, wholly: bool) -> None:
        """Note it."""
        self.failures.append((device, why, wholly))


class Failing:
    """A codec context that raises at one of its packets."""

    def __init__(self, context: VideoCodecContext, at: int, error: Exception) -> None:
        self._context, self._at, self._error = context, at, error
        self._given = 0

    def decode(self, packet: VideoPacket) -> list[VideoFrame]:
        """Decode, or fail."""
        self._given += 1
        if self._given > self._at:
            raise self._error
        return self._context.decode(packet)

    def flush_buffers(self) -> None:
        """Flush."""
        self._context.flush_buffers()


@dataclass
class Gpu:
    """Makes software decoders that pass for a GPU's."""

    refuses: NoDecoderError | None = None
    fails_at: int | None = None
    error: Exception = field(default_factory=lambda: av.error.ExternalError(1, "the decoder is lost"))
    holds_frames: bool = True
    opened: int = 0

    def open(self, stream: VideoStream, device: str) -> VideoCodecContext:
        """Open a decoder."""
        assert device == GPU
        if self.refuses is not None:
            raise self.refuses
        self.opened += 1
        context = CodecContext.create(stream.codec_context.codec, "r")
        context.extradata = stream.codec_context.extradata
        context.thread_count = 1
        if self.fails_at is not None:
            return cast("VideoCodecContext", Failing(cast("Any", context), self.fails_at, self.error))
        return cast("VideoCodecContext", context)

    def holds(self, _frame: VideoFrame) -> bool:
        """Tell whether its frames are there."""
        return self.holds_frames


@pytest.fixture(params=[("h264", 0), ("h264", 2), ("hevc", 2)], ids=["h264", "B-frames", "hevc"])
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Make a clip of numbered pictures."""
    codec, b_frames = request.param
    return make_clip(
        tmp_path / "clip.mp4",
        codec=codec,
        width=128,
        height=128,
        fps=10,
        seconds=FRAMES / 10,
        gop=GOP,
        b_frames=b_frames,
        counter=True,
    )


def decoded(path: Path, steer: Steer | None, gpu: Gpu | None = None) -> list[tuple[int, int]]:
    """Return the number of each picture, and the order in which its packet came."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        decoder: PacketDecoder[int] = PacketDecoder(stream, steer, gpu)
        for came, packet in enumerate(container.demux(stream)):
            for frame, arrival in decoder.decode(packet, came):
                found.append((read_counter(frame.to_ndarray(format="bgr24")), arrival))
    return found


def test_changes_at_keyframes_lose_nothing(clip: Path) -> None:
    """To and fro between CPU and GPU, every picture comes once, in order, with its own packet's arrival."""
    steer, gpu = Steer([GPU, None, GPU, GPU, None]), Gpu()
    assert decoded(clip, steer, gpu) == decoded(clip, None)
    assert [number for number, _ in decoded(clip, None)] == list(range(FRAMES))
    assert (gpu.opened, steer.asked, steer.failures) == (2, FRAMES // GOP, [])


def test_a_gpu_that_cannot_be_opened_costs_nothing(clip: Path) -> None:
    """The CPU decodes from the first picture on, and the failure is told once."""
    steer = Steer([GPU])
    gpu = Gpu(refuses=NoDecoderError("no libnvcuvid", wholly=True))
    assert decoded(clip, steer, gpu) == decoded(clip, None)
    assert steer.failures == [(GPU, "no libnvcuvid", True)]


def test_a_keyframe_that_fails_is_decoded_on_the_cpu(clip: Path) -> None:
    """A GPU that fails with its first packet costs no picture."""
    steer = Steer([GPU])
    assert decoded(clip, steer, Gpu(fails_at=0)) == decoded(clip, None)
    assert [(device, wholly) for device, _, wholly in steer.failures] == [(GPU, False)]


def test_a_gpu_that_fails_on_the_way_costs_the_rest_of_that_group(clip: Path) -> None:
    """From the next keyframe on all pictures are there again, and none of them is a broken one."""
    steer = Steer([GPU])
    numbers = [number for number, _ in decoded(clip, steer, Gpu(fails_at=GOP + 4))]
    assert numbers == sorted(set(numbers))
    assert set(range(GOP)) - set(numbers) <= {GOP - 1}
    assert set(range(2 * GOP, FRAMES)) <= set(numbers)
    assert len(steer.failures) == 1


def test_a_gpu_that_says_no_to_everything_is_left(tmp_path: Path) -> None:
    """A hundred packets that it calls damaged send the stream to the CPU instead of ending it."""
    path = make_clip(tmp_path / "long.mp4", width=128, height=128, fps=10, seconds=15, gop=GOP, counter=True)
    steer = Steer([GPU])
    gpu = Gpu(fails_at=0, error=av.error.InvalidDataError(1, "damaged"))
    numbers = [number for number, _ in decoded(path, steer, gpu)]
    assert numbers == list(range(100, 150))
    assert steer.failures == [(GPU, "nothing that it is given can be decoded", False)]


def test_a_gpu_that_secretly_decodes_on_the_cpu_is_left(clip: Path) -> None:
    """Its pictures are taken, and from the next keyframe on the CPU's own decoder makes them."""
    steer, gpu = Steer([GPU]), Gpu(holds_frames=False)
    assert decoded(clip, steer, gpu) == decoded(clip, None)
    assert steer.failures == [(GPU, "it does not decode yuv420p", False)]
    assert gpu.opened == 1


def test_keyframes_alone(clip: Path) -> None:
    """A keyframe that is looked at by itself is decoded where the camera is decoded now."""

    def alone(steer: Steer | None, gpu: Gpu | None) -> list[int]:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            decoder: PacketDecoder[int] = PacketDecoder(stream, steer, gpu)
            frames = [decoder.alone(packet) for packet in container.demux(stream) if packet.is_keyframe]
        return [read_counter(frame.to_ndarray(format="bgr24")) for frame in frames if frame is not None]

    gpu = Gpu()
    assert alone(Steer([None, GPU, GPU, None]), gpu) == alone(None, None) == list(range(0, FRAMES, GOP))
    assert gpu.opened == 1


def test_a_recording_starts_over_on_the_gpu(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The end of a recording empties the GPU's decoder too, and the next round begins at its start."""
    gpu = Gpu()
    monkeypatch.setattr("vigil.video.lane.Cuda", lambda: gpu)
    source = StreamSource(CameraConfig(url=str(clip)), lambda _seconds: False, paced=False, gpu=Steer([GPU]))
    source.open()
    try:
        pictures = source.pictures()
        numbers = [read_counter(next(pictures).image.to_bgr()) for _ in range(2 * FRAMES + 5)]
    finally:
        source.close()
    assert numbers == [*range(FRAMES), *range(FRAMES), *range(5)]
    assert gpu.opened == 1


def test_the_governor_decodes_on_the_gpu(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under the governor, too, packets go where the camera is decoded."""
    gpu = Gpu()
    monkeypatch.setattr("vigil.video.lane.Cuda", lambda: gpu)

    class Awake:
        """An attention that never rests, and a log."""

        resting, turn = False, 0.2
        stirring = following = True
        stirs: Callable[..., bool] = staticmethod(lambda _image: True)
        has_room: Callable[..., bool] = staticmethod(lambda: True)
        decoding: Callable[..., None] = staticmethod(lambda _mode: None)
        woke: Callable[..., None] = staticmethod(lambda _cause: None)

    stream = StreamSource(
        CameraConfig(url=str(clip)), lambda _seconds: False, paced=False, looped=False, gpu=Steer([GPU])
    )
    source = GovernedSource(stream, Awake(), Awake(), lambda _seconds: False, recorded=True)
    source.open()
    try:
        shown = [item for item in source.pictures() if isinstance(item, Picture)]
    finally:
        source.close()
    assert [read_counter(item.image.to_bgr()) for item in shown] == list(range(FRAMES))
    assert gpu.opened == 1


def test_nvdec_is_opened_or_refused(clip: Path) -> None:
    """FFmpeg's own device: a machine without one says that it cannot be opened, and for every stream."""
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        if visible({}):
            assert Cuda().open(stream, GPU).is_hwaccel
        else:
            with pytest.raises(NoDecoderError, match="FFmpeg cannot open it") as refusal:
                Cuda().open(stream, GPU)
            assert refusal.value.wholly


def test_a_codec_that_nvdec_does_not_know(tmp_path: Path) -> None:
    """The refusal names the codec and is about this stream alone; nothing is asked of the driver for it."""
    path = tmp_path / "lossless.mkv"
    with av.open(str(path), "w") as container:
        out = container.add_stream("ffv1", rate=10)
        out.width = out.height = 64
        for _ in range(2):
            container.mux(out.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(out.encode(None))
    with av.open(str(path)) as container, pytest.raises(NoDecoderError, match="none for ffv1") as refusal:
        Cuda().open(container.streams.video[0], GPU)
    assert not refusal.value.wholly


def test_without_a_gpu_nothing_is_asked() -> None:
    """A stream without a GPU changes over nowhere, whatever its packets are."""
    lane = Lane(cast("VideoStream", None))
    assert not lane.turns_at(cast("VideoPacket", None))
