"""The fault laboratory over real sockets, seen by FFmpeg (through PyAV) and by a client of its own."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest

from vigil.bench.clips import CounterUnreadableError, make_clip, read_counter
from vigil.bench.rtsp import Credentials, Fault, FaultKind, Lab, RtspLab, RtspLabProcess
from vigil.bench.rtsp.client import RtspClient

FRAMES = 20
FPS = 100
PATIENCE = 10.0
LOST = -1


@dataclass(frozen=True, slots=True)
class Sight:
    """What FFmpeg made of a stream: numbers of frames (`LOST` if unreadable) and their widths."""

    codec: str
    numbers: list[int]
    widths: list[int]

    @property
    def unbroken(self) -> bool:
        """Whether each frame is the one after the last, in the clip's endless loop."""
        return all(b == (a + 1) % FRAMES for a, b in pairwise(self.numbers))


def look(url: str, count: int, transport: str = "tcp", patience: float = 5.0) -> Sight:
    """Decode `count` frames with FFmpeg; fewer if the stream ends."""
    options = {"rtsp_transport": transport, "analyzeduration": "0", "fpsprobesize": "0"}
    numbers, widths = [], []
    with av.open(url, options=options, timeout=patience) as container:
        for frame in container.decode(video=0):
            try:
                numbers.append(read_counter(frame.to_ndarray(format="bgr24")))
            except CounterUnreadableError:
                numbers.append(LOST)
            widths.append(frame.width)
            if len(numbers) == count:
                break
        return Sight(container.streams.video[0].codec_context.name, numbers, widths)


async def watch(url: str, count: int = 30, transport: str = "tcp", patience: float = 5.0) -> Sight:
    """Do the same beside the event loop, and never for longer than the patience of a test."""
    async with asyncio.timeout(PATIENCE):
        return await asyncio.to_thread(look, url, count, transport, patience)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for a condition, for a bounded time."""
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where this module's clips are made."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    """Return twenty numbered frames of H.264, a keyframe every ten."""
    return make_clip(folder / "clip.mp4", width=160, height=128, seconds=0.8, gop=10, counter=True)


@pytest.fixture
async def lab() -> AsyncIterator[RtspLab]:
    """Return a lab in this process."""
    async with RtspLab() as running:
        yield running


@pytest.fixture
async def url(lab: RtspLab, clip: Path) -> str:
    """Return the URL of `/cam`, 100 frames a second."""
    return await lab.add("/cam", clip, fps=FPS)


class TestServing:
    """A camera without faults."""

    @pytest.mark.parametrize("transport", ["tcp", "udp"])
    @pytest.mark.parametrize("codec", ["h264", "hevc", "mjpeg"])
    async def test_ffmpeg_sees_every_frame(
        self, lab: RtspLab, folder: Path, codec: Any, transport: str
    ) -> None:
        """Two rounds of the clip come out of the decoder complete, in order, from the first frame on."""
        path = make_clip(
            folder / f"{codec}.mkv", codec=codec, width=320, height=256, seconds=0.8, gop=10, counter=True
        )
        sight = await watch(await lab.add("/cam", path, fps=FPS), 2 * FRAMES, transport)
        assert sight.codec == codec
        assert sight.numbers[0] == 0
        assert sight.unbroken

    async def test_b_frames_come_out_in_order(self, lab: RtspLab, folder: Path) -> None:
        """Decoding order on the wire becomes display order in the decoder."""
        path = make_clip(folder / "b.mp4", seconds=0.8, b_frames=2, counter=True)
        assert (await watch(await lab.add("/cam", path, fps=FPS))).unbroken

    @pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
    async def test_ffprobe_reads_the_description(self, url: str) -> None:
        """Another build of FFmpeg finds codec, size and profile."""
        command = ["ffprobe", "-v", "error", "-rtsp_transport", "tcp", "-of", "csv=p=0"]
        command += ["-show_entries", "stream=codec_name,width,height", url]
        probe = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        assert probe.stdout.split() == ["h264,160,128"]

    async def test_transport_that_is_not_offered_is_461(self, lab: RtspLab, clip: Path) -> None:
        """A path that serves TCP only says so to a client that wants UDP."""
        async with RtspClient(await lab.add("/cam", clip, transports=("tcp",))) as client:
            assert (await client.set_up("RTP/AVP;unicast;client_port=5000-5001")).status == 461
            assert (await client.set_up()).status == 200

    async def test_clients_of_a_live_path_get_the_same_bytes(self, lab: RtspLab, clip: Path) -> None:
        """Two clients of one live path share sequence numbers, timestamps and payloads."""
        url = await lab.add("/cam", clip, fps=FPS, start="live")
        async with RtspClient(url) as first, RtspClient(url) as second, asyncio.timeout(PATIENCE):
            await first.play()
            await second.play()
            ours = {packet.sequence: packet.data for _ in range(30) for packet in await first.next_unit()}
            theirs = {packet.sequence: packet.data for _ in range(30) for packet in await second.next_unit()}
        shared = ours.keys() & theirs.keys()
        assert len(shared) > 10
        assert all(ours[number] == theirs[number] for number in shared)

    async def test_gop_cache_starts_ffmpeg_at_a_keyframe(self, lab: RtspLab, clip: Path) -> None:
        """A live path with the cache is decodable from its first packet."""
        url = await lab.add("/cam", clip, fps=FPS, start="live", gop_cache=True)
        sight = await watch(url)
        assert sight.numbers[0] in (0, 10)
        assert sight.unbroken

    async def test_pause_stops_packets_and_play_goes_on(self, lab: RtspLab, url: str) -> None:
        """A paused client is counted out and gets nothing; PLAY continues the row of numbers."""
        async with RtspClient(url) as client, asyncio.timeout(PATIENCE):
            await client.play()
            await client.next_unit()
            assert await lab.clients("/cam") == 1
            assert (await client.ask("PAUSE")).status == 200
            assert await lab.clients("/cam") == 0
            answer = await client.ask("PLAY")
            first = (await client.next_unit())[0]
        assert f"seq={first.sequence};rtptime={first.timestamp}" in answer.headers["rtp-info"]

    async def test_clients_and_connections_are_counted(self, lab: RtspLab, url: str) -> None:
        """A client counts while it plays, its connection for ever; its timeline goes with it."""
        async with RtspClient(url) as client:
            await client.ask("DESCRIBE")
            assert (await lab.clients("/cam"), await lab.connections_total("/cam")) == (0, 1)
            await client.play()
            assert await lab.clients("/cam") == 1
            assert (await client.ask("TEARDOWN")).status == 200
            assert (await lab.clients("/cam"), await lab.connections_total("/cam")) == (0, 1)
            assert not lab._site.streams["/cam"]._feeds

    async def test_silent_session_times_out(self, lab: RtspLab, clip: Path) -> None:
        """A client that neither asks nor reports is closed after the session's timeout."""
        url = await lab.add("/cam", clip, session_timeout=0.3)
        async with RtspClient(url) as client, asyncio.timeout(PATIENCE):
            assert "timeout=0.3" in (await client.set_up()).headers["session"]
            assert await client.reader.read() == b""

    async def test_keep_alive_holds_the_session(self, lab: RtspLab, clip: Path) -> None:
        """GET_PARAMETER within the timeout keeps it."""
        url = await lab.add("/cam", clip, session_timeout=1.0)
        async with RtspClient(url) as client:
            await client.set_up()
            for _ in range(4):
                await asyncio.sleep(0.4)
                assert (await client.ask("GET_PARAMETER")).status == 200

    async def test_slow_client_hurts_nobody(self, lab: RtspLab, folder: Path) -> None:
        """While one client reads nothing and loses pictures, another gets all of them."""
        path = make_clip(folder / "noise.mp4", width=640, height=480, seconds=0.8, picture="noise", gop=5)
        url = await lab.add("/cam", path, fps=50)
        async with RtspClient(url) as stuck, RtspClient(url) as healthy, asyncio.timeout(PATIENCE):
            await stuck.play()
            stuck.writer.transport.pause_reading()  # type: ignore[attr-defined] # a socket's transport can read
            await healthy.play()
            numbers = []
            while (await lab.stats()).units_dropped < 5:
                numbers += [packet.sequence for packet in await healthy.next_unit()]
        assert {(b - a) % 65536 for a, b in pairwise(numbers)} == {1}

    async def test_removed_path_is_gone(self, lab: RtspLab, url: str) -> None:
        """Its client is closed and the next one is told that there is none."""
        async with RtspClient(url) as client, asyncio.timeout(PATIENCE):
            await client.play()
            await lab.remove("/cam")
            await client.reader.read()
        with pytest.raises(av.HTTPNotFoundError):
            await watch(url)


class TestRtspFaults:
    """Faults of the handshake and of the server's answers."""

    @pytest.mark.parametrize(
        ("kind", "error"),
        [
            (FaultKind.UNAUTHORIZED, av.HTTPUnauthorizedError),
            (FaultKind.FORBIDDEN, av.HTTPForbiddenError),
            (FaultKind.NOT_FOUND, av.HTTPNotFoundError),
            (FaultKind.UNAVAILABLE, av.HTTPServerError),
            (FaultKind.SESSION_NOT_FOUND, av.HTTPOtherClientError),
        ],
    )
    async def test_status_reaches_ffmpeg_until_it_is_cleared(
        self, lab: RtspLab, url: str, kind: FaultKind, error: type[Exception]
    ) -> None:
        """Each status is an exception of its own in PyAV, and gone once the fault is."""
        await lab.fault("/cam", Fault(kind))
        with pytest.raises(error):
            await watch(url)
        await lab.clear("/cam")
        assert (await watch(url, 3)).unbroken

    async def test_session_not_found_meets_a_present_client(self, lab: RtspLab, url: str) -> None:
        """A playing client's next keep-alive is answered 454."""
        async with RtspClient(url) as client, asyncio.timeout(PATIENCE):
            await client.play()
            await lab.fault("/cam", Fault(FaultKind.SESSION_NOT_FOUND))
            assert (await client.ask("GET_PARAMETER")).status == 454

    async def test_refuse_closes_the_port_and_clear_opens_it(self, lab: RtspLab, clip: Path) -> None:
        """Present clients are reset, new ones refused, and later the same URL works again."""
        url = await lab.add("/own", clip, fps=FPS, own_port=True)
        async with RtspClient(url) as client, asyncio.timeout(PATIENCE):
            await client.play()
            await lab.fault("/own", Fault(FaultKind.REFUSE))
            with pytest.raises(ConnectionResetError):
                await client.reader.read()
        with pytest.raises(av.ConnectionRefusedError):
            await watch(url)
        await lab.clear("/own")
        assert (await watch(url, 3)).unbroken

    async def test_shared_port_cannot_refuse(self, lab: RtspLab, url: str) -> None:
        """A fault that would take other paths away is refused itself."""
        del url
        with pytest.raises(ValueError, match="own_port"):
            await lab.fault("/cam", Fault(FaultKind.REFUSE))

    async def test_silent_server_runs_ffmpeg_into_its_timeout(self, lab: RtspLab, url: str) -> None:
        """The connection is accepted and counted, and no answer comes."""
        await lab.fault("/cam", Fault(FaultKind.SILENT))
        with pytest.raises(av.FFmpegError):
            await watch(url, patience=0.3)

    async def test_slow_loris_drips_the_answer(self, lab: RtspLab, url: str) -> None:
        """An answer takes its length times the pause, and arrives whole."""
        await lab.fault("/cam", Fault(FaultKind.SLOW_LORIS, seconds=0.002))
        async with RtspClient(url) as client, asyncio.timeout(PATIENCE):
            before = time.monotonic()
            answer = await client.ask("DESCRIBE")
        assert time.monotonic() - before > 0.002 * len(answer.body)
        assert answer.body.endswith(b"a=control:trackID=0\r\n")

    async def test_redirect_loop_leads_nowhere(self, lab: RtspLab, url: str) -> None:
        """FFmpeg follows for as long as it is let, over connection after connection."""
        await lab.fault("/cam", Fault(FaultKind.REDIRECT_LOOP))
        with pytest.raises(av.FFmpegError):
            await watch(url, patience=0.5)
        assert await lab.connections_total("/cam") > 2

    async def test_wrong_content_length_promises_too_much(self, lab: RtspLab, url: str) -> None:
        """The header says twice what is sent."""
        await lab.fault("/cam", Fault(FaultKind.WRONG_CONTENT_LENGTH))
        async with RtspClient(url) as client:
            client.send("DESCRIBE")
            async with asyncio.timeout(PATIENCE):
                head = await client.reader.readuntil(b"\r\n\r\n")
                body = await client.reader.readuntil(b"a=control:trackID=0\r\n")
        assert f"Content-Length: {2 * len(body)}\r\n".encode() in head

    @pytest.mark.parametrize("scheme", ["basic", "digest"])
    async def test_ffmpeg_authenticates(self, lab: RtspLab, clip: Path, scheme: Any) -> None:
        """With the right password the stream plays; with a wrong one it is 401."""
        url = await lab.add("/cam", clip, fps=FPS, auth=Credentials("viewer", "secret", scheme))
        assert (await watch(url.replace("//", "//viewer:secret@"), 3)).unbroken
        with pytest.raises(av.HTTPUnauthorizedError):
            await watch(url.replace("//", "//viewer:wrong@"), 3)

    async def test_ffmpeg_answers_a_stale_nonce(self, lab: RtspLab, clip: Path) -> None:
        """Each nonce is good once, and a client that minds `stale=true` plays nonetheless."""
        url = await lab.add("/cam", clip, fps=FPS, auth=Credentials("viewer", "secret"))
        await lab.fault("/cam", Fault(FaultKind.STALE_NONCE))
        assert (await watch(url.replace("//", "//viewer:secret@"), 3)).unbroken


class TestStreamFaults:
    """Faults of a stream that flows, switched while a client is connected."""

    async def test_stall_keeps_the_connection_and_clear_goes_on(self, lab: RtspLab, url: str) -> None:
        """No packet comes, requests are answered, and then packets come again."""
        async with RtspClient(url) as client, asyncio.timeout(PATIENCE):
            await client.play()
            await client.next_unit()
            await lab.fault("/cam", Fault(FaultKind.STALL))
            assert (await client.ask("GET_PARAMETER")).status == 200
            assert await _is_quiet(client, seconds=0.2)
            await lab.clear("/cam")
            await client.next_unit()

    async def test_cut_resets_in_the_middle_of_a_packet(self, lab: RtspLab, url: str) -> None:
        """The connection does not end in good order, and the lab forgets the client."""
        async with RtspClient(url) as client, asyncio.timeout(PATIENCE):
            await client.play()
            await client.next_unit()
            await lab.fault("/cam", Fault(FaultKind.CUT))
            with pytest.raises(ConnectionResetError):
                await client.reader.read()
        await until(lambda: _is_zero(lab.clients("/cam")))

    async def test_hang_up_ends_ffmpegs_stream(self, lab: RtspLab, url: str) -> None:
        """A present client's stream ends in good order."""
        watching = asyncio.create_task(watch(url, 10_000), name="watch")
        await until(lambda: _is_one(lab.clients("/cam")))
        await lab.hang_up("/cam")
        assert (await watching).unbroken

    @pytest.mark.parametrize("transport", ["tcp", "udp"])
    async def test_loss_shows_as_damaged_pictures(self, lab: RtspLab, url: str, transport: str) -> None:
        """Frames are missing or unreadable on both transports."""
        await lab.fault("/cam", Fault(FaultKind.LOSS, rate=0.3))
        assert not (await watch(url, 40, transport)).unbroken

    @pytest.mark.parametrize(
        "fault", [Fault(FaultKind.GARBAGE, rate=0.5), Fault(FaultKind.BIT_ERRORS, rate=0.01)]
    )
    async def test_damage_breaks_pictures_and_not_the_stream(
        self, lab: RtspLab, url: str, fault: Fault
    ) -> None:
        """Access units keep coming in an unbroken row of packets, and their payload is not the clip's."""
        async with RtspClient(url) as client, asyncio.timeout(PATIENCE):
            await client.play()
            clean = {packet.payload for _ in range(FRAMES) for packet in await client.next_unit()}
            await lab.fault("/cam", fault)
            packets = [packet for _ in range(2 * FRAMES) for packet in await client.next_unit()]
        assert {(b.sequence - a.sequence) % 65536 for a, b in pairwise(packets)} == {1}
        assert sum(packet.payload not in clean for packet in packets) >= 5

    async def test_lost_parameter_sets_leave_ffmpeg_without_a_picture(self, lab: RtspLab, url: str) -> None:
        """Neither SDP nor stream tells the size, so nothing can be decoded."""
        await lab.fault("/cam", Fault(FaultKind.NO_PARAMETER_SETS))
        with pytest.raises(av.FFmpegError):
            await watch(url, 1, patience=0.5)

    async def test_sdp_alone_is_enough(self, lab: RtspLab, clip: Path) -> None:
        """Without parameter sets in band a client lives on those of the SDP."""
        url = await lab.add("/cam", clip, fps=FPS, in_band=False)
        assert (await watch(url, 3)).unbroken

    async def test_resolution_switches_in_mid_stream(self, lab: RtspLab, folder: Path, url: str) -> None:
        """One FFmpeg session sees frames of both sizes."""
        other = make_clip(folder / "small.mp4", width=96, height=64, seconds=0.4)
        watching = asyncio.create_task(watch(url, 150), name="watch")
        await until(lambda: _is_one(lab.clients("/cam")))
        await asyncio.sleep(0.3)
        await lab.fault("/cam", Fault(FaultKind.RESOLUTION_SWITCH, clip=other))
        assert {160, 96} == set((await watching).widths)

    async def test_codec_switches_at_reconnect(self, lab: RtspLab, folder: Path, url: str) -> None:
        """The present client's stream ends and the next has the other codec; so it is when it is cleared."""
        other = make_clip(folder / "other.mkv", codec="mjpeg", width=96, height=64, seconds=0.4)
        watching = asyncio.create_task(watch(url, 10_000), name="watch")
        await until(lambda: _is_one(lab.clients("/cam")))
        await lab.fault("/cam", Fault(FaultKind.CODEC_SWITCH, clip=other))
        assert (await watching).codec == "h264"
        watching = asyncio.create_task(watch(url, 10_000), name="watch again")
        await until(lambda: _is_one(lab.clients("/cam")))
        await lab.clear("/cam")
        assert (await watching).codec == "mjpeg"
        assert (await watch(url, 3)).codec == "h264"

    async def test_resolution_switch_refuses_another_codec(
        self, lab: RtspLab, folder: Path, url: str
    ) -> None:
        """A session's codec cannot change under it."""
        del url
        other = make_clip(folder / "refused.mkv", codec="mjpeg", seconds=0.04)
        with pytest.raises(ValueError, match="mjpeg"):
            await lab.fault("/cam", Fault(FaultKind.RESOLUTION_SWITCH, clip=other))

    async def test_freeze_shows_one_picture(self, lab: RtspLab, url: str) -> None:
        """Frames keep coming and all carry the same number."""
        await lab.fault("/cam", Fault(FaultKind.FREEZE))
        assert (await watch(url, 20)).numbers == [0] * 20

    async def test_black_picture_has_the_same_size(self, lab: RtspLab, url: str) -> None:
        """Frames keep coming at the camera's size and nothing is seen on them."""
        await lab.fault("/cam", Fault(FaultKind.BLACK))
        sight = await watch(url, 10)
        assert (set(sight.numbers), set(sight.widths)) == ({LOST}, {160})

    @pytest.mark.parametrize(
        "fault",
        [Fault(FaultKind.TIMESTAMP_WRAP, seconds=0.1), Fault(FaultKind.TIMESTAMP_JUMP, seconds=-100)],
    )
    async def test_odd_clocks_lose_no_frame(self, lab: RtspLab, url: str, fault: Fault) -> None:
        """FFmpeg decodes every picture whatever its timestamp."""
        await lab.fault("/cam", fault)
        assert (await watch(url)).unbroken

    async def test_burst_delivers_in_lumps(self, lab: RtspLab, url: str) -> None:
        """Frames arrive together, with pauses between."""
        async with RtspClient(url) as client, asyncio.timeout(PATIENCE):
            await lab.fault("/cam", Fault(FaultKind.BURST, seconds=0.5))
            await client.play()
            times = []
            for _ in range(120):
                await client.next_unit()
                times.append(time.monotonic())
        assert max(b - a for a, b in pairwise(times)) > 0.2


class TestProcess:
    """A lab in a process of its own."""

    async def test_lab_in_a_process_obeys_the_same_orders(self, clip: Path) -> None:
        """Paths, faults, counts, errors and figures cross the control connection."""
        lab: Lab
        async with RtspLabProcess() as lab:
            url = await lab.add("/cam", clip, fps=FPS, auth=Credentials("viewer", "secret", "basic"))
            assert (await watch(url.replace("//", "//viewer:secret@"), 3)).unbroken
            await lab.fault("/cam", Fault(FaultKind.NOT_FOUND))
            with pytest.raises(av.HTTPNotFoundError):
                await watch(url)
            with pytest.raises(ValueError, match="taken"):
                await lab.add("/cam", clip)
            assert await lab.connections_total("/cam") == 2
            stats = await lab.stats()
            assert stats.units_sent >= 3
            assert stats.cpu_seconds > 0


async def _is_quiet(client: RtspClient, seconds: float) -> bool:
    """Tell whether no packet comes within some seconds."""
    try:
        async with asyncio.timeout(seconds):
            await client.next_packet()
    except TimeoutError:
        return True
    return False


async def _is_zero(count: Awaitable[int]) -> bool:
    return await count == 0


async def _is_one(count: Awaitable[int]) -> bool:
    return await count == 1
