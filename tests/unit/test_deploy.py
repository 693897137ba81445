"""The compose file of deploy/ and what it mounts: well formed, pinned, without secrets, and of one piece."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.monitoring import ALERTS, BOARDS, DEPLOY
from vigil import __version__

ROOT = DEPLOY.parent


def compose() -> dict[str, Any]:
    """Return the compose file."""
    parsed: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text("utf-8"))
    return parsed


SERVICES = compose()["services"]
each_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def test_compose_has_what_is_needed() -> None:
    """vigil, a broker, Prometheus and Grafana; every named volume is declared and used."""
    whole = compose()
    assert set(whole) == {"name", "services", "volumes"}
    assert set(SERVICES) == {"vigil", "mosquitto", "prometheus", "grafana"}
    named = {
        volume.split(":")[0]
        for service in SERVICES.values()
        for volume in service["volumes"]
        if isinstance(volume, str) and not volume.startswith(".")
    }
    assert named == set(whole["volumes"])
    assert all(
        set(service["depends_on"]) <= set(SERVICES)
        for service in SERVICES.values()
        if "depends_on" in service
    )


KEYS = {"build", "image", "restart", "stop_grace_period", "depends_on", "env_file", "environment", "volumes"}
KEYS |= {"ports", "healthcheck", "user", "command"}


@each_service
def test_compose_services_are_well_formed(service: dict[str, Any]) -> None:
    """Keys are those of the Compose Specification, images are pinned, services are watched and restarted."""
    assert set(service) <= KEYS
    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])
    assert service["restart"] == "unless-stopped"
    check_of = service["healthcheck"]
    assert set(check_of) <= {"test", "interval", "timeout", "retries", "start_period"}
    assert check_of["test"][0] in {"CMD", "CMD-SHELL"}
    for dependency in service.get("depends_on", {}).values():
        assert dependency == {"condition": "service_healthy"}
    for port in service["ports"]:
        assert re.fullmatch(r"(127\.0\.0\.1:)?\d+:\d+", port)


@each_service
def test_compose_mounts_what_is_there(service: dict[str, Any]) -> None:
    """Files of the checkout that a container is given exist, and are given for reading only."""
    for volume in service["volumes"]:
        if isinstance(volume, str) and volume.startswith("."):
            source, _, mode = volume.split(":")
            assert (DEPLOY / source).exists()
            assert mode == "ro"
    for given in service.get("env_file", []):
        assert given["required"] is False


def test_compose_builds_this_version() -> None:
    """The image that is built carries the version that it is built from."""
    assert (DEPLOY / SERVICES["vigil"]["build"] / "Dockerfile").exists()
    assert SERVICES["vigil"]["image"] == f"vigil:{__version__}"


def test_compose_holds_no_secret() -> None:
    """Passwords come from the environment and must be set; what holds them is kept out of git."""
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if "PASSWORD" in name:
                assert re.fullmatch(r"\$\{\w+:\?.+\}", value)
    ignored = (ROOT / ".gitignore").read_text("utf-8").splitlines()
    assert {"deploy/.env", "deploy/vigil.env", "deploy/vigil.yaml"} <= set(ignored)


def test_what_is_without_a_password_stays_on_the_machine() -> None:
    """Pages that ask nobody for a password are published on the loopback address only."""
    for name in ("vigil", "prometheus"):
        assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


def targets_of(folder: str, service: str) -> str:
    """Return where a folder of deploy/ is mounted in a service."""
    [target] = [
        volume.split(":")[1]
        for volume in SERVICES[service]["volumes"]
        if isinstance(volume, str) and volume.split(":")[0] == folder
    ]
    return str(target)


def test_grafana_finds_boards_and_prometheus() -> None:
    """The provider reads the folder that is mounted; the data source is the compose file's Prometheus."""
    provisioning = DEPLOY / "grafana/provisioning"
    assert targets_of("./grafana/provisioning", "grafana") == "/etc/grafana/provisioning"
    [provider] = yaml.safe_load((provisioning / "dashboards/vigil.yml").read_text("utf-8"))["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] == targets_of("./grafana/dashboards", "grafana")
    home = SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (BOARDS / Path(home).name).exists()
    [source] = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text("utf-8"))["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "http://prometheus:9090")
    scraping = yaml.safe_load((ALERTS.parent / "prometheus.yml").read_text("utf-8"))
    assert source["jsonData"]["timeInterval"] == scraping["global"]["scrape_interval"]


def test_prometheus_scrapes_vigil() -> None:
    """Prometheus asks the compose file's vigil, under the job name of the alerts, and reads the rules."""
    scraping = yaml.safe_load((ALERTS.parent / "prometheus.yml").read_text("utf-8"))
    [job] = scraping["scrape_configs"]
    assert job == {"job_name": "vigil", "static_configs": [{"targets": ["vigil:8080"]}]}
    assert scraping["rule_files"] == [ALERTS.name]
    folder = targets_of("./prometheus", "prometheus")
    assert f"--config.file={folder}/prometheus.yml" in SERVICES["prometheus"]["command"]


def test_the_broker_keeps_what_it_retains() -> None:
    """Mosquitto wants a login and writes retained messages to the volume."""
    settings = dict(
        line.split(maxsplit=1)
        for line in (DEPLOY / "mosquitto/mosquitto.conf").read_text("utf-8").splitlines()
        if line and not line.startswith("#")
    )
    assert (settings["allow_anonymous"], settings["persistence"]) == ("false", "true")
    assert settings["persistence_location"].rstrip("/") == targets_of("mosquitto", "mosquitto")
    assert settings["password_file"] in SERVICES["mosquitto"]["command"][-1]
