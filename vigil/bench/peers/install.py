"""Environments for the peers, each of its own: they pin what vigil must not, and weigh gigabytes."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from vigil.errors import CannotStartError

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = {
    "ultralytics": ("ultralytics", "onnx", "onnxruntime", "openvino"),
    "roboflow": ("inference",),
}
"""What is installed into each environment, in the newest version that there is."""


def install(folder: Path, environment: str) -> Path:
    """Make an environment below `folder`, or bring it up to date, and return its Python; takes minutes.

    Raises `CannotStartError` with what pip said.
    """
    home = folder / environment
    python = home / "bin" / "python"
    commands = [] if python.exists() else [[sys.executable, "-m", "venv", str(home)]]
    commands.append(
        [
            str(python),
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            *PACKAGES[environment],
        ]
    )
    for command in commands:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- our own words
        if done.returncode:
            raise CannotStartError(f"{environment} cannot be installed:\n{done.stderr.strip()[-2000:]}")
    return python
