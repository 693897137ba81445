"""`python -m vigil.bench.rtsp`: serve clips by hand or for another process, or measure the server."""

import argparse
import asyncio
import sys
from pathlib import Path

from vigil.bench.rtsp.bench import HEADINGS, bench
from vigil.bench.rtsp.control import serve


def _stream(text: str) -> tuple[str, Path]:
    path, _, clip = text.partition("=")
    if not clip:
        raise argparse.ArgumentTypeError("a stream is PATH=CLIP")
    return path, Path(clip)


def main() -> None:
    """Run the command that the arguments name."""
    parser = argparse.ArgumentParser(prog="python -m vigil.bench.rtsp", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser("serve", help="serve until standard input ends")
    server.add_argument("--port", type=int, default=8554)
    server.add_argument("--control", type=int, default=0, metavar="PORT", help="port for JSON lines")
    server.add_argument("--stream", type=_stream, action="append", default=[], metavar="PATH=CLIP")
    measure = commands.add_parser("bench", help="measure what the server costs")
    measure.add_argument("--clients", type=int, nargs="+", default=[1, 32, 64, 128])
    measure.add_argument("--seconds", type=float, default=10.0)
    measure.add_argument("--clip", type=Path)
    measure.add_argument("--shared", action="store_true", help="all clients on one path")
    measure.add_argument("--udp", action="store_true", help="over UDP instead of TCP")
    arguments = parser.parse_args()
    if arguments.command == "serve":
        asyncio.run(serve(arguments.port, arguments.control, dict(arguments.stream)))
        return
    figures = asyncio.run(
        bench(
            arguments.clients, arguments.seconds, arguments.clip, shared=arguments.shared, udp=arguments.udp
        )
    )
    sys.stdout.write("\n".join([HEADINGS, *map(str, figures), ""]))


if __name__ == "__main__":
    main()
