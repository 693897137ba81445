"""DESIGN section 2, enforced: imports point down, rooms of a floor keep apart, a library has one home."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import vigil

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(vigil.__file__).parent

FLOORS: tuple[frozenset[str], ...] = tuple(
    frozenset(floor.split())
    for floor in (
        "__main__",
        "cli",
        "cli_bench cli_models cli_replay",  # commands that `cli` registers
        "bench fleet samples",
        "replay",
        "process offline console",
        "shards",
        "app",
        "launch",  # what `cli` hands to `app`; it imports for types only
        "daemon",
        "profiles stats",
        "reload",
        "memory",
        "supervisor messaging ledger commanded announced snapshots",
        "unit placement",
        "video inference analytics sinks web gpu",
        "log daytime statefile",  # the log's set-up takes `config.model.LogConfig`, the calendar its windows
        "config metrics systemd schemas",
        "core",
        "aio",
        "errors",
    )
)
"""From the roof down; a room may use its own modules and lower floors."""

OWNERS: dict[str, frozenset[str]] = {
    "av": frozenset({"video", "bench"}),
    "paho": frozenset({"sinks.mqtt", "bench.subscriber"}),
    "amqtt": frozenset({"sinks.home_broker", "sinks.home_client"}),
    "orjson": frozenset({"sinks"}),
    "aiohttp": frozenset({"web"}),
    "PIL": frozenset({"video.upload"}),
    "onnxruntime": frozenset({"inference.backends.onnx", "bench.peers"}),
    "openvino": frozenset(
        {"inference.backends.openvino", "inference.convert", "inference.quantize", "bench.peers"}
    ),
    "nncf": frozenset({"inference.quantize"}),
    "onnx": frozenset({"inference.backends.trim", "inference.convert"}),
    "faster_coco_eval": frozenset({"inference.accuracy"}),
    "torch": frozenset({"inference.backends.ultralytics"}),
    "pynvml": frozenset({"gpu.nvml"}),
    "ultralytics": frozenset({"inference.backends.ultralytics", "inference.convert", "bench.peers"}),
    "inference": frozenset({"bench.peers"}),
    "inference_models": frozenset({"bench.peers"}),
    "typer": frozenset({"cli", "cli_bench", "cli_models", "cli_replay"}),
    "rich": frozenset({"console", "bench.tables", "cli_bench", "cli_models", "cli_replay"}),
    "prometheus_client": frozenset({"metrics", "web.routes.status"}),
    "astral": frozenset({"daytime"}),
    "yaml": frozenset({"config"}),
    "pydantic": frozenset({"config", "bench.rtsp.control"}),
    "pydantic_core": frozenset({"config"}),
    "cv2": frozenset({"video", "inference", "analytics", "bench.peers"}),
}
"""Who may import a library: a room with all that is in it, or one module."""

ONLY: dict[str, frozenset[str]] = {
    "aio": frozenset(),
    "errors": frozenset(),
    "core": frozenset({"numpy"}),
    "systemd": frozenset(),
    "log": frozenset(),
}
"""Third-party libraries of rooms that keep to the standard library otherwise."""

HEAVY = ("onnxruntime", "torch", "ultralytics", "openvino", "nncf", "onnx", "amqtt")


def modules(package: Path) -> Iterator[tuple[str, Path]]:
    """Yield each module's name below the package, such as `sinks.mqtt`, and its file."""
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if name:
            yield name, path


def imports(package: Path, name: str, path: Path) -> Iterator[str]:
    """Yield what a module imports, anywhere in it, in full: `vigil.app`, `cv2`, `vigil.core.types.Frame`."""
    here = [package.name, *name.split(".")]
    inside = here if path.stem == "__init__" else here[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def violations(package: Path) -> list[str]:
    """Return a sentence for each import that the house forbids."""
    rooms = {name.split(".")[0] for name, _ in modules(package)}
    homeless = rooms - frozenset().union(*FLOORS)
    found = [f"{room} stands on no floor" for room in sorted(homeless)]
    for name, path in modules(package):
        for target in imports(package, name, path):
            first, *rest = target.split(".")
            if first == package.name:
                found += _downwards(name, rest, rooms)
            elif first not in sys.stdlib_module_names:
                found += _owned(name, first)
    return found


def _floor(room: str) -> int:
    return next((number for number, floor in enumerate(FLOORS) if room in floor), -1)


def _downwards(name: str, target: list[str], rooms: set[str]) -> list[str]:
    room = name.split(".", maxsplit=1)[0]
    # `from vigil import __version__` takes a name of the package itself.
    if not target or target[0] not in rooms or target[0] == room or _floor(target[0]) > _floor(room):
        return []
    return [f"{name} imports {'.'.join(target)}, which is not below it"]


def _owned(name: str, library: str) -> list[str]:
    room = name.split(".", maxsplit=1)[0]
    owners = OWNERS.get(library)
    if owners is not None and not any(name == owner or name.startswith(f"{owner}.") for owner in owners):
        return [f"{name} imports {library}, which belongs to {', '.join(sorted(owners))}"]
    if room in ONLY and library not in ONLY[room]:
        return [f"{name} imports {library}, and {room} keeps to the standard library"]
    return []


def test_house_stands() -> None:
    """No module imports upwards, sideways, or a library that another room owns."""
    assert violations(PACKAGE) == []


def test_checker_sees_every_kind_of_violation(tmp_path: Path) -> None:
    """Upwards, sideways, for types only, relative, lazy, a foreign library, an unknown room: all are told."""
    files = {
        "__init__.py": "",
        "app.py": "from vigil.video import camera\nfrom vigil import __version__\n",
        "video/__init__.py": "import av\n",
        "video/camera.py": "from . import decode\nfrom vigil import app\nimport vigil.inference.loop\n",
        "video/decode.py": "import cv2\nfrom ..sinks import mqtt\nfrom vigil.core.types import Frame\n",
        "inference/loop.py": "if TYPE_CHECKING:\n    from vigil.video.camera import Camera\n",
        "sinks/mqtt.py": "import paho.mqtt.client\n",
        "sinks/other.py": "def f():\n    from paho.mqtt import client\n",
        "core/types.py": "import numpy as np\nfrom vigil.aio.slot import Slot\n",
        "aio/slot.py": "import numpy\nfrom vigil import errors\nfrom vigil.core.types import Frame\n",
        "errors.py": "import logging\n",
        "attic/junk.py": "",
    }
    package = tmp_path / "vigil"
    for name, text in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)

    assert sorted(violations(package)) == [
        "aio.slot imports core.types.Frame, which is not below it",
        "aio.slot imports numpy, and aio keeps to the standard library",
        "attic stands on no floor",
        "inference.loop imports video.camera.Camera, which is not below it",
        "sinks.other imports paho, which belongs to bench.subscriber, sinks.mqtt",
        "video.camera imports app, which is not below it",
        "video.camera imports inference.loop, which is not below it",
        "video.decode imports sinks.mqtt, which is not below it",
    ]


def test_command_line_loads_no_runtime() -> None:
    """`import vigil.cli` loads none of the heavy libraries, so `vigil version` is quick."""
    script = "import sys, vigil.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    assert "vigil.cli" in loaded.stdout.split()
    assert not set(HEAVY) & set(loaded.stdout.split())
