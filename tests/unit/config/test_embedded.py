"""The embedded broker's keys: who may come in, from where, and what is refused before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vigil.config.diff import diff
from vigil.config.load import load
from vigil.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

    from vigil.config.model import Config

CAMERA = "cameras: {drive: {url: rtsp://10.0.0.5/s}}\n"


def loaded(folder: Path, embedded: str) -> Config:
    """Return the configuration with this as `mqtt.embedded`."""
    path = folder / "vigil.yaml"
    path.write_text(f"{CAMERA}mqtt:\n  embedded: {embedded}\n")
    return load(
        path, {"VIGIL_MQTT__EMBEDDED__USERS__ENV__PASSWORD": "from there"} if "env" in embedded else {}
    )


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost", "LocalHost"])
def test_this_machine_needs_no_users(tmp_path: Path, host: str) -> None:
    """Whoever is on the machine may come in without a name."""
    embedded = loaded(tmp_path, f"{{host: '{host}'}}").mqtt.embedded
    assert (embedded.host, embedded.users, embedded.persistence) == (host, {}, True)


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.10", "10.0.0.1", "nas.local", "127.0.0.1.nip.io"]
)
def test_a_network_needs_users(tmp_path: Path, host: str) -> None:
    """An address that others reach is refused without users, at its place, with what to do."""
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"{{host: '{host}'}}")
    (problem,) = caught.value.problems
    assert (problem.line, problem.path) == (3, "mqtt.embedded.host")
    assert "lets in everybody who reaches it; add `users`, or listen on 127.0.0.1" in problem.message
    assert loaded(tmp_path, f"{{host: '{host}', users: {{ha: {{password: x}}}}}}").mqtt.embedded.host == host


def test_passwords_come_from_keys_files_and_the_environment(tmp_path: Path) -> None:
    """A user's password is written, in a file of its own, or in a variable."""
    (tmp_path / "secret").write_text("filed\n")
    users = loaded(
        tmp_path, "{users: {Home Assistant: {password: 'p:w'}, b: {password_file: secret}, env: {}}}"
    ).mqtt.embedded.users
    passwords = {name: user.password.get_secret_value() for name, user in users.items() if user.password}
    assert passwords == {"Home Assistant": "p:w", "b": "filed", "env": "from there"}


@pytest.mark.parametrize(
    ("users", "complaint"),
    [
        ("{ha: {}}", "is missing; write `password` or `password_file`"),
        ("{ha: {password: ''}}", "is empty"),
        ("{ha: {password: hunter2, password_file: secret}}", "keep one of the two"),
        ("{ha: hunter2}", "is not a mapping"),
        ("{ha: {pasword: hunter2}}", "did you mean `password`?"),
        ("{ha: {password_file: absent}}", "cannot be read"),
    ],
)
def test_users_without_a_password_are_refused(tmp_path: Path, users: str, complaint: str) -> None:
    """Each mistake is told, and no secret is repeated in what is told."""
    (tmp_path / "secret").write_text("filed")
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, f"{{users: {users}}}")
    assert complaint in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_secrets_are_in_no_representation(tmp_path: Path) -> None:
    """What is logged of a configuration shows no user's password."""
    config = loaded(tmp_path, "{users: {ha: {password: hunter2}}}")
    assert "hunter2" not in f"{config!r} {config!s} {config.mqtt.with_login('v', 'hunter2')!r}"


@pytest.mark.parametrize("change", ["{persistence: false}", "{host: '::1'}", "{users: {ha: {password: y}}}"])
def test_every_key_takes_effect_in_a_reload(tmp_path: Path, change: str) -> None:
    """A change of any of them, a password included, has the broker started anew."""
    before = loaded(tmp_path, "{users: {ha: {password: x}}}")
    assert diff(before, loaded(tmp_path, change)).mqtt
