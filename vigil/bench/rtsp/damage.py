"""Faults of the picture and of the network, done to the packets of one access unit."""

import random

from vigil.bench.rtsp.bitstream import Codec
from vigil.bench.rtsp.faults import FaultKind, Faults
from vigil.bench.rtsp.rtp import HEADER, Packets, payload_header


def damage(packets: Packets, codec: Codec, faults: Faults) -> Packets:
    """Return the packets as the faults leave them; `packets.data` may be changed in place."""
    if garbage := faults.get(FaultKind.GARBAGE):
        rng = faults.random(FaultKind.GARBAGE)
        if rng.random() < garbage.strength:
            _scramble(packets, HEADER + payload_header(codec), rng)
    if errors := faults.get(FaultKind.BIT_ERRORS):
        _flip(packets, HEADER + payload_header(codec), errors.strength, faults.random(FaultKind.BIT_ERRORS))
    if loss := faults.get(FaultKind.LOSS):
        rng = faults.random(FaultKind.LOSS)
        return packets.keeping([rng.random() >= loss.strength for _ in packets.offsets])
    return packets


def _scramble(packets: Packets, header: int, rng: random.Random) -> None:
    """Replace every payload behind its header."""
    for part in packets.slices():
        body = slice(min(part.start + header, part.stop), part.stop)
        packets.data[body] = rng.randbytes(body.stop - body.start)


def _flip(packets: Packets, header: int, rate: float, rng: random.Random) -> None:
    """Flip bits at `rate`: the distance between two errors is exponential, so most bits cost nothing."""
    if rate <= 0:
        return
    for part in packets.slices():
        bit = (part.start + header) * 8 + int(rng.expovariate(rate))
        while bit < part.stop * 8:
            packets.data[bit >> 3] ^= 0x80 >> (bit & 7)
            bit += 1 + int(rng.expovariate(rate))
