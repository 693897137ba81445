"""Which device a camera belongs to: the same after every start, and the devices evenly loaded.

Each camera ranks the devices by a hash of both names (rendezvous hashing), and takes the first of its
ranking that is not full (consistent hashing with bounded loads, Mirrokni, Thorup and Zadimoghaddam, 2018). So
a device or a camera that comes or goes moves few others, and nothing need be kept between two starts.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SLACK = 0.25
"""By how much of an even share a device may be over it: less moves more cameras when one comes or goes."""


def share(
    cameras: Mapping[str, float], devices: Sequence[str], settled: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Return each camera's device; `cameras` says by name what each costs, in any one unit.

    Those in `settled` keep the device that they have there, if it is one of `devices`. A device takes up to
    a quarter over its even share, or one camera when that is more; raises `ValueError` without a device.
    """
    if not devices:
        raise ValueError("there is no device to share cameras between")
    kept = {name: at for name, at in (settled or {}).items() if name in cameras and at in devices}
    loads = dict.fromkeys(devices, 0.0)
    for name, device in kept.items():
        loads[device] += cameras[name]
    most = (1 + _SLACK) * sum(cameras.values()) / len(devices)
    shared = dict(kept)
    # The dear ones first: what is left over is then small.
    for name in sorted(cameras.keys() - kept.keys(), key=lambda each: (-cameras[each], each)):
        ranked = ranking(name, devices)
        fitting = (device for device in ranked if loads[device] + cameras[name] <= most)
        device = next(fitting, None) or min(ranked, key=loads.__getitem__)
        shared[name] = device
        loads[device] += cameras[name]
    return shared


def ranking(camera: str, devices: Sequence[str]) -> list[str]:
    """Return the devices in the order in which a camera would have them."""
    return sorted(devices, key=lambda device: _rank(camera, device), reverse=True)


def _rank(camera: str, device: str) -> bytes:
    return hashlib.blake2b(f"{device}\0{camera}".encode(), digest_size=8).digest()
