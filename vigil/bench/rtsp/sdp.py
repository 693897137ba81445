"""The session description (RFC 4566) of a clip, as cameras write it."""

import base64

from vigil.bench.rtsp.bitstream import Codec, is_sequence_parameter_set, nal_type
from vigil.bench.rtsp.media import Media
from vigil.bench.rtsp.rtp import CLOCK_RATE, payload_type

CONTROL = "trackID=0"


def describe(media: Media, host: str, *, parameter_sets: bool) -> bytes:
    """Return the SDP of `media`, with or without its parameter sets."""
    kind = payload_type(media.codec)
    lines = [
        "v=0",
        f"o=- 1 1 IN IP4 {host}",
        "s=vigil fault laboratory",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        "a=range:npt=now-",
        f"m=video 0 RTP/AVP {kind}",
        *_mapping(media, kind, parameter_sets=parameter_sets),
        f"a=framerate:{media.fps:g}",
        f"a=control:{CONTROL}",
    ]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _mapping(media: Media, kind: int, *, parameter_sets: bool) -> list[str]:
    """Return the rtpmap and fmtp lines of the codec."""
    match media.codec:
        case Codec.H264:
            return [
                f"a=rtpmap:{kind} H264/{CLOCK_RATE}",
                f"a=fmtp:{kind} packetization-mode=1{_h264(media) if parameter_sets else ''}",
                f"a=framesize:{kind} {media.width}-{media.height}",
            ]
        case Codec.HEVC:
            fmtp = [f"a=fmtp:{kind} {_hevc(media)}"] if parameter_sets else []
            return [f"a=rtpmap:{kind} H265/{CLOCK_RATE}", *fmtp]
        case Codec.MJPEG:
            return [f"a=rtpmap:{kind} JPEG/{CLOCK_RATE}"]


def _h264(media: Media) -> str:
    """Return profile-level-id and sprop-parameter-sets (RFC 6184, 8.1)."""
    sps = next(unit for unit in media.parameter_sets if is_sequence_parameter_set(media.codec, unit))
    sets = ",".join(base64.b64encode(unit).decode() for unit in media.parameter_sets)
    return f";profile-level-id={sps[1:4].hex().upper()};sprop-parameter-sets={sets}"


def _hevc(media: Media) -> str:
    """Return sprop-vps, sprop-sps and sprop-pps (RFC 7798, 7.1)."""
    names = {32: "sprop-vps", 33: "sprop-sps", 34: "sprop-pps"}
    return ";".join(
        f"{names[nal_type(media.codec, unit)]}={base64.b64encode(unit).decode()}"
        for unit in media.parameter_sets
    )
