"""The fault laboratory's parts: packets, faults and timelines, without a socket and in virtual time."""

import asyncio
import base64
import hashlib
import struct
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.bench.clips import CounterUnreadableError, make_clip, read_counter
from vigil.bench.rtsp import Credentials, Fault, FaultKind
from vigil.bench.rtsp.auth import Authenticator, Verdict
from vigil.bench.rtsp.bitstream import Codec, split_nal_units
from vigil.bench.rtsp.damage import damage
from vigil.bench.rtsp.delivery import BACKLOG_LIMIT, Interleaved, Meter
from vigil.bench.rtsp.faults import Faults
from vigil.bench.rtsp.feed import Feed, FeedOptions
from vigil.bench.rtsp.jpeg import UnsupportedJpegError, parse_jpeg
from vigil.bench.rtsp.media import Media, load_media
from vigil.bench.rtsp.message import Request
from vigil.bench.rtsp.rtp import (
    CLOCK_RATE,
    HEADER,
    Packets,
    make_template,
    payloads,
    sender_report,
    stamp,
)
from vigil.bench.rtsp.sdp import describe

FPS, GOP, FRAMES = 25, 10, 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where this module's clips are made."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def clip(folder: Path) -> Path:
    """Return twenty numbered H.264 frames with a keyframe at 0 and at 10, and B-frames between."""
    return make_clip(
        folder / "clip.mp4", width=160, height=128, seconds=0.8, gop=GOP, b_frames=2, counter=True
    )


@pytest.fixture(scope="module")
def media(clip: Path) -> Media:
    """Return the clip, cut into packets."""
    return load_media(clip)


class TestClips:
    """What make_clip encodes can be read back."""

    @pytest.mark.parametrize("codec", ["h264", "hevc", "mjpeg"])
    @pytest.mark.parametrize("size", [(160, 128), (90, 70)])
    def test_counter_survives_coding_and_scaling(
        self, folder: Path, codec: Any, size: tuple[int, int]
    ) -> None:
        """Every decoded frame tells its number, in BGR at full size and in luma at another."""
        path = make_clip(
            folder / f"{codec}.mkv", codec=codec, width=160, height=128, seconds=0.2, counter=True
        )
        with av.open(str(path)) as container:
            frames = list(container.decode(video=0))
        luma = [frame.reformat(*size, format="gray").to_ndarray() for frame in frames]
        assert [read_counter(picture) for picture in luma] == [0, 1, 2, 3, 4]
        assert [read_counter(frame.to_ndarray(format="bgr24")) for frame in frames] == [0, 1, 2, 3, 4]

    def test_picture_without_counter_is_told(self, folder: Path) -> None:
        """A picture that carries no counter raises instead of giving a number."""
        path = make_clip(folder / "black.mp4", seconds=0.1, picture="black")
        with av.open(str(path)) as container:
            frame = next(container.decode(video=0))
        with pytest.raises(CounterUnreadableError):
            read_counter(frame.to_ndarray(format="bgr24"))

    def test_bitrate_is_constant_when_asked_for(self, folder: Path) -> None:
        """A still picture at a constant rate fills that rate; at constant quality it does not."""
        free = make_clip(folder / "vbr.mp4", seconds=2, picture="still")
        filled = make_clip(folder / "cbr.mp4", seconds=2, picture="still", bitrate=800_000)
        assert filled.stat().st_size == pytest.approx(200_000, rel=0.25)
        assert free.stat().st_size < 100_000


class TestPackets:
    """RTP payloads, headers and numbers."""

    @given(size=st.integers(1, 400), codec=st.sampled_from([Codec.H264, Codec.HEVC]))
    @settings(max_examples=50)
    def test_fragments_rebuild_the_nal_unit(self, size: int, codec: Codec) -> None:
        """A NAL unit comes out of its payloads as the RFCs put it together, and none is too long."""
        unit = (b"\x65" if codec is Codec.H264 else b"\x26\x01") + bytes(
            number % 251 for number in range(size)
        )
        parts = payloads(codec, unit, size=50)
        assert max(map(len, parts)) <= 50
        assert _reassemble(codec, parts) == unit

    def test_start_codes_of_both_lengths_part_nal_units(self) -> None:
        """Three- and four-byte start codes and trailing zeros are no part of a unit."""
        assert split_nal_units(b"\0\0\0\1\x67ab\0\0\1\x68c\0\0\0\1\x65de\0") == [
            b"\x67ab",
            b"\x68c",
            b"\x65de",
        ]

    def test_stamp_numbers_packets_over_the_wrap(self) -> None:
        """Sequence numbers and timestamps wrap in their fields, and only the last packet has the marker."""
        packets = stamp(make_template(96, [b"ab", b"c"]), 65535, 2**32 + 7, 0xCAFE, keyframe=True)
        headers = [struct.unpack_from(">BBHII", packets.data, offset + 4) for offset in packets.offsets]
        assert headers == [(0x80, 96, 65535, 7, 0xCAFE), (0x80, 0x80 | 96, 0, 7, 0xCAFE)]

    def test_channel_is_written_into_a_copy(self) -> None:
        """A client on channels 2-3 does not change the bytes that others get."""
        packets = stamp(make_template(96, [b"ab", b"c"]), 0, 0, 0, keyframe=True)
        moved = packets.on_channel(2)
        assert [moved[offset + 1] for offset in packets.offsets] == [2, 2]
        assert [packets.data[offset + 1] for offset in packets.offsets] == [0, 0]

    def test_sender_report_maps_unix_time_to_ntp(self) -> None:
        """Half a second is half of the 32-bit fraction, and the epoch is that of 1900."""
        fields = struct.unpack_from(">BBHIIIIII", sender_report(1, 1000.5, 2**32 + 9, 3, 4))
        assert fields == (0x80, 200, 6, 1, 2_208_989_800, 2**31, 9, 3, 4)

    def test_jpeg_payloads_carry_tables_first_and_offsets_after(self, folder: Path) -> None:
        """The first payload of a picture has both quantisation tables; the scans follow one another."""
        path = make_clip(folder / "jpeg.mkv", codec="mjpeg", seconds=0.04)
        with av.open(str(path)) as container:
            data = bytes(next(container.demux(video=0)))
        first, *rest = payloads(Codec.MJPEG, data)
        picture = parse_jpeg(data)
        assert struct.unpack_from(">IBBBBHH", first) == (0, 1, 255, 320 // 8, 240 // 8, 0, 128)
        assert first[140:] + b"".join(part[8:] for part in rest) == picture.scan
        assert struct.unpack_from(">I", rest[0])[0] == len(first) - 140

    def test_progressive_jpeg_is_refused(self) -> None:
        """A JPEG without a baseline frame is not sent as something else."""
        with pytest.raises(UnsupportedJpegError):
            parse_jpeg(b"\xff\xd8\xff\xc2\x00\x02")


class TestMedia:
    """Clips in memory."""

    def test_pictures_are_never_sent_before_their_time(self, media: Media) -> None:
        """With B-frames too, a picture's timestamp lies at or before the moment that it is sent."""
        assert max(unit.composition for unit in media.units) == 0
        assert min(unit.composition for unit in media.units) < 0

    def test_loop_lasts_as_long_as_its_frames(self, media: Media) -> None:
        """The last frame has a duration too, so that the loop has no seam."""
        assert sum(unit.duration for unit in media.units) == FRAMES * CLOCK_RATE // FPS

    def test_speed_can_be_changed(self, clip: Path) -> None:
        """With `fps` the same pictures come at that rate."""
        fast = load_media(clip, 100)
        assert fast.fps == 100
        assert {unit.duration for unit in fast.units} == {CLOCK_RATE // 100}

    def test_parameter_sets_stand_before_keyframes_only(self, media: Media) -> None:
        """The announced form of a keyframe has the sets as packets in front; others are the same in both."""
        for unit in media.units:
            extra = len(unit.announced.offsets) - len(unit.bare.offsets)
            assert extra == (len(media.parameter_sets) if unit.keyframe else 0)

    def test_sdp_carries_parameter_sets_unless_they_are_lost(self, media: Media) -> None:
        """`sprop-parameter-sets` are the clip's own, and nowhere when the fault takes them."""
        sets = ",".join(base64.b64encode(unit).decode() for unit in media.parameter_sets)
        assert f"sprop-parameter-sets={sets}\r\n".encode() in describe(media, "h", parameter_sets=True)
        assert b"sprop" not in describe(media, "h", parameter_sets=False)


class TestDamage:
    """Faults that change packets do so repeatably, and no more than they say."""

    @staticmethod
    def _packets() -> Packets:
        return stamp(make_template(96, [b"\x7c\x85" + bytes(1000)] * 100), 0, 0, 0, keyframe=True)

    def _damaged(self, fault: Fault) -> Packets:
        faults = Faults()
        faults.switch_on(fault)
        return damage(self._packets(), Codec.H264, faults)

    def test_loss_leaves_gaps_in_sequence_numbers(self) -> None:
        """Lost packets take their numbers with them, and the rest stays whole."""
        left = self._damaged(Fault(FaultKind.LOSS, rate=0.3))
        numbers = [int.from_bytes(left.data[offset + 6 : offset + 8]) for offset in left.offsets]
        assert 50 < len(numbers) < 90
        assert numbers == sorted(set(numbers))
        assert len(left.data) == len(numbers) * (HEADER + 1002)

    def test_bits_flip_at_the_rate(self) -> None:
        """Out of 800,000 bits about one in a thousand flips, none of them in a header."""
        damaged = self._damaged(Fault(FaultKind.BIT_ERRORS, rate=1e-3)).data
        flipped = [a ^ b for a, b in zip(damaged, self._packets().data, strict=True)]
        assert sum(bits.bit_count() for bits in flipped) == pytest.approx(800, rel=0.2)
        assert not any(any(flipped[offset : offset + HEADER + 2]) for offset in self._packets().offsets)

    def test_garbage_keeps_the_payload_header(self) -> None:
        """The depacketiser still finds its fragments; what they hold is noise."""
        damaged = self._damaged(Fault(FaultKind.GARBAGE))
        first = damaged.data[damaged.offsets[0] + HEADER : damaged.offsets[1]]
        assert first[:2] == b"\x7c\x85"
        assert first[2:].count(0) < 50

    @pytest.mark.parametrize("kind", [FaultKind.LOSS, FaultKind.BIT_ERRORS, FaultKind.GARBAGE])
    def test_same_seed_does_the_same_damage(self, kind: FaultKind) -> None:
        """Two runs with one seed agree to the bit; another seed does not."""
        rate = 1e-3 if kind is FaultKind.BIT_ERRORS else 0.5
        first, again, other = (self._damaged(Fault(kind, rate=rate, seed=seed)).data for seed in (1, 1, 4))
        assert first == again
        assert first != other

    def test_clip_is_asked_for_where_it_is_needed(self) -> None:
        """A switch without a clip, and a clip without a switch, are refused at once."""
        with pytest.raises(ValueError, match="needed"):
            Fault(FaultKind.RESOLUTION_SWITCH)
        with pytest.raises(ValueError, match="no use"):
            Fault(FaultKind.STALL, clip=Path("clip.mp4"))


class TestAuthentication:
    """The server's side of basic and digest."""

    @staticmethod
    def _digest(authenticator: Authenticator, password: str, nonce: str | None = None) -> Request:
        nonce = nonce or authenticator.challenge().split('nonce="')[1].partition('"')[0]
        identity, action = (
            hashlib.md5(text.encode()).hexdigest()  # noqa: S324 -- RFC 2617 prescribes it
            for text in (f"viewer:camera:{password}", "PLAY:rtsp://h/cam")
        )
        response = hashlib.md5(f"{identity}:{nonce}:{action}".encode()).hexdigest()  # noqa: S324 -- likewise
        fields = f'username="viewer", nonce="{nonce}", uri="rtsp://h/cam", response="{response}"'
        return Request("PLAY", "rtsp://h/cam", {"authorization": f"Digest {fields}"})

    def test_digest_accepts_only_the_right_password(self) -> None:
        """The right password passes, a wrong one and none at all do not."""
        authenticator = Authenticator(Credentials("viewer", "right"))
        right, wrong = (self._digest(authenticator, password) for password in ("right", "wrong"))
        nothing = Request("PLAY", "rtsp://h/cam", {})
        verdicts = [authenticator.check(request, once=False) for request in (right, wrong, nothing)]
        assert verdicts == [Verdict.ACCEPTED, Verdict.DENIED, Verdict.DENIED]

    def test_used_nonce_goes_stale(self) -> None:
        """With `once` the second request with a nonce is stale although its digest is right."""
        authenticator = Authenticator(Credentials("viewer", "right"))
        request = self._digest(authenticator, "right")
        assert authenticator.check(request, once=True) is Verdict.ACCEPTED
        assert authenticator.check(request, once=True) is Verdict.STALE

    def test_basic_compares_user_and_password(self) -> None:
        """Basic takes the very pair that was configured."""
        authenticator = Authenticator(Credentials("viewer", "a:b", "basic"))
        for secret, verdict in (("viewer:a:b", Verdict.ACCEPTED), ("viewer:a", Verdict.DENIED)):
            value = base64.b64encode(secret.encode()).decode()
            request = Request("PLAY", "rtsp://h/cam", {"authorization": f"Basic {value}"})
            assert authenticator.check(request, once=False) is verdict

    @pytest.mark.parametrize(
        ("url", "path"),
        [("rtsp://h:1/a/b", "/a/b"), ("rtsp://h/a/trackID=0", "/a"), ("rtsp://h/a/?x=1", "/a"), ("*", "/")],
    )
    def test_path_is_found_in_every_form_of_url(self, url: str, path: str) -> None:
        """The track, a query and a trailing slash are no part of the path."""
        assert Request("SETUP", url, {}).path == path


class FakeReceiver:
    """Keeps what a feed sends, with the (virtual) time of each access unit."""

    def __init__(self) -> None:
        self.units: list[Packets] = []
        self.times: list[float] = []
        self.reports: list[bytes] = []
        self.cuts = 0
        self.hang_ups = 0

    def send(self, packets: Packets) -> None:
        """Keep an access unit."""
        self.units.append(packets)
        self.times.append(asyncio.get_running_loop().time())

    def report(self, report: bytes) -> None:
        """Keep a sender report."""
        self.reports.append(report)

    def cut(self, packets: Packets) -> None:
        """Count; what was sent before is of no interest."""
        del packets
        self.cuts += 1

    def hang_up(self) -> None:
        """Count."""
        self.hang_ups += 1

    @property
    def timestamps(self) -> list[int]:
        """The RTP timestamps, in the order of sending."""
        return [packets.first_stamp()[1] for packets in self.units]


@pytest.mark.looptime
class TestFeed:
    """A timeline in virtual time."""

    @staticmethod
    async def _play(
        media: Media, seconds: float, *faults: Fault, gop_cache: bool = False, late: float = 0.0
    ) -> FakeReceiver:
        """Run a feed for `late + seconds` and return what a client got that joined after `late`."""
        active = Faults()
        for fault in faults:
            active.switch_on(fault)
        feed = Feed(media, FeedOptions(True, gop_cache, 5.0), active, Meter())
        receiver = FakeReceiver()
        feed.start()
        await asyncio.sleep(late)
        feed.join(receiver)
        await asyncio.sleep(seconds)
        feed.stop()
        return receiver

    async def test_timestamps_and_numbers_run_on_over_the_loop(self, media: Media) -> None:
        """Three rounds of the clip give one unbroken row of 40 ms steps and sequence numbers."""
        receiver = await self._play(media, 2.39)
        stamps = sorted(stamp - receiver.timestamps[0] for stamp in receiver.timestamps)
        assert stamps == [3600 * number for number in range(60)]
        numbers = [packets.first_stamp()[0] + len(packets.offsets) for packets in receiver.units]
        assert [packets.first_stamp()[0] for packets in receiver.units[1:]] == numbers[:-1]

    async def test_live_client_comes_in_where_the_camera_is(self, media: Media) -> None:
        """A client that joins in mid-GOP gets what comes next, which is no keyframe."""
        receiver = await self._play(media, 0.29, late=0.5)
        assert [packets.keyframe for packets in receiver.units] == [False] * 7

    async def test_live_path_can_begin_in_the_middle_of_its_clip(self, media: Media) -> None:
        """Half a second in it starts between two keyframes, and tells when its clip would have begun."""
        feed = Feed(media, FeedOptions(True, False, 5.0), Faults(), Meter())
        receiver = FakeReceiver()
        feed.begin(0.5)
        feed.join(receiver)
        before = time.time()
        feed.start(delay=3.0)
        after = time.time()
        await asyncio.sleep(3.39)
        feed.stop()
        assert [packets.keyframe for packets in receiver.units] == [*[False] * 8, True, False]
        assert len(receiver.units[0].data) == len(media.units[12].bare.data)
        assert before + 3.0 - 0.48 <= feed.origin <= after + 3.0 - 0.48

    async def test_gop_cache_brings_a_late_client_to_the_keyframe(self, media: Media) -> None:
        """With the cache a client gets the current GOP at once, and no number is missing after it."""
        receiver = await self._play(media, 0.1, late=0.5, gop_cache=True)
        assert receiver.units[0].keyframe
        assert receiver.times.count(receiver.times[0]) >= 3
        ends = [packets.first_stamp()[0] + len(packets.offsets) for packets in receiver.units]
        assert [packets.first_stamp()[0] for packets in receiver.units[1:]] == ends[:-1]

    async def test_sender_reports_come_at_their_interval(self, media: Media) -> None:
        """One at once and then one every five seconds."""
        receiver = await self._play(media, 11)
        assert len(receiver.reports) == 4  # the first join falls together with the first interval's

    async def test_slow_delivery_stretches_time_only(self, media: Media) -> None:
        """At half speed half of the frames come, their timestamps still 40 ms apart."""
        receiver = await self._play(media, 1.99, Fault(FaultKind.SLOW, rate=0.5))
        assert len(receiver.units) == 25
        assert sorted(receiver.timestamps)[1] - min(receiver.timestamps) == 3600

    async def test_burst_delivers_everything_late_and_at_once(self, media: Media) -> None:
        """Frames come once a second, 25 together."""
        receiver = await self._play(media, 3.5, Fault(FaultKind.BURST))
        moments = sorted(set(receiver.times))
        assert [receiver.times.count(moment) for moment in moments[1:3]] == [25, 25]

    async def test_stall_sends_nothing(self, media: Media) -> None:
        """Neither packets nor sender reports come."""
        receiver = await self._play(media, 12, Fault(FaultKind.STALL))
        assert (receiver.units, receiver.reports) == ([], [])

    async def test_freeze_repeats_the_keyframe_with_running_time(self, media: Media) -> None:
        """Switched on in mid-GOP, the keyframe behind comes again and again, and its timestamps go on."""
        faults = Faults()
        feed = Feed(media, FeedOptions(True, False, 5.0), faults, Meter())
        receiver = FakeReceiver()
        feed.join(receiver)
        feed.start()
        await asyncio.sleep(0.59)
        faults.switch_on(Fault(FaultKind.FREEZE))
        await asyncio.sleep(0.4)
        feed.stop()
        key, frozen = receiver.units[10], receiver.units[15:]
        assert [packets.keyframe for packets in frozen] == [True] * 10
        assert {len(packets.data) for packets in frozen} == {len(key.data)}
        assert {b - a for a, b in pairwise(receiver.timestamps[15:])} == {3600}

    async def test_timestamps_wrap_where_they_should(self, media: Media) -> None:
        """Half a second before 2^32 the clock goes on from 0 half a second later."""
        feed = Feed(media, FeedOptions(True, False, 5.0), Faults(), Meter())
        receiver = FakeReceiver()
        feed.wrap_in(0.5)
        feed.join(receiver)
        feed.start()
        await asyncio.sleep(0.99)
        feed.stop()
        assert max(receiver.timestamps) > 2**32 - CLOCK_RATE // 10
        assert min(receiver.timestamps) < CLOCK_RATE

    @pytest.mark.parametrize("seconds", [100.0, -100.0])
    async def test_jump_shifts_timestamps_both_ways(self, media: Media, seconds: float) -> None:
        """Switched on in mid-stream, the fault moves what follows by its seconds."""
        faults = Faults()
        feed = Feed(media, FeedOptions(True, False, 5.0), faults, Meter())
        receiver = FakeReceiver()
        feed.wrap_in(10_000)
        feed.join(receiver)
        feed.start()
        await asyncio.sleep(0.39)
        faults.switch_on(Fault(FaultKind.TIMESTAMP_JUMP, seconds=seconds))
        await asyncio.sleep(0.4)
        feed.stop()
        before, after = receiver.timestamps[:10], receiver.timestamps[10:]
        assert min(after) - min(before) == round(seconds * CLOCK_RATE) + 10 * 3600

    async def test_another_clip_takes_over_with_a_keyframe(self, media: Media, folder: Path) -> None:
        """A switch starts the other clip at its first picture, with its parameter sets, on the same clock."""
        other = load_media(make_clip(folder / "other.mp4", width=96, height=64, seconds=0.4))
        feed = Feed(media, FeedOptions(True, False, 5.0), Faults(), Meter())
        receiver = FakeReceiver()
        feed.join(receiver)
        feed.start()
        await asyncio.sleep(0.19)
        feed.play(other)
        await asyncio.sleep(0.01)
        feed.stop()
        last = receiver.units[-1]
        assert last.keyframe
        assert other.parameter_sets[0] in last.data
        assert last.first_stamp()[1] - min(receiver.timestamps) <= 7 * 3600

    @pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.HANG_UP])
    async def test_connections_break_at_the_next_picture(self, media: Media, kind: FaultKind) -> None:
        """A client of a path that cuts or hangs up gets no picture."""
        receiver = await self._play(media, 0.01, Fault(kind))
        assert receiver.units == []
        assert (receiver.cuts, receiver.hang_ups) == ((1, 0) if kind is FaultKind.CUT else (0, 1))


class FakeTransport(asyncio.WriteTransport):
    """A TCP transport whose backlog is what the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.backlog = 0
        self.written: list[bytes] = []
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Keep what is written."""
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        """Return the backlog."""
        return self.backlog

    def is_closing(self) -> bool:
        """Tell whether the transport was aborted."""
        return self.aborted

    def abort(self) -> None:
        """Note it."""
        self.aborted = True


@pytest.mark.looptime
class TestSlowClient:
    """A client that does not keep up."""

    @staticmethod
    def _unit(*, keyframe: bool) -> Packets:
        return stamp(make_template(96, [b"picture"]), 0, 0, 0, keyframe=keyframe)

    async def test_slow_client_loses_pictures_up_to_the_next_keyframe(self) -> None:
        """Once the backlog has gone, pictures flow again from a keyframe on, and each loss is counted."""
        transport, meter = FakeTransport(), Meter()
        client = Interleaved(transport, 0, 1, meter)
        transport.backlog = BACKLOG_LIMIT + 1
        client.send(self._unit(keyframe=True))
        transport.backlog = 0
        client.send(self._unit(keyframe=False))
        assert (len(transport.written), meter.units_dropped) == (0, 2)
        client.send(self._unit(keyframe=True))
        client.send(self._unit(keyframe=False))
        assert (len(transport.written), meter.units_dropped) == (2, 2)

    async def test_cut_breaks_off_inside_a_packet(self) -> None:
        """What was written ends behind a packet's header and before its end; then comes the abort."""
        transport = FakeTransport()
        Interleaved(transport, 0, 1, Meter()).cut(self._unit(keyframe=True))
        assert HEADER < len(transport.written[0]) < HEADER + len(b"picture")
        assert transport.aborted

    async def test_client_that_takes_nothing_is_disconnected(self) -> None:
        """After its patience the lab gives a stuck client up, and counts it."""
        transport, meter = FakeTransport(), Meter()
        client = Interleaved(transport, 0, 1, meter)
        transport.backlog = BACKLOG_LIMIT + 1
        for _ in range(20):
            client.send(self._unit(keyframe=True))
            await asyncio.sleep(1)
        assert transport.aborted
        assert meter.slow_clients_closed == 1


def _reassemble(codec: Codec, parts: list[bytes]) -> bytes:
    """Put a NAL unit together as a receiver does it (RFC 6184, 5.8; RFC 7798, 4.4.3)."""
    if len(parts) == 1:
        return parts[0]
    size = 2 if codec is Codec.H264 else 3
    flags = [part[size - 1] >> 6 for part in parts]
    assert flags == [2, *[0] * (len(parts) - 2), 1]
    kind = parts[0][size - 1] & 0x3F
    if codec is Codec.H264:
        head = bytes([parts[0][0] & 0xE0 | kind & 0x1F])
    else:
        head = bytes([parts[0][0] & 0x81 | kind << 1, parts[0][1]])
    return head + b"".join(part[size:] for part in parts)
