"""A scripted RTSP server whose faults can be switched while clients are connected.

    async with RtspLab() as lab:
        url = await lab.add("/cam1", clip)
        await lab.fault("/cam1", Fault(FaultKind.STALL))

`RtspLabProcess` has the same methods and runs the server in a process of its own.
"""

from vigil.bench.rtsp.auth import Credentials
from vigil.bench.rtsp.control import RtspLabProcess
from vigil.bench.rtsp.faults import Fault, FaultKind
from vigil.bench.rtsp.lab import Lab, LabStats
from vigil.bench.rtsp.server import RtspLab
from vigil.bench.rtsp.stream import StreamOptions

__all__ = [
    "Credentials",
    "Fault",
    "FaultKind",
    "Lab",
    "LabStats",
    "RtspLab",
    "RtspLabProcess",
    "StreamOptions",
]
