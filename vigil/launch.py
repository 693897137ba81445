"""What the command line hands to the daemon."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from vigil.config.model import Config
    from vigil.config.watch import Identity
    from vigil.inference.service import Service

    Opener: TypeAlias = Callable[[Config, Mapping[str, Path], Mapping[str, str]], dict[str, Service]]
    """Loads every model of a configuration from its weights, with the environment; blocks."""


def _nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A checked configuration, where it came from, and what it needs."""

    config: Config
    path: Path
    """The configuration's file, watched for changes."""
    loaded: Identity | None
    """The file's identity just before `config` was read from it."""
    load_again: Callable[[], Config]
    """Reads the configuration anew; raises `ConfigError`."""
    weights: Mapping[str, Path]
    """The weights of each model by its name in the configuration, `MAIN_MODEL` among them."""
    environ: Mapping[str, str]
    started: Callable[[], None] = _nothing
    """Called once everything is up."""
    reload_requested: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by SIGHUP."""
    open_services: Opener | None = None
    """What loads the models instead of `placement.open_services`; can be named to another process."""
