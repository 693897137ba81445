"""From a YAML file and the environment to a checked `Config`, or to everything that is wrong with them.

The way: bytes -> text -> tree with places -> variables expanded -> overrides put over it -> defaults merged
into cameras, and each profile's changes over every camera -> pydantic. Problems of all steps are collected
and reported together, at their place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from vigil.config.address import CREDENTIALS, NETWORK_SCHEMES, scheme_of, split_address
from vigil.config.environment import expand, override
from vigil.config.explain import explain
from vigil.config.model import CameraConfig, Config
from vigil.config.schema import ConfigFile, Schema, schema
from vigil.config.tree import Entry, Leaf, Place, Reader, Table, plain
from vigil.errors import ConfigError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vigil.config.tree import Tree

__all__ = ["camera_of", "load", "schema"]


def load(path: Path, environ: Mapping[str, str]) -> Config:
    """Return the configuration; raises `ConfigError` with every problem of file and environment at once."""
    reader = Reader(str(path))
    tree = reader.read(_text(path))
    problems = reader.problems
    if problems and tree is None:
        raise ConfigError(problems)
    shape = Schema.of_file()
    root = _assemble(tree or Table(Place(str(path), 1, 1, ""), {}), environ, shape, problems)
    return _validated(root, path.parent, shape, problems)


def camera_of(url: str, **keys: str | None) -> CameraConfig:
    """Return a camera from values of a command line; raises `ConfigError`."""
    given = {"url": url, **{key: value for key, value in keys.items() if value is not None}}
    try:
        return CameraConfig.model_validate(given, context=Path.cwd())
    except ValidationError as error:
        problems = [
            Problem("command line", 0, 0, ".".join(map(str, found["loc"])), found["msg"])
            for found in error.errors(include_input=False, include_url=False)
        ]
        raise ConfigError(problems) from None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8")
    except IsADirectoryError:
        problem = Problem(str(path), 0, 0, "", "is a directory; name the YAML file in it")
    except FileNotFoundError:
        problem = Problem(str(path), 0, 0, "", "does not exist; name a YAML file")
    except UnicodeDecodeError as error:
        lines = error.object[: error.start].split(b"\n")
        place = Place(str(path), len(lines), len(lines[-1]) + 1, "")
        problem = place.problem("is not UTF-8 text; save the file as UTF-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "its name is not valid"
        problem = Problem(str(path), 0, 0, "", f"cannot be read: {reason}; name a readable YAML file")
    raise ConfigError([problem])


def _assemble(tree: Tree, environ: Mapping[str, str], shape: Schema, problems: list[Problem]) -> Table:
    """Return the whole configuration as one tree, each camera whole, as it is and under each profile."""
    if not isinstance(tree, Table):
        raise ConfigError([*problems, tree.place.problem("is not a mapping; begin with `cameras:`")])
    root = _sections(expand(tree, environ, problems), shape)
    root = _sections(override(_table(root), environ, shape, problems), shape)
    return _with_profiles(_with_defaults(_table(root)), problems)


def _sections(tree: Tree, shape: Schema | None) -> Tree:
    """Take a section whose keys are all commented out, which YAML reads as null, as an empty one."""
    if shape is None:
        return tree
    if isinstance(tree, Leaf) and tree.value is None and shape.is_section:
        return Table(tree.place, {})
    if not isinstance(tree, Table):
        return tree
    entries = {k: Entry(e.key, _sections(e.value, shape.child(k))) for k, e in tree.entries.items()}
    return Table(tree.place, entries)


def _table(tree: Tree | None) -> Table:
    return tree if isinstance(tree, Table) else Table(Place("", 0, 0, ""), {})


def _with_defaults(root: Table) -> Table:
    defaults, cameras = _table(root.get("defaults")), root.get("cameras")
    if not isinstance(cameras, Table):
        return root
    for name, entry in cameras.entries.items():
        if isinstance(entry.value, Table):
            cameras = cameras.with_value(name, _merged(_for_camera(defaults, entry.value), entry.value))
    return root.with_value("cameras", cameras)


def _with_profiles(root: Table, problems: list[Problem]) -> Table:
    """Return the tree with every camera in every profile: its own keys, and over them what changes."""
    profiles, cameras = root.get("profiles"), root.get("cameras")
    if not isinstance(profiles, Table) or not isinstance(cameras, Table):
        return root
    for name, entry in profiles.entries.items():
        if isinstance(entry.value, Table):
            profiles = profiles.with_value(name, _profile(entry.value, cameras, problems))
    return root.with_value("profiles", profiles)


def _profile(profile: Table, cameras: Table, problems: list[Problem]) -> Table:
    """Return a profile whose `cameras` are whole; notes cameras that there are not."""
    changes = {key: profile.get(key) or Table(profile.place, {}) for key in ("defaults", "cameras")}
    general, single = changes["defaults"], changes["cameras"]
    if not isinstance(general, Table):
        problems.append(general.place.problem("is not a mapping; write the keys that change of every camera"))
    rest = Table(profile.place, {key: e for key, e in profile.entries.items() if key != "defaults"})
    if not isinstance(single, Table):
        return rest  # what stands there is told when the profile is checked
    known = ", ".join(cameras.entries)
    problems += [
        single.entries[name].key.problem(f"is none of `cameras`; there is {known}")
        for name in single.entries.keys() - cameras.entries.keys()
    ]
    whole = {
        name: Entry(entry.key, _changed(_changed(entry.value, general), single.get(name)))
        for name, entry in cameras.entries.items()
    }
    return rest.with_value("cameras", Table(single.place, whole))


def _changed(camera: Tree, changes: Tree | None) -> Tree:
    """Return a camera under some changes; what is no mapping, a mistake, takes its place to be told."""
    if isinstance(camera, Table) and isinstance(changes, Table):
        return _merged(camera, changes)
    return camera if changes is None or isinstance(changes, Table) else changes


def _merged(base: Table, own: Table) -> Table:
    entries = dict(base.entries)
    for key, entry in own.entries.items():
        below = base.get(key)
        if isinstance(below, Table) and isinstance(entry.value, Table):
            entries[key] = Entry(entry.key, _merged(below, entry.value))
        else:
            entries[key] = entry
    return Table(own.place, entries)


def _for_camera(defaults: Table, camera: Table) -> Table:
    """Return the defaults without the logins that would contradict the camera's own, or have no use there."""
    url = camera.get("url")
    text = url.value if isinstance(url, Leaf) and isinstance(url.value, str) else None
    address = None if text is None else split_address(text)
    own_login = address is not None and address.username is not None
    no_login = text is not None and scheme_of(text) not in NETWORK_SCHEMES
    own_secret = "password" in camera.entries or "password_file" in camera.entries
    unwanted = set(CREDENTIALS) if own_login or no_login else set(CREDENTIALS[1:]) if own_secret else set()
    return Table(defaults.place, {k: e for k, e in defaults.entries.items() if k not in unwanted})


def _validated(root: Table, folder: Path, shape: Schema, problems: list[Problem]) -> Config:
    try:
        file = ConfigFile.model_validate(plain(root), context=folder.absolute())
    except ValidationError as error:
        problems = [*problems, *explain(error, root, shape)]
    if problems:
        raise ConfigError(_one_per_place(problems))
    config = Config(**{name: getattr(file, name) for name in Config.model_fields})
    if mismatches := list(_mismatches(config, root)):
        raise ConfigError(_one_per_place(mismatches))
    return config


def _mismatches(config: Config, root: Table) -> Iterator[Problem]:
    """Yield what is right by itself and does not fit the rest."""
    yield from _unknown_models(config.cameras, config, root, [])
    for name, profile in config.profiles.items():
        yield from _unknown_models(profile.cameras, config, root, ["profiles", name])
        if config.location is None and any(window.needs_sun for window in profile.when):
            place = root.at(["profiles", name, "when"])
            yield place.problem("follows the sun; write `location` with `latitude` and `longitude`")


def _unknown_models(
    cameras: Mapping[str, CameraConfig], config: Config, root: Table, above: list[str]
) -> Iterator[Problem]:
    known = ", ".join(config.models) or "none; leave it out, or add it under `models`"
    for name, camera in cameras.items():
        model = camera.detect.model
        if model is not None and model not in config.models:
            place = root.at([*above, "cameras", name, "detect", "model"])
            yield place.problem(f'"{model}" is none of `models`; there is {known}')


def _one_per_place(problems: list[Problem]) -> list[Problem]:
    """Keep the first problem of each place: a value of `defaults` is wrong once, not once per camera."""
    first: dict[tuple[str, int, int, str], Problem] = {}
    for problem in problems:
        first.setdefault((problem.file, problem.line, problem.column, problem.path), problem)
    return list(first.values())
