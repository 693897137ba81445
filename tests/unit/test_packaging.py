"""What brings vigil onto a machine: Makefile, CI script, systemd unit, Dockerfile."""

from __future__ import annotations

import fnmatch
import http.server
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from configparser import ConfigParser
from pathlib import Path

import pytest

from vigil import daemon
from vigil.config.units import parse_duration
from vigil.errors import ConfigError

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd" / "vigil.service"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def make(folder: Path, *arguments: str, path: str = os.environ["PATH"]) -> subprocess.CompletedProcess[str]:
    """Run make in `folder` and return how it went."""
    # What a make around this test has set would change what this one does.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=folder,
        env={**environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def program(path: Path, script: str) -> None:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a checkout with an environment that is up to date, as far as make can tell."""
    for name in ("Makefile", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    os.utime(tmp_path / "pyproject.toml", (1000, 1000))
    program(tmp_path / ".venv/bin/python", 'echo "python $*"')
    for stamp in (".installed", ".installed-dev"):
        (tmp_path / ".venv" / stamp).touch()
    return tmp_path


def test_nothing_is_installed_twice(checkout: Path) -> None:
    """With an environment newer than pyproject.toml there is nothing to do."""
    assert make(checkout, "-q", "venv").returncode == 0


def test_a_changed_pyproject_installs_again(checkout: Path) -> None:
    """What is installed follows pyproject.toml, in the environment that is there."""
    (checkout / "pyproject.toml").touch()
    os.utime(checkout / ".venv/.installed", (2000, 2000))
    ran = make(checkout, "venv")
    assert ran.returncode == 0
    assert "python -m pip install --quiet --disable-pip-version-check -e ." in ran.stdout
    assert make(checkout, "-q", "venv").returncode == 0


def test_an_old_python_is_refused(checkout: Path) -> None:
    """An interpreter that is too old is named, with what to do, and leaves nothing behind."""
    shutil.rmtree(checkout / ".venv")
    program(checkout / "old-python", "exit 1")
    ran = make(checkout, "run", "PYTHON=./old-python")
    assert ran.returncode != 0
    assert "needs Python 3.11 or newer; ./old-python is not" in ran.stderr
    assert not (checkout / ".venv").exists()


def test_missing_packages_are_named_to_a_user(checkout: Path) -> None:
    """Who is not root reads which Debian packages the tests lack and the command that installs them."""
    program(checkout / "tools/id", "echo 1000")
    program(checkout / "tools/apt-get", "exit 1")
    program(checkout / "tools/dpkg-query", 'for last; do :; done; [ "$last" = chromium ] || echo installed')
    ran = make(checkout, "test", path=f"{checkout}/tools:{os.environ['PATH']}")
    assert ran.returncode != 0
    assert "not here: chromium\n" in ran.stderr
    assert "sudo apt-get update && sudo apt-get install -y --no-install-recommends chromium" in ran.stderr
    assert "pytest" not in ran.stdout


def test_help_lists_every_target() -> None:
    """`make` alone tells what can be made."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    [phony] = re.findall(r"^\.PHONY: (.*)$", text, re.MULTILINE)
    assert re.findall(r"^make (\S+)", make(ROOT).stdout, re.MULTILINE) == phony.split()


def test_the_ci_script_can_run() -> None:
    """The script is executable, is valid bash, and runs all the checks there are."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    called = re.findall(r"^make (\S+)", script.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(called) == {"check", "test", "test-ultralytics"}


def unit() -> ConfigParser:
    """Return the systemd unit; of a key given several times, the last value."""
    parser = ConfigParser(strict=False, interpolation=None, comment_prefixes=("#", ";"))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # the documented way to keep case
    parser.read(UNIT, encoding="utf-8")
    return parser


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """The checker of systemd, where there is one, finds nothing to say; every line has a known form."""
    text = UNIT.read_text(encoding="utf-8")
    if shutil.which("systemd-analyze"):
        # The command is not installed where tests run, and a missing one is an error.
        (tmp_path / UNIT.name).write_text(re.sub(r"(?m)^Exec(\w+)=\S+", rf"Exec\1={sys.executable}", text))
        checked = subprocess.run(
            ["systemd-analyze", "verify", tmp_path / UNIT.name], capture_output=True, text=True, check=False
        )
        assert (checked.returncode, checked.stderr) == (0, "")
    assert unit().sections() == ["Unit", "Service", "Install"]
    assert [
        line
        for line in text.splitlines()
        if line and not re.fullmatch(r"#.*|\[(Unit|Service|Install)\]|[A-Z]\w+=.*", line)
    ] == []


def test_the_unit_agrees_with_the_daemon() -> None:
    """Watchdog, time to stop, reload signal and the status that is not restarted fit what vigil does."""
    service = unit()["Service"]
    assert service["Type"] == "notify"
    assert int(service["WatchdogSec"]) > 2 * daemon._STUCK_AFTER
    assert int(service["TimeoutStopSec"]) > 10
    assert int(service["RestartPreventExitStatus"]) == ConfigError.exit_status
    assert shlex.split(service["ExecStart"]) == [
        "/usr/local/bin/vigil",
        "run",
        "-c",
        "/etc/vigil/vigil.yaml",
    ]
    assert shlex.split(service["ExecReload"]) == ["/bin/kill", "-HUP", "$MAINPID"]


def test_the_image_gets_the_files_it_copies() -> None:
    """What the Dockerfile copies from the checkout is there, and .dockerignore lets it through."""
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    copies = re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE)
    sources = [source for line in copies for source in line.split()]
    assert sources
    for source in sources:
        assert (ROOT / source).exists()
        assert any(fnmatch.fnmatch(source.split("/")[0], pattern) for pattern in kept)


def test_the_image_can_build_the_wheel() -> None:
    """Every file that the wheel is made of is copied into the image before it is built."""
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    needed = {"pyproject.toml", *re.findall(r'^readme = "(.*)"', pyproject, re.MULTILINE)}
    needed |= {name.split("/")[0] for name in re.findall(r'^"(\S+)" = "vigil/', pyproject, re.MULTILINE)}
    assert needed <= set(
        re.findall(r"[\w.]+", DOCKERFILE.partition("FROM python")[2].partition("RUN --mount")[0])
    )


@pytest.mark.parametrize(("answer", "exit_status"), [(200, 0), (503, 1)])
def test_the_health_check_asks_the_daemon(answer: int, exit_status: int) -> None:
    """The image's health check succeeds when `/health` does, on the port that the environment names."""
    asked: list[str] = []

    class Health(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(answer)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_message: object) -> None:
            """Say nothing."""

    [command] = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", DOCKERFILE, re.MULTILINE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        thread = threading.Thread(target=server.serve_forever, name="health")
        thread.start()
        environ = {**os.environ, "VIGIL_HTTP__PORT": str(server.server_port)}
        ran = subprocess.run(
            [sys.executable, *json.loads(command)[1:]],
            env=environ,
            capture_output=True,
            check=False,
            timeout=30,
        )
        server.shutdown()
        thread.join()
    assert (ran.returncode, asked) == (exit_status, ["/health"])


def test_the_image_is_not_run_by_root() -> None:
    """The final stage changes to a user of its own before the entry point."""
    final = DOCKERFILE.rpartition("\nFROM ")[2]
    assert 0 < final.index("USER vigil") < final.index("ENTRYPOINT")
    assert parse_duration(re.findall(r"--timeout=(\S+)", final)[0]) > 4
