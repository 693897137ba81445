"""What can go wrong with a camera, as switches on a path of the lab.

Every kind says what it does to clients that are connected already and to those that come later.
"""

import random
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final


class FaultKind(StrEnum):
    """The faults, by where they bite."""

    # The network
    REFUSE = "refuse"
    """The listener closes and present clients are reset, as by a power cut (needs `own_port`)."""
    CUT = "cut"
    """Half of the next interleaved packet, then a TCP reset; again for every client that comes."""
    HANG_UP = "hang_up"
    """Present clients are closed in good order (FIN), later ones as soon as they play."""
    LOSS = "loss"
    """RTP packets vanish with probability `rate`, on UDP and TCP alike; sequence numbers show the gap."""

    # The RTSP server
    SILENT = "silent"
    """Requests are read and never answered; packets go on."""
    SLOW_LORIS = "slow_loris"
    """Answers come one byte every `seconds` (0.1 if not said)."""
    UNAUTHORIZED = "unauthorized"
    """401 to everything but OPTIONS and TEARDOWN, whatever the credentials."""
    FORBIDDEN = "forbidden"
    """403, likewise."""
    NOT_FOUND = "not_found"
    """404, likewise."""
    UNAVAILABLE = "unavailable"
    """503, likewise."""
    SESSION_NOT_FOUND = "session_not_found"
    """454 to PLAY, PAUSE and GET_PARAMETER."""
    REDIRECT_LOOP = "redirect_loop"
    """DESCRIBE answers 302 to the same URL, for ever."""
    WRONG_CONTENT_LENGTH = "wrong_content_length"
    """DESCRIBE promises `rate` times the bytes that it sends (2 if not said; below 1 it sends too many)."""
    STALE_NONCE = "stale_nonce"
    """Each digest nonce is good for one request; the next is answered 401 with `stale=true`."""

    # The pace
    STALL = "stall"
    """Connections stay open, requests are answered, no packet comes; the camera's clock goes on."""
    SLOW = "slow"
    """Access units come at `rate` of their speed (0.5 if not said) with the timestamps of full speed."""
    BURST = "burst"
    """Access units are held back and delivered at once every `seconds` (1 if not said)."""

    # The clock
    TIMESTAMP_JUMP = "timestamp_jump"
    """RTP timestamps are shifted by `seconds` (positive or negative) while the fault is on."""
    TIMESTAMP_WRAP = "timestamp_wrap"
    """RTP timestamps go on from `seconds` (1 if not said) before 2^32; what came before is not undone."""

    # The picture
    GARBAGE = "garbage"
    """Payloads are random bytes behind an intact payload header, for a part `rate` (all) of the pictures."""
    BIT_ERRORS = "bit_errors"
    """Bits of the payload flip at `rate` (1e-5 if not said); errors reach pictures, not packet headers."""
    NO_PARAMETER_SETS = "no_parameter_sets"
    """Neither the SDP nor the stream carries VPS, SPS and PPS."""
    FREEZE = "freeze"
    """The keyframe of the current GOP is sent again and again with running timestamps."""
    BLACK = "black"
    """A black picture of the same codec and size."""
    RESOLUTION_SWITCH = "resolution_switch"
    """`clip`, of the same codec, takes over in mid-stream with its own parameter sets."""
    CODEC_SWITCH = "codec_switch"
    """Present clients are hung up on; those that come again are described and sent `clip`."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and how strong it is; a value left out is the kind's own (see `FaultKind`)."""

    kind: FaultKind
    rate: float | None = None
    seconds: float | None = None
    clip: Path | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        needs_clip = self.kind in (FaultKind.RESOLUTION_SWITCH, FaultKind.CODEC_SWITCH)
        if needs_clip != (self.clip is not None):
            raise ValueError(f"{self.kind}: a clip is {'needed' if needs_clip else 'of no use'}")

    @property
    def strength(self) -> float:
        """Return `rate`, or the kind's own."""
        return _RATES[self.kind] if self.rate is None else self.rate

    @property
    def span(self) -> float:
        """Return `seconds`, or the kind's own."""
        return _SPANS[self.kind] if self.seconds is None else self.seconds


_RATES: Final = {
    FaultKind.LOSS: 0.05,
    FaultKind.WRONG_CONTENT_LENGTH: 2.0,
    FaultKind.SLOW: 0.5,
    FaultKind.GARBAGE: 1.0,
    FaultKind.BIT_ERRORS: 1e-5,
}
_SPANS: Final = {
    FaultKind.SLOW_LORIS: 0.1,
    FaultKind.BURST: 1.0,
    FaultKind.TIMESTAMP_JUMP: 3600.0,
    FaultKind.TIMESTAMP_WRAP: 1.0,
}


class Faults:
    """The faults that are on at one path, each with a random generator that starts at its seed."""

    def __init__(self) -> None:
        self._on: dict[FaultKind, Fault] = {}
        self._random: dict[FaultKind, random.Random] = {}

    def switch_on(self, fault: Fault) -> None:
        """Add a fault, or replace the one of its kind."""
        self._on[fault.kind] = fault
        self._random[fault.kind] = random.Random(fault.seed)  # noqa: S311 -- damage must be repeatable

    def clear(self) -> None:
        """Switch everything off."""
        self._on.clear()

    def get(self, kind: FaultKind) -> Fault | None:
        """Return the fault of a kind, if it is on."""
        return self._on.get(kind)

    def __contains__(self, kind: FaultKind) -> bool:
        return kind in self._on

    def __bool__(self) -> bool:
        return bool(self._on)

    def random(self, kind: FaultKind) -> random.Random:
        """Return the generator of a fault that is on."""
        return self._random[kind]
