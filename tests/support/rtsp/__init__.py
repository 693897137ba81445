"""A scripted RTSP server whose faults can be switched while clients are connected.

    async with RtspLab() as lab:
        url = await lab.add("/cam1", clip)
        await lab.fault("/cam1", Fault(FaultKind.STALL))

`RtspLabProcess` has the same methods and runs the server in a process of its own.
"""

from tests.support.rtsp.auth import Credentials
from tests.support.rtsp.control import RtspLabProcess
from tests.support.rtsp.faults import Fault, FaultKind
from tests.support.rtsp.lab import Lab, LabStats
from tests.support.rtsp.server import RtspLab
from tests.support.rtsp.stream import StreamOptions

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
